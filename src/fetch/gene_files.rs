//! NCBI's gene files.

use std::path::{Path, PathBuf};

use super::download::Downloader;
use super::named_file::fetch_recorded;
use crate::genes::Species;
use crate::{Error, Result};

/// Where NCBI keeps them; the FTP site over HTTPS.
pub const NCBI_GENE_DATA: &str = "https://ftp.ncbi.nlm.nih.gov/gene/DATA";

const REMEDY: &str = "offline, download the file elsewhere and pass it to `screader genes build` \
                      (--gene-info FILE, --summaries FILE, --history FILE)";

/// The files of a species, relative to [`NCBI_GENE_DATA`]. Orthologs lend mouse their text, so that
/// the other species' names are fetched with them.
fn files_of(species: Species) -> Vec<&'static str> {
    let human = "GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz";
    let mouse = "GENE_INFO/Mammalia/Mus_musculus.gene_info.gz";
    let all_species = ["gene_summary.gz", "gene_history.gz"];
    match species {
        Species::Human => [&[human], &all_species[..]].concat(),
        Species::Mouse => [&[mouse, human], &all_species[..], &["gene_orthologs.gz"]].concat(),
    }
}

/// Download the gene files of a species into `folder` from `base` (that is, [`NCBI_GENE_DATA`] or a
/// mirror of it) and write a `.sha256` beside each.
///
/// NCBI publishes no hash: the length that the server states and the checksums inside the gzip are
/// what vouches for a file, and the hash that is recorded then tells whether it changed since. A
/// file that is there and hashes to its record is not fetched again unless `update` is set.
///
/// Returns the paths in the order of fetching.
///
/// # Errors
/// [`Error::Network`] if the host cannot be reached (it says how to go on offline), else as
/// [`Downloader::download`].
pub fn fetch_gene_files(
    downloader: &Downloader,
    base: &str,
    species: Species,
    folder: &Path,
    update: bool,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    let mut paths = Vec::new();
    for file in files_of(species) {
        let name = file.rsplit('/').next().unwrap_or(file);
        let target = folder.join(name);
        let url = format!("{}/{file}", base.trim_end_matches('/'));
        fetch_recorded(downloader, &url, &target, update, REMEDY)?;
        paths.push(target);
    }
    Ok(paths)
}
