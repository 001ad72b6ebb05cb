//! Single files that others publish: fetched once, their hash recorded beside them.

use std::path::{Path, PathBuf};

use super::download::{Download, Downloader};
use super::integrity::{record, recorded, sha256_of};
use crate::{Error, Result};

/// A file that is used by name.
#[derive(Debug, Clone, Copy)]
pub struct NamedFile {
    /// Where it is published.
    pub url: &'static str,
    /// What to do where it cannot be reached.
    remedy: &'static str,
}

/// The Cell Ontology (CC BY 4.0): names, synonyms and kinds of cell types.
pub const CELL_ONTOLOGY: NamedFile = NamedFile {
    url: "https://purl.obolibrary.org/obo/cl/cl-basic.obo",
    remedy: "download the file elsewhere and pass it with --ontology",
};
/// PanglaoDB's markers of cell types of mouse and human.
pub const PANGLAODB_MARKERS: NamedFile = NamedFile {
    url: "https://panglaodb.se/markers/PanglaoDB_markers_27_Mar_2020.tsv.gz",
    remedy: "download the file elsewhere and pass it with --marker-table",
};

impl NamedFile {
    /// Download the file into `folder`, from `url` where that is another place, and write its hash beside it; returns
    /// its path. A file that is there and hashes to its record is not fetched again unless `update` is set.
    ///
    /// # Errors
    /// [`Error::Network`] if the host cannot be reached, else as [`Downloader::download`].
    pub fn fetch(
        &self,
        downloader: &Downloader,
        url: &str,
        folder: &Path,
        update: bool,
    ) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let target = folder.join(url.rsplit('/').next().unwrap_or(url));
        fetch_recorded(downloader, url, &target, update, self.remedy)?;
        Ok(target)
    }
}

/// Download `url` to `target` and write its hash beside it. A file that is there and hashes to its record is not
/// fetched again unless `update` is set.
///
/// # Errors
/// [`Error::Network`] with `remedy` if the host cannot be reached, else as [`Downloader::download`].
pub(super) fn fetch_recorded(
    downloader: &Downloader,
    url: &str,
    target: &Path,
    update: bool,
    remedy: &str,
) -> Result<()> {
    if !update && target.exists() && recorded(target) == Some(sha256_of(target)?) {
        eprintln!("{}: already there, hash as recorded", target.display());
        return Ok(());
    }
    let job = Download { url, target, sha256: None, bytes: None, token: None, remedy };
    let done = downloader.download(&job)?;
    record(target, &done.sha256)?;
    eprintln!("{}: {} bytes, sha256 {}", target.display(), done.bytes, done.sha256);
    Ok(())
}
