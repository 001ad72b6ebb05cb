//! GenePT: the gene embeddings without a language model over cells, averaged or as a sentence.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::time::Instant;

use indicatif::ProgressBar;

use crate::Result;
use crate::baselines::{
    GenePtConfig, GenePtSConfig, KnnConfig, LogisticConfig, LogisticRegression, Metric,
    cell_sentences, genept_w, genept_w_centred, knn, mean_sum,
};
use crate::bench::material::Material;
use crate::bench::method::{About, Context, Method};
use crate::bench::outcome::{Outcome, Reply};
use crate::bench::summary::Role;
use crate::bench::trial::Trial;
use crate::cells::{CsrMatrix, Dense};
use crate::embed::{EmbeddingTable, MINILM_MODEL, MiniLm, TextEmbedder, find_minilm};

/// How a cell becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// The expression-weighted mean of its genes' embeddings.
    Weighted,
    /// The same against the mean cell, of standardised embeddings: no published method, but what the text tells
    /// without anything that is trained.
    Centred,
    /// The embedding of the sentence of its genes' names.
    Sentence,
}

/// What names the vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    Neighbours,
    Linear,
}

struct GenePt {
    about: About,
    cell: Cell,
    head: Head,
}

/// Each cell under both heads.
pub fn all() -> Vec<impl Method> {
    let one = |name, label, cell, head| GenePt {
        about: About { name, label, role: Role::Baseline },
        cell,
        head,
    };
    vec![
        one("genept-w-knn", "GenePT-w, 10-NN", Cell::Weighted, Head::Neighbours),
        one("genept-w-linear", "GenePT-w, linear", Cell::Weighted, Head::Linear),
        one("genept-w-centred-knn", "GenePT-w centred, 10-NN", Cell::Centred, Head::Neighbours),
        one("genept-w-centred-linear", "GenePT-w centred, linear", Cell::Centred, Head::Linear),
        one("genept-s-knn", "GenePT-s, 10-NN", Cell::Sentence, Head::Neighbours),
        one("genept-s-linear", "GenePT-s, linear", Cell::Sentence, Head::Linear),
    ]
}

impl Method for GenePt {
    fn about(&self) -> About {
        self.about
    }

    fn depends_on(&self, material: &Material) -> String {
        let cell = match self.cell {
            Cell::Weighted => format!("{:?}", material.config.genept),
            Cell::Centred => "centred".to_owned(),
            Cell::Sentence => format!("{:?} {MINILM_MODEL}", GenePtSConfig::default()),
        };
        format!("{cell} {:?} {:?}", neighbours(&material.config.genept, usize::MAX), linear())
    }

    fn answer(&self, trial: &Trial<'_>, context: &Context<'_>) -> Result<Reply> {
        if self.cell == Cell::Sentence
            && let Some(reason) = context.sentences.missing(&trial.table.metadata.provider)
        {
            return Ok(Reply::CannotAnswer(reason));
        }
        let began = Instant::now();
        let learnable = trial.learnable();
        let learned = Seen::learned(trial, &learnable)?;
        let (source, saved) = self.vectors(&learned, &learned, trial.table, context)?;
        let labels = trial.labels(&learnable);
        let classes = trial.classes.len();
        let model = match self.head {
            Head::Neighbours => None,
            Head::Linear => Some(LogisticRegression::fit(&source, &labels, classes, &linear())?),
        };
        let fit_seconds = began.elapsed().as_secs_f64() + saved;
        let began = Instant::now();
        let (asked, saved) = self.asked(learned, trial, context)?;
        let said = match model {
            Some(model) => model.predict(&asked)?,
            None => {
                let config = neighbours(&context.material.config.genept, source.n_rows);
                knn(&source, &labels, &asked, classes, &config)?
            }
        };
        Ok(Reply::Answered(Outcome {
            fit_seconds,
            read_seconds: began.elapsed().as_secs_f64() + saved,
            embedding: Some(asked),
            ..Outcome::of(said)
        }))
    }
}

/// Cells to embed, as far as they are in sight.
struct Seen<'a> {
    expression: CsrMatrix,
    /// Row of the gene table of each gene.
    rows: Vec<Option<u32>>,
    /// Name of each gene.
    names: &'a [String],
}

impl<'a> Seen<'a> {
    fn learned(trial: &Trial<'a>, learnable: &[usize]) -> Result<Self> {
        let (rows, names) = (trial.source.gene_rows.clone(), &trial.source.var.index);
        Ok(Self { expression: trial.see_source(learnable)?.expression, rows, names })
    }

    fn asked(trial: &Trial<'a>) -> Result<Self> {
        let (rows, names) = (trial.target_rows.to_vec(), &trial.target.var.index);
        Ok(Self { expression: trial.see_target()?.expression, rows, names })
    }
}

impl GenePt {
    /// Vectors of the test cells, and the seconds that a cache saved.
    fn asked(
        &self,
        mut learned: Seen<'_>,
        trial: &Trial<'_>,
        context: &Context<'_>,
    ) -> Result<(Dense, f64)> {
        let mut asked = Seen::asked(trial)?;
        if self.cell == Cell::Centred {
            let (of_learned, of_asked) = trial.common_rows();
            // Without a gene in common the test cells have no mean but their own.
            if of_asked.iter().all(Option::is_none) {
                return self.vectors(&asked, &asked, trial.table, context);
            }
            (learned.rows, asked.rows) = (of_learned, of_asked);
        }
        self.vectors(&asked, &learned, trial.table, context)
    }

    /// Vectors of `cells`, where they are centred against the mean of `others`, and the seconds that a cache
    /// saved.
    fn vectors(
        &self,
        cells: &Seen<'_>,
        others: &Seen<'_>,
        table: &EmbeddingTable,
        context: &Context<'_>,
    ) -> Result<(Dense, f64)> {
        let Seen { expression, rows, names } = cells;
        let vectors = match self.cell {
            Cell::Weighted => {
                genept_w(expression, rows, &table.embeddings, &context.material.config.genept)?
            }
            Cell::Centred => {
                let embeddings = table.standardised().embeddings;
                let mean = mean_sum(&others.expression, &others.rows, &embeddings)?;
                genept_w_centred(expression, rows, &embeddings, &mean)?
            }
            Cell::Sentence => {
                let sentences = cell_sentences(expression, names, &GenePtSConfig::default())?;
                return context.sentences.embed(&sentences);
            }
        };
        Ok((vectors, 0.0))
    }
}

fn neighbours(config: &GenePtConfig, cells: usize) -> KnnConfig {
    KnnConfig { neighbours: config.neighbours.min(cells), metric: Metric::Cosine }
}

/// Vectors are scaled per dimension: embeddings of genes differ little from one another.
fn linear() -> LogisticConfig {
    LogisticConfig { standardise: true, ..LogisticConfig::default() }
}

/// Embeddings of sentences by MiniLM, each made once, with the seconds that it took.
#[derive(Default)]
pub struct SentenceCache {
    embedder: OnceCell<MiniLm>,
    vectors: RefCell<HashMap<String, (Vec<f32>, f64)>>,
}

impl SentenceCache {
    /// Why there are no embeddings of sentences beside a gene table by `provider`, if there are none.
    fn missing(&self, provider: &str) -> Option<String> {
        if provider != "minilm" {
            // What a cell expresses goes to no server.
            return Some(format!(
                "cells are embedded on this machine only, and the gene table is by {provider}"
            ));
        }
        self.embedder().err().map(|error| error.to_string())
    }

    /// Embed sentences, `[sentences, dim]`, an empty one as the zero vector; and the seconds that those
    /// took which were there already.
    ///
    /// # Errors
    /// Weights that are not there or cannot be read.
    fn embed(&self, sentences: &[String]) -> Result<(Dense, f64)> {
        let embedder = self.embedder()?;
        let mut vectors = self.vectors.borrow_mut();
        let saved = sentences.iter().filter_map(|text| vectors.get(text)).map(|one| one.1).sum();
        let mut missing: Vec<String> = sentences
            .iter()
            .filter(|text| !text.is_empty() && !vectors.contains_key(*text))
            .cloned()
            .collect();
        missing.sort_unstable();
        missing.dedup();
        for texts in missing.chunks(embedder.batch_size().max(1)) {
            let began = Instant::now();
            let made = embedder.embed(texts, &ProgressBar::hidden())?;
            let each = began.elapsed().as_secs_f64() / texts.len() as f64;
            let timed = made.into_iter().map(|vector| (vector, each));
            vectors.extend(texts.iter().cloned().zip(timed));
        }
        let of_any = || vectors.values().next().map(|one| one.0.len());
        let n_cols = embedder.dimensions().or_else(of_any).unwrap_or(0);
        let zero = vec![0.0; n_cols];
        let values =
            sentences.iter().flat_map(|text| vectors.get(text).map_or(&zero, |one| &one.0));
        Ok((Dense { n_rows: sentences.len(), n_cols, values: values.copied().collect() }, saved))
    }

    fn embedder(&self) -> Result<&MiniLm> {
        if let Some(embedder) = self.embedder.get() {
            return Ok(embedder);
        }
        let loaded = MiniLm::load(find_minilm(None)?, MINILM_MODEL)?;
        Ok(self.embedder.get_or_init(|| loaded))
    }
}
