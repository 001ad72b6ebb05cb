//! One question put to every method: these cells to learn from, those to name.

use std::collections::HashSet;

use crate::Result;
use crate::cells::CsrMatrix;
use crate::embed::EmbeddingTable;
use crate::train::labelled::Labelled;

use super::material::Visible;
use super::outcome::fingerprint;
use super::setting::Setting;

/// Cells to learn from, cells to name, and which genes of each are in sight.
pub struct Trial<'a> {
    /// The setting it belongs to.
    pub setting: Setting,
    /// Which of the setting's variants, as `5 cells a type`; empty where there is one.
    pub variant: String,
    /// Which repeat of the variant, as `fold 1`.
    pub name: String,
    /// Seed of every random choice of a method.
    pub seed: u64,
    /// The cells to learn from.
    pub source: &'a Labelled,
    /// Rows of `source` to learn from.
    pub train: Vec<usize>,
    /// Rows of `source` to stop and calibrate by; a method that needs none may learn from them too.
    pub validation: Vec<usize>,
    /// Genes of `source` in sight; all without it.
    pub source_sight: Option<Vec<bool>>,
    /// The cells to name.
    pub target: &'a Labelled,
    /// Rows of `target` to name.
    pub test: Vec<usize>,
    /// Genes of `target` in sight; all without it.
    pub target_sight: Option<Vec<bool>>,
    /// Row of the gene table of each gene of `target`.
    pub target_rows: &'a [Option<u32>],
    /// Class of each test cell among those of `source`; nothing for a type that `source` lacks.
    pub truth: Vec<Option<usize>>,
    /// Classes of `source` that have a training cell, rising: what can be answered.
    pub classes: Vec<usize>,
    /// Gene embeddings.
    pub table: &'a EmbeddingTable,
}

impl<'a> Trial<'a> {
    /// Begin a trial on the cells of one file; genes are all in sight.
    pub(super) fn of(
        setting: Setting,
        source: &'a Labelled,
        table: &'a EmbeddingTable,
        seed: u64,
    ) -> Self {
        Self {
            setting,
            variant: String::new(),
            name: String::new(),
            seed,
            source,
            train: Vec::new(),
            validation: Vec::new(),
            source_sight: None,
            target: source,
            test: Vec::new(),
            target_sight: None,
            target_rows: &source.gene_rows,
            truth: Vec::new(),
            classes: Vec::new(),
            table,
        }
    }

    /// Fix the cells: what has no training cell cannot be answered, and validates nothing.
    pub(super) fn with_cells(
        mut self,
        train: Vec<usize>,
        validation: Vec<usize>,
        test: Vec<usize>,
    ) -> Self {
        let labels = &self.source.labels;
        let mut classes: Vec<usize> = train.iter().map(|&cell| labels[cell]).collect();
        classes.sort_unstable();
        classes.dedup();
        let is_known = |cell: &usize| classes.binary_search(&labels[*cell]).is_ok();
        self.validation = validation.into_iter().filter(is_known).collect();
        self.truth = truth(self.source, self.target, &test);
        (self.train, self.test, self.classes) = (train, test, classes);
        self
    }

    /// Rows of `source` with a label that a method may learn from: training and validation cells.
    pub fn learnable(&self) -> Vec<usize> {
        let mut rows = [self.train.as_slice(), self.validation.as_slice()].concat();
        rows.sort_unstable();
        rows
    }

    /// A hash of what is asked: cells, genes in sight and where they are found, seed.
    pub fn fingerprint(&self) -> String {
        fingerprint(&format!(
            "{} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.setting.name(),
            self.variant,
            self.name,
            self.seed,
            self.train,
            self.validation,
            self.test,
            self.source_sight,
            self.target_sight,
            self.target_rows,
        ))
    }

    /// Labels of rows of `source`, counted among `classes`.
    pub fn labels(&self, rows: &[usize]) -> Vec<usize> {
        let own = |&row: &usize| self.classes.binary_search(&self.source.labels[row]).unwrap_or(0);
        rows.iter().map(own).collect()
    }

    /// Names of `classes`.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|&class| self.source.classes[class].clone()).collect()
    }

    /// Row of the gene table of each gene of `source` in sight.
    pub fn source_rows_in_sight(&self) -> Vec<Option<u32>> {
        in_sight(&self.source.gene_rows, self.source_sight.as_deref())
    }

    /// Row of the gene table of each gene of `target` in sight.
    pub fn target_rows_in_sight(&self) -> Vec<Option<u32>> {
        in_sight(self.target_rows, self.target_sight.as_deref())
    }

    /// Row of the gene table of each gene in sight of `source` and of `target`, those alone that are in sight
    /// of both.
    pub fn common_rows(&self) -> (Vec<Option<u32>>, Vec<Option<u32>>) {
        let (source, target) = (self.source_rows_in_sight(), self.target_rows_in_sight());
        let keep = |own: &[Option<u32>], other: &[Option<u32>]| {
            let other: HashSet<u32> = other.iter().flatten().copied().collect();
            own.iter().map(|row| row.filter(|row| other.contains(row))).collect()
        };
        (keep(&source, &target), keep(&target, &source))
    }

    /// What is in sight of rows of `source`.
    ///
    /// # Errors
    /// As [`Labelled::visible`].
    pub fn see_source(&self, rows: &[usize]) -> Result<Visible> {
        self.source.visible(rows, self.source_sight.as_deref())
    }

    /// What is in sight of the test cells.
    ///
    /// # Errors
    /// As [`Labelled::visible`].
    pub fn see_target(&self) -> Result<Visible> {
        self.target.visible(&self.test, self.target_sight.as_deref())
    }

    /// Expression of rows of `source` and of the test cells over the same genes, for methods that know a
    /// gene by its column: those of `source` in sight. Nothing if the test cells show none of them.
    ///
    /// # Errors
    /// As [`Labelled::visible`].
    pub fn same_columns(&self, rows: &[usize]) -> Result<Option<(CsrMatrix, CsrMatrix)>> {
        let shown = |sight: &Option<Vec<bool>>, gene: usize| sight.as_ref().is_none_or(|s| s[gene]);
        let columns: Vec<usize> = (0..self.source.expression.n_cols)
            .filter(|&gene| shown(&self.source_sight, gene))
            .collect();
        let own = self.columns_in_target();
        let common =
            |column: &&usize| own[**column].is_some_and(|at| shown(&self.target_sight, at));
        if columns.iter().find(common).is_none() {
            return Ok(None);
        }
        let learned = self.see_source(rows)?.expression.select_columns(&columns);
        let target = self.see_target()?.expression;
        let mut to = vec![None; target.n_cols];
        for (at, &column) in columns.iter().enumerate() {
            if let Some(gene) = own[column] {
                to[gene] = Some(at as u32);
            }
        }
        Ok(Some((learned, target.moved_columns(&to, columns.len()))))
    }

    /// The gene of `target` that is the gene of each column of `source`: the same column of the same
    /// file, else the same row of the gene table.
    fn columns_in_target(&self) -> Vec<Option<usize>> {
        if std::ptr::eq(self.source, self.target) {
            return (0..self.source.gene_rows.len()).map(Some).collect();
        }
        let mut gene_of_row = vec![None; self.table.genes.len()];
        for (gene, row) in self.target_rows.iter().enumerate() {
            if let Some(row) = row {
                gene_of_row[*row as usize].get_or_insert(gene);
            }
        }
        let gene = |row: &Option<u32>| row.and_then(|row| gene_of_row[row as usize]);
        self.source.gene_rows.iter().map(gene).collect()
    }
}

fn in_sight(gene_rows: &[Option<u32>], sight: Option<&[bool]>) -> Vec<Option<u32>> {
    let shown =
        |(gene, row): (usize, &Option<u32>)| row.filter(|_| sight.is_none_or(|sight| sight[gene]));
    gene_rows.iter().enumerate().map(shown).collect()
}

/// The class among those of `source` of each test cell: the type of the same name, whatever its case.
fn truth(source: &Labelled, target: &Labelled, test: &[usize]) -> Vec<Option<usize>> {
    let fold = |name: &str| name.trim().to_lowercase();
    let same: Vec<Option<usize>> = target
        .classes
        .iter()
        .map(|name| {
            let exact = source.classes.iter().position(|known| known == name);
            exact.or_else(|| source.classes.iter().position(|known| fold(known) == fold(name)))
        })
        .collect();
    test.iter().map(|&cell| same[target.labels[cell]]).collect()
}
