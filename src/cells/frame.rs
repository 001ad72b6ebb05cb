//! A table of named columns with an index, as `obs` and `var` are.

/// A table: an index and columns in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Row names: barcodes of `obs`, genes of `var`.
    pub index: Vec<String>,
    /// Columns by name, in file order; each as long as the index.
    pub columns: Vec<(String, Column)>,
}

/// One column of a [`Frame`]. Missing entries are `None`, `NaN` or code -1.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Few distinct texts: `codes[row]` indexes `categories`, -1 is missing.
    Categorical {
        /// Index into `categories`, or -1.
        codes: Vec<i32>,
        /// The distinct texts.
        categories: Vec<String>,
        /// Whether the categories have an order.
        ordered: bool,
    },
    /// Free text.
    Text(Vec<Option<String>>),
    /// Floating-point numbers.
    Float(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<Option<i64>>),
    /// Truth values.
    Boolean(Vec<Option<bool>>),
}

impl Frame {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(key, _)| key == name).map(|(_, column)| column)
    }

    /// Copy the rows `rows`, in that order.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        Self {
            index: rows.iter().map(|&row| self.index[row].clone()).collect(),
            columns: self
                .columns
                .iter()
                .map(|(name, column)| (name.clone(), column.select_rows(rows)))
                .collect(),
        }
    }

    /// Names of all columns, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }
}

impl Column {
    /// Build a categorical column from texts; categories are sorted, as pandas does.
    pub fn categorical(values: &[Option<String>]) -> Self {
        let categories: std::collections::BTreeSet<&String> = values.iter().flatten().collect();
        let categories: Vec<String> = categories.into_iter().cloned().collect();
        let code = |value: &Option<String>| match value {
            Some(text) => categories.binary_search(text).map_or(-1, |at| at as i32),
            None => -1,
        };
        Self::Categorical { codes: values.iter().map(code).collect(), categories, ordered: false }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Categorical { codes, .. } => codes.len(),
            Self::Text(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copy the rows `rows`, in that order; categories stay as they are.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        match self {
            Self::Categorical { codes, categories, ordered } => Self::Categorical {
                codes: pick(codes, rows),
                categories: categories.clone(),
                ordered: *ordered,
            },
            Self::Text(values) => Self::Text(pick(values, rows)),
            Self::Float(values) => Self::Float(pick(values, rows)),
            Self::Integer(values) => Self::Integer(pick(values, rows)),
            Self::Boolean(values) => Self::Boolean(pick(values, rows)),
        }
    }

    /// The entry of `row` as text, `None` where it is missing.
    pub fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Categorical { codes, categories, .. } => {
                usize::try_from(codes[row]).ok().and_then(|code| categories.get(code)).cloned()
            }
            Self::Text(values) => values[row].clone(),
            Self::Float(values) => values[row].is_finite().then(|| values[row].to_string()),
            Self::Integer(values) => values[row].map(|value| value.to_string()),
            Self::Boolean(values) => values[row].map(|value| value.to_string()),
        }
    }
}
