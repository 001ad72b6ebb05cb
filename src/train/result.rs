//! The table at the end of a run: screader beside what it must beat, on the same test cells.

use std::fmt::{self, Display};
use std::path::Path;

use serde::Serialize;

use super::labelled::Labelled;
use super::task::Task;
use crate::backbone::Backbone;
use crate::baselines::{GenePtConfig, KnnConfig, Metric, genept_w, knn, majority};
use crate::cells::Dense;
use crate::embed::EmbeddingTable;
use crate::score::{Confusion, Scores};
use crate::{Error, Result, whole_file};

/// Every method's scores on the test cells.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Number of test cells.
    pub cells: usize,
    /// Name and scores of each method, screader first.
    pub methods: Vec<(String, Scores)>,
    /// What the reader must know of the backbone.
    pub note: Option<String>,
}

impl Comparison {
    /// Score `predicted`, GenePT-w and a majority guess on the test cells of `task`.
    pub fn measure(
        task: &Task,
        labelled: &Labelled,
        table: &EmbeddingTable,
        config: &GenePtConfig,
        backbone: &Backbone,
        predicted: &[usize],
    ) -> Result<Self> {
        let (train, test) = (&task.split.train, &task.split.test);
        let class = |cells: &[usize]| cells.iter().map(|&cell| task.labels[cell]).collect();
        let (known, truth): (Vec<usize>, Vec<usize>) = (class(train), class(test));
        let classes = task.classes.len();
        let scores = |predicted: &[usize]| -> Result<Scores> {
            Confusion::new(&truth, predicted, classes)?.scores(&task.classes)
        };
        let embed = |cells: &[usize]| -> Result<Dense> {
            let expression = labelled.expression.select_rows(cells);
            genept_w(&expression, &labelled.gene_rows, &table.embeddings, config)
        };
        let neighbours = config.neighbours.min(train.len());
        let near = KnnConfig { neighbours, metric: Metric::Cosine };
        let genept = knn(&embed(train)?, &known, &embed(test)?, classes, &near)?;
        let majority = majority(&known, classes, test.len())?;
        let (name, is_control) = match backbone {
            Backbone::Folder { .. } => ("screader", false),
            Backbone::Random { .. } => ("screader (random LLaMA)", true),
            Backbone::None { .. } => ("screader (no LLaMA)", true),
        };
        Ok(Self {
            cells: test.len(),
            methods: vec![
                (name.to_string(), scores(predicted)?),
                (format!("GenePT-w, {neighbours}-NN"), scores(&genept.classes)?),
                ("majority guess".to_string(), scores(&majority.classes)?),
            ],
            note: is_control.then(|| backbone.describe()),
        })
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.methods.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{} test cells that no method has seen:", self.cells)?;
        writeln!(f, "{:width$}  accuracy  macro-F1  weighted-F1", "")?;
        for (name, scores) in &self.methods {
            writeln!(
                f,
                "{name:width$}  {:8.3}  {:8.3}  {:11.3}",
                scores.accuracy, scores.macro_average.f1, scores.weighted_average.f1
            )?;
        }
        match &self.note {
            Some(note) => write!(f, "The backbone is {note}."),
            None => Ok(()),
        }
    }
}

/// Write `result.json` beside the checkpoints.
pub fn write(folder: &Path, comparison: &Comparison) -> Result<()> {
    let path = folder.join("result.json");
    let text = serde_json::to_string_pretty(comparison)
        .map_err(|error| Error::input(path.display(), "numbers", error, "report this"))?;
    whole_file::write(&path, text.as_bytes())
}
