//! HDF5 written: new files, and changed copies.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use hdf5_pure::{
    AttrValue, CharacterSet, Datatype, FileAccessProperties, MemoryStrategy, StringPadding,
};

use super::super::results::Field;
use super::super::tree::{Attribute, Edit, NamedAttribute, Tree, Values};
use super::{Hdf5File, StoredLayout, damaged, guard};
use crate::{Error, Result};

/// Bytes of a file up to which it may be mirrored in memory to be changed; a longer one whose structures
/// are old is written anew, a piece at a time.
const MIRRORED: u64 = 256 << 20;
/// Numbers of an array from which on it is compressed. The largest, which are copied later, are not: anndata
/// compresses nothing unless told to, and one thread would be busy for half a minute.
const COMPRESSED_FROM: usize = 1 << 10;
/// Numbers of one chunk of it; two bytes hold this. HDF5 2.0, which h5py 3.16 brings, opens no array whose chunk's
/// length is stored in more bytes than it needs, as the writer would store a longer one.
const CHUNK: usize = 1 << 15;

/// Write a new file to `path`; errors name `output`, whose place it will take.
pub(in crate::io) fn write_file(path: &Path, output: &Path, root: &Tree<'_>) -> Result<()> {
    let mut builder = hdf5_pure::FileBuilder::new();
    if let Tree::Group { attributes, children } = root {
        for (name, value) in attributes {
            builder.set_attr(name, attribute_value(value));
        }
        for (name, child) in children {
            if let Tree::Array { attributes, values, shape } = child {
                build_array(builder.create_dataset(name), attributes, values, shape, true);
            } else {
                let group = build_group(builder.create_group(name), child);
                builder.add_group(group);
            }
        }
    }
    guard(&output.display().to_string(), || {
        let file = std::fs::File::create(path).map_err(hdf5_pure::Error::Io)?;
        let mut holes = SkipZeros { file, length: 0 };
        builder.finish_to(&mut holes)?;
        holes.file.set_len(holes.length).map_err(hdf5_pure::Error::Io)
    })
    .map_err(|error| unwritten(output, error))?;
    fill(path, output, &root.copied_later(""))
}

/// A new file in which long runs of zeros are left out: they read as zeros, and what belongs there is written once.
struct SkipZeros {
    file: std::fs::File,
    length: u64,
}

/// Zeros that are left out at least; the page of a file system.
const HOLE: usize = 1 << 12;

impl Write for SkipZeros {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let pieces = bytes.chunks(HOLE);
        let zeros = pieces.clone().take_while(|piece| piece.iter().all(|&byte| byte == 0));
        let zeros: usize = zeros.map(<[u8]>::len).sum();
        let written = if zeros >= HOLE {
            self.file.seek(SeekFrom::Current(zeros as i64))?;
            zeros
        } else {
            let others = pieces.skip(1).take_while(|piece| piece.iter().any(|&byte| byte != 0));
            let most = bytes.len().min(HOLE) + others.map(<[u8]>::len).sum::<usize>();
            self.file.write(&bytes[..most])?
        };
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Copy values to their places in the file at `path`, which holds zeros there: the crate writes an array at
/// once, from a copy in memory.
fn fill(path: &Path, output: &Path, arrays: &[(String, &Values<'_>)]) -> Result<()> {
    for (key, values) in arrays {
        let file = Hdf5File::open(path)?;
        let place = file.stored(key)?.layout;
        let mut target = std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(Error::io(output, "write"))?;
        match place {
            StoredLayout::Contiguous { address, size } if size == values.bytes() as u64 => {
                values.copy_to(&mut target, address).map_err(Error::io(output, "write"))?;
            }
            _ if values.bytes() == 0 => {}
            _ => return Err(damaged(&output.display().to_string(), format!("{key} elsewhere"))),
        }
    }
    Ok(())
}

fn build_group(mut group: hdf5_pure::GroupBuilder, tree: &Tree<'_>) -> hdf5_pure::FinishedGroup {
    if let Tree::Group { attributes, children } = tree {
        for (name, value) in attributes {
            group.set_attr(name, attribute_value(value));
        }
        for (name, child) in children {
            if let Tree::Array { attributes, values, shape } = child {
                build_array(group.create_dataset(name), attributes, values, shape, true);
            } else {
                let inner = build_group(group.create_group(name), child);
                group.add_group(inner);
            }
        }
    }
    group.finish()
}

fn build_array(
    dataset: &mut hdf5_pure::DatasetBuilder,
    attributes: &[NamedAttribute],
    values: &Values<'_>,
    shape: &[usize],
    compress: bool,
) {
    match values {
        Values::Spooled(_) | Values::SpooledColumns { .. } => build_zeros(dataset, values),
        Values::F32(_) | Values::Columns { .. } if values.is_copied_later() => {
            build_zeros(dataset, values)
        }
        Values::F32(values) => dataset.with_f32_data(values),
        Values::Columns { columns, wide: false } => {
            dataset.with_i32_data(&columns.iter().map(|&column| column as i32).collect::<Vec<_>>())
        }
        Values::Columns { columns, wide: true } => {
            dataset.with_i64_data(&columns.iter().map(|&one| i64::from(one)).collect::<Vec<_>>())
        }
        Values::F64(values) => dataset.with_f64_data(values),
        Values::I8(values) => dataset.with_i8_data(values),
        Values::I32(values) => dataset.with_i32_data(values),
        Values::I64(values) => dataset.with_i64_data(values),
        Values::Booleans(values) => {
            // h5py's bool. The two members always make a type; were they not to, the write fails.
            let bytes: Vec<u8> = values.iter().map(|&value| u8::from(value)).collect();
            let kind = Datatype::Enumeration {
                size: 1,
                base_type: Box::new(hdf5_pure::make_i8_type()),
                members: Vec::new(),
            };
            let base = hdf5_pure::EnumTypeBuilder::with_base(hdf5_pure::make_i8_type());
            let named = base.raw_value("FALSE", &[0]).raw_value("TRUE", &[1]).build();
            dataset.with_enum_u8_data(named.unwrap_or(kind), &bytes)
        }
        Values::Texts(values) => dataset.with_vlen_strings(values),
        Values::Records(fields) => build_records(dataset, fields),
    };
    let extents: Vec<u64> = shape.iter().map(|&extent| extent as u64).collect();
    dataset.with_shape(&extents);
    let is_plain = !matches!(values, Values::Texts(_)) && !values.is_copied_later();
    if compress && is_plain && values.len() >= COMPRESSED_FROM {
        let row_len = shape.iter().skip(1).product::<usize>().max(1);
        let mut chunk = extents;
        chunk[0] = chunk[0].min((CHUNK / row_len).max(1) as u64);
        dataset.with_chunks(&chunk).with_deflate(4);
    }
    for (name, value) in attributes {
        dataset.set_attr(name, attribute_value(value));
    }
}

/// Lay columns out as records. Names that make no type (none, or one twice) make the write fail.
fn build_records<'a>(
    dataset: &'a mut hdf5_pure::DatasetBuilder,
    fields: &[(String, Field)],
) -> &'a mut hdf5_pure::DatasetBuilder {
    let size: usize = fields.iter().map(|(_, field)| field.size()).sum();
    let n_records = fields.first().map_or(0, |(_, field)| field.len());
    let mut bytes = vec![0; size * n_records];
    let mut kind = hdf5_pure::CompoundTypeBuilder::with_size(size as u32);
    let mut offset = 0;
    for (name, field) in fields {
        let end = offset + field.size();
        kind = kind.field(name, offset as u64, kind_of(field));
        for (at, record) in bytes.chunks_exact_mut(size).enumerate() {
            field.put(at, &mut record[offset..end]);
        }
        offset = end;
    }
    let empty = Datatype::Compound { size: size as u32, members: Vec::new() };
    dataset.with_compound_data(kind.build().unwrap_or(empty), bytes, n_records as u64)
}

fn kind_of(field: &Field) -> Datatype {
    match field {
        Field::Texts(_) => Datatype::String {
            size: field.size() as u32,
            padding: StringPadding::NullPad,
            charset: CharacterSet::Ascii,
        },
        Field::F32(_) => hdf5_pure::make_f32_type(),
        Field::F64(_) => hdf5_pure::make_f64_type(),
    }
}

/// Make room for values that are copied later. Zeros that were never touched take no memory.
fn build_zeros<'a>(
    dataset: &'a mut hdf5_pure::DatasetBuilder,
    values: &Values<'_>,
) -> &'a mut hdf5_pure::DatasetBuilder {
    let kind = match values {
        Values::Columns { wide, .. } | Values::SpooledColumns { wide, .. } => match wide {
            false => hdf5_pure::make_i32_type(),
            true => hdf5_pure::make_i64_type(),
        },
        _ => hdf5_pure::make_f32_type(),
    };
    dataset.with_raw_data(kind, vec![0; values.bytes()], values.len() as u64)
}

fn attribute_value(value: &Attribute) -> AttrValue {
    match value {
        Attribute::Text(text) => AttrValue::VarLenString(text.clone()),
        // As anndata writes an empty list.
        Attribute::Texts(texts) if texts.is_empty() => AttrValue::F64Array(Vec::new()),
        Attribute::Texts(texts) => AttrValue::VarLenStringArray(texts.clone()),
        Attribute::Integers(values) => AttrValue::I64Array(values.clone()),
        Attribute::Boolean(value) => AttrValue::I8(i8::from(*value)),
    }
}

/// Word a failure of writing.
fn unwritten(output: &Path, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => Error::io(output, "write")(source),
        Error::Input { found, .. } => {
            let remedy = "write to another folder, or report this";
            Error::input(output.display(), "to write HDF5 there", found, remedy)
        }
        other => other,
    }
}

/// Copy `input` to `path` and change the copy; errors name `output`, whose place it will take.
/// A file whose old structures cannot be changed where they lie is written anew, all of it but
/// `dropped`, to which `restored` adds the same in a newer form.
pub(in crate::io) fn edit_copy(
    input: &Path,
    path: &Path,
    output: &Path,
    edits: &[Edit<'_>],
    (dropped, restored): (&[String], &[Edit<'_>]),
) -> Result<()> {
    let place = output.display().to_string();
    std::fs::copy(input, path).map_err(Error::io(input, "copy"))?;
    make_writable(path).map_err(Error::io(output, "write"))?;
    let in_place = guard(&place, || match edit_file(path, edits) {
        Err(hdf5_pure::Error::EditUnsupported(_)) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    });
    let outcome = match in_place {
        Ok(true) => Ok(()),
        Ok(false) => guard(&place, || {
            std::fs::remove_file(path).map_err(hdf5_pure::Error::Io)?;
            let mut options = hdf5_pure::RepackOptions::new();
            for key in dropped {
                options = options.drop_path(key);
            }
            hdf5_pure::repack(input, path, &options)?;
            edit_file(path, restored)?;
            edit_file(path, edits)
        }),
        Err(error) => Err(error),
    };
    outcome.map_err(|error| unwritten(output, error))?;
    let created = edits.iter().filter_map(|edit| match edit {
        Edit::Create(key, tree) => Some(tree.copied_later(key)),
        _ => None,
    });
    fill(path, output, &created.flatten().collect::<Vec<_>>())
}

/// A copy of a read-only file is read-only too.
fn make_writable(path: &Path) -> std::io::Result<()> {
    let mut permissions = std::fs::metadata(path)?.permissions();
    if !permissions.readonly() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        permissions.set_mode(permissions.mode() | 0o200);
    }
    #[cfg(not(unix))]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions)
}

type Outcome = std::result::Result<(), hdf5_pure::Error>;

fn edit_file(path: &Path, edits: &[Edit<'_>]) -> Outcome {
    let length = std::fs::metadata(path).map_err(hdf5_pure::Error::Io)?.len();
    let strategy = if length <= MIRRORED { MemoryStrategy::Auto } else { MemoryStrategy::Bounded };
    let properties = FileAccessProperties::new()
        .with_locking(hdf5_pure::FileLocking::BestEffort)
        .with_memory_strategy(strategy);
    let file = hdf5_pure::File::open_rw_with_options(path, properties)?;
    let root = file.root();
    // Removals first and by themselves, so that a name is free before it is taken again.
    for edit in edits {
        match edit {
            // A file written anew has no old categories left to remove.
            Edit::Delete(key) if key.contains("/__categories/") && file.dataset(key).is_err() => {}
            Edit::Delete(key) => root.delete(key)?,
            _ => {}
        }
    }
    if file.has_staged_edits() {
        file.commit()?;
    }
    for edit in edits {
        match edit {
            Edit::Delete(_) => {}
            Edit::Create(key, tree) => create(&root, key, tree)?,
            Edit::SetAttribute(key, (name, value)) => {
                file.group(key)?.set_attr(name, attribute_value(value))?;
            }
        }
    }
    file.commit()?;
    drop(root);
    file.close()
}

fn create(root: &hdf5_pure::Group, key: &str, tree: &Tree<'_>) -> Outcome {
    match tree {
        Tree::Group { attributes, children } => {
            root.create_group_with(key, |group| {
                for (name, value) in attributes {
                    group.set_attr(name, attribute_value(value));
                }
            })?;
            children
                .iter()
                .try_for_each(|(name, child)| create(root, &format!("{key}/{name}"), child))
        }
        Tree::Array { attributes, values, shape } => {
            // Contiguous, as every version of HDF5 reads it: what is added is small.
            root.create_dataset(key, |dataset| {
                build_array(dataset, attributes, values, shape, false)
            })?;
            Ok(())
        }
    }
}
