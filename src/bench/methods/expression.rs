//! Methods that know a gene by its column: what a user would reach for instead.

use std::time::Instant;

use crate::Result;
use crate::baselines::{
    ExpressionMlp, ExpressionMlpConfig, KnnConfig, LogisticConfig, Metric, SelectedRegression,
    SelectionConfig, knn,
};
use crate::bench::material::Material;
use crate::bench::method::{About, Context, Method};
use crate::bench::outcome::{Outcome, Reply};
use crate::bench::summary::Role;
use crate::bench::trial::Trial;
use crate::cells::CsrMatrix;
use crate::prep::{HvgFlavor, N_COMPS, highly_variable_genes, pca};

/// Genes that principal components are made of, as scanpy users choose them.
const VARIABLE_GENES: usize = 2000;

/// What a method by columns makes of the cells.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Logistic,
    KnnPca,
    Mlp,
}

struct Expression {
    about: About,
    kind: Kind,
}

/// Logistic regression, nearest neighbours on principal components, a perceptron.
pub fn all() -> Vec<impl Method> {
    let one =
        |name, label, kind| Expression { about: About { name, label, role: Role::Baseline }, kind };
    vec![
        one("logistic-regression", "logistic regression", Kind::Logistic),
        one("knn-pca", "10-NN on 50 PCs", Kind::KnnPca),
        one("mlp", "MLP on expression", Kind::Mlp),
    ]
}

impl Method for Expression {
    fn about(&self) -> About {
        self.about
    }

    fn depends_on(&self, _: &Material) -> String {
        match self.kind {
            Kind::Logistic => {
                format!("{:?} {:?}", SelectionConfig::default(), LogisticConfig::default())
            }
            Kind::KnnPca => format!("{VARIABLE_GENES} {N_COMPS} {:?}", neighbours(usize::MAX)),
            Kind::Mlp => format!("{:?}", ExpressionMlpConfig::default()),
        }
    }

    fn answer(&self, trial: &Trial<'_>, _: &Context<'_>) -> Result<Reply> {
        let learnable = trial.learnable();
        let Some((known, asked)) = trial.same_columns(&learnable)? else {
            let reason = "none of the genes of the test cells was measured in a training cell";
            return Ok(Reply::CannotAnswer(reason.to_owned()));
        };
        let labels = trial.labels(&learnable);
        let classes = trial.classes.len();
        Ok(Reply::Answered(match self.kind {
            Kind::Logistic => logistic(&known, &asked, &labels, classes)?,
            Kind::KnnPca => knn_pca(&known, &asked, &labels, classes)?,
            Kind::Mlp => mlp(trial, &known, &asked)?,
        }))
    }
}

/// CellTypist's way: a first fit chooses genes, a second learns from them.
fn logistic(
    known: &CsrMatrix,
    asked: &CsrMatrix,
    labels: &[usize],
    classes: usize,
) -> Result<Outcome> {
    let began = Instant::now();
    let (selection, config) = (SelectionConfig::default(), LogisticConfig::default());
    let model = SelectedRegression::fit(known, labels, classes, &selection, &config)?;
    let fit_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let said = model.predict(asked)?;
    Ok(Outcome { fit_seconds, read_seconds: began.elapsed().as_secs_f64(), ..Outcome::of(said) })
}

fn neighbours(cells: usize) -> KnnConfig {
    KnnConfig { neighbours: 10.min(cells), metric: Metric::Euclidean }
}

fn knn_pca(
    known: &CsrMatrix,
    asked: &CsrMatrix,
    labels: &[usize],
    classes: usize,
) -> Result<Outcome> {
    let began = Instant::now();
    let genes: Vec<usize> = match known.n_cols > VARIABLE_GENES {
        true => {
            let variable =
                highly_variable_genes(known, VARIABLE_GENES, HvgFlavor::Seurat)?.highly_variable;
            (0..variable.len()).filter(|&gene| variable[gene]).collect()
        }
        false => (0..known.n_cols).collect(),
    };
    let components = pca(&known.select_columns(&genes), N_COMPS)?;
    let fit_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let asked = components.transform(&asked.select_columns(&genes))?;
    let said = knn(&components.scores, labels, &asked, classes, &neighbours(known.n_rows))?;
    Ok(Outcome {
        fit_seconds,
        read_seconds: began.elapsed().as_secs_f64(),
        embedding: Some(asked),
        ..Outcome::of(said)
    })
}

/// Stopped by the validation cells, where there are any; else after its last epoch.
fn mlp(trial: &Trial<'_>, known: &CsrMatrix, asked: &CsrMatrix) -> Result<Outcome> {
    let began = Instant::now();
    let config = ExpressionMlpConfig { seed: trial.seed, ..ExpressionMlpConfig::default() };
    let learnable = trial.learnable();
    let of = |rows: &[usize]| {
        let places: Vec<usize> =
            rows.iter().filter_map(|row| learnable.binary_search(row).ok()).collect();
        (known.select_rows(&places), trial.labels(rows))
    };
    let (train, labels) = of(&trial.train);
    let (watched, watched_labels) = of(&trial.validation);
    let watched = (!watched_labels.is_empty()).then_some((&watched, watched_labels.as_slice()));
    let model = ExpressionMlp::fit(&train, &labels, trial.classes.len(), watched, &config)?;
    let fit_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let said = model.predict(asked)?;
    Ok(Outcome { fit_seconds, read_seconds: began.elapsed().as_secs_f64(), ..Outcome::of(said) })
}
