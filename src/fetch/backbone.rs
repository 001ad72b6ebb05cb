//! Backbones of the hub.

use std::path::Path;

use super::download::Downloader;
use super::hub::{FetchedModel, HubAddress, HubModel, fetch_model};
use super::manifest::{Backbone, known_backbones};
use crate::{Error, Result};

const REMEDY: &str = "check the name; a gated model needs its licence accepted on its page and a \
                      token in HF_TOKEN; offline, copy the model's folder (config.json, \
                      tokenizer.json, *.safetensors) here and pass its path as the backbone";

/// Download the backbone `name` (of the manifest, or `owner/name` on the hub) into a folder of
/// `checkpoints`, and record what came in its `lock.toml`.
///
/// The hashes of the manifest are the publisher's; else as [`fetch_model`].
///
/// # Errors
/// [`Error::Input`] for an unknown name, or a repository without safetensors; else as
/// [`fetch_model`].
pub fn fetch_backbone(
    downloader: &Downloader,
    hub: &HubAddress,
    name: &str,
    checkpoints: &Path,
    update: bool,
) -> Result<FetchedModel> {
    let mut known = known_backbones()?;
    let place =
        known.iter().position(|one| one.name.eq_ignore_ascii_case(name) || one.repo == name);
    let (folder_name, repo, sha256) = match place.map(|place| known.swap_remove(place)) {
        Some(backbone) => (backbone.name, backbone.repo, backbone.sha256),
        None => (name.replace('/', "--"), checked_repo(name, &known)?, Default::default()),
    };
    std::fs::create_dir_all(checkpoints).map_err(Error::io(checkpoints, "create"))?;
    let model = HubModel {
        folder: checkpoints.join(&folder_name),
        lock: checkpoints.join("lock.toml"),
        name: folder_name,
        repo,
        sha256,
        wanted: is_wanted,
        required: &[".safetensors", "config.json"],
        remedy: REMEDY,
    };
    fetch_model(downloader, hub, &model, update)
}

/// Accept `owner/name` of the hub's alphabet, so that a name can never leave its folder.
fn checked_repo(name: &str, known: &[Backbone]) -> Result<String> {
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

/// Configuration, tokenizer and safetensors, only at the top: the `original/` and `onnx/` folders
/// hold the same weights again.
fn is_wanted(name: &str) -> bool {
    const NAMED: [&str; 9] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "chat_template.jinja",
        "special_tokens_map.json",
        "added_tokens.json",
        "model.safetensors.index.json",
    ];
    let plain = !name.contains(['/', '\\']) && !name.starts_with('.');
    plain && (NAMED.contains(&name) || name.ends_with(".safetensors"))
}
