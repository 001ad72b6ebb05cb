//! The identity of a checkpoint folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::checkpoint::weight_files;
use crate::{Error, Result};

/// Hash a checkpoint folder: SHA-256, in hex, over `config.json` and the weight files by name.
///
/// Each file enters as its name, its length and its bytes, so that no two folders share a stream. A
/// trained checkpoint names its backbone by this instead of copying it.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(folder: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let files = std::iter::once(folder.join("config.json")).chain(weight_files(folder)?);
    for path in files {
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        if let Some(name) = path.file_name() {
            hash.update(name.as_encoded_bytes());
        }
        hash.update([0]);
        hash.update(length.to_le_bytes());
        loop {
            let read = file.read(&mut buffer).map_err(Error::io(&path))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
