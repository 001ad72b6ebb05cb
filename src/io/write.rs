//! Writing h5ad: new files, and annotated copies that keep everything of their input.

use std::path::Path;

use super::array::{Array, Element};
use super::format::Format;
use super::h5ad::{
    OldCategoricals, column_tree, dense_tree, dict, frame_tree, old_categoricals, read_frame,
    read_obsm, root_tree, text_tree,
};
use super::hdf5::{Hdf5File, Node, edit_copy, write_file};
use super::tree::{Attribute, Edit, Tree};
use super::{ReadOptions, read};
use crate::cells::{Cells, Column, Dense, Frame};
use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// What is added to a copy of the input.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    /// Columns of `obs`, one entry per cell of the input.
    pub obs: Vec<(String, Column)>,
    /// Arrays of `obsm`, one row per cell of the input.
    pub obsm: Vec<(String, Dense)>,
    /// Texts of `uns["screader"]`, which they replace.
    pub uns: Vec<(String, String)>,
}

/// Write cells as an h5ad of anndata 0.12, gzip-compressed.
///
/// # Errors
/// If the file cannot be written; then there is none, or the one that was there before.
pub fn write_h5ad(cells: &Cells, output: &Path) -> Result<()> {
    replace(output, |temporary| write_file(temporary, output, &root_tree(cells, dict(Vec::new()))))
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
            cells.obsm.extend(annotations.obsm.iter().cloned());
            let uns = dict(vec![("screader".to_owned(), uns_tree(annotations))]);
            replace(output, |temporary| write_file(temporary, output, &root_tree(&cells, uns)))
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

fn uns_tree(annotations: &Annotations) -> Tree<'_> {
    let texts = annotations.uns.iter().map(|(name, text)| (name.clone(), text_tree(text)));
    dict(texts.collect())
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

/// The edits that add `annotations`.
fn plan<'a>(
    file: &Hdf5File,
    obs: &'a Frame,
    var: Option<&'a Frame>,
    old_obsm: &'a [(String, Dense)],
    annotations: &'a Annotations,
) -> Result<Vec<Edit<'a>>> {
    let mut edits = Vec::new();
    let replaced = |name: &str| annotations.obs.iter().any(|(new, _)| new == name);
    if file.node("obs")? == Some(Node::Array) {
        let mut tree = frame_tree(obs, &record_index_name(file, "obs")?);
        let order: Vec<String> =
            obs.names().filter(|name| !replaced(name)).map(str::to_owned).collect();
        if let Tree::Group { attributes, children } = &mut tree {
            children.retain(|(name, _)| !replaced(name));
            let new =
                annotations.obs.iter().map(|(name, column)| (name.clone(), column_tree(column)));
            children.extend(new);
            let all = order.into_iter().chain(annotations.obs.iter().map(|(name, _)| name.clone()));
            attributes.retain(|(name, _)| *name != "column-order");
            attributes.push(("column-order", Attribute::Texts(all.collect())));
        }
        edits.push(Edit::Delete("obs".to_owned()));
        edits.push(Edit::Create("obs".to_owned(), tree));
        if let Some(var) = var {
            edits.push(Edit::Delete("var".to_owned()));
            edits.push(Edit::Create(
                "var".to_owned(),
                frame_tree(var, &record_index_name(file, "var")?),
            ));
        }
    } else if !annotations.obs.is_empty() {
        for (name, column) in &annotations.obs {
            for key in [format!("obs/{name}"), format!("obs/__categories/{name}")] {
                if file.node(&key)?.is_some() {
                    edits.push(Edit::Delete(key));
                }
            }
            edits.push(Edit::Create(format!("obs/{name}"), column_tree(column)));
        }
        let kept = obs.names().filter(|name| !replaced(name)).map(str::to_owned);
        let order = kept.chain(annotations.obs.iter().map(|(name, _)| name.clone())).collect();
        edits.push(Edit::SetAttribute("obs".to_owned(), ("column-order", Attribute::Texts(order))));
    }
    match file.node("obsm")? {
        Some(Node::Array) if !annotations.obsm.is_empty() => {
            let new = |name: &str| annotations.obsm.iter().any(|(known, _)| known == name);
            let kept = old_obsm.iter().filter(|(name, _)| !new(name));
            let all = kept.chain(&annotations.obsm);
            let members = all.map(|(name, dense)| (name.clone(), dense_tree(dense))).collect();
            edits.push(Edit::Delete("obsm".to_owned()));
            edits.push(Edit::Create("obsm".to_owned(), dict(members)));
        }
        None if !annotations.obsm.is_empty() => {
            let members = annotations.obsm.iter();
            let members = members.map(|(name, dense)| (name.clone(), dense_tree(dense))).collect();
            edits.push(Edit::Create("obsm".to_owned(), dict(members)));
        }
        _ => {
            for (name, dense) in &annotations.obsm {
                let key = format!("obsm/{name}");
                if file.node(&key)?.is_some() {
                    edits.push(Edit::Delete(key.clone()));
                }
                edits.push(Edit::Create(key, dense_tree(dense)));
            }
        }
    }
    if !annotations.uns.is_empty() {
        if file.node("uns")?.is_none() {
            edits.push(Edit::Create("uns".to_owned(), dict(Vec::new())));
        }
        if file.node("uns/screader")?.is_some() {
            edits.push(Edit::Delete("uns/screader".to_owned()));
        }
        edits.push(Edit::Create("uns/screader".to_owned(), uns_tree(annotations)));
    }
    Ok(edits)
}

/// Write to a temporary file beside `output`, then put it in its place.
fn replace(output: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let file = begin(output)?;
    write(file.path())?;
    put(file, output)
}
