//! 10x Genomics' HDF5: version 2 (a group per genome) and version 3 (`matrix` with `features`).

use super::ReadOptions;
use super::array::Array;
use super::h5ad::read_array;
use super::hdf5::{Hdf5File, Node};
use super::sparse::from_rows;
use crate::cells::{Cells, Column, CsrMatrix, Frame};
use crate::{Error, Result};

/// Read a file of version 3 and later; of several kinds of features only gene expression is kept,
/// as scanpy does.
pub(super) fn read_version_3(file: &Hdf5File, options: &ReadOptions) -> Result<Cells> {
    let obs_index = Array::open(file, "matrix/barcodes")?.read_texts()?;
    let text = |name: &str| Array::open(file, &format!("matrix/features/{name}"))?.read_texts();
    let is_probes = file.node("matrix/features/gene_id")?.is_some();
    let mut var = Frame { index: text("name")?, columns: Vec::new() };
    let ids = text(if is_probes { "gene_id" } else { "id" })?;
    var.columns.push(("gene_ids".to_owned(), text_column(ids)));
    if is_probes {
        var.columns.push(("probe_ids".to_owned(), text_column(text("id")?)));
    }
    var.columns.push(("feature_types".to_owned(), text_column(text("feature_type")?)));
    for name in file.names("matrix/features")? {
        let key = format!("matrix/features/{name}");
        let known = ["name", "feature_type", "id", "gene_id", "_all_tag_keys"];
        if !known.contains(&name.as_str()) && file.node(&key)? == Some(Node::Array) {
            var.columns.push((name, read_array(&Array::open(file, &key)?)?));
        }
    }
    let mut obs = Frame { index: obs_index, columns: Vec::new() };
    if file.node("matrix/filtered_barcodes")?.is_some() {
        let column = read_array(&Array::open(file, "matrix/filtered_barcodes")?)?;
        obs.columns.push(("filtered_barcodes".to_owned(), column));
    }
    for (table, frame) in [("barcodes", &obs), ("features", &var)] {
        let differs = frame.columns.iter().find(|(_, column)| column.len() != frame.len());
        if let Some((name, column)) = differs {
            let place = file.place(&format!("matrix/{table}: {name}"));
            let expected = format!("{} entries", frame.len());
            return Err(Error::input(place, expected, column.len(), "fetch the file again"));
        }
    }
    let x = read_matrix(file, "matrix", obs.len(), var.len())?;
    let mut cells = Cells { x, obs, var, ..Cells::default() };
    if let Some(genome) = &options.genome {
        keep_genes(&mut cells, "genome", genome, file)?;
    }
    keep_gene_expression(&mut cells);
    Ok(cells)
}

/// Read a file of version 2.
pub(super) fn read_version_2(file: &Hdf5File, options: &ReadOptions) -> Result<Cells> {
    let mut genomes = Vec::new();
    for name in file.names("")? {
        if file.node(&name)? == Some(Node::Group) {
            genomes.push(name);
        }
    }
    let listed = genomes.join(", ").replace(['\n', '\r'], " ");
    let place = file.path().display();
    let genome = match (&options.genome, &genomes[..]) {
        (Some(wanted), _) if genomes.contains(wanted) => wanted,
        (Some(wanted), _) => {
            let expected = format!("genome {wanted}");
            return Err(Error::input(place, expected, listed, "name one of these"));
        }
        (None, [only]) => only,
        (None, _) => {
            return Err(Error::input(place, "one genome", listed, "name the genome to read"));
        }
    };
    let text = |name: &str| Array::open(file, &format!("{genome}/{name}"))?.read_texts();
    let mut missing = Vec::new();
    for name in ["barcodes", "genes", "gene_names"] {
        if file.node(&format!("{genome}/{name}"))?.is_none() {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        let found = format!("no {}", missing.join(", "));
        let expected = "barcodes, genes and gene_names, as 10x files have";
        return Err(Error::input(file.place(genome), expected, found, "fetch the whole file"));
    }
    let obs = Frame { index: text("barcodes")?, columns: Vec::new() };
    let ids = text_column(text("genes")?);
    let var = Frame { index: text("gene_names")?, columns: vec![("gene_ids".to_owned(), ids)] };
    let x = read_matrix(file, genome, obs.len(), var.len())?;
    Ok(Cells { x, obs, var, ..Cells::default() })
}

/// Read the compressed columns (one per cell) of a group as rows.
fn read_matrix(file: &Hdf5File, group: &str, n_obs: usize, n_var: usize) -> Result<CsrMatrix> {
    let part = |name: &str| Array::open(file, &format!("{group}/{name}"));
    let shape = part("shape")?.read::<usize>()?;
    if shape != [n_var, n_obs] {
        let expected = format!("a shape of {n_var} genes × {n_obs} barcodes");
        let found = format!("{shape:?}");
        return Err(Error::input(file.place(group), expected, found, "fetch the file again"));
    }
    let (indptr, indices, data) = (part("indptr")?, part("indices")?, part("data")?);
    let lists: [&Array; 3] = [&indptr, &indices, &data];
    if let Some(array) = lists.into_iter().find(|array| array.shape.len() != 1) {
        let found = format!("{} dimensions", array.shape.len());
        return Err(Error::input(array.place(), "a list", found, "fetch the file again"));
    }
    let place = file.place(group);
    from_rows(&place, (n_obs, n_var), indptr.read()?, indices.read()?, data.read()?)
}

pub(super) fn text_column(texts: Vec<String>) -> Column {
    Column::Text(texts.into_iter().map(Some).collect())
}

/// Keep the genes whose `column` is `wanted`.
fn keep_genes(cells: &mut Cells, column: &str, wanted: &str, file: &Hdf5File) -> Result<()> {
    let values = cells.var.column(column);
    let keep: Vec<usize> = (0..cells.n_var())
        .filter(|&gene| values.and_then(|values| values.text(gene)).as_deref() == Some(wanted))
        .collect();
    if keep.is_empty() {
        let expected = format!("features of {column} {wanted}");
        let remedy = "name another, or none to read all";
        return Err(Error::input(file.place("matrix/features"), expected, "none", remedy));
    }
    select_genes(cells, &keep);
    Ok(())
}

/// Drop antibodies, guides and peaks where there are genes too.
pub(super) fn keep_gene_expression(cells: &mut Cells) {
    let Some(types) = cells.var.column("feature_types") else { return };
    let keep: Vec<usize> = (0..cells.n_var())
        .filter(|&gene| types.text(gene).as_deref() == Some("Gene Expression"))
        .collect();
    if !keep.is_empty() && keep.len() < cells.n_var() {
        select_genes(cells, &keep);
    }
}

fn select_genes(cells: &mut Cells, keep: &[usize]) {
    cells.x = cells.x.select_columns(keep);
    cells.var = cells.var.select_rows(keep);
}
