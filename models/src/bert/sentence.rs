//! Texts to sentence vectors, as sentence-transformers computes them.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rayon::prelude::*;
use screader_kernels::host::Encoder;
use sha2::{Digest, Sha256};
use tokenizers::{Tokenizer, TruncationParams};

use super::encoder::{Bert, TokenBatch};
use super::host;
use super::parameters::Parameters;
use super::settings::{BertSettings, SentenceSettings};
use super::weights::WeightsFile;
use crate::{Error, Result};

/// Tokens of one task on the CPU: enough rows for the matrix products to run at full speed, few
/// enough for the values between them to stay in a core's cache.
const HOST_TASK_TOKENS: usize = 512;
/// Tokens of one batch on a GPU.
const DEVICE_BATCH_TOKENS: usize = 32_768;
/// The least share of a batch's longest text that another of its texts has; the rest is padding.
const LEAST_SHARE: f64 = 0.97;

/// A sentence encoder: tokenizer, BERT, mean pooling and normalisation.
pub struct SentenceEncoder<B: Backend> {
    path: PathBuf,
    settings: SentenceSettings,
    tokenizer: Tokenizer,
    network: Network<B>,
    weights_sha256: String,
}

/// The encoder, laid out for where it runs.
enum Network<B: Backend> {
    /// On CPU cores, in place of burn's CPU backend.
    Host(Encoder),
    /// On any other backend.
    Device(Bert<B>),
}

impl<B: Backend> Network<B> {
    fn new(settings: &BertSettings, parameters: Parameters, device: &B::Device) -> Self {
        match crate::is_processor::<B>() {
            true => Self::Host(host::encoder(settings, parameters)),
            false => Self::Device(Bert::new(settings, parameters, device)),
        }
    }
}

impl<B: Backend> SentenceEncoder<B> {
    /// Load a sentence-transformers folder: `config.json`, `modules.json`, `1_Pooling/config.json`,
    /// `sentence_bert_config.json`, `tokenizer.json` and `model.safetensors`.
    ///
    /// # Errors
    /// A file that cannot be read, a setting this encoder does not compute, and a tensor that is
    /// missing, superfluous or of another shape, each named by its key.
    pub fn load(folder: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        let folder = folder.as_ref();
        let settings = SentenceSettings::read(folder)?;
        let tokenizer = load_tokenizer(&folder.join("tokenizer.json"), &settings)?;
        let file = WeightsFile::open(folder.join("model.safetensors"))?;
        let mut weights = file.tensors()?;
        let parameters = Parameters::take(&settings.bert, &mut weights)?;
        weights.finish()?;
        let network = Network::new(&settings.bert, parameters, device);
        let digest = Sha256::digest(file.bytes());
        let weights_sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: folder.to_path_buf(), settings, tokenizer, network, weights_sha256 })
    }

    /// Length of a sentence vector.
    pub fn dimensions(&self) -> usize {
        self.settings.bert.hidden_size
    }

    /// The folder's settings.
    pub fn settings(&self) -> &SentenceSettings {
        &self.settings
    }

    /// sha256 of `model.safetensors`, hexadecimal.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// Token ids of each text, cut to [`SentenceSettings::max_tokens`], special tokens included.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn tokenize(&self, texts: &[impl AsRef<str> + Sync]) -> Result<Vec<Vec<u32>>> {
        texts
            .par_iter()
            .map(|text| {
                let text = text.as_ref();
                let encoded = match self.settings.lower_case {
                    true => self.tokenizer.encode_fast(text.to_lowercase(), true),
                    false => self.tokenizer.encode_fast(text, true),
                };
                let encoding =
                    encoded.map_err(|error| self.refuse("tokenizer.json", "text", error))?;
                let ids = encoding.get_ids().to_vec();
                // A vocabulary with gaps has ids beyond its size, which load_tokenizer cannot see.
                match ids.iter().find(|&&id| id as usize >= self.settings.bert.vocab_size) {
                    Some(id) => Err(self.refuse("tokenizer.json", "text", format!("token {id}"))),
                    None => Ok(ids),
                }
            })
            .collect()
    }

    /// Embed texts: one vector of [`dimensions`](Self::dimensions) for each, in their order.
    /// `done` is told how many texts each finished batch had.
    ///
    /// On the CPU each task takes whole texts without any padding; elsewhere texts of like length
    /// share a batch.
    ///
    /// # Errors
    /// A text that the tokenizer refuses, and weights that give a vector that is not finite.
    pub fn embed(
        &self,
        texts: &[impl AsRef<str> + Sync],
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vec<f32>>> {
        let tokens = self.tokenize(texts)?;
        let bert = match &self.network {
            Network::Host(encoder) => return self.embed_on_host(encoder, &tokens, done),
            Network::Device(bert) => bert,
        };
        let mut ordered = vec![Vec::new(); texts.len()];
        for batch in batches(&tokens, DEVICE_BATCH_TOKENS) {
            let ids: Vec<&[u32]> = batch.iter().map(|&at| tokens[at].as_slice()).collect();
            let vectors = self.embed_on_device(bert, &ids)?;
            done(batch.len());
            for (at, vector) in batch.into_iter().zip(vectors) {
                ordered[at] = vector;
            }
        }
        Ok(ordered)
    }

    fn embed_on_host(
        &self,
        encoder: &Encoder,
        tokens: &[Vec<u32>],
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vec<f32>>> {
        let run = |group: std::ops::Range<usize>| {
            let ids: Vec<&[u32]> = tokens[group].iter().map(Vec::as_slice).collect();
            let mut means = encoder.mean(&ids);
            if self.settings.normalise {
                host::normalise(&mut means, self.dimensions());
            }
            done(ids.len());
            self.rows(&means)
        };
        let groups = host::groups(tokens, HOST_TASK_TOKENS);
        let vectors: Vec<Vec<Vec<f32>>> =
            groups.into_par_iter().with_max_len(1).map(run).collect::<Result<_>>()?;
        Ok(vectors.into_iter().flatten().collect())
    }

    /// Embed texts given as token ids, all in one batch.
    fn embed_on_device(&self, bert: &Bert<B>, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let device = bert.device();
        let batch = TokenBatch::<B>::new(texts, device);
        let hidden = bert.forward(&batch);
        let pooled = mean_pool(hidden, batch.kept(device));
        let pooled = match self.settings.normalise {
            true => normalise(pooled),
            false => pooled,
        };
        let values =
            pooled.into_data().convert::<f32>().to_vec::<f32>().map_err(|error| {
                self.refuse("model.safetensors", "output", format!("{error:?}"))
            })?;
        self.rows(&values)
    }

    /// Split values into sentence vectors, all of them finite.
    fn rows(&self, values: &[f32]) -> Result<Vec<Vec<f32>>> {
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.refuse("model.safetensors", "output", "a number that is not finite"));
        }
        Ok(values.chunks_exact(self.dimensions()).map(<[f32]>::to_vec).collect())
    }

    fn refuse(&self, file: &str, key: &str, found: impl ToString) -> Error {
        Error::Checkpoint {
            path: self.path.join(file),
            key: key.to_owned(),
            expected: "finite vectors".to_owned(),
            found: found.to_string(),
        }
    }
}

/// Mean of the kept tokens, `[texts, length, hidden]` and `[texts, length]` to `[texts, hidden]`.
fn mean_pool<B: Backend>(hidden: Tensor<B, 3>, kept: Tensor<B, 2>) -> Tensor<B, 2> {
    let [texts, _, width] = hidden.dims();
    let count = kept.clone().sum_dim(1);
    let sum = kept.unsqueeze_dim::<3>(1).matmul(hidden).reshape([texts, width]);
    sum / count
}

/// Divide every row by its length; the least length is that of PyTorch's `normalize`.
fn normalise<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = rows.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    rows / length
}

/// Group texts (by index) of like length, the longest first, into batches of at most `budget`
/// tokens; a text longer than that has a batch of its own.
fn batches(tokens: &[Vec<u32>], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(tokens[at].len()), at));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for at in order {
        let length = tokens[at].len();
        let fits = length as f64 >= LEAST_SHARE * longest as f64;
        match batches.last_mut() {
            Some(batch) if fits && (batch.len() + 1) * longest <= budget => batch.push(at),
            _ => {
                longest = length;
                batches.push(vec![at]);
            }
        }
    }
    batches
}

fn load_tokenizer(path: &Path, settings: &SentenceSettings) -> Result<Tokenizer> {
    if !path.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Error::Io { path: path.to_path_buf(), source });
    }
    let refuse = |error: tokenizers::Error| Error::Checkpoint {
        path: path.to_path_buf(),
        key: "tokenizer".to_owned(),
        expected: "a tokenizer of Hugging Face".to_owned(),
        found: error.to_string(),
    };
    let mut tokenizer = Tokenizer::from_file(path).map_err(refuse)?;
    let vocabulary = tokenizer.get_vocab_size(true);
    if vocabulary > settings.bert.vocab_size {
        return Err(Error::Checkpoint {
            path: path.to_path_buf(),
            key: "vocab".to_owned(),
            expected: format!("at most vocab_size {} tokens", settings.bert.vocab_size),
            found: vocabulary.to_string(),
        });
    }
    let truncation = TruncationParams { max_length: settings.max_tokens, ..Default::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(refuse)?;
    // Batches are padded here, to their own length rather than to the one in the file.
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
