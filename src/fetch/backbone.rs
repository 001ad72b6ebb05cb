//! Backbones from the Hugging Face hub, or anything laid out like it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::download::{Download, Downloader};
use super::integrity::sha256_of;
use super::lock::{Lock, LockedBackbone, LockedFile};
use super::manifest::known_backbones;
use crate::{Error, Result};

/// The hub.
pub(super) const HUGGING_FACE: &str = "https://huggingface.co";

const REMEDY: &str = "check the name; a gated model needs its licence accepted on its page and a \
                      token in HF_TOKEN; offline, copy the model's folder (config.json, \
                      tokenizer.json, *.safetensors) here and pass its path as the backbone";

/// Where the hub is and how one is known there.
#[derive(Debug, Clone)]
pub struct HubAddress {
    /// Base of every address, without slash at the end.
    pub endpoint: String,
    /// Access token; never printed, never stored.
    pub token: Option<String>,
}

impl HubAddress {
    /// Take `HF_ENDPOINT` (default the hub itself) and `HF_TOKEN` from the environment.
    pub fn from_environment() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let endpoint = read("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.into());
        Self { endpoint: endpoint.trim_end_matches('/').into(), token: read("HF_TOKEN") }
    }
}

/// What a fetch left on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBackbone {
    /// The folder.
    pub folder: PathBuf,
    /// What is in it.
    pub locked: LockedBackbone,
    /// Files that were there already, with the right hash.
    pub kept: usize,
}

/// A file as the hub lists it.
struct Listed {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// Download the backbone `name` (of the manifest, or `owner/name` on the hub) into a folder of
/// `checkpoints`, and record what came in its `lock.toml`.
///
/// A hash is checked against the manifest, the lock and what the hub states, each where there is
/// one. With `update` the lock is not heeded but written anew.
///
/// # Errors
/// [`Error::Input`] for an unknown name, a repository without safetensors, or a hash that differs;
/// [`Error::Network`] if the hub cannot be reached or refuses.
pub fn fetch_backbone(
    downloader: &Downloader,
    hub: &HubAddress,
    name: &str,
    checkpoints: &Path,
    update: bool,
) -> Result<FetchedBackbone> {
    let known = known_backbones()?;
    let backbone = known.iter().find(|one| one.name.eq_ignore_ascii_case(name) || one.repo == name);
    let (folder_name, repo) = match backbone {
        Some(backbone) => (backbone.name.clone(), backbone.repo.clone()),
        None => (name.replace('/', "--"), checked_repo(name, &known)?),
    };
    std::fs::create_dir_all(checkpoints).map_err(Error::io(checkpoints, "create"))?;
    let lock_path = checkpoints.join("lock.toml");
    let mut lock = Lock::read(&lock_path)?;
    let locked = lock.backbone.get(&folder_name).filter(|_| !update).cloned();
    let revision = locked.as_ref().map_or("main", |locked| locked.revision.as_str());
    let url = format!("{}/api/models/{repo}/revision/{revision}?blobs=true", hub.endpoint);
    let listing = downloader.json(&url, hub.token.as_deref(), REMEDY)?;
    let (commit, files) = wanted(&repo, &listing)?;
    let folder = checkpoints.join(&folder_name);
    let published = backbone.map(|backbone| &backbone.sha256);
    let mut fetched = BTreeMap::new();
    let mut kept = 0;
    for file in files {
        let before = locked.as_ref().and_then(|locked| locked.files.get(&file.name));
        let expected = published
            .and_then(|hashes| hashes.get(&file.name))
            .or(before.map(|before| &before.sha256))
            .or(file.sha256.as_ref());
        let target = folder.join(&file.name);
        let there = expected.is_some() && target.exists();
        let done = if there && Some(&sha256_of(&target)?) == expected {
            kept += 1;
            let bytes = std::fs::metadata(&target).map_err(Error::io(&target, "read"))?.len();
            LockedFile { bytes, sha256: expected.cloned().unwrap_or_default() }
        } else {
            let url = format!("{}/{repo}/resolve/{commit}/{}", hub.endpoint, file.name);
            let done = downloader.download(&Download {
                url: &url,
                target: &target,
                sha256: expected.map(String::as_str),
                bytes: file.bytes,
                token: hub.token.as_deref(),
                remedy: REMEDY,
            })?;
            LockedFile { bytes: done.bytes, sha256: done.sha256 }
        };
        eprintln!("{}: {} bytes, sha256 {}", target.display(), done.bytes, done.sha256);
        fetched.insert(file.name, done);
    }
    let locked = LockedBackbone { repo, revision: commit, files: fetched };
    lock.backbone.insert(folder_name, locked.clone());
    lock.write(&lock_path)?;
    Ok(FetchedBackbone { folder, locked, kept })
}

/// Accept `owner/name` of the hub's alphabet, so that a name can never leave its folder.
fn checked_repo(name: &str, known: &[super::Backbone]) -> Result<String> {
    let word = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
    };
    match name.split_once('/') {
        Some((owner, repo)) if word(owner) && word(repo) => Ok(name.to_string()),
        _ => Err(Error::input(
            "backbone",
            "a known name, or owner/name on the hub",
            format!("{name:?}"),
            format!(
                "known are {}",
                known.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        )),
    }
}

/// The commit and the files that a backbone needs: configuration, tokenizer, safetensors.
fn wanted(repo: &str, listing: &Value) -> Result<(String, Vec<Listed>)> {
    let odd = |expected: &str, found: &str| {
        Error::input(repo, expected, found, "choose a repository with weights as safetensors")
    };
    let commit = listing.get("sha").and_then(Value::as_str).unwrap_or_default();
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(odd("a listing with the commit as `sha`", "none"));
    }
    let siblings = listing.get("siblings").and_then(Value::as_array);
    let all = siblings.ok_or_else(|| odd("a listing with `siblings`", "none"))?;
    let files: Vec<Listed> =
        all.iter().filter_map(listed).filter(|file| is_wanted(&file.name)).collect();
    let has = |ending: &str| files.iter().any(|file| file.name.ends_with(ending));
    if !has(".safetensors") {
        return Err(odd("*.safetensors", "none"));
    }
    if !files.iter().any(|file| file.name == "config.json") {
        return Err(odd("config.json", "none"));
    }
    Ok((commit.to_string(), files))
}

/// Only files at the top: the `original/` and `onnx/` folders hold the same weights again.
fn is_wanted(name: &str) -> bool {
    const NAMED: [&str; 8] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "model.safetensors.index.json",
    ];
    let plain = !name.contains(['/', '\\']) && !name.starts_with('.');
    plain && (NAMED.contains(&name) || name.ends_with(".safetensors"))
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
