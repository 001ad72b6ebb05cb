//! The gene names of a data set or of a list.

use std::path::Path;

use crate::Result;
use crate::cells::Frame;
use crate::genes::read_name_list;
use crate::io::{ReadOptions, read};

/// The genes of a data set; of a file that ends in .txt or .list (or so before .gz), its lines.
pub(super) fn genes_of(path: &Path) -> Result<Frame> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    if stem.ends_with(".txt") || stem.ends_with(".list") {
        return Ok(Frame { index: read_name_list(path)?, columns: Vec::new() });
    }
    read(path, &ReadOptions::default()).map(|cells| cells.var)
}
