//! Which format a path holds, told by its first bytes, then its structure, then its name.

use std::io::Read;
use std::path::Path;

use super::hdf5::{Hdf5File, Node};
use super::mtx::open_text;
use crate::{Error, Result};

/// What is read.
const ACCEPTED: &str = "h5ad, 10x h5, a 10x folder (matrix.mtx), loom, csv or tsv";

/// A format that is read.
pub(super) enum Format {
    H5ad(Hdf5File),
    TenxVersion2(Hdf5File),
    TenxVersion3(Hdf5File),
    Loom(Hdf5File),
    TenxFolder,
    /// Text with this byte between fields.
    Table(u8),
}

impl Format {
    /// Tell the format of `path`.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let refuse = |found: &str, remedy: &str| {
            Err(Error::input(path.display(), ACCEPTED, found.replace(['\n', '\r'], " "), remedy))
        };
        if path.is_dir() {
            let marks = [".zgroup", ".zattrs", "zarr.json"];
            if marks.iter().any(|mark| path.join(mark).exists()) {
                return refuse("a zarr store", "convert it with anndata's write_h5ad");
            }
            return Ok(Self::TenxFolder);
        }
        if Hdf5File::recognise(path)? {
            return Self::of_hdf5(Hdf5File::open(path)?);
        }
        let mut head = Vec::new();
        let text = open_text(path)?;
        text.take(64).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let name = name.unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if head.starts_with(b"PK\x03\x04") {
            let found = if name.ends_with(".xlsx") { "an Excel workbook" } else { "a zip archive" };
            return refuse(found, "unpack it, or export its matrix to one of these");
        }
        if head.starts_with(b"%%MatrixMarket") {
            return Ok(Self::TenxFolder);
        }
        let ending = name.rsplit_once('.').map_or("", |parts| parts.1);
        match ending {
            "csv" => Ok(Self::Table(b',')),
            "tsv" | "txt" | "tab" => Ok(Self::Table(b'\t')),
            "h5ad" | "h5" | "hdf5" | "loom" => {
                refuse("bytes that are not HDF5, whatever the name says", "fetch the file again")
            }
            "rds" | "rda" | "rdata" => {
                refuse("an R object", "convert it with zellkonverter's writeH5AD in R")
            }
            _ => refuse("a file of another kind", "convert it to one of these"),
        }
    }

    fn of_hdf5(file: Hdf5File) -> Result<Self> {
        if file.node("obs")?.is_some() {
            return Ok(Self::H5ad(file));
        }
        match file.node("matrix")? {
            Some(Node::Group) => return Ok(Self::TenxVersion3(file)),
            Some(Node::Array) if file.node("row_attrs")?.is_some() => return Ok(Self::Loom(file)),
            _ => {}
        }
        let names = file.names("")?;
        for name in &names {
            if file.node(&format!("{name}/indptr"))?.is_some() && name != "X" {
                return Ok(Self::TenxVersion2(file));
            }
        }
        let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
        let found = format!("HDF5 with [{}]", shown.join(", ")).replace(['\n', '\r'], " ");
        let remedy = "pass a file of one of these kinds";
        Err(Error::input(file.path().display(), ACCEPTED, found, remedy))
    }
}
