//! The methods, by what they read of a cell.

pub mod expression;
pub mod genept;
pub mod majority;
pub mod screader;
