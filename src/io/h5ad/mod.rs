//! The h5ad format of anndata, 0.5 to 0.12.

mod encode;
mod frame;
mod matrix;
mod records;

use std::collections::BTreeMap;
use std::path::Path;

use super::ReadOptions;
use super::array::Array;
use super::gather::GatheredRows;
use super::hdf5::{Hdf5File, Node};
use super::sparse::empty;
use crate::cells::{Cells, CsrMatrix, Dense, Frame, MatrixName, Raw};
use crate::{Error, Result};
pub(super) use encode::{
    column_tree, csr_tree, dense_tree, dict, frame_tree, root_tree, sparse_tree,
    spooled_sparse_tree, spooled_tree, text_tree,
};
pub(super) use frame::{OldCategoricals, old_categoricals, read_array, read_frame};
pub(super) use matrix::StoredMatrix;
pub(super) use matrix::read_dense;

/// Values of compressed columns up to which they are turned into rows in memory (about 0.4 GB).
const READ_WHOLE: usize = 1 << 24;

/// Read a whole file: `X`, `obs`, `var`, `layers`, `raw` and the numeric arrays of `obsm` (tables
/// and sparse matrices there stay in the file).
pub(super) fn read(file: &Hdf5File, options: &ReadOptions) -> Result<Cells> {
    let mut obs = read_frame(file, "obs")?;
    let var = read_frame(file, "var")?;
    let (n_obs, n_var) = (obs.len(), var.len());
    let mut raw = read_raw(file, n_obs)?;
    if options.use_raw {
        let raw = raw.take().ok_or_else(|| missing_raw(file.path()))?;
        let obsm = read_obsm(file, n_obs)?;
        return Ok(Cells { x: raw.x, obs, var: raw.var, obsm, ..Cells::default() });
    }
    let mut layers = BTreeMap::new();
    for name in group_names(file, "layers")? {
        if options.layer.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        layers.insert(name.clone(), read_matrix(file, &format!("layers/{name}"), n_obs, n_var)?);
    }
    let x = match &options.layer {
        Some(layer) => match layers.remove(layer) {
            Some(matrix) => matrix,
            None => return Err(missing_layer(file, layer)?),
        },
        None => read_matrix(file, "X", n_obs, n_var)?,
    };
    let obsm = read_obsm(file, n_obs)?;
    obs.columns.shrink_to_fit();
    Ok(Cells { x, obs, var, layers, raw, obsm })
}

/// Open a file for blocks of rows: the matrix that `options` names, `obs`, and its genes.
pub(super) fn open(file: &Hdf5File, options: &ReadOptions) -> Result<(Streamed, Frame, Frame)> {
    let obs = read_frame(file, "obs")?;
    let (key, var_key) = match (&options.layer, options.use_raw) {
        (_, true) => {
            let (x, var) = raw_keys(file)?.ok_or_else(|| missing_raw(file.path()))?;
            (x.to_owned(), var)
        }
        (Some(layer), false) => (format!("layers/{layer}"), "var"),
        (None, false) => ("X".to_owned(), "var"),
    };
    let var = read_frame(file, var_key)?;
    let matrix = match StoredMatrix::open(file, &key)? {
        Some(matrix) => matrix,
        None => {
            return match &options.layer {
                Some(layer) if !options.use_raw => Err(missing_layer(file, layer)?),
                _ => Ok((Streamed::Whole(empty(obs.len(), var.len())), obs, var)),
            };
        }
    };
    matrix.check_shape(obs.len(), var.len())?;
    let streamed = match matrix.stored_by_column() {
        None => Streamed::ByRow(Box::new(matrix)),
        Some(stored) if stored <= READ_WHOLE => Streamed::Whole(matrix.read()?),
        Some(_) => Streamed::Gathered(matrix.gather()?),
    };
    Ok((streamed, obs, var))
}

/// The names of all matrices of a file.
pub(super) fn matrix_names(file: &Hdf5File) -> Result<Vec<MatrixName>> {
    Ok(MatrixName::list(group_names(file, "layers")?, raw_keys(file)?.is_some()))
}

/// A matrix that is handed out in blocks of rows.
pub(super) enum Streamed {
    /// Read block by block.
    ByRow(Box<StoredMatrix>),
    /// Stored by column, its rows gathered on disk.
    Gathered(GatheredRows),
    /// Read whole.
    Whole(CsrMatrix),
}

/// Names in the group `key`, none where there is no such group.
fn group_names(file: &Hdf5File, key: &str) -> Result<Vec<String>> {
    if file.node(key)? == Some(Node::Group) { file.names(key) } else { Ok(Vec::new()) }
}

fn missing_raw(path: &Path) -> Error {
    Error::input(path.display(), "a matrix raw/X", "no raw", "read X or a layer instead")
}

fn missing_layer(file: &Hdf5File, layer: &str) -> Result<Error> {
    let names = group_names(file, "layers")?.join(", ").replace(['\n', '\r'], " ");
    let place = file.path().display();
    Ok(Error::input(place, format!("a layer {layer}"), format!("[{names}]"), "name one of these"))
}

/// Read the matrix `key`; empty where the file has none.
fn read_matrix(file: &Hdf5File, key: &str, n_obs: usize, n_var: usize) -> Result<CsrMatrix> {
    match StoredMatrix::open(file, key)? {
        Some(matrix) => {
            matrix.check_shape(n_obs, n_var)?;
            matrix.read()
        }
        None => Ok(empty(n_obs, n_var)),
    }
}

/// Where the parts of `raw` lie: a group, or two names with a dot before anndata 0.7.
fn raw_keys(file: &Hdf5File) -> Result<Option<(&'static str, &'static str)>> {
    for keys in [("raw/X", "raw/var"), ("raw.X", "raw.var")] {
        if file.node(keys.0)?.is_some() {
            return Ok(Some(keys));
        }
    }
    Ok(None)
}

fn read_raw(file: &Hdf5File, n_obs: usize) -> Result<Option<Raw>> {
    let Some((x, var)) = raw_keys(file)? else { return Ok(None) };
    let var = read_frame(file, var)?;
    let x = read_matrix(file, x, n_obs, var.len())?;
    Ok(Some(Raw { x, var }))
}

pub(super) fn read_obsm(file: &Hdf5File, n_obs: usize) -> Result<BTreeMap<String, Dense>> {
    let mut obsm = BTreeMap::new();
    if file.node("obsm")? == Some(Node::Array) {
        return records::read_record_arrays(&Array::open(file, "obsm")?, n_obs);
    }
    for name in group_names(file, "obsm")? {
        if let Some(dense) = read_embedding(file, &name, n_obs)? {
            obsm.insert(name, dense);
        }
    }
    Ok(obsm)
}

/// Read one array of `obsm`, without the others where they lie apart; nothing where there is none of that name.
pub(super) fn read_one_of_obsm(file: &Hdf5File, name: &str, n_obs: usize) -> Result<Option<Dense>> {
    match file.node("obsm")? {
        Some(Node::Array) => Ok(read_obsm(file, n_obs)?.remove(name)),
        _ => read_embedding(file, name, n_obs),
    }
}

/// Read one array of the group `obsm`; nothing where there is none of that name, or what is there holds no numbers.
fn read_embedding(file: &Hdf5File, name: &str, n_obs: usize) -> Result<Option<Dense>> {
    let key = format!("obsm/{name}");
    if file.node(&key)? != Some(Node::Array) {
        return Ok(None);
    }
    let array = Array::open(file, &key)?;
    if !matches!(array.shape.len(), 1 | 2) || array.number().is_err() {
        return Ok(None);
    }
    if array.shape[0] != n_obs {
        let expected = format!("{n_obs} rows, as obs has");
        let found = array.shape[0];
        return Err(Error::input(array.place(), expected, found, "write the file again"));
    }
    read_dense(&array).map(Some)
}
