//! 10x folders: `matrix.mtx`, `barcodes.tsv` and `genes.tsv` or `features.tsv`, gzipped or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::sparse::{from_rows, transpose};
use super::tenx::{keep_gene_expression, text_column};
use crate::cells::{Cells, CsrMatrix, Frame};
use crate::{Error, Result};

/// Open a text file, inflating it where its first bytes say gzip.
pub(super) fn open_text(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let head = reader.fill_buf().map_err(Error::io(path, "read"))?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let plain = MultiGzDecoder::new(reader);
        return Ok(Box::new(BufReader::with_capacity(1 << 18, plain)));
    }
    Ok(Box::new(reader))
}

/// Read a folder, or the folder of a `matrix.mtx` by whose prefix the other files are named too.
pub(super) fn read(path: &Path) -> Result<Cells> {
    let (folder, matrix) = find_matrix(path)?;
    let name = matrix.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let prefix = name.split("matrix.mtx").next().unwrap_or_default();
    let barcodes = find_table(&folder, prefix, &["barcodes.tsv"])?;
    let features = find_table(&folder, prefix, &["features.tsv", "genes.tsv"])?;
    let obs_index = read_table(&barcodes)?.into_iter().map(|row| first(&row)).collect();
    let obs = Frame { index: obs_index, columns: Vec::new() };
    let var = read_features(&features)?;
    let x = read_matrix(&matrix, var.len(), obs.len())?;
    let mut cells = Cells { x, obs, var, ..Cells::default() };
    keep_gene_expression(&mut cells);
    Ok(cells)
}

/// The folder and its one matrix.
fn find_matrix(path: &Path) -> Result<(PathBuf, PathBuf)> {
    if !path.is_dir() {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        return Ok((folder, path.to_path_buf()));
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io(path, "list"))? {
        let file = entry.map_err(Error::io(path, "list"))?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with("matrix.mtx") || name.ends_with("matrix.mtx.gz") {
            found.push(file);
        }
    }
    found.sort();
    match &found[..] {
        [only] => Ok((path.to_path_buf(), only.clone())),
        [] => Err(Error::input(
            path.display(),
            "a 10x folder with matrix.mtx or matrix.mtx.gz",
            "none",
            "pass the folder that holds it, or an h5ad, 10x h5, loom, csv or tsv file",
        )),
        several => Err(Error::input(
            path.display(),
            "one matrix.mtx",
            format!("{} of them", several.len()),
            "pass the path of the matrix.mtx to read",
        )),
    }
}

fn find_table(folder: &Path, prefix: &str, names: &[&str]) -> Result<PathBuf> {
    for name in names {
        for ending in ["", ".gz"] {
            let path = folder.join(format!("{prefix}{name}{ending}"));
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    let expected = format!("{prefix}{} beside the matrix", names.join(" or "));
    Err(Error::input(folder.display(), expected, "none", "put it there, gzipped or not"))
}

fn first(row: &[String]) -> String {
    row.first().cloned().unwrap_or_default()
}

/// Rows of tab-separated fields, without a header.
fn read_table(path: &Path) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for line in open_text(path)?.lines() {
        let line = line.map_err(Error::io(path, "read"))?;
        rows.push(line.trim_end_matches('\r').split('\t').map(str::to_owned).collect());
    }
    Ok(rows)
}

/// `id, symbol` (version 2) or `id, symbol, type, …` (version 3); genes are named by symbol.
fn read_features(path: &Path) -> Result<Frame> {
    let rows = read_table(path)?;
    let field = |at: usize| -> Vec<String> {
        rows.iter().map(|row| row.get(at).cloned().unwrap_or_default()).collect()
    };
    let width = rows.first().map_or(0, Vec::len);
    let mut frame = Frame { index: field(usize::from(width > 1)), columns: Vec::new() };
    if width > 1 {
        frame.columns.push(("gene_ids".to_owned(), text_column(field(0))));
    }
    if width > 2 {
        frame.columns.push(("feature_types".to_owned(), text_column(field(2))));
    }
    Ok(frame)
}

/// Read a Matrix Market file of genes × barcodes as rows of cells.
fn read_matrix(path: &Path, n_genes: usize, n_cells: usize) -> Result<CsrMatrix> {
    let wrong = |line: usize, expected: &str, found: &str| {
        let found: String = found.trim().chars().take(60).collect();
        let place = format!("{}: line {line}", path.display());
        Error::input(place, expected, found, "fetch or write the file again")
    };
    let mut reader = open_text(path)?;
    let mut line = String::new();
    let mut number = 0usize;
    let mut next = |line: &mut String| -> Result<bool> {
        line.clear();
        number += 1;
        // A line of a Matrix Market file is short; a longer one is not one.
        let read =
            reader.by_ref().take(1 << 16).read_line(line).map_err(Error::io(path, "read"))?;
        Ok(read > 0)
    };
    next(&mut line)?;
    let header = line.to_ascii_lowercase();
    let words: Vec<&str> = header.split_whitespace().collect();
    let known = words.len() == 5
        && words[..3] == ["%%matrixmarket", "matrix", "coordinate"]
        && ["integer", "real", "pattern"].contains(&words[3])
        && words[4] == "general";
    if !known {
        let expected = "%%MatrixMarket matrix coordinate integer or real general";
        return Err(wrong(1, expected, &line));
    }
    let is_pattern = words[3] == "pattern";
    loop {
        if !next(&mut line)? {
            return Err(wrong(2, "the sizes", "the end of the file"));
        }
        if !line.starts_with('%') && !line.trim().is_empty() {
            break;
        }
    }
    let sizes: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[rows, columns, stored] = &sizes[..] else {
        return Err(wrong(3, "rows, columns and entries", &line));
    };
    if (rows, columns) != (n_genes, n_cells) {
        let expected =
            format!("{n_genes} genes × {n_cells} barcodes, as the tables beside it have");
        return Err(wrong(3, &expected, &format!("{rows} × {columns}")));
    }
    let mut entries: Vec<(u32, u32, f32)> = Vec::new();
    let mut at = 3;
    while next(&mut line)? {
        at += 1;
        let mut words = line.split_ascii_whitespace();
        let Some(gene) = words.next() else { continue };
        let gene = gene.parse::<usize>().ok().filter(|gene| (1..=rows).contains(gene));
        let cell = words.next().and_then(|word| word.parse::<usize>().ok());
        let cell = cell.filter(|cell| (1..=columns).contains(cell));
        let value = match words.next() {
            None if is_pattern => Some(1.0),
            word => word.and_then(|word| word.parse::<f32>().ok()),
        };
        match (gene, cell, value) {
            (Some(gene), Some(cell), Some(value)) => {
                entries.push((gene as u32 - 1, cell as u32 - 1, value));
            }
            _ => return Err(wrong(at, "gene, barcode and value within the sizes", &line)),
        }
    }
    if entries.len() != stored {
        let expected = format!("{stored} entries, as its head says");
        return Err(wrong(at, &expected, &entries.len().to_string()));
    }
    // By gene first: transposing then sorts each cell's genes.
    let mut indptr = vec![0usize; rows + 1];
    for entry in &entries {
        indptr[entry.0 as usize + 1] += 1;
    }
    for gene in 0..rows {
        indptr[gene + 1] += indptr[gene];
    }
    let mut place = indptr.clone();
    let (mut indices, mut data) = (vec![0u32; stored], vec![0f32; stored]);
    for (gene, cell, value) in entries {
        let at = &mut place[gene as usize];
        (indices[*at], data[*at]) = (cell, value);
        *at += 1;
    }
    let by_gene = from_rows(&path.display().to_string(), (rows, columns), indptr, indices, data)?;
    Ok(transpose(by_gene))
}
