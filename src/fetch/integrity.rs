//! Whether a file is what it should be.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Io`] if it cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block).map_err(Error::io(path, "read"))?;
        if read == 0 {
            return Ok(format!("{:x}", hasher.finalize()));
        }
        hasher.update(&block[..read]);
    }
}

/// Inflate a gzip file to its end and compare its checksums, keeping nothing.
pub(super) fn check_gzip(path: &Path) -> Result<()> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path, "open"))?);
    let mut gzip = flate2::bufread::MultiGzDecoder::new(file);
    match std::io::copy(&mut gzip, &mut std::io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::input(
            path.display(),
            "a whole gzip file",
            error,
            "the download was removed; fetch again",
        )),
    }
}

/// `FILE.sha256`, in the format of `sha256sum`.
pub(super) fn sidecar(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".sha256");
    PathBuf::from(name)
}

/// The hash that a sidecar states, if there is one.
pub(super) fn recorded(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(sidecar(path)).ok()?;
    let hash = text.split_whitespace().next()?;
    (hash.len() == 64).then(|| hash.to_string())
}

/// Write the sidecar.
pub(super) fn record(path: &Path, sha256: &str) -> Result<()> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let sidecar = sidecar(path);
    std::fs::write(&sidecar, format!("{sha256}  {name}\n")).map_err(Error::io(&sidecar, "write"))
}
