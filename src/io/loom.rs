//! Loom: genes × cells, dense, with attributes of rows and columns.

use std::collections::BTreeMap;

use super::array::Array;
use super::h5ad::{read_array, read_dense};
use super::hdf5::{Hdf5File, Node};
use super::sparse::{DenseRows, transpose};
use crate::cells::{Cells, CsrMatrix, Dense, Frame};
use crate::{Error, Result};

/// Values that are converted at once.
const BLOCK: usize = 1 << 20;

/// Read a file: cells are named by `CellID`, genes by `Gene`, as anndata does, or numbered where
/// these are absent. Attributes of several columns become `obsm`.
pub(super) fn read(file: &Hdf5File) -> Result<Cells> {
    let x = read_matrix(file, "matrix")?;
    let (obs, obsm) = read_attributes(file, "col_attrs", "CellID", x.n_rows)?;
    let (var, _) = read_attributes(file, "row_attrs", "Gene", x.n_cols)?;
    let mut layers = BTreeMap::new();
    if file.node("layers")? == Some(Node::Group) {
        for name in file.names("layers")? {
            let layer = read_matrix(file, &format!("layers/{name}"))?;
            if (layer.n_rows, layer.n_cols) != (x.n_rows, x.n_cols) {
                let place = file.place(&format!("layers/{name}"));
                let expected = format!("{} genes × {} cells", x.n_cols, x.n_rows);
                let found = format!("{} × {}", layer.n_cols, layer.n_rows);
                return Err(Error::input(place, expected, found, "write the file again"));
            }
            layers.insert(name, layer);
        }
    }
    Ok(Cells { x, obs, var, layers, raw: None, obsm })
}

/// Read `[genes, cells]` as rows of cells.
fn read_matrix(file: &Hdf5File, key: &str) -> Result<CsrMatrix> {
    let array = Array::open(file, key)?;
    let [n_genes, n_cells] = array.shape[..] else {
        let found = format!("{} dimensions", array.shape.len());
        return Err(Error::input(array.place(), "genes × cells", found, "write it again"));
    };
    if n_genes >= u32::MAX as usize || n_cells >= u32::MAX as usize {
        let found = format!("{n_genes} × {n_cells}");
        return Err(Error::input(array.place(), "fewer than 4,294,967,295", found, "split it"));
    }
    if array.len() == 0 {
        let found = format!("{n_genes} × {n_cells}");
        return Err(Error::input(array.place(), "genes × cells", found, "write it again"));
    }
    let mut rows = DenseRows::new(n_genes, n_cells);
    let step = (BLOCK / n_cells).max(1).next_multiple_of(array.chunk_rows());
    let mut buffer = Vec::new();
    for start in (0..n_genes).step_by(step) {
        let count = step.min(n_genes - start);
        buffer.resize(count * n_cells, 0f32);
        array.read_rows_into(start, &mut buffer)?;
        rows.push(&buffer);
    }
    Ok(transpose(rows.finish()))
}

/// Read the attributes of one axis: its names, its columns, and arrays of several columns.
fn read_attributes(
    file: &Hdf5File,
    group: &str,
    index_name: &str,
    rows: usize,
) -> Result<(Frame, BTreeMap<String, Dense>)> {
    let mut frame =
        Frame { index: (0..rows).map(|row| row.to_string()).collect(), ..Frame::default() };
    let mut arrays = BTreeMap::new();
    for name in file.names(group)? {
        let key = format!("{group}/{name}");
        if file.node(&key)? != Some(Node::Array) {
            continue;
        }
        let mut array = Array::open(file, &key)?;
        let found = array.shape.first().copied().unwrap_or(0);
        if found != rows {
            let expected = format!("{rows} entries, as the matrix has");
            return Err(Error::input(array.place(), expected, found, "write the file again"));
        }
        if name == index_name {
            frame.index = array.read_texts()?;
        } else if array.shape.len() == 2 && array.shape[1] != 1 {
            if array.number().is_ok() {
                arrays.insert(name, read_dense(&array)?);
            }
        } else {
            let column = if array.shape.len() == 2 { array.flatten() } else { array };
            array = column;
            frame.columns.push((name, read_array(&array)?));
        }
    }
    Ok((frame, arrays))
}
