//! llama2.c checkpoints (Karpathy, 2023) as Hugging Face folders.

mod pieces;
mod weights;

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::{Error, Result};

/// Convert a legacy llama2.c checkpoint and its tokenizer to a Hugging Face folder.
///
/// `weights` is a `.bin` of seven 32-bit integers and then float tensors; `tokenizer` the `.bin` that
/// llama2.c's `tokenizer.py` exports. The folder gets `config.json`, `model.safetensors` and
/// `tokenizer.json`; it is written beside its place and renamed, so that it is complete or absent.
///
/// # Errors
/// A file that is truncated or forged, and an `out_folder` that exists.
pub fn convert_llama2c(weights: &Path, tokenizer: &Path, out_folder: &Path) -> Result<()> {
    if out_folder.exists() {
        return Err(Error::checkpoint(out_folder, "(folder)", "a new folder", "one that exists"));
    }
    let bytes = map(weights)?;
    let header = weights::Header::read(&bytes, weights)?;
    let pieces = pieces::Pieces::read(tokenizer, header.vocab_size)?;
    let parent = match out_folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".llama2c-")
        .tempdir_in(parent)
        .map_err(Error::io(parent))?;
    // An inner folder, so that the result does not keep the private mode of a temporary one.
    let folder = scratch.path().join("folder");
    std::fs::create_dir(&folder).map_err(Error::io(&folder))?;
    write_json(&folder.join("config.json"), &header.config())?;
    write_json(&folder.join("tokenizer.json"), &pieces.tokenizer())?;
    header.write_safetensors(&bytes, &folder.join("model.safetensors"))?;
    std::fs::rename(&folder, out_folder).map_err(Error::io(out_folder))
}

fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io(path))?;
    // SAFETY: the map is only read and every range of it is checked; a file truncated by somebody else
    // meanwhile would raise SIGBUS, which every reader of mapped weights accepts.
    unsafe { Mmap::map(&file) }.map_err(Error::io(path))
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    serde_json::to_writer_pretty(file, value).map_err(|error| Error::io(path)(error.into()))
}
