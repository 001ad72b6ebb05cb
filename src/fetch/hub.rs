//! Models from the Hugging Face hub, or anything laid out like it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cache::{HubCache, take};
use super::download::{Download, Downloader};
use super::integrity::sha256_of;
use super::lock::{Lock, LockedFile, LockedModel};
use crate::{Error, Result};

/// The hub.
pub(super) const HUGGING_FACE: &str = "https://huggingface.co";

/// Where the hub is, how one is known there, and what is already here of it.
#[derive(Debug, Clone)]
pub struct HubAddress {
    /// Base of every address, without slash at the end.
    pub endpoint: String,
    /// Access token; never printed, never stored.
    pub token: Option<String>,
    /// What other tools fetched from it.
    pub cache: HubCache,
}

impl HubAddress {
    /// Take `HF_ENDPOINT` (default the hub itself), `HF_TOKEN` and `HF_HOME` from the environment.
    pub fn from_environment() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let endpoint = read("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            token: read("HF_TOKEN"),
            cache: HubCache::from_environment(),
        }
    }
}

/// A model on the hub: what of it is wanted, and where it goes.
#[derive(Debug, Clone)]
pub struct HubModel {
    /// Its name in the lock.
    pub name: String,
    /// Owner and name on the hub.
    pub repo: String,
    /// The folder that its files go into.
    pub folder: PathBuf,
    /// The file that records what came.
    pub lock: PathBuf,
    /// SHA-256 of files, where verified against the publisher.
    pub sha256: BTreeMap<String, String>,
    /// Whether a file of the repository is wanted.
    pub wanted: fn(&str) -> bool,
    /// Names, or their endings, that the wanted files must cover.
    pub required: &'static [&'static str],
    /// What the user can do if the hub cannot be reached or refuses.
    pub remedy: &'static str,
}

/// What a fetch left on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModel {
    /// The folder.
    pub folder: PathBuf,
    /// What is in it.
    pub locked: LockedModel,
    /// Files that were there already, with the right hash.
    pub kept: usize,
}

/// A file as the hub lists it.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<String>,
}

/// Bring the wanted files of a model into its folder, and record what came in its lock. A file that the
/// Hugging Face cache holds is linked from there; where the hub cannot be reached, the cache's own
/// listing stands for the hub's.
///
/// A hash is checked against the publisher's, the lock and what the hub states, each where there is
/// one. With `update` the lock is not heeded but written anew. Where the lock is heeded and every
/// file is as it says, the hub is not asked. `config.json` comes last, so that a folder that has it
/// is whole.
///
/// # Errors
/// [`Error::Input`] for a repository that lacks a required file, or a hash that differs;
/// [`Error::Network`] if the hub cannot be reached or refuses.
pub fn fetch_model(
    downloader: &Downloader,
    hub: &HubAddress,
    model: &HubModel,
    update: bool,
) -> Result<FetchedModel> {
    let mut lock = Lock::read(&model.lock)?;
    let locked = lock.model.get(&model.name).filter(|_| !update).cloned();
    if let Some(locked) = &locked
        && model.is_as(locked)?
    {
        let kept = locked.files.len();
        eprintln!("{}: already there, hashes as recorded", model.folder.display());
        return Ok(FetchedModel { folder: model.folder.clone(), locked: locked.clone(), kept });
    }
    let revision = locked.as_ref().map_or("main", |locked| locked.revision.as_str());
    let repo = &model.repo;
    let (commit, files) = model.files(downloader, hub, revision)?;
    let snapshot = hub.cache.snapshot(repo, &commit);
    let mut fetched = BTreeMap::new();
    let mut kept = 0;
    for file in files {
        let before = locked.as_ref().and_then(|locked| locked.files.get(&file.name));
        let target = model.folder.join(&file.name);
        let expected = model.expected(&file, before, &target)?;
        let there = expected.is_some() && target.exists();
        let done = if there && Some(&sha256_of(&target)?) == expected {
            kept += 1;
            LockedFile { bytes: length(&target)?, sha256: expected.cloned().unwrap_or_default() }
        } else if let Some(cached) = cached(snapshot.as_deref(), &file.name, expected)? {
            take(&cached.path, &target)?;
            eprintln!("{}: from {}", target.display(), cached.path.display());
            LockedFile { bytes: length(&target)?, sha256: cached.sha256 }
        } else {
            let url = format!("{}/{repo}/resolve/{commit}/{}", hub.endpoint, file.name);
            let done = downloader.download(&Download {
                url: &url,
                target: &target,
                sha256: expected.map(String::as_str),
                bytes: file.bytes,
                token: hub.token.as_deref(),
                remedy: model.remedy,
            })?;
            LockedFile { bytes: done.bytes, sha256: done.sha256 }
        };
        eprintln!("{}: {} bytes, sha256 {}", target.display(), done.bytes, done.sha256);
        fetched.insert(file.name, done);
    }
    let locked = LockedModel { repo: repo.clone(), revision: commit, files: fetched };
    lock.model.insert(model.name.clone(), locked.clone());
    lock.write(&model.lock)?;
    Ok(FetchedModel { folder: model.folder.clone(), locked, kept })
}

/// A file of the cache, with what it hashes to.
struct Cached {
    path: PathBuf,
    sha256: String,
}

/// The file `name` of a snapshot, if it is there and is what is expected.
fn cached(
    snapshot: Option<&Path>,
    name: &str,
    expected: Option<&String>,
) -> Result<Option<Cached>> {
    let Some(path) = snapshot.map(|folder| folder.join(name)).filter(|path| path.is_file()) else {
        return Ok(None);
    };
    let sha256 = sha256_of(&path)?;
    let fits = expected.is_none_or(|expected| expected.eq_ignore_ascii_case(&sha256));
    Ok(fits.then_some(Cached { path, sha256 }))
}

impl HubModel {
    /// The commit and its wanted files, as the hub lists them, or the cache if it cannot be reached.
    fn files(
        &self,
        downloader: &Downloader,
        hub: &HubAddress,
        revision: &str,
    ) -> Result<(String, Vec<Listed>)> {
        let repo = &self.repo;
        let url = format!("{}/api/models/{repo}/revision/{revision}?blobs=true", hub.endpoint);
        match downloader.json(&url, hub.token.as_deref(), self.remedy) {
            Ok(listing) => {
                let (commit, files) = parse(&listing).map_err(|missing| self.odd(missing))?;
                Ok((commit, self.select(files)?))
            }
            Err(unreachable) => match hub.cache.list(repo, revision) {
                Some((commit, files)) => {
                    eprintln!("{unreachable}");
                    eprintln!("taking {repo} as the Hugging Face cache has it, commit {commit}");
                    Ok((commit, self.select(files)?))
                }
                None => Err(unreachable),
            },
        }
    }

    /// Whether the folder holds what the lock says, and the lock agrees with the publisher.
    fn is_as(&self, locked: &LockedModel) -> Result<bool> {
        if locked.repo != self.repo {
            return Ok(false);
        }
        for (name, file) in &locked.files {
            let target = self.folder.join(name);
            let published = self.sha256.get(name).is_none_or(|sha256| *sha256 == file.sha256);
            if !published || !target.is_file() || length(&target)? != file.bytes {
                return Ok(false);
            }
            if sha256_of(&target)? != file.sha256 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a file must hash to; a contradiction is found before anything is downloaded.
    fn expected<'a>(
        &'a self,
        file: &'a Listed,
        before: Option<&'a LockedFile>,
        target: &Path,
    ) -> Result<Option<&'a String>> {
        let published = self.sha256.get(&file.name);
        let known = published.or(before.map(|before| &before.sha256));
        let (Some(known), Some(stated)) = (known, &file.sha256) else {
            return Ok(known.or(file.sha256.as_ref()));
        };
        if known.eq_ignore_ascii_case(stated) {
            return Ok(Some(known));
        }
        let (source, remedy) = match published {
            Some(_) => ("published", "the file on the hub is another one: do not use it"),
            None => ("in the lock", "do not use it, or trust the hub anew with --update"),
        };
        let expected = format!("SHA-256 {known} ({source})");
        Err(Error::input(target.display(), expected, format!("{stated}, the hub's"), remedy))
    }

    /// The files that are wanted, `config.json` last.
    fn select(&self, mut files: Vec<Listed>) -> Result<Vec<Listed>> {
        files.retain(|file| (self.wanted)(&file.name));
        for required in self.required {
            if !files.iter().any(|file| file.name.ends_with(required)) {
                return Err(self.odd(format!("a file {required}")));
            }
        }
        files.sort_by_key(|file| file.name == "config.json");
        Ok(files)
    }

    fn odd(&self, missing: String) -> Error {
        Error::input(&self.repo, missing, "none", "choose a repository that has it")
    }
}

/// The commit and the files of the hub's listing, or what is missing of it.
fn parse(listing: &Value) -> std::result::Result<(String, Vec<Listed>), String> {
    let commit = listing.get("sha").and_then(Value::as_str).unwrap_or_default();
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("a listing with the commit as `sha`".into());
    }
    let siblings = listing.get("siblings").and_then(Value::as_array);
    let siblings = siblings.ok_or("a listing with `siblings`")?;
    Ok((commit.to_string(), siblings.iter().filter_map(listed).collect()))
}

fn length(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).map_err(Error::io(path, "read"))?.len())
}

fn listed(sibling: &Value) -> Option<Listed> {
    let name = sibling.get("rfilename")?.as_str()?.to_string();
    let large = sibling.get("lfs");
    let sha256 = large.and_then(|large| large.get("sha256")).and_then(Value::as_str);
    Some(Listed {
        name,
        bytes: sibling.get("size").and_then(Value::as_u64),
        sha256: sha256.map(str::to_string),
    })
}
