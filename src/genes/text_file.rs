//! Text files, plain or gzip, told apart by their first bytes rather than by their name.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;

use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// Open a text file for reading; gzip (of any number of members) is inflated.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened or read.
pub(super) fn open_text(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path, "open"))?);
    let gzip = file.fill_buf().map_err(Error::io(path, "read"))?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip {
        Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// Read a whole text file, plain or gzip; a byte-order mark at its start is dropped.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Input`] if it is a broken gzip or no UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    open_text(path)?.read_to_string(&mut text).map_err(unreadable(path))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    })
}

/// Tell content that is no text, or no whole gzip, from a refusal of the operating system; meant
/// for `map_err(unreadable(path))`.
pub(super) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
            let remedy = "get the file again, or name another";
            Error::input(path.display(), "UTF-8 text, plain or gzip", error, remedy)
        }
        _ => Error::io(&path, "read")(error),
    }
}

/// Write a file as a whole or not at all: to a temporary file beside it, then renamed. A name that
/// ends in `.gz` is compressed.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to.
pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    let mut file = begin(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let level = flate2::Compression::default();
        let mut gzip = flate2::write::GzEncoder::new(file.as_file_mut(), level);
        gzip.write_all(text.as_bytes()).map_err(Error::io(path, "write"))?;
        gzip.finish().map_err(Error::io(path, "write"))?;
    } else {
        file.write_all(text.as_bytes()).map_err(Error::io(path, "write"))?;
    }
    put(file, path)
}
