//! From the columns of a matrix to the rows of an embedding table.

use crate::{Error, Result};

/// Where the value of one column goes.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// No embedding: the column is not read.
    Nowhere,
    /// The only column of that table row.
    Row(u32),
    /// One of several columns of a gene; the slot collects their sum.
    Slot(u32),
}

/// How the values of several columns of one gene are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addition {
    /// The values are `ln(1 + x)`: add the `x`.
    Log1p,
    /// Add the values.
    Plain,
}

/// Maps data columns to table rows, and adds up the columns of one gene.
#[derive(Debug)]
pub(super) struct GeneMap {
    targets: Vec<Target>,
    slot_rows: Vec<u32>,
}

/// Sums in progress; one for each thread. In f64, so that their order does not show in f32.
#[derive(Debug, Clone)]
pub(super) struct Slots(Vec<f64>);

impl GeneMap {
    /// Index `gene_rows`, one entry per column: the row of the embedding table, if any.
    pub(super) fn new(
        gene_rows: &[Option<u32>],
        n_columns: usize,
        table_rows: usize,
    ) -> Result<Self> {
        if gene_rows.len() != n_columns {
            return Err(Error::input(
                "gene rows",
                format!("one per column of the matrix ({n_columns})"),
                gene_rows.len(),
                "map the genes of this very matrix",
            ));
        }
        let mut columns_of_row = vec![0u32; table_rows];
        for &row in gene_rows.iter().flatten() {
            let Some(count) = columns_of_row.get_mut(row as usize) else {
                return Err(Error::input(
                    "gene rows",
                    format!("rows of an embedding table of {table_rows} genes"),
                    format!("row {row}"),
                    "use the embedding table that the genes were matched against",
                ));
            };
            *count += 1;
        }
        let mut slot_rows = Vec::new();
        let mut slot_of_row = vec![0u32; table_rows];
        for (row, &count) in columns_of_row.iter().enumerate() {
            if count > 1 {
                slot_of_row[row] = slot_rows.len() as u32;
                slot_rows.push(row as u32);
            }
        }
        let target = |row: &Option<u32>| match *row {
            None => Target::Nowhere,
            Some(row) if columns_of_row[row as usize] > 1 => {
                Target::Slot(slot_of_row[row as usize])
            }
            Some(row) => Target::Row(row),
        };
        Ok(Self { targets: gene_rows.iter().map(target).collect(), slot_rows })
    }

    /// Empty sums for one thread.
    pub(super) fn slots(&self) -> Slots {
        Slots(vec![0.0; self.slot_rows.len()])
    }

    /// Call `visit(table row, value)` once for every gene expressed in one cell.
    ///
    /// Zeros are skipped, stored or not. `Err` holds the column and the value of an entry that is
    /// negative or not finite.
    pub(super) fn visit(
        &self,
        cell: (&[u32], &[f32]),
        addition: Addition,
        slots: &mut Slots,
        mut visit: impl FnMut(u32, f32),
    ) -> std::result::Result<(), (u32, f32)> {
        for (&column, &value) in cell.0.iter().zip(cell.1) {
            if value == 0.0 {
                continue;
            }
            if value < 0.0 || !value.is_finite() {
                slots.0.fill(0.0);
                return Err((column, value));
            }
            match self.targets[column as usize] {
                Target::Nowhere => {}
                Target::Row(row) => visit(row, value),
                Target::Slot(slot) => {
                    slots.0[slot as usize] += match addition {
                        Addition::Log1p => f64::from(value).exp_m1(),
                        Addition::Plain => f64::from(value),
                    }
                }
            }
        }
        for (sum, &row) in slots.0.iter_mut().zip(&self.slot_rows) {
            if *sum > 0.0 {
                let value = match addition {
                    Addition::Log1p => sum.ln_1p(),
                    Addition::Plain => *sum,
                };
                visit(row, value as f32);
                *sum = 0.0;
            }
        }
        Ok(())
    }
}

/// Report an entry that cannot be an expression.
pub(super) fn refuse_entry(what: &str, cell: usize, (column, value): (u32, f32)) -> Error {
    let remedy = if value.is_finite() {
        "negative values come from scaling: choose the layer that holds counts or log-normalised values"
    } else {
        "remove or mend this cell"
    };
    Error::input(
        format!("{what}, cell {cell}, column {column}"),
        "a finite expression of 0 or more",
        value,
        remedy,
    )
}
