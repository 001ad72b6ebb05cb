//! The Hugging Face cache that transformers and other tools fill: what is there is not downloaded again,
//! and on a machine without network it stands for the hub.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::hub::Listed;
use crate::{Error, Result};

/// The cache of this user; by default none.
#[derive(Debug, Clone, Default)]
pub struct HubCache(Option<Cache>);

impl HubCache {
    /// Take the cache of `HF_HOME`, else `~/.cache/huggingface`.
    pub fn from_environment() -> Self {
        let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // Without a home folder the crate has nowhere to look, and panics.
        let known = named("HF_HOME") || named("HOME") || named("USERPROFILE");
        Self(known.then(Cache::from_env))
    }

    /// Take the cache in the folder `hub`.
    pub fn in_folder(hub: &Path) -> Self {
        Self(Some(Cache::new(hub.to_path_buf())))
    }

    /// The folder with the files of `repo` as `commit` has them.
    pub(super) fn snapshot(&self, repo: &str, commit: &str) -> Option<PathBuf> {
        let repo = Repo::with_revision(repo.to_owned(), RepoType::Model, commit.to_owned());
        let folder = self.0.as_ref()?.repo(repo).pointer_path(commit);
        folder.is_dir().then_some(folder)
    }

    /// The commit that `revision` of `repo` was when it was last fetched, and the files of it that are
    /// here, as the hub would list them.
    pub(super) fn list(&self, repo: &str, revision: &str) -> Option<(String, Vec<Listed>)> {
        let cache = self.0.as_ref()?;
        let named = Repo::with_revision(repo.to_owned(), RepoType::Model, revision.to_owned());
        // `refs/main` holds the commit; a commit is its own name.
        let reference = cache.path().join(named.folder_name()).join("refs").join(revision);
        let commit = match std::fs::read_to_string(reference) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        let folder = self.snapshot(repo, &commit)?;
        let mut files = Vec::new();
        list_files(&folder, "", &mut files);
        Some((commit, files))
    }
}

fn list_files(folder: &Path, prefix: &str, files: &mut Vec<Listed>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            list_files(&path, &format!("{name}/"), files);
        } else if path.is_file() {
            files.push(Listed { name, bytes: None, sha256: None });
        }
    }
}

/// Make `target` the file `cached`: a link where the system has them, so that weights stand on the disk
/// once, else a copy.
pub(super) fn take(cached: &Path, target: &Path) -> Result<()> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    // The blob itself, not the snapshot's link to it.
    let blob = cached.canonicalize().map_err(Error::io(cached, "read"))?;
    if target.is_symlink() || target.exists() {
        std::fs::remove_file(target).map_err(Error::io(target, "replace"))?;
    }
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&blob, target);
    #[cfg(not(unix))]
    let linked = std::fs::hard_link(&blob, target);
    if linked.is_err() {
        std::fs::copy(&blob, target).map_err(Error::io(target, "write"))?;
    }
    Ok(())
}
