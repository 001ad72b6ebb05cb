//! Gene names from a text file.

use std::path::Path;

use crate::Result;
use crate::cells::Frame;
use crate::genes::read_name_list;

/// The genes of a data set as a frame.
pub(super) fn genes_of(path: &Path) -> Result<Frame> {
    Ok(Frame { index: read_name_list(path)?, columns: Vec::new() })
}
