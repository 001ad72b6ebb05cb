//! Groups and arrays to be written, as plain data; `hdf5.rs` turns them into bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use super::results::Field;
use super::spool::Spool;

/// Numbers of an array from which on they are not held twice.
const COPIED_LATER_FROM: usize = 1 << 24;

/// Values of an array to write.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    /// Columns of a sparse matrix as signed numbers of 32 or, where `wide`, 64 bits.
    Columns {
        columns: &'a [u32],
        wide: bool,
    },
    /// Single-precision numbers on disk, copied to their place once the file stands.
    Spooled(&'a Spool),
    /// Columns of a sparse matrix on disk.
    SpooledColumns {
        columns: &'a Spool,
        wide: bool,
    },
    F64(Cow<'a, [f64]>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Booleans(Vec<bool>),
    Texts(Vec<&'a str>),
    /// Named columns of one length, a record of all of them at a time.
    Records(&'a [(String, Field)]),
}

impl Values<'_> {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Columns { columns, .. } => columns.len(),
            Self::Spooled(numbers) | Self::SpooledColumns { columns: numbers, .. } => numbers.len(),
            Self::F64(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Records(fields) => fields.first().map_or(0, |(_, field)| field.len()),
        }
    }

    /// Whether they are copied to their place once the file stands, instead of through memory: numbers on disk, and
    /// so many numbers that a second copy would tell.
    pub(super) fn is_copied_later(&self) -> bool {
        match self {
            Self::Spooled(_) | Self::SpooledColumns { .. } => true,
            Self::F32(_) | Self::Columns { .. } => self.len() >= COPIED_LATER_FROM,
            _ => false,
        }
    }

    /// Bytes in the file of values that are copied later.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Columns { wide: true, .. } | Self::SpooledColumns { wide: true, .. } => {
                self.len() * size_of::<i64>()
            }
            _ => self.len() * size_of::<f32>(),
        }
    }

    /// Write values that are copied later to `target` from its byte `address` on.
    pub(super) fn copy_to(&self, target: &mut File, address: u64) -> std::io::Result<()> {
        match self {
            Self::Spooled(numbers) => return numbers.copy_to(target, address, false),
            Self::SpooledColumns { columns, wide } => {
                return columns.copy_to(target, address, *wide);
            }
            _ => {}
        }
        target.seek(SeekFrom::Start(address))?;
        let mut target = BufWriter::with_capacity(1 << 20, target);
        match self {
            Self::F32(values) => {
                values.iter().try_for_each(|value| target.write_all(&value.to_le_bytes()))?;
            }
            Self::Columns { columns, wide: false } => {
                columns.iter().try_for_each(|column| target.write_all(&column.to_le_bytes()))?;
            }
            Self::Columns { columns, wide: true } => columns
                .iter()
                .try_for_each(|&column| target.write_all(&i64::from(column).to_le_bytes()))?,
            _ => {}
        }
        target.flush()
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
    /// The arrays under `key` whose values are copied later.
    pub(super) fn copied_later<'b>(&'b self, key: &str) -> Vec<(String, &'b Values<'a>)> {
        match self {
            Self::Array { values, .. } if values.is_copied_later() => {
                vec![(key.to_owned(), values)]
            }
            Self::Array { .. } => Vec::new(),
            Self::Group { children, .. } => {
                let folder = if key.is_empty() { String::new() } else { format!("{key}/") };
                children
                    .iter()
                    .flat_map(|(name, child)| child.copied_later(&format!("{folder}{name}")))
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
