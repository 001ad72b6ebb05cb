//! Training: a task, a loop, checkpoints.

pub mod batches;
pub mod calibrate;
pub mod checkpoint;
pub mod evaluate;
pub mod fit;
mod journal;
pub mod labelled;
pub mod loss_scale;
pub mod novelty;
pub mod result;
pub mod room;
pub mod schedule;
pub mod settle;
pub mod splits;
pub mod task;
