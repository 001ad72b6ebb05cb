//! Writing h5ad: new files, and annotated copies that keep everything of their input.

use std::path::Path;

use super::array::{Array, Element};
use super::format::Format;
use super::h5ad::{
    OldCategoricals, column_tree, csr_tree, dense_tree, dict, frame_tree, old_categoricals,
    read_frame, read_obsm, root_tree, sparse_tree, spooled_sparse_tree, spooled_tree, text_tree,
};
use super::hdf5::{Hdf5File, Node, edit_copy, write_file};
use super::results::{Entry, Results};
use super::spool::{SpooledCsr, SpooledRows};
use super::tree::{Attribute, Edit, Tree};
use super::{ReadOptions, read};
use crate::cells::{Cells, Column, Dense, Frame};
use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// What is added to a copy of the input.
#[derive(Debug, Default)]
pub struct Annotations {
    /// Columns of `obs`, one entry per cell of the input.
    pub obs: Vec<(String, Column)>,
    /// Arrays of `obsm`, one row per cell of the input.
    pub obsm: Vec<(String, SpooledRows)>,
    /// Texts of `uns["screader"]`; those of other names that are there stay.
    pub uns: Vec<(String, String)>,
}

/// Write cells as an h5ad of anndata 0.12, gzip-compressed but for arrays of 16 million numbers or more, which are
/// stored as they are, as anndata does by default.
///
/// # Errors
/// If the file cannot be written; then there is none, or the one that was there before.
pub fn write_h5ad(cells: &Cells, output: &Path) -> Result<()> {
    let results = Results::default();
    let root = root_tree(cells, matrices(cells), Vec::new(), &results);
    replace(output, |temporary| write_file(temporary, output, &root))
}

/// Matrices that a new file holds instead of those of its cells.
#[derive(Debug, Clone, Copy)]
pub enum Matrices<'a> {
    /// `X` of the cells, and in a layer `counts` the values in the same places where there are any.
    InMemory(Option<&'a [f32]>),
    /// `X`, and in a layer `counts` its counts where it has any.
    OnDisk(&'a SpooledCsr),
}

/// Write cells as [`write_h5ad`] does, with other matrices, and results beside them.
///
/// # Errors
/// As [`write_h5ad`].
///
/// # Panics
/// When there are not as many counts as values of `X`.
pub fn write_h5ad_with(
    cells: &Cells,
    matrices: Matrices<'_>,
    results: &Results,
    output: &Path,
) -> Result<()> {
    let (x, counts) = match matrices {
        Matrices::InMemory(counts) => {
            assert!(counts.is_none_or(|counts| counts.len() == cells.x.nnz()));
            (csr_tree(&cells.x), counts.map(|counts| sparse_tree(&cells.x, counts)))
        }
        Matrices::OnDisk(matrix) => {
            let counts = matrix.counts.as_ref().map(|counts| spooled_sparse_tree(matrix, counts));
            (spooled_sparse_tree(matrix, &matrix.values), counts)
        }
    };
    let layers = counts.into_iter().map(|counts| ("counts".to_owned(), counts)).collect();
    let root = root_tree(cells, (x, layers), Vec::new(), results);
    replace(output, |temporary| write_file(temporary, output, &root))
}

/// `X` and layers of the cells themselves.
fn matrices(cells: &Cells) -> (Tree<'_>, Vec<(String, Tree<'_>)>) {
    let layers = cells.layers.iter().map(|(name, layer)| (name.clone(), csr_tree(layer)));
    (csr_tree(&cells.x), layers.collect())
}

/// Refuse an `output` that is `input`.
///
/// # Errors
/// [`Error::Input`] that names the path.
pub fn require_another(input: &Path, output: &Path) -> Result<()> {
    if !same_file(input, output) {
        return Ok(());
    }
    Err(Error::input(
        output.display(),
        "another path than the input's",
        "the input itself",
        "name a new file; the input is never changed",
    ))
}

/// Write a copy of `input` with annotations added. A copy of an h5ad keeps everything that was in
/// it, byte for byte, but columns and arrays of the same name; other formats become an h5ad.
///
/// # Errors
/// If `output` is `input`, the lengths of annotations and input differ, the input is no file of
/// cells, or the output cannot be written; then there is none, or the one that was there before.
pub fn write_annotated(input: &Path, output: &Path, annotations: &Annotations) -> Result<()> {
    require_another(input, output)?;
    match Format::of(input)? {
        Format::H5ad(file) => {
            let obs = read_frame(&file, "obs")?;
            check_lengths(input, annotations, obs.len())?;
            let (var, obsm) = old_tables(&file, obs.len())?;
            let edits = plan(&file, &obs, var.as_ref(), &obsm, annotations)?;
            let OldCategoricals { groups: mut dropped, columns } = old_categoricals(&file)?;
            drop(file);
            dropped.extend(columns.iter().map(|(key, _)| key.clone()));
            let restored: Vec<Edit<'_>> = columns
                .iter()
                .map(|(key, column)| Edit::Create(key.clone(), column_tree(column)))
                .collect();
            replace(output, |temporary| {
                edit_copy(input, temporary, output, &edits, (&dropped, &restored))
            })
        }
        _ => {
            let mut cells = read(input, &ReadOptions::default())?;
            check_lengths(input, annotations, cells.n_obs())?;
            for (name, column) in &annotations.obs {
                cells.obs.columns.retain(|(known, _)| known != name);
                cells.obs.columns.push((name.clone(), column.clone()));
            }
            let uns = vec![("screader".to_owned(), Entry::texts(annotations.uns.clone()))];
            let results = Results { uns, ..Results::default() };
            let root = root_tree(&cells, matrices(&cells), obsm_members(annotations), &results);
            replace(output, |temporary| write_file(temporary, output, &root))
        }
    }
}

fn same_file(input: &Path, output: &Path) -> bool {
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    }
}

fn check_lengths(input: &Path, annotations: &Annotations, n_obs: usize) -> Result<()> {
    let columns = annotations.obs.iter().map(|(name, column)| ("obs", name, column.len()));
    let arrays = annotations.obsm.iter().map(|(name, dense)| ("obsm", name, dense.n_rows));
    for (table, name, found) in columns.chain(arrays) {
        if found != n_obs {
            let place = format!("{}: {table}/{name}", input.display());
            let expected = format!("{n_obs} entries, one per cell");
            return Err(Error::input(place, expected, found, "annotate the file that was read"));
        }
        if name.is_empty() || name.contains('/') || name == "." {
            let place = format!("{}: {table}", input.display());
            let remedy = "choose another name";
            return Err(Error::input(place, "a name without /", format!("{name:?}"), remedy));
        }
    }
    Ok(())
}

type NamedArrays = Vec<(String, Dense)>;

fn texts_tree(texts: &[(String, String)]) -> Tree<'_> {
    dict(texts.iter().map(|(name, text)| (name.clone(), text_tree(text))).collect())
}

/// `var` and `obsm` where they are records, which cannot be added to: they become groups. `var`
/// goes with `obs`, because anndata looks for old categories of both or of neither.
fn old_tables(file: &Hdf5File, n_obs: usize) -> Result<(Option<Frame>, NamedArrays)> {
    let is_array = |key: &str| Ok::<_, Error>(file.node(key)? == Some(Node::Array));
    let var =
        if is_array("obs")? && is_array("var")? { Some(read_frame(file, "var")?) } else { None };
    let obsm =
        if is_array("obsm")? { read_obsm(file, n_obs)?.into_iter().collect() } else { Vec::new() };
    Ok((var, obsm))
}

/// The first field of a table of records, which names the rows.
fn record_index_name(file: &Hdf5File, key: &str) -> Result<String> {
    let array = Array::open(file, key)?;
    let first = match array.element() {
        Element::Record(fields) => fields.first().map(|field| field.name.clone()),
        _ => None,
    };
    Ok(first.unwrap_or_else(|| "_index".to_owned()))
}

fn obsm_members(annotations: &Annotations) -> Vec<(String, Tree<'_>)> {
    annotations.obsm.iter().map(|(name, rows)| (name.clone(), spooled_tree(rows))).collect()
}

/// The edits that add `annotations`.
fn plan<'a>(
    file: &Hdf5File,
    obs: &'a Frame,
    var: Option<&'a Frame>,
    old_obsm: &'a [(String, Dense)],
    annotations: &'a Annotations,
) -> Result<Vec<Edit<'a>>> {
    let mut edits = match file.node("obs")? {
        Some(Node::Array) => table_anew(file, obs, var, annotations)?,
        _ if annotations.obs.is_empty() => Vec::new(),
        _ => obs_edits(file, obs, annotations)?,
    };
    if !annotations.obsm.is_empty() {
        edits.extend(obsm_edits(file, old_obsm, annotations)?);
    }
    if !annotations.uns.is_empty() {
        if file.node("uns")?.is_none() {
            edits.push(Edit::Create("uns".to_owned(), dict(Vec::new())));
        }
        match file.node("uns/screader")? {
            Some(Node::Group) => {
                for (name, text) in &annotations.uns {
                    let key = format!("uns/screader/{name}");
                    edits.extend(replacement(file, key, text_tree(text))?);
                }
            }
            _ => edits.extend(replacement(
                file,
                "uns/screader".to_owned(),
                texts_tree(&annotations.uns),
            )?),
        }
    }
    Ok(edits)
}

/// Put `tree` at `key`, whether or not there is something.
fn replacement<'a>(file: &Hdf5File, key: String, tree: Tree<'a>) -> Result<Vec<Edit<'a>>> {
    let old = file.node(&key)?.map(|_| Edit::Delete(key.clone()));
    Ok(old.into_iter().chain([Edit::Create(key, tree)]).collect())
}

/// The columns of `obs` that stay, then the new ones.
fn column_order(obs: &Frame, annotations: &Annotations) -> Vec<String> {
    let new = annotations.obs.iter().map(|(name, _)| name.as_str());
    let kept = obs.names().filter(|name| new.clone().all(|new| new != *name));
    kept.chain(new.clone()).map(str::to_owned).collect()
}

/// A table of records cannot be added to: `obs`, and `var` with it, become groups.
fn table_anew<'a>(
    file: &Hdf5File,
    obs: &'a Frame,
    var: Option<&'a Frame>,
    annotations: &'a Annotations,
) -> Result<Vec<Edit<'a>>> {
    let mut tree = frame_tree(obs, &record_index_name(file, "obs")?);
    if let Tree::Group { attributes, children } = &mut tree {
        children.retain(|(name, _)| annotations.obs.iter().all(|(new, _)| new != name));
        let new = annotations.obs.iter().map(|(name, column)| (name.clone(), column_tree(column)));
        children.extend(new);
        attributes.retain(|(name, _)| *name != "column-order");
        let order = Attribute::Texts(column_order(obs, annotations));
        attributes.push(("column-order", order));
    }
    let mut edits = replacement(file, "obs".to_owned(), tree)?;
    if let Some(var) = var {
        let tree = frame_tree(var, &record_index_name(file, "var")?);
        edits.extend(replacement(file, "var".to_owned(), tree)?);
    }
    Ok(edits)
}

fn obs_edits<'a>(
    file: &Hdf5File,
    obs: &Frame,
    annotations: &'a Annotations,
) -> Result<Vec<Edit<'a>>> {
    let mut edits = Vec::new();
    for (name, column) in &annotations.obs {
        let categories = format!("obs/__categories/{name}");
        if file.node(&categories)?.is_some() {
            edits.push(Edit::Delete(categories));
        }
        edits.extend(replacement(file, format!("obs/{name}"), column_tree(column))?);
    }
    let order = Attribute::Texts(column_order(obs, annotations));
    edits.push(Edit::SetAttribute("obs".to_owned(), ("column-order", order)));
    Ok(edits)
}

fn obsm_edits<'a>(
    file: &Hdf5File,
    old_obsm: &'a [(String, Dense)],
    annotations: &'a Annotations,
) -> Result<Vec<Edit<'a>>> {
    let mut members = obsm_members(annotations);
    if file.node("obsm")? == Some(Node::Group) {
        let mut edits = Vec::new();
        for (name, tree) in members {
            edits.extend(replacement(file, format!("obsm/{name}"), tree)?);
        }
        return Ok(edits);
    }
    let is_new = |name: &str| annotations.obsm.iter().any(|(new, _)| new == name);
    let kept = old_obsm.iter().filter(|(name, _)| !is_new(name));
    members.extend(kept.map(|(name, dense)| (name.clone(), dense_tree(dense))));
    replacement(file, "obsm".to_owned(), dict(members))
}

/// Write to a temporary file beside `output`, then put it in its place.
fn replace(output: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let file = begin(output)?;
    write(file.path())?;
    put(file, output)
}
