//! The backbones that screader knows by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A backbone of `checkpoints/manifest.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// Short name: `smollm2-135m`.
    pub name: String,
    /// Owner and name on the Hugging Face hub.
    pub repo: String,
    /// Licence of the weights.
    pub licence: String,
    /// Whether the licence has to be accepted on the model's page, and a token sent.
    pub gated: bool,
    /// Number of weights.
    pub parameters: u64,
    /// Approximate size of the weights on disk, in bytes.
    pub bytes: u64,
    /// Width of a hidden state.
    pub hidden_size: u64,
    /// Width of the feed-forward layer.
    pub intermediate_size: u64,
    /// Number of layers.
    pub layers: u64,
    /// Number of attention heads.
    pub heads: u64,
    /// Number of key-value heads.
    pub kv_heads: u64,
    /// Width of an attention head.
    pub head_dim: u64,
    /// Number of tokens.
    pub vocabulary: u64,
    /// Whether the output layer shares the token embedding.
    pub tied: bool,
    /// SHA-256 of files, where verified against the publisher.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    backbone: Vec<Backbone>,
}

impl Backbone {
    /// The page of the model.
    pub fn url(&self) -> String {
        format!("{}/{}", super::hub::HUGGING_FACE, self.repo)
    }

    /// Number of weights that the shape makes: embedding, and per layer the four attention
    /// projections, the three of SwiGLU and two norms; a last norm; an output layer unless tied.
    pub fn parameters_of_shape(&self) -> u64 {
        let attention = 2 * self.hidden_size * self.head_dim * (self.heads + self.kv_heads);
        let feed_forward = 3 * self.hidden_size * self.intermediate_size;
        let layer = attention + feed_forward + 2 * self.hidden_size;
        let embeddings = self.vocabulary * self.hidden_size * if self.tied { 1 } else { 2 };
        embeddings + self.layers * layer + self.hidden_size
    }
}

/// The backbones of the manifest that this binary was built with, smallest family first.
///
/// # Errors
/// [`Error::Input`] if the manifest was edited into something else.
pub fn known_backbones() -> Result<Vec<Backbone>> {
    let manifest: Manifest = toml::from_str(include_str!("../../checkpoints/manifest.toml"))
        .map_err(|error| {
            let place = "checkpoints/manifest.toml";
            Error::input(place, "the fields of a backbone", error.message(), "restore the file")
        })?;
    Ok(manifest.backbone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_make_the_numbers_of_parameters() {
        let backbones = known_backbones().unwrap();
        assert_eq!(backbones.len(), 9);
        for backbone in backbones {
            assert_eq!(backbone.parameters, backbone.parameters_of_shape(), "{}", backbone.name);
            assert_eq!(backbone.bytes, 2 * backbone.parameters, "{}", backbone.name);
        }
    }
}
