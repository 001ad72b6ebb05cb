//! The comparison: every method on the same cells, and what came of it.
//!
//! [`material`] is what is compared on, a [`setting`] makes [`trial`]s of it, a [`method`] answers a trial,
//! its [`outcome`] is kept as a record, and records become a [`summary`].

mod bootstrap;
pub mod material;
pub mod method;
pub mod methods;
pub mod outcome;
pub mod overview;
pub mod run;
pub mod setting;
mod summarise;
pub mod summary;
pub mod table;
pub mod trial;
