//! What is learned: labelled cells, ranked and split.

use std::collections::BTreeMap;

use crate::cells::{Cells, Column, CsrMatrix, MatrixState, choose, log1p_cp10k};
use crate::config::Config;
use crate::embed::EmbeddingTable;
use crate::genes::{Coverage, GeneMatcher};
use crate::rank::{Expression, GeneStatistics, RankedCells, rank_cells};
use crate::train::splits::{Split, split};
use crate::{Error, Result};

/// Labelled cells, ranked by the measure of the training cells, with their split.
#[derive(Debug, Clone)]
pub struct Task {
    /// Names of the labelled cells, in file order; every cell number below counts these.
    pub names: Vec<String>,
    /// Cell types, sorted.
    pub classes: Vec<String>,
    /// Class of each labelled cell.
    pub labels: Vec<usize>,
    /// Weight of each class under `class_weights = "balanced"`: n / (K · n_class).
    pub balanced_weights: Vec<f32>,
    /// Which cells train, validate and test.
    pub split: Split,
    /// Ranked genes of each labelled cell.
    pub ranked: RankedCells,
    /// What ranking remembers of the training cells.
    pub statistics: GeneStatistics,
    /// log1p-CP10k expression of the labelled cells, `[cells, genes]`.
    pub expression: CsrMatrix,
    /// Row of the gene table of each column of `expression`.
    pub gene_rows: Vec<Option<u32>>,
    /// How the file's genes were found in the table.
    pub coverage: Coverage,
    /// The matrix that was read, as `X` or `layers/counts`, and what it holds.
    pub matrix: (String, MatrixState),
    /// Cells of the file that have no label.
    pub unlabelled: usize,
}

impl Task {
    /// Label, match, split and rank the cells of one file; `place` names the file in errors.
    ///
    /// # Errors
    /// A missing label column (with the columns there are), fewer than two types, a matrix that cannot
    /// be log-normalised, a gene table that covers too few genes, a split that cannot be made.
    pub fn prepare(
        cells: &Cells,
        place: &str,
        table: &EmbeddingTable,
        config: &Config,
    ) -> Result<Self> {
        let labels = read_labels(cells, place, config)?;
        let layer = Some(config.data.layer.as_str()).filter(|layer| !layer.is_empty());
        let chosen = choose(cells, layer)?;
        let matched = GeneMatcher::new(&table.genes).match_frame(chosen.var);
        matched.genes.coverage.require(config.data.minimum_coverage, place)?;
        let gene_rows: Vec<Option<u32>> =
            matched.genes.rows.iter().map(|row| row.map(|row| row as u32)).collect();

        let labelled = chosen.matrix.select_rows(&labels.rows);
        let expression = log1p_cp10k(&labelled, chosen.state)?;
        let group = group_column(cells, place, &labels.rows, config.split.group.as_deref())?;
        let split = held_out(config, &labels.classes, group.as_deref())?;
        let genes = table.genes.len();
        let training = expression.select_rows(&split.train);
        let statistics = GeneStatistics::fit(&training, &gene_rows, genes, &config.rank)?;
        let raw = (chosen.state == MatrixState::Counts).then_some(&labelled);
        let input = Expression { log_normalised: &expression, raw };
        let ranked = rank_cells(input, &gene_rows, &statistics, &config.rank)?;
        Ok(Self {
            names: labels.rows.iter().map(|&row| cells.obs.index[row].clone()).collect(),
            balanced_weights: balanced(&labels.classes, labels.names.len(), &split.train),
            classes: labels.names,
            labels: labels.classes,
            split,
            ranked,
            statistics,
            expression,
            gene_rows,
            coverage: matched.genes.coverage,
            matrix: (chosen.name.to_string(), chosen.state),
            unlabelled: cells.n_obs() - labels.rows.len(),
        })
    }

    /// Number of cells of each class among `cells`.
    pub fn class_counts(&self, cells: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &cell in cells {
            counts[self.labels[cell]] += 1;
        }
        counts
    }
}

fn held_out(config: &Config, labels: &[usize], groups: Option<&[usize]>) -> Result<Split> {
    let mut splits = split(&config.split, labels, groups)?;
    let (fold, folds) = (config.train.fold, splits.len());
    if fold >= folds {
        return Err(Error::input(
            "train.fold",
            format!("a fold below {folds}"),
            fold,
            "folds count from 0; raise split.folds or lower train.fold",
        ));
    }
    Ok(splits.swap_remove(fold))
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

fn group_column(
    cells: &Cells,
    place: &str,
    rows: &[usize],
    name: Option<&str>,
) -> Result<Option<Vec<usize>>> {
    let Some(name) = name else { return Ok(None) };
    let column = obs_column(cells, place, name, "--group-by")?;
    let mut codes = BTreeMap::new();
    let mut group = |row: usize| {
        let next = codes.len();
        // A cell without a group is a group of its own: nothing says whom it belongs to.
        let name = column.text(row).unwrap_or_else(|| format!("\0{row}"));
        *codes.entry(name).or_insert(next)
    };
    Ok(Some(rows.iter().map(|&row| group(row)).collect()))
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

fn balanced(classes: &[usize], count: usize, train: &[usize]) -> Vec<f32> {
    let mut cells = vec![0usize; count];
    for &cell in train {
        cells[classes[cell]] += 1;
    }
    let whole = train.len() as f32 / count as f32;
    cells.iter().map(|&cells| whole / cells.max(1) as f32).collect()
}
