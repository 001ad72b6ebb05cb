//! What an embedding table was made from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::genes::GeneNames;
use crate::{Error, Result};

/// The version of the file format; readers refuse a higher one.
const FORMAT_VERSION: u32 = 1;

/// What a table says of its own making; everything but the vectors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingMetadata {
    /// Species of the genes, as the description table names it: `mouse`.
    pub species: String,
    /// Who embedded: `minilm`, `openai`.
    pub provider: String,
    /// The provider's model: `all-MiniLM-L6-v2`, `text-embedding-ada-002`.
    pub model: String,
    /// sha256 of the weights, where they are on this machine.
    pub weights_sha256: Option<String>,
    /// The template of the descriptions.
    pub template: String,
    /// What became of the genes without a description.
    pub missing: MissingText,
    /// sha256 of each gene's text, in the order of the genes; `None` where there was no text.
    pub text_sha256: Vec<Option<String>>,
    /// Whether each dimension was brought to mean 0 and variance 1.
    pub standardised: bool,
}

/// What becomes of a gene that has no description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum MissingText {
    /// The mean vector of the genes that have one.
    #[default]
    SpeciesMean,
    /// A vector of zeros.
    Zeros,
    /// The gene is left out of the table.
    Drop,
}

impl fmt::Display for MissingText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SpeciesMean => "species_mean",
            Self::Zeros => "zeros",
            Self::Drop => "drop",
        })
    }
}

impl EmbeddingMetadata {
    /// Pack into the text values that safetensors allows; JSON where a value is not a text.
    pub(super) fn to_texts(
        &self,
        genes: &[GeneNames],
        dimension: usize,
    ) -> serde_json::Result<BTreeMap<String, String>> {
        let mut texts = BTreeMap::from([
            ("format_version".to_owned(), FORMAT_VERSION.to_string()),
            ("genes".to_owned(), serde_json::to_string(genes)?),
            ("species".to_owned(), self.species.clone()),
            ("provider".to_owned(), self.provider.clone()),
            ("model".to_owned(), self.model.clone()),
            ("dimension".to_owned(), dimension.to_string()),
            ("template".to_owned(), self.template.clone()),
            ("missing".to_owned(), self.missing.to_string()),
            ("text_sha256".to_owned(), serde_json::to_string(&self.text_sha256)?),
            ("standardised".to_owned(), self.standardised.to_string()),
        ]);
        if let Some(hash) = &self.weights_sha256 {
            texts.insert("weights_sha256".to_owned(), hash.clone());
        }
        Ok(texts)
    }

    /// Unpack what [`to_texts`](Self::to_texts) packed: the genes and the metadata.
    pub(super) fn from_texts(
        path: &Path,
        texts: &BTreeMap<String, String>,
    ) -> Result<(Vec<GeneNames>, Self)> {
        let version: u32 = json(path, texts, "format_version")?;
        if version > FORMAT_VERSION {
            return Err(Error::input(
                format!("{}: format_version", path.display()),
                format!("at most {FORMAT_VERSION}"),
                version,
                "read it with a newer screader",
            ));
        }
        let text = |key| text(path, texts, key).map(str::to_owned);
        let missing = serde_json::Value::String(text("missing")?);
        let metadata = Self {
            species: text("species")?,
            provider: text("provider")?,
            model: text("model")?,
            weights_sha256: texts.get("weights_sha256").cloned(),
            template: text("template")?,
            missing: serde_json::from_value(missing)
                .map_err(|error| not_ours(path, "missing", error))?,
            text_sha256: json(path, texts, "text_sha256")?,
            standardised: json(path, texts, "standardised")?,
        };
        Ok((json(path, texts, "genes")?, metadata))
    }
}

fn text<'a>(path: &Path, texts: &'a BTreeMap<String, String>, key: &str) -> Result<&'a str> {
    texts.get(key).map(String::as_str).ok_or_else(|| not_ours(path, key, "nothing"))
}

fn json<T: DeserializeOwned>(
    path: &Path,
    texts: &BTreeMap<String, String>,
    key: &str,
) -> Result<T> {
    serde_json::from_str(text(path, texts, key)?).map_err(|error| not_ours(path, key, error))
}

/// Report a file that is no embedding table of ours.
pub(super) fn not_ours(path: &Path, key: &str, found: impl fmt::Display) -> Error {
    Error::input(
        format!("{}: {key}", path.display()),
        "an embedding table",
        found,
        "make one with `screader embed`",
    )
}
