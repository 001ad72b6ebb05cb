//! Groups and arrays to be written, as plain data; `hdf5.rs` turns them into bytes.

use std::borrow::Cow;

use super::spool::SpooledRows;

/// Values of an array to write.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    /// Numbers on disk, copied to their place once the file stands.
    Spooled(&'a SpooledRows),
    F64(Cow<'a, [f64]>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Booleans(Vec<bool>),
    Texts(Vec<&'a str>),
}

impl Values<'_> {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Spooled(rows) => rows.n_rows * rows.n_cols,
            Self::F64(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

/// An attribute to write.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Boolean(bool),
}

/// A named attribute.
pub(super) type NamedAttribute = (&'static str, Attribute);

/// A group or array to write.
pub(super) enum Tree<'a> {
    Group {
        attributes: Vec<NamedAttribute>,
        children: Vec<(String, Tree<'a>)>,
    },
    Array {
        attributes: Vec<NamedAttribute>,
        values: Values<'a>,
        /// Extent of each dimension; empty for a scalar.
        shape: Vec<usize>,
    },
}

impl<'a> Tree<'a> {
    /// The arrays under `key` whose numbers are on disk.
    pub(super) fn spooled(&self, key: &str) -> Vec<(String, &'a SpooledRows)> {
        match self {
            Self::Array { values: Values::Spooled(rows), .. } => vec![(key.to_owned(), *rows)],
            Self::Array { .. } => Vec::new(),
            Self::Group { children, .. } => {
                let folder = if key.is_empty() { String::new() } else { format!("{key}/") };
                children
                    .iter()
                    .flat_map(|(name, child)| child.spooled(&format!("{folder}{name}")))
                    .collect()
            }
        }
    }
}

/// A change of a file that exists.
pub(super) enum Edit<'a> {
    /// Remove a group or array.
    Delete(String),
    /// Add a group or array where there is none.
    Create(String, Tree<'a>),
    /// Set an attribute of a group.
    SetAttribute(String, NamedAttribute),
}
