//! Text from a LLaMA: a prompt is read in one pass, then a token is chosen at a time.

mod ends;
mod language_model;
mod network;
mod sampling;
mod schema;
mod stop;
mod text_stream;
mod vocabulary;
mod write;

pub use language_model::{Context, LanguageModel};
pub use sampling::Sampling;
pub use schema::{SchemaConstraint, SchemaRules};
pub use write::{Constraint, Finish, GenerateSettings, Generation};
