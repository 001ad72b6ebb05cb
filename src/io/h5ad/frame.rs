//! Tables of an h5ad (`obs`, `var`): every column encoding since anndata 0.5.

use super::super::array::{Array, Element};
use super::super::hdf5::{Hdf5File, Node};
use super::records::read_records;
use crate::cells::{Column, Frame};
use crate::{Error, Result};

/// Read the table `key`.
pub(in crate::io) fn read_frame(file: &Hdf5File, key: &str) -> Result<Frame> {
    match file.node(key)? {
        Some(Node::Group) => read_group(file, key),
        Some(Node::Array) => read_records(file, key),
        None => Err(Error::input(
            file.path().display(),
            format!("a table {key}, as every h5ad has"),
            format!("none among {}", listed(&file.names("")?)),
            "pass an h5ad, 10x or loom file",
        )),
    }
}

/// Names in a few words.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("[{}{more}]", shown.join(", ").replace(['\n', '\r'], " "))
}

/// A table as a group of columns (anndata 0.7 and later).
fn read_group(file: &Hdf5File, key: &str) -> Result<Frame> {
    let attributes = file.attributes(key)?;
    let names = file.names(key)?;
    let has = |name: &str| names.iter().any(|known| known == name);
    let index_name = match attributes.text("_index") {
        Some(name) => name.to_owned(),
        None => ["_index", "index"].into_iter().find(|name| has(name)).unwrap_or("_index").into(),
    };
    if !has(&index_name) {
        return Err(Error::input(
            file.place(key),
            format!("a column {index_name} of row names"),
            listed(&names),
            "write it with anndata's write_h5ad",
        ));
    }
    let index_column = read_column(file, key, &index_name)?;
    let index: Vec<String> =
        (0..index_column.len()).map(|row| label(&index_column, row).unwrap_or_default()).collect();
    let order: Vec<String> = match attributes.texts("column-order") {
        Some(order) => order.to_vec(),
        None => names
            .iter()
            .filter(|name| **name != index_name && *name != "__categories")
            .cloned()
            .collect(),
    };
    let mut columns = Vec::with_capacity(order.len());
    for name in order {
        let column = read_column(file, key, &name)?;
        check_length(&file.place(&format!("{key}/{name}")), column.len(), index.len())?;
        columns.push((name, column));
    }
    Ok(Frame { index, columns })
}

fn check_length(place: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let expected = format!("{expected} entries, as the index has");
    Err(Error::input(place, expected, found, "write the file again"))
}

/// Read one column of the table `frame`.
fn read_column(file: &Hdf5File, frame: &str, name: &str) -> Result<Column> {
    let key = format!("{frame}/{name}");
    if file.node(&key)? != Some(Node::Group) {
        let array = Array::open(file, &key)?;
        let categories = format!("{frame}/__categories/{name}");
        if file.attributes(&key)?.has("categories") && file.node(&categories)? == Some(Node::Array)
        {
            let ordered = file.attributes(&categories)?.integers("ordered") == Some(vec![1]);
            let categories = labels(&read_array(&Array::open(file, &categories)?)?);
            return categorical(&key, file, array.read()?, categories, ordered);
        }
        return read_array(&array);
    }
    let attributes = file.attributes(&key)?;
    match attributes.text("encoding-type") {
        Some("categorical") => {
            let ordered = attributes.integers("ordered") == Some(vec![1]);
            let categories = labels(&read_values(file, &format!("{key}/categories"))?);
            let codes = Array::open(file, &format!("{key}/codes"))?.read()?;
            categorical(&key, file, codes, categories, ordered)
        }
        Some("nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            read_nullable(file, &key)
        }
        other => Err(Error::input(
            file.place(&key),
            "a column of numbers, text, truth values or categories",
            format!("encoding {}", other.unwrap_or("unnamed").replace(['\n', '\r'], " ")),
            "drop the column or store it as one of these",
        )),
    }
}

/// Read an array, or a nullable array in a group.
fn read_values(file: &Hdf5File, key: &str) -> Result<Column> {
    if file.node(key)? == Some(Node::Group) {
        read_nullable(file, key)
    } else {
        read_array(&Array::open(file, key)?)
    }
}

/// Values with a mask: where the mask is set, the entry is missing.
fn read_nullable(file: &Hdf5File, key: &str) -> Result<Column> {
    let values = read_array(&Array::open(file, &format!("{key}/values"))?)?;
    let mask = Array::open(file, &format!("{key}/mask"))?.read::<u32>()?;
    check_length(&file.place(key), mask.len(), values.len())?;
    let hide = |row: usize| mask[row] != 0;
    Ok(match values {
        Column::Integer(values) => Column::Integer(masked(values, hide)),
        Column::Boolean(values) => Column::Boolean(masked(values, hide)),
        Column::Text(values) => Column::Text(masked(values, hide)),
        Column::Float(mut values) => {
            for (row, value) in values.iter_mut().enumerate() {
                if hide(row) {
                    *value = f64::NAN;
                }
            }
            Column::Float(values)
        }
        categorical @ Column::Categorical { .. } => categorical,
    })
}

fn masked<T>(values: Vec<Option<T>>, hide: impl Fn(usize) -> bool) -> Vec<Option<T>> {
    values.into_iter().enumerate().map(|(row, value)| value.filter(|_| !hide(row))).collect()
}

/// Read a plain array of one dimension (a scalar counts as one entry).
pub(in crate::io) fn read_array(array: &Array) -> Result<Column> {
    if array.shape.len() > 1 {
        let found = format!("{} dimensions", array.shape.len());
        return Err(Error::input(array.place(), "one value per row", found, "store it in obsm"));
    }
    Ok(match array.element() {
        Element::Number(number) if number.is_integer() => {
            Column::Integer(array.read::<i64>()?.into_iter().map(Some).collect())
        }
        Element::Number(_) => Column::Float(array.read()?),
        Element::Boolean => Column::Boolean(
            array.read::<u32>()?.into_iter().map(|value| Some(value != 0)).collect(),
        ),
        Element::Text | Element::FixedText(_) => {
            Column::Text(array.read_texts()?.into_iter().map(Some).collect())
        }
        other => {
            let found = format!("{other:?}").replace('\n', " ");
            return Err(Error::input(array.place(), "numbers or text", found, "drop the column"));
        }
    })
}

/// Build a categorical column, refusing codes that name no category.
pub(super) fn categorical(
    key: &str,
    file: &Hdf5File,
    codes: Vec<i64>,
    categories: Vec<String>,
    ordered: bool,
) -> Result<Column> {
    let count = categories.len() as i64;
    let codes = codes
        .into_iter()
        .map(|code| if (-1..count).contains(&code) { Ok(code as i32) } else { Err(code) })
        .collect::<std::result::Result<Vec<i32>, i64>>()
        .map_err(|code| {
            Error::input(
                file.place(key),
                format!("codes from -1 to {}", count - 1),
                code,
                "write the file again",
            )
        })?;
    Ok(Column::Categorical { codes, categories, ordered })
}

/// All entries as labels; missing ones are empty.
pub(super) fn labels(column: &Column) -> Vec<String> {
    (0..column.len()).map(|row| label(column, row).unwrap_or_default()).collect()
}

/// One entry as the label that pandas shows: `1.0`, `True`.
fn label(column: &Column, row: usize) -> Option<String> {
    match column {
        Column::Boolean(values) => {
            values[row].map(|value| if value { "True" } else { "False" }.to_owned())
        }
        Column::Float(values) if values[row].is_nan() => Some("nan".to_owned()),
        Column::Float(values) => Some(format!("{:?}", values[row])),
        other => other.text(row),
    }
}

/// The categorical columns of anndata 0.7: codes that refer to an array in `__categories`.
pub(in crate::io) struct OldCategoricals {
    /// Keys of the groups `__categories`.
    pub(in crate::io) groups: Vec<String>,
    /// Columns by key.
    pub(in crate::io) columns: Vec<(String, Column)>,
}

/// Groups within groups that are searched for tables.
const DEEPEST: usize = 8;

/// Find every categorical column of anndata 0.7 in the file.
pub(in crate::io) fn old_categoricals(file: &Hdf5File) -> Result<OldCategoricals> {
    let (mut groups, mut columns) = (Vec::new(), Vec::new());
    let mut open = vec![String::new()];
    while let Some(group) = open.pop() {
        for name in file.names(&group)? {
            let key = if group.is_empty() { name.clone() } else { format!("{group}/{name}") };
            if name == "__categories" {
                groups.push(key);
            } else if file.node(&key)? == Some(Node::Group) {
                // Groups may contain themselves; real tables are not this deep.
                if key.matches('/').count() < DEEPEST {
                    open.push(key);
                }
            } else if !group.is_empty() && file.attributes(&key)?.has("categories") {
                columns.push((key, read_column(file, &group, &name)?));
            }
        }
    }
    Ok(OldCategoricals { groups, columns })
}
