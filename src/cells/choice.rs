//! Which matrix to work on: the one that was asked for, else counts wherever they lie.

use std::fmt;

use super::{Cells, CsrMatrix, Frame, MatrixState};
use crate::{Error, Result};

/// Names of layers that hold counts, in order of preference.
const COUNT_LAYERS: [&str; 6] = ["counts", "raw_counts", "count", "umi_counts", "umis", "raw"];

/// The name of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatrixName {
    /// `X`.
    X,
    /// `raw/X`, the matrix before gene selection, with genes of its own.
    Raw,
    /// One of `layers`.
    Layer(String),
}

impl fmt::Display for MatrixName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X => formatter.write_str("X"),
            Self::Raw => formatter.write_str("raw/X"),
            Self::Layer(name) => write!(formatter, "layers/{name}"),
        }
    }
}

impl MatrixName {
    /// The names of all matrices of a file: `X`, its layers, `raw/X` where there is one.
    pub fn list(layers: impl IntoIterator<Item = String>, has_raw: bool) -> Vec<Self> {
        let layers = layers.into_iter().map(Self::Layer);
        let raw = has_raw.then_some(Self::Raw);
        [Self::X].into_iter().chain(layers).chain(raw).collect()
    }

    /// Whether a user who types `text` means this matrix: `X`, `raw`, `raw/X`, `counts`,
    /// `layers/counts`.
    fn is_meant_by(&self, text: &str) -> bool {
        match self {
            Self::X => text == "X",
            Self::Raw => text == "raw/X" || text == "raw",
            Self::Layer(name) => text == name || text.strip_prefix("layers/") == Some(name),
        }
    }
}

/// Choose among the matrices `names` of a file: the one that `wanted` names; else counts, from `X`,
/// a layer named for them or `raw`; else a log-normalised or linear `X`; else `raw` where `X` is
/// scaled or empty. `state_of` tells what a matrix holds, nothing for an empty one; it is asked of
/// no more matrices than the choice needs.
///
/// # Errors
/// If `wanted` names none of them, and those of `state_of`.
pub fn choose_name(
    names: &[MatrixName],
    wanted: Option<&str>,
    mut state_of: impl FnMut(&MatrixName) -> Result<Option<MatrixState>>,
) -> Result<(MatrixName, MatrixState)> {
    let mut looked_at = |name: &MatrixName| {
        let state = state_of(name).map_err(|error| within(name, error))?;
        Ok::<_, Error>((name.clone(), state))
    };
    // An empty matrix holds no value that is not a count.
    let settled = |(name, state): (MatrixName, Option<MatrixState>)| {
        (name, state.unwrap_or(MatrixState::Counts))
    };
    if let Some(wanted) = wanted {
        // `raw/X` comes last: a layer called `raw` has its name typed whole.
        let name = names.iter().find(|name| name.is_meant_by(wanted));
        let name = name.ok_or_else(|| no_such(names, wanted))?;
        return looked_at(name).map(settled);
    }
    let x = looked_at(&MatrixName::X)?;
    if x.1 == Some(MatrixState::Counts) {
        return Ok(settled(x));
    }
    for layer in COUNT_LAYERS {
        let name = MatrixName::Layer(layer.to_owned());
        if names.contains(&name) {
            let found = looked_at(&name)?;
            if found.1 == Some(MatrixState::Counts) {
                return Ok(settled(found));
            }
        }
    }
    if names.contains(&MatrixName::Raw) {
        let raw = looked_at(&MatrixName::Raw)?;
        let x_is_log = x.1 == Some(MatrixState::LogNormalised);
        if raw.1 == Some(MatrixState::Counts)
            || (raw.1 == Some(MatrixState::LogNormalised) && !x_is_log)
        {
            return Ok(settled(raw));
        }
    }
    Ok(settled(x))
}

/// Name the matrix in an error about one of its values.
fn within(name: &MatrixName, error: Error) -> Error {
    match error {
        Error::Input { place, expected, found, remedy } => {
            Error::Input { place: format!("{name}: {place}"), expected, found, remedy }
        }
        other => other,
    }
}

fn no_such(names: &[MatrixName], wanted: &str) -> Error {
    let names: Vec<String> = names.iter().map(MatrixName::to_string).collect();
    Error::input(
        format!("layer {wanted}"),
        format!("one of [{}]", names.join(", ").replace(['\n', '\r'], " ")),
        "no such matrix",
        "name one that the file has",
    )
}

/// A matrix of some cells, with its genes and what it holds.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    /// Expression, `[cells, genes]`.
    pub matrix: &'a CsrMatrix,
    /// Its genes.
    pub var: &'a Frame,
    /// What its values are.
    pub state: MatrixState,
    /// Where it lies.
    pub name: MatrixName,
}

/// Choose the matrix of `cells` to work on, as [`choose_name`] does.
///
/// # Errors
/// If the layer does not exist, or a value of a matrix considered is not finite.
pub fn choose<'a>(cells: &'a Cells, layer: Option<&str>) -> Result<Chosen<'a>> {
    let names = cells.matrix_names();
    let (name, state) = choose_name(&names, layer, |name| {
        let matrix = cells.matrix(name).map_or(&cells.x, |(matrix, _)| matrix);
        let state = MatrixState::detect(matrix)?;
        Ok((matrix.nnz() > 0).then_some(state))
    })?;
    let (matrix, var) = cells.matrix(&name).unwrap_or((&cells.x, &cells.var));
    Ok(Chosen { matrix, var, state, name })
}

impl Cells {
    /// The names of all matrices: `X`, the layers, `raw/X` where there is one.
    pub fn matrix_names(&self) -> Vec<MatrixName> {
        MatrixName::list(self.layers.keys().cloned(), self.raw.is_some())
    }

    /// The matrix called `name`, with its genes.
    pub fn matrix(&self, name: &MatrixName) -> Option<(&CsrMatrix, &Frame)> {
        match name {
            MatrixName::X => Some((&self.x, &self.var)),
            MatrixName::Raw => self.raw.as_ref().map(|raw| (&raw.x, &raw.var)),
            MatrixName::Layer(name) => self.layers.get(name).map(|layer| (layer, &self.var)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Raw, log1p_cp10k};

    fn matrix(values: &[f32]) -> CsrMatrix {
        CsrMatrix {
            n_rows: 1,
            n_cols: values.len(),
            indptr: vec![0, values.len()],
            indices: (0..values.len() as u32).collect(),
            data: values.to_vec(),
        }
    }

    #[test]
    fn counts_are_preferred_and_the_choice_is_named() {
        let counts = matrix(&[1., 9.]);
        let logged = log1p_cp10k(&counts, MatrixState::Counts).unwrap();
        let scaled = matrix(&[-1., 0.5]);
        let raw = |x: &CsrMatrix| Some(Raw { x: x.clone(), var: Frame::default() });
        let mut cells = Cells { x: scaled, raw: raw(&logged), ..Cells::default() };
        let chosen = choose(&cells, None).unwrap();
        assert_eq!((chosen.name, chosen.state), (MatrixName::Raw, MatrixState::LogNormalised));
        cells.layers.insert("counts".to_owned(), counts.clone());
        assert_eq!(choose(&cells, None).unwrap().name.to_string(), "layers/counts");
        assert_eq!(choose(&cells, Some("X")).unwrap().state, MatrixState::Scaled);
        assert_eq!(choose(&cells, Some("raw")).unwrap().name, MatrixName::Raw);
        let refused = choose(&cells, Some("none")).unwrap_err().to_string();
        assert!(refused.contains("X, layers/counts, raw/X"), "{refused}");
        cells.x = logged.clone();
        cells.layers.clear();
        assert_eq!(choose(&cells, None).unwrap().name, MatrixName::X);
        cells.raw = raw(&counts);
        assert_eq!(choose(&cells, None).unwrap().name, MatrixName::Raw);
        cells.layers.insert("raw".to_owned(), logged);
        assert_eq!(choose(&cells, Some("raw")).unwrap().name.to_string(), "layers/raw");
        cells.x = CsrMatrix { n_rows: 1, n_cols: 2, indptr: vec![0, 0], ..CsrMatrix::default() };
        assert_eq!(choose(&cells, None).unwrap().name, MatrixName::Raw, "an empty X is no choice");
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_with_its_matrix() {
        let cells = Cells { x: matrix(&[f32::INFINITY, 1.]), ..Cells::default() };
        assert!(choose(&cells, None).unwrap_err().to_string().starts_with("X: row 0, column 0"));
    }
}
