//! Cells as anndata 0.12 encodes them.

use std::borrow::Cow;

use super::super::results::{Entry, Results};
use super::super::spool::{Spool, SpooledCsr, SpooledRows};
use super::super::tree::{Attribute, NamedAttribute, Tree, Values};
use crate::cells::{Cells, Column, CsrMatrix, Dense, Frame};

/// The two attributes that name an encoding.
fn encoding(kind: &str, version: &str) -> Vec<NamedAttribute> {
    vec![
        ("encoding-type", Attribute::Text(kind.to_owned())),
        ("encoding-version", Attribute::Text(version.to_owned())),
    ]
}

fn array<'a>(values: Values<'a>, shape: Vec<usize>) -> Tree<'a> {
    let attributes = match &values {
        Values::Texts(_) if shape.is_empty() => encoding("string", "0.2.0"),
        Values::Texts(_) => encoding("string-array", "0.2.0"),
        Values::Records(_) => encoding("rec-array", "0.2.0"),
        _ if shape.is_empty() => encoding("numeric-scalar", "0.2.0"),
        _ => encoding("array", "0.2.0"),
    };
    Tree::Array { attributes, values, shape }
}

fn list<'a>(values: Values<'a>) -> Tree<'a> {
    let shape = vec![values.len()];
    array(values, shape)
}

/// A group of named members.
pub(in crate::io) fn dict<'a>(children: Vec<(String, Tree<'a>)>) -> Tree<'a> {
    Tree::Group { attributes: encoding("dict", "0.1.0"), children }
}

/// One text.
pub(in crate::io) fn text_tree(text: &str) -> Tree<'_> {
    array(Values::Texts(vec![text]), Vec::new())
}

/// An entry of `uns`.
pub(in crate::io) fn entry_tree(entry: &Entry) -> Tree<'_> {
    match entry {
        Entry::Text(text) => text_tree(text),
        Entry::Integer(value) => array(Values::I64(vec![*value]), Vec::new()),
        Entry::Float(value) => array(Values::F64(vec![*value].into()), Vec::new()),
        Entry::Boolean(value) => array(Values::Booleans(vec![*value]), Vec::new()),
        Entry::Floats(values) => list(Values::F64(Cow::Borrowed(values))),
        Entry::Records(fields) => list(Values::Records(fields)),
        Entry::Dict(entries) => dict(named(entries, entry_tree)),
    }
}

/// Members of a group.
fn named<'a, T>(
    members: &'a [(String, T)],
    tree: fn(&'a T) -> Tree<'a>,
) -> Vec<(String, Tree<'a>)> {
    members.iter().map(|(name, member)| (name.clone(), tree(member))).collect()
}

/// A dense matrix.
pub(in crate::io) fn dense_tree(dense: &Dense) -> Tree<'_> {
    array(Values::F32(Cow::Borrowed(&dense.values)), vec![dense.n_rows, dense.n_cols])
}

/// A dense matrix whose rows are on disk.
pub(in crate::io) fn spooled_tree(rows: &SpooledRows) -> Tree<'_> {
    array(Values::Spooled(&rows.values), vec![rows.n_rows, rows.n_cols])
}

/// A sparse matrix.
pub(in crate::io) fn csr_tree(matrix: &CsrMatrix) -> Tree<'_> {
    sparse_tree(matrix, &matrix.data)
}

/// A sparse matrix with `values` at the places of another.
pub(in crate::io) fn sparse_tree<'a>(matrix: &'a CsrMatrix, values: &'a [f32]) -> Tree<'a> {
    let is_wide = is_wide(matrix.nnz(), matrix.n_cols);
    let columns = Values::Columns { columns: &matrix.indices, wide: is_wide };
    let values = Values::F32(Cow::Borrowed(values));
    sparse_group(&matrix.indptr, matrix.n_cols, columns, values, is_wide)
}

/// A sparse matrix on disk: its values, or the counts in their places.
pub(in crate::io) fn spooled_sparse_tree<'a>(
    matrix: &'a SpooledCsr,
    values: &'a Spool,
) -> Tree<'a> {
    let is_wide = is_wide(matrix.nnz(), matrix.n_cols);
    let columns = Values::SpooledColumns { columns: &matrix.columns, wide: is_wide };
    sparse_group(&matrix.indptr, matrix.n_cols, columns, Values::Spooled(values), is_wide)
}

/// Whether 32 bits do not suffice: scipy wants both index arrays in one type.
fn is_wide(nnz: usize, n_cols: usize) -> bool {
    i32::try_from(nnz.max(n_cols)).is_err()
}

fn sparse_group<'a>(
    indptr: &[usize],
    n_cols: usize,
    columns: Values<'a>,
    values: Values<'a>,
    is_wide: bool,
) -> Tree<'a> {
    let mut attributes = encoding("csr_matrix", "0.1.0");
    let shape = vec![indptr.len().saturating_sub(1) as i64, n_cols as i64];
    attributes.push(("shape", Attribute::Integers(shape)));
    let indptr = match is_wide {
        false => Values::I32(indptr.iter().map(|&at| at as i32).collect()),
        true => Values::I64(indptr.iter().map(|&at| at as i64).collect()),
    };
    let children = [("data", values), ("indices", columns), ("indptr", indptr)];
    let children = children.into_iter().map(|(name, values)| {
        let shape = vec![values.len()];
        (name.to_owned(), Tree::Array { attributes: Vec::new(), values, shape })
    });
    let children = children.collect();
    Tree::Group { attributes, children }
}

/// One column of a table.
pub(in crate::io) fn column_tree(column: &Column) -> Tree<'_> {
    match column {
        Column::Categorical { codes, categories, ordered } => {
            let codes = if categories.len() <= i8::MAX as usize {
                Values::I8(codes.iter().map(|&code| code as i8).collect())
            } else {
                Values::I32(codes.clone())
            };
            let mut attributes = encoding("categorical", "0.2.0");
            attributes.push(("ordered", Attribute::Boolean(*ordered)));
            let categories = Values::Texts(categories.iter().map(String::as_str).collect());
            let children = vec![
                ("categories".to_owned(), list(categories)),
                ("codes".to_owned(), list(codes)),
            ];
            Tree::Group { attributes, children }
        }
        Column::Float(values) => list(Values::F64(Cow::Borrowed(values))),
        Column::Text(values) => nullable(values, "nullable-string-array", |values| {
            Values::Texts(values.iter().map(|value| value.as_deref().unwrap_or_default()).collect())
        }),
        Column::Integer(values) => nullable(values, "nullable-integer", |values| {
            Values::I64(values.iter().map(|value| value.unwrap_or_default()).collect())
        }),
        Column::Boolean(values) => nullable(values, "nullable-boolean", |values| {
            Values::Booleans(values.iter().map(|value| value.unwrap_or_default()).collect())
        }),
    }
}

/// A plain array where nothing is missing, else values with a mask.
fn nullable<'a, T>(
    values: &'a [Option<T>],
    kind: &str,
    filled: impl Fn(&'a [Option<T>]) -> Values<'a>,
) -> Tree<'a> {
    if values.iter().all(Option::is_some) {
        return list(filled(values));
    }
    let mask = values.iter().map(Option::is_none).collect();
    let children = vec![
        ("mask".to_owned(), list(Values::Booleans(mask))),
        ("values".to_owned(), list(filled(values))),
    ];
    Tree::Group { attributes: encoding(kind, "0.1.0"), children }
}

/// A table; `index_name` is `_index` where the row names have no name of their own.
pub(in crate::io) fn frame_tree<'a>(frame: &'a Frame, index_name: &str) -> Tree<'a> {
    let mut attributes = encoding("dataframe", "0.2.0");
    attributes.push(("_index", Attribute::Text(index_name.to_owned())));
    let order = frame.names().map(str::to_owned).collect();
    attributes.push(("column-order", Attribute::Texts(order)));
    let index = Values::Texts(frame.index.iter().map(String::as_str).collect());
    let mut children = vec![(index_name.to_owned(), list(index))];
    children.extend(frame.columns.iter().map(|(name, column)| (name.clone(), column_tree(column))));
    Tree::Group { attributes, children }
}

/// A whole file; `x` and `layers` stand for those of `cells`, `added` are more arrays of `obsm`.
pub(in crate::io) fn root_tree<'a>(
    cells: &'a Cells,
    (x, layers): (Tree<'a>, Vec<(String, Tree<'a>)>),
    added: Vec<(String, Tree<'a>)>,
    results: &'a Results,
) -> Tree<'a> {
    let own = cells.obsm.iter().filter(|(name, _)| added.iter().all(|(new, _)| new != *name));
    let mut obsm: Vec<_> = own.map(|(name, dense)| (name.clone(), dense_tree(dense))).collect();
    obsm.extend(added);
    let mut children = vec![
        ("X".to_owned(), x),
        ("layers".to_owned(), dict(layers)),
        ("obs".to_owned(), frame_tree(&cells.obs, "_index")),
        ("obsm".to_owned(), dict(obsm)),
        ("obsp".to_owned(), dict(named(&results.obsp, csr_tree))),
        ("uns".to_owned(), dict(named(&results.uns, entry_tree))),
        ("var".to_owned(), frame_tree(&cells.var, "_index")),
        ("varm".to_owned(), dict(named(&results.varm, dense_tree))),
        ("varp".to_owned(), dict(Vec::new())),
    ];
    if let Some(raw) = &cells.raw {
        let members = vec![
            ("X".to_owned(), csr_tree(&raw.x)),
            ("var".to_owned(), frame_tree(&raw.var, "_index")),
            ("varm".to_owned(), dict(Vec::new())),
        ];
        let raw = Tree::Group { attributes: encoding("raw", "0.1.0"), children: members };
        children.push(("raw".to_owned(), raw));
    }
    Tree::Group { attributes: encoding("anndata", "0.1.0"), children }
}
