//! screader turns a matrix of cells × genes into cell types: it trains a small projection and head
//! around a frozen LLaMA that reads each cell as a ranked sequence of gene descriptions.

pub mod annotate;
pub mod backbone;
pub mod baselines;
pub mod bench;
pub mod cells;
pub mod cli;
pub mod config;
pub mod demo;
pub mod device;
pub mod embed;
pub mod error;
pub mod fetch;
pub mod genes;
pub mod infer;
pub mod io;
pub mod llm;
pub mod ontology;
pub mod prep;
pub mod rank;
pub mod report;
pub mod score;
pub mod service;
pub mod train;
mod whole_file;

pub use error::{Error, Result};
