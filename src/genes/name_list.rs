//! Lists of gene names in text files.

use std::path::Path;

use super::text_file::read_text;
use crate::{Error, Result};

/// Read gene names, one a line (of several fields the first), plain or gzip; blank lines and lines
/// that begin with `#` are passed over.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`] if it is no text or has no name.
pub fn read_name_list(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)?;
    let name = |line: &str| {
        line.split(['\t', ',']).next().unwrap_or_default().trim().trim_matches('"').to_string()
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<String> = lines.map(name).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(Error::input(
            path.display(),
            "gene names, one a line",
            "none",
            "name a file with genes",
        ));
    }
    Ok(names)
}
