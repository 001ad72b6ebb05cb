//! Labelled cells: the rows of a file that have a cell type, and their genes as the gene table knows them.

use std::collections::BTreeMap;

use crate::cells::{Cells, Column, CsrMatrix, Frame, MatrixName, MatrixState, choose, log1p_cp10k};
use crate::config::Config;
use crate::embed::EmbeddingTable;
use crate::genes::{Coverage, GeneMatch};
use crate::{Error, Result};

/// The cells of one file that have a label.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Names of the cells, in file order; every cell number counts these.
    pub names: Vec<String>,
    /// Cell types, sorted.
    pub classes: Vec<String>,
    /// Class of each cell.
    pub labels: Vec<usize>,
    /// Group (donor, batch) of each cell, where `split.group` names a column.
    pub groups: Option<Vec<usize>>,
    /// Names of the groups.
    pub group_names: Vec<String>,
    /// What the file holds of them, `[cells, genes]`.
    pub matrix: CsrMatrix,
    /// What its values are.
    pub state: MatrixState,
    /// Where it lies in the file.
    pub matrix_name: MatrixName,
    /// log1p-CP10k expression, `[cells, genes]`.
    pub expression: CsrMatrix,
    /// The genes.
    pub var: Frame,
    /// Row of the gene table of each gene.
    pub gene_rows: Vec<Option<u32>>,
    /// How the genes were found in the table.
    pub coverage: Coverage,
    /// Cells of the file that have no label.
    pub unlabelled: usize,
}

impl Labelled {
    /// Take the labelled cells of a file and find their genes in `table`; `place` names the file in
    /// errors.
    ///
    /// # Errors
    /// A missing label column (with the columns there are), fewer than two types, a matrix that cannot
    /// be log-normalised, a gene table that covers too few genes or is of another species.
    pub fn read(
        cells: &Cells,
        place: &str,
        table: &EmbeddingTable,
        config: &Config,
    ) -> Result<Self> {
        let minimum = config.data.minimum_coverage;
        Self::read_through(cells, place, config, |var| table.find(var, minimum, place))
    }

    /// Take the labelled cells of a file and find their genes by `find`.
    ///
    /// # Errors
    /// As [`Labelled::read`], and those of `find`.
    pub fn read_through(
        cells: &Cells,
        place: &str,
        config: &Config,
        find: impl FnOnce(&Frame) -> Result<GeneMatch>,
    ) -> Result<Self> {
        let labels = read_labels(cells, place, config)?;
        let layer = Some(config.data.layer.as_str()).filter(|layer| !layer.is_empty());
        let chosen = choose(cells, layer)?;
        let matched = find(chosen.var)?;
        matched.coverage.require(config.data.minimum_coverage, place)?;
        let matrix = chosen.matrix.select_rows(&labels.rows);
        let group = config.split.group.as_deref();
        let (groups, group_names) = read_groups(cells, place, &labels.rows, group)?;
        Ok(Self {
            names: labels.rows.iter().map(|&row| cells.obs.index[row].clone()).collect(),
            classes: labels.names,
            labels: labels.classes,
            groups,
            group_names,
            expression: log1p_cp10k(&matrix, chosen.state)?,
            matrix,
            state: chosen.state,
            matrix_name: chosen.name,
            var: chosen.var.clone(),
            gene_rows: matched.rows.iter().map(|row| row.map(|row| row as u32)).collect(),
            coverage: matched.coverage,
            unlabelled: cells.n_obs() - labels.rows.len(),
        })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.names.len()
    }
}

struct Labels {
    rows: Vec<usize>,
    classes: Vec<usize>,
    names: Vec<String>,
}

fn read_labels(cells: &Cells, place: &str, config: &Config) -> Result<Labels> {
    let column = obs_column(cells, place, &config.data.label, "--label")?;
    let known = |text: &String| !config.data.unlabelled.contains(text);
    let labelled: Vec<(usize, String)> =
        (0..cells.n_obs()).filter_map(|row| Some((row, column.text(row).filter(known)?))).collect();
    let mut codes: BTreeMap<&str, usize> =
        labelled.iter().map(|(_, text)| (text.as_str(), 0)).collect();
    for (code, (_, slot)) in codes.iter_mut().enumerate() {
        *slot = code;
    }
    if codes.len() < 2 {
        return Err(Error::input(
            format!("{place}: obs/{}", config.data.label),
            "at least 2 cell types",
            match codes.keys().next() {
                Some(only) => format!("only {only:?} in {} cells", labelled.len()),
                None => "no labelled cell".to_string(),
            },
            "choose another column with --label",
        ));
    }
    Ok(Labels {
        rows: labelled.iter().map(|&(row, _)| row).collect(),
        classes: labelled.iter().map(|(_, text)| codes[text.as_str()]).collect(),
        names: codes.keys().map(|name| name.to_string()).collect(),
    })
}

/// The group of each of `rows` and the groups' names.
fn read_groups(
    cells: &Cells,
    place: &str,
    rows: &[usize],
    name: Option<&str>,
) -> Result<(Option<Vec<usize>>, Vec<String>)> {
    let Some(name) = name else { return Ok((None, Vec::new())) };
    let column = obs_column(cells, place, name, "--group-by")?;
    let (mut codes, mut names) = (BTreeMap::new(), Vec::new());
    let mut group = |row: usize| {
        // A cell without a group is a group of its own: nothing says whom it belongs to.
        let name = column.text(row).unwrap_or_else(|| format!("no {name} (row {row})"));
        *codes.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            names.len() - 1
        })
    };
    let groups = rows.iter().map(|&row| group(row)).collect();
    Ok((Some(groups), names))
}

fn obs_column<'a>(cells: &'a Cells, place: &str, name: &str, flag: &str) -> Result<&'a Column> {
    cells.obs.column(name).ok_or_else(|| {
        let columns: Vec<&str> = cells.obs.names().collect();
        Error::input(
            place,
            format!("a column obs/{name}"),
            match columns.is_empty() {
                true => "no columns in obs".to_string(),
                false => format!("the columns {}", columns.join(", ")),
            },
            format!("name one of them with {flag}"),
        )
    })
}
