//! A decoder on CPU cores, the twin of the plain operations, one cell a task; and an [`Encoder`] of texts.
//!
//! Burn's operations each walk a whole batch through memory on one thread. Here a cell, whose activations
//! fit a core's cache, goes through all the steps of a layer at once; cells are the parallel tasks, so no
//! sum depends on the number of threads, and pads are never computed.
//!
//! [`Decoder::read`] and [`Decoder::step`] are for generating text: there one token is all the work of a step,
//! which is bound by reading the weights, so its matrices are shared out among the cores.
//!
//! [`row_products`], [`weighted_rows`], [`powers`] and [`AdamW`] are there for work outside of this crate: plain
//! functions of slices that use the widest vectors of the running CPU.

mod adamw;
mod attention;
mod buffers;
mod decoder;
mod encoder;
mod encoder_vector;
mod layer;
mod matvec;
mod powers;
mod product;
mod rotary;
mod sparse;
mod step;
mod vector;

pub use adamw::AdamW;
pub use decoder::{Decoder, Dimensions, SavedCell};
pub use encoder::{Dense, Encoder, EncoderLayer, LayerNorm};
pub use layer::{Affine, Layer};
pub use powers::{LANES, powers};
pub use product::row_products;
pub use sparse::weighted_rows;
pub use step::Cache;
