//! Text from a LLaMA: a prompt is read in one pass, then a token is chosen at a time.

mod ends;
mod language_model;
mod network;
mod sampling;
mod stop;
mod text_stream;
mod write;

pub use language_model::{Context, LanguageModel};
pub use sampling::Sampling;
pub use write::{Constraint, Finish, GenerateSettings, Generation};
