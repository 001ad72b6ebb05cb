//! Generated text and chat prompts held against transformers, and against themselves without a cache.

// clippy's leave for tests does not reach the functions that they share.
#![allow(clippy::unwrap_used)]

mod chat;
mod parity;
mod talker;
mod text;
mod tiny;
