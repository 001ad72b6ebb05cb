//! Files that appear under their name only once they are whole: written beside it, synced, renamed.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Begin the file that will stand at `path`; until [`put`] it is a temporary one in the same folder.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to.
pub(crate) fn begin(path: &Path) -> Result<NamedTempFile> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let suffix = if extension.is_empty() { String::new() } else { format!(".{extension}") };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".screader-").suffix(&suffix);
    #[cfg(unix)]
    {
        // As readable as any new file; temporary files are private by default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path)).map_err(Error::io(path, "write"))
}

/// Sync `file` and give it the name `path`, replacing what is there.
///
/// # Errors
/// [`Error::Io`] if it cannot be synced or renamed; then `path` is as it was.
pub(crate) fn put(file: NamedTempFile, path: &Path) -> Result<()> {
    // By its name: a writer may have put another file there than the one that was begun.
    File::open(file.path()).and_then(|file| file.sync_all()).map_err(Error::io(path, "write"))?;
    file.persist(path).map_err(|error| Error::io(path, "rename")(error.error))?;
    // The name is durable once its folder is; not every system lets a folder be synced.
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Write `bytes` to a file that stands at `path` once it is whole.
///
/// # Errors
/// As [`begin`] and [`put`], and [`Error::Io`] where the disk is full.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = begin(path)?;
    file.write_all(bytes).map_err(Error::io(path, "write"))?;
    put(file, path)
}

/// Refuse a `path` in a folder that is not there: before the work, where it costs nothing.
///
/// # Errors
/// [`Error::Input`] that names the path.
pub(crate) fn require_folder(path: &Path) -> Result<()> {
    if folder_of(path).is_dir() {
        return Ok(());
    }
    let remedy = "make the folder, or name another file";
    Err(Error::input(path.display(), "a folder that is there", "none", remedy))
}

/// The folder that `path` stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
