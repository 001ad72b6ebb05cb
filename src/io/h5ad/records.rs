//! Tables as arrays of records, as anndata 0.5 and 0.6 wrote them.

use std::collections::BTreeMap;

use super::super::array::{Array, Element, RecordField, fixed_text};
use super::super::hdf5::{Hdf5File, Node};
use super::super::number::{Number, convert_numbers};
use super::frame::{categorical, labels, read_array};
use crate::cells::{Column, Dense, Frame};
use crate::{Error, Result};

/// A table as an array of records (anndata 0.5 and 0.6): the first field is the index, and the
/// categories of a column of codes lie in `uns`.
pub(super) fn read_records(file: &Hdf5File, key: &str) -> Result<Frame> {
    let array = Array::open(file, key)?;
    let Element::Record(fields) = array.element() else {
        return Err(Error::input(
            array.place(),
            "a table",
            "a plain array",
            "write it with anndata's write_h5ad",
        ));
    };
    let raw = array.read_records()?;
    let size = array.record_size();
    let mut columns = Vec::new();
    for field in fields {
        let place = format!("{}/{}", array.place(), field.name);
        let column = match (&field.element, field.count) {
            (Element::FixedText(width), 1) if field.offset + width <= size => Column::Text(
                raw.chunks_exact(size)
                    .map(|record| Some(fixed_text(&record[field.offset..field.offset + width])))
                    .collect(),
            ),
            (Element::Boolean, 1) if field.offset < size => Column::Boolean(
                raw.chunks_exact(size).map(|record| Some(record[field.offset] != 0)).collect(),
            ),
            (Element::Number(number), 1) if field.offset + number.size() <= size => {
                let cut =
                    |record: &[u8]| record[field.offset..field.offset + number.size()].to_vec();
                let bytes: Vec<u8> = raw.chunks_exact(size).flat_map(cut).collect();
                numbers(*number, &bytes)
            }
            (other, _) => {
                let found = format!("{other:?}").replace('\n', " ");
                return Err(Error::input(place, "numbers or text", found, "drop the column"));
            }
        };
        columns.push((field.name.clone(), column));
    }
    if columns.is_empty() {
        return Err(Error::input(array.place(), "row names", "no columns", "write it again"));
    }
    let index = labels(&columns.remove(0).1);
    for (name, column) in &mut columns {
        let key = format!("uns/{name}_categories");
        let Column::Integer(codes) = &*column else { continue };
        if file.node(&key)? != Some(Node::Array) {
            continue;
        }
        let categories = labels(&read_array(&Array::open(file, &key)?)?);
        let codes: Vec<i64> = codes.iter().map(|code| code.unwrap_or(-1)).collect();
        // `obs` and `var` share the name in `uns`; the codes tell whose categories they are.
        if codes.iter().all(|&code| (-1..categories.len() as i64).contains(&code)) {
            *column = categorical(&key, file, codes, categories, false)?;
        }
    }
    Ok(Frame { index, columns })
}

fn numbers(number: Number, bytes: &[u8]) -> Column {
    let count = bytes.len() / number.size();
    if number.is_integer() {
        let mut values = vec![0i64; count];
        convert_numbers(number, bytes, &mut values);
        Column::Integer(values.into_iter().map(Some).collect())
    } else {
        let mut values = vec![0f64; count];
        convert_numbers(number, bytes, &mut values);
        Column::Float(values)
    }
}

/// Read `obsm` as an array of records, each field an array of its own.
pub(super) fn read_record_arrays(array: &Array, n_obs: usize) -> Result<BTreeMap<String, Dense>> {
    let Element::Record(fields) = array.element() else {
        return Err(Error::input(
            array.place(),
            "a group or records",
            "an array",
            "write it again",
        ));
    };
    let (raw, size) = (array.read_records()?, array.record_size());
    if array.len() != n_obs {
        let expected = format!("{n_obs} rows, as obs has");
        return Err(Error::input(array.place(), expected, array.len(), "write the file again"));
    }
    let mut arrays = BTreeMap::new();
    for RecordField { name, offset, count, element } in fields {
        let Element::Number(number) = element else { continue };
        let end = count.checked_mul(number.size()).and_then(|bytes| bytes.checked_add(*offset));
        let Some(end) = end.filter(|&end| end <= size && *count > 0) else { continue };
        let mut values = vec![0f32; n_obs * count];
        for (record, out) in raw.chunks_exact(size).zip(values.chunks_exact_mut(*count)) {
            convert_numbers(*number, &record[*offset..end], out);
        }
        arrays.insert(name.clone(), Dense { n_rows: n_obs, n_cols: *count, values });
    }
    Ok(arrays)
}
