//! Annotate a file of any length, block by block.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use indicatif::{ProgressBar, ProgressStyle};

use super::answer::Answer;
use super::predictions::{PredictionFile, UNKNOWN, label};
use super::reader::TrainedAnnotator;
use crate::cells::{Column, CsrMatrix, MatrixName, MatrixState, log1p_cp10k};
use crate::genes::{Coverage, GeneMatcher, Orthologs, Species};
use crate::io::{
    Annotations, CellBlocks, ChosenBlocks, SpooledRows, require_another, write_annotated,
};
use crate::rank::{GeneSpread, SpreadSums};
use crate::{Error, Result};

/// Cells that are in memory at once.
const BLOCK: usize = 4096;

/// What is read and how its genes are found.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Matrix to read, `X`, `raw/X` or a layer's name; without it the one that training was told to
    /// read, else screader chooses as training does.
    pub layer: Option<String>,
    /// Read the cells of another species through this table of orthologs.
    pub orthologs: Option<PathBuf>,
}

/// What is written.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// The input with labels, confidence and embeddings beside what it holds.
    pub h5ad: Option<PathBuf>,
    /// Tables of predictions, by extension.
    pub tables: Vec<PathBuf>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Cells read.
    pub cells: usize,
    /// Cells of each label, `unknown` last.
    pub labels: Vec<(String, usize)>,
    /// How the file's genes were found in the gene table.
    pub coverage: Coverage,
    /// The matrix that was read, and what it holds.
    pub matrix: (String, MatrixState),
}

/// Annotate `input` and write `outputs`.
///
/// # Errors
/// A file that cannot be read, a gene table that covers too few of its genes, an output that cannot be
/// written; then none of the outputs exists.
pub fn annotate<B: Backend>(
    annotator: &TrainedAnnotator<B>,
    input: &Path,
    outputs: &Outputs,
    options: &Options,
) -> Result<Summary> {
    // Before the work, not after it.
    if let Some(output) = &outputs.h5ad {
        require_another(input, output)?;
    }
    let checkpoint = &annotator.checkpoint;
    let classes = &checkpoint.classes;
    let configured = Some(checkpoint.config.data.layer.as_str()).filter(|layer| !layer.is_empty());
    let layer = options.layer.as_deref().or(configured);
    let ChosenBlocks { mut blocks, name, state } = CellBlocks::choose(input, layer)?;
    let matched = match_genes(annotator, input, &blocks, options)?;
    let rows: Vec<Option<u32>> = matched.0.iter().map(|row| row.map(|row| row as u32)).collect();
    let names = blocks.obs().index.clone();
    let spread = annotator.measure(&rows, || own_spread(input, layer, &rows))?;

    let mut tables = outputs
        .tables
        .iter()
        .map(|path| PredictionFile::create(path, classes))
        .collect::<Result<Vec<_>>>()?;
    let mut states = match &outputs.h5ad {
        Some(output) => Some(SpooledRows::beside(output, annotator.features())?),
        None => None,
    };
    let bar = progress(names.len());
    let mut answers: Vec<Answer> = Vec::with_capacity(names.len());
    while let Some(block) = blocks.next_block(BLOCK)? {
        refuse_other_values(state, &block, answers.len(), input)?;
        let read = annotator.read(&block, state, &rows, spread.as_ref(), |cells| {
            bar.inc(cells as u64);
        })?;
        let cells = &names[answers.len()..answers.len() + read.answers.len()];
        for table in &mut tables {
            table.append(cells, &read.answers)?;
        }
        answers.extend(read.answers);
        if let Some(states) = &mut states {
            states.append(&read.states)?;
        }
    }
    bar.finish_and_clear();
    if let (Some(output), Some(states)) = (&outputs.h5ad, states) {
        let annotations = annotations(annotator, input, &name, &answers, states);
        write_annotated(input, output, &annotations)?;
    }
    for table in tables {
        table.finish()?;
    }
    Ok(Summary {
        cells: answers.len(),
        labels: count(&answers, classes),
        coverage: matched.1,
        matrix: (name.to_string(), state),
    })
}

/// Read the whole file for the mean and spread of its genes.
fn own_spread(input: &Path, layer: Option<&str>, gene_rows: &[Option<u32>]) -> Result<GeneSpread> {
    let ChosenBlocks { mut blocks, state, .. } = CellBlocks::choose(input, layer)?;
    let mut sums = SpreadSums::new(gene_rows);
    while let Some(block) = blocks.next_block(BLOCK)? {
        sums.add(&log1p_cp10k(&block, state)?, gene_rows)?;
    }
    Ok(sums.finish())
}

/// What the first rows hold is taken for the file; rows that cannot be of that kind are refused.
fn refuse_other_values(
    state: MatrixState,
    block: &CsrMatrix,
    first: usize,
    input: &Path,
) -> Result<()> {
    let found = MatrixState::detect_rows(block, first)?;
    if state.may_look_like(found) {
        return Ok(());
    }
    Err(Error::input(
        input.display(),
        format!("{state} values in every row, as in the first"),
        format!("{found} values after row {first}"),
        "write the file with one kind of values, or name a layer with --layer",
    ))
}

fn match_genes<B: Backend>(
    annotator: &TrainedAnnotator<B>,
    input: &Path,
    blocks: &CellBlocks,
    options: &Options,
) -> Result<(Vec<Option<usize>>, Coverage)> {
    let minimum = annotator.checkpoint.config.data.minimum_coverage;
    let place = input.display().to_string();
    let found = match &options.orthologs {
        None => annotator.table.find(blocks.var(), minimum, &place)?,
        Some(path) => {
            let species: Species = annotator.checkpoint.card.species.parse()?;
            let (matcher, pairs) =
                (GeneMatcher::new(&annotator.table.genes), Orthologs::read(path)?);
            let found = matcher.match_frame_through(blocks.var(), &pairs, species.other(), None);
            found.genes.coverage.require(minimum, place)?;
            found.genes
        }
    };
    Ok((found.rows, found.coverage))
}

fn annotations<B: Backend>(
    annotator: &TrainedAnnotator<B>,
    input: &Path,
    matrix: &MatrixName,
    answers: &[Answer],
    states: SpooledRows,
) -> Annotations {
    let checkpoint = &annotator.checkpoint;
    let classes = &checkpoint.classes;
    let text = |answer: &Answer| Some(label(answer, classes).to_string());
    let labels: Vec<Option<String>> = answers.iter().map(text).collect();
    let best: Vec<Option<String>> =
        answers.iter().map(|answer| Some(classes[answer.class].clone())).collect();
    let top = |answer: &Answer| {
        let one = |(class, p): &(usize, f32)| format!("{} {p:.3}", classes[*class]);
        Some(answer.top.iter().map(one).collect::<Vec<_>>().join("; "))
    };
    let confidence = answers.iter().map(|answer| f64::from(answer.confidence)).collect();
    let novelty = |answer: &Answer| answer.novelty.map_or(f64::NAN, f64::from);
    let command: Vec<String> = std::env::args().collect();
    let uns = |key: &str, value: String| (key.to_string(), value);
    Annotations {
        obs: vec![
            ("screader_cell_type".to_string(), Column::categorical(&labels)),
            ("screader_confidence".to_string(), Column::Float(confidence)),
            ("screader_novelty".to_string(), Column::Float(answers.iter().map(novelty).collect())),
            ("screader_best_cell_type".to_string(), Column::categorical(&best)),
            ("screader_top_3".to_string(), Column::Text(answers.iter().map(top).collect())),
        ],
        obsm: vec![("X_screader".to_string(), states)],
        uns: vec![
            uns("version", env!("CARGO_PKG_VERSION").to_string()),
            uns("command", command.join(" ")),
            uns("input", input.display().to_string()),
            uns("matrix", matrix.to_string()),
            uns("backbone", checkpoint.card.backbone.describe()),
            uns("gene_table", checkpoint.card.gene_table.clone()),
            uns("trained_on", checkpoint.card.data.source.to_string()),
            uns("config", checkpoint.config.to_toml()),
        ],
    }
}

fn count(answers: &[Answer], classes: &[String]) -> Vec<(String, usize)> {
    let mut counts = vec![0usize; classes.len() + 1];
    for answer in answers {
        counts[if answer.unknown { classes.len() } else { answer.class }] += 1;
    }
    let names = classes.iter().map(String::as_str).chain([UNKNOWN]);
    names.map(String::from).zip(counts).filter(|(_, cells)| *cells > 0).collect()
}

fn progress(cells: usize) -> ProgressBar {
    let bar = ProgressBar::new(cells as u64);
    bar.set_style(
        ProgressStyle::with_template("reading {bar:24} {pos}/{len} cells · {per_sec} · {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
