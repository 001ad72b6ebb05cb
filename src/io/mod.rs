//! Cells in, cells out: every file format, read whole or in blocks of rows, and annotated copies.

mod array;
mod blocks;
mod chunks;
mod csv;
mod format;
mod gather;
mod h5ad;
mod hdf5;
mod loom;
mod mtx;
mod number;
mod results;
mod sparse;
mod spool;
mod tenx;
mod tree;
mod write;
#[cfg(test)]
mod write_tests;

use std::path::Path;

pub use blocks::{CellBlocks, ChosenBlocks};
pub use results::{Entry, Field, Results};
pub use spool::{SpooledCsr, SpooledRows};
pub use write::{
    Annotations, Matrices, require_another, write_annotated, write_h5ad, write_h5ad_with,
};

use crate::cells::{Cells, Dense, MatrixName};
use crate::{Error, Result};
use format::Format;

/// What to read of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Take this layer as the matrix, instead of `X`.
    pub layer: Option<String>,
    /// Take `raw` as the matrix and its genes as `var`, instead of `X`.
    pub use_raw: bool,
    /// The genome to take from a 10x file that holds several.
    pub genome: Option<String>,
}

impl ReadOptions {
    /// Take the matrix `name`.
    pub fn of(name: &MatrixName) -> Self {
        match name {
            MatrixName::X => Self::default(),
            MatrixName::Raw => Self { use_raw: true, ..Self::default() },
            MatrixName::Layer(name) => Self { layer: Some(name.clone()), ..Self::default() },
        }
    }
}

/// Read cells from a file or folder, whose format is told by its content, then its name.
///
/// # Errors
/// If the file is missing, of another kind, damaged, or lacks what `options` asks for.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Cells> {
    let mut cells = match Format::of(path)? {
        Format::H5ad(file) => return h5ad::read(&file, options),
        Format::TenxVersion2(file) => tenx::read_version_2(&file, options)?,
        Format::TenxVersion3(file) => tenx::read_version_3(&file, options)?,
        Format::Loom(file) => loom::read(&file)?,
        Format::TenxFolder => mtx::read(path)?,
        Format::Table(delimiter) => csv::read(path, delimiter)?,
    };
    if options.use_raw {
        let remedy = "read the matrix itself";
        return Err(Error::input(path.display(), "an h5ad with raw", "no raw", remedy));
    }
    if let Some(layer) = &options.layer {
        cells.x = cells.layers.remove(layer).ok_or_else(|| {
            let names: Vec<&str> = cells.layers.keys().map(String::as_str).collect();
            let found = format!("[{}]", names.join(", ")).replace(['\n', '\r'], " ");
            Error::input(path.display(), format!("a layer {layer}"), found, "name one of these")
        })?;
    }
    Ok(cells)
}

/// Read the text `uns["screader"][name]` of an h5ad; `None` where there is none.
///
/// # Errors
/// If the file is missing, of another kind, or damaged.
pub fn read_uns(path: &Path, name: &str) -> Result<Option<String>> {
    let Format::H5ad(file) = Format::of(path)? else { return Ok(None) };
    let key = format!("uns/screader/{name}");
    match file.node(&key)? {
        Some(hdf5::Node::Array) => Ok(array::Array::open(&file, &key)?.read_texts()?.pop()),
        _ => Ok(None),
    }
}

/// Read the array `obsm[name]` of an h5ad of `n_obs` cells; `None` where there is none.
///
/// # Errors
/// If the file is missing, of another kind, or damaged.
pub fn read_obsm(path: &Path, name: &str, n_obs: usize) -> Result<Option<Dense>> {
    let Format::H5ad(file) = Format::of(path)? else { return Ok(None) };
    h5ad::read_one_of_obsm(&file, name, n_obs)
}
