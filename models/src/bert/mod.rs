//! BERT as a sentence encoder (MiniLM): texts to vectors, from the folders that
//! sentence-transformers publishes (Reimers & Gurevych 2019, doi:10.18653/v1/D19-1410).

mod encoder;
mod host;
mod parameters;
mod sentence;
mod settings;
#[cfg(test)]
mod tests;
mod weights;

pub use sentence::SentenceEncoder;
pub use settings::{BertSettings, SentenceSettings};
