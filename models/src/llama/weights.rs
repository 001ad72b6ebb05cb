//! The weights of a decoder in host memory, one layer at a time, from a checkpoint or a seed.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Distribution, Tensor, TensorData, backend::Backend};

use super::checkpoint::Checkpoint;
use super::config::LlamaConfig;
use super::random::RandomWeights;
use crate::{Error, Result};

/// The numbers of a matrix, row by row.
pub(crate) enum Values {
    /// Read from a file or drawn from a seed.
    Host(Vec<f32>),
    /// Normal numbers of this deviation, whichever the device draws: for measuring time, which does not
    /// depend on them.
    OfDevice(f32),
}

/// An affine map `y = W x + b`: `weight` is `[outputs, inputs]`.
pub(crate) struct LinearWeights {
    pub(crate) weight: Values,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
}

impl Values {
    /// Put the numbers on a device, `[outputs, inputs]`.
    pub(crate) fn tensor<B: Backend>(self, shape: [usize; 2], device: &B::Device) -> Tensor<B, 2> {
        match self {
            Self::Host(values) => Tensor::from_data(TensorData::new(values, shape), device),
            Self::OfDevice(deviation) => {
                Tensor::random(shape, Distribution::Normal(0.0, deviation.into()), device)
            }
        }
    }

    /// The numbers in host memory, `count` of them.
    pub(crate) fn into_vec(self, count: usize) -> Vec<f32> {
        match self {
            Self::Host(values) => values,
            Self::OfDevice(deviation) => RandomWeights::new(0).draw(count, deviation),
        }
    }
}

/// One decoder layer.
pub(crate) struct LayerWeights {
    pub(crate) input_norm: Vec<f32>,
    pub(crate) query: LinearWeights,
    pub(crate) key: LinearWeights,
    pub(crate) value: LinearWeights,
    pub(crate) output: LinearWeights,
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) gate: LinearWeights,
    pub(crate) up: LinearWeights,
    pub(crate) down: LinearWeights,
}

/// Give the seven affine maps of a layer: name, outputs, inputs, bias.
fn linear_shapes(config: &LlamaConfig) -> [(&'static str, usize, usize, bool); 7] {
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let (q, k) = (config.query_width(), config.key_value_width());
    let (attention, mlp) = (config.attention_bias, config.mlp_bias);
    [
        ("self_attn.q_proj", q, h, attention),
        ("self_attn.k_proj", k, h, attention),
        ("self_attn.v_proj", k, h, attention),
        ("self_attn.o_proj", h, q, attention),
        ("mlp.gate_proj", i, h, mlp),
        ("mlp.up_proj", i, h, mlp),
        ("mlp.down_proj", h, i, mlp),
    ]
}

/// Where weights come from.
pub(crate) enum Source {
    /// A published checkpoint; the prefix is `model.` or nothing.
    Folder { checkpoint: Checkpoint, prefix: &'static str },
    /// A seeded control.
    Seed(Box<RandomWeights>),
    /// Numbers that the device draws.
    Device,
}

/// The name of the output head in a checkpoint.
pub(crate) const OUTPUT_HEAD: &str = "lm_head.weight";

impl Source {
    /// Open a folder and hold every tensor's name and shape against the architecture.
    pub(crate) fn open(folder: &Path, config: &LlamaConfig) -> Result<Self> {
        let checkpoint = Checkpoint::open(folder)?;
        // A bare decoder (`LlamaModel`) is saved without the prefix, and without an output head.
        let bare = checkpoint.contains("embed_tokens.weight");
        let prefix = if bare { "" } else { "model." };
        let mut expected = expected_tensors(config, prefix);
        let tied_copy = config.tie_word_embeddings && checkpoint.contains(OUTPUT_HEAD);
        if (!config.tie_word_embeddings && !bare) || tied_copy {
            expected.insert(OUTPUT_HEAD.into(), vec![config.vocab_size, config.hidden_size]);
        }
        // Tabulated rotary frequencies that old checkpoints carry; they follow from the settings.
        checkpoint.check(&expected, |name| name.ends_with("rotary_emb.inv_freq"))?;
        Ok(Self::Folder { checkpoint, prefix })
    }

    pub(crate) fn layer(&mut self, config: &LlamaConfig, index: usize) -> Result<LayerWeights> {
        let layer = format!("layers.{index}.");
        let mut maps = Vec::with_capacity(7);
        for (name, outputs, inputs, biased) in linear_shapes(config) {
            maps.push(self.linear(&format!("{layer}{name}"), outputs, inputs, biased)?);
        }
        let maps: [LinearWeights; 7] = match maps.try_into() {
            Ok(maps) => maps,
            Err(_) => unreachable!("linear_shapes gives seven"),
        };
        let [query, key, value, output, gate, up, down] = maps;
        Ok(LayerWeights {
            input_norm: self.norm(&format!("{layer}input_layernorm.weight"), config)?,
            query,
            key,
            value,
            output,
            attention_norm: self
                .norm(&format!("{layer}post_attention_layernorm.weight"), config)?,
            gate,
            up,
            down,
        })
    }

    fn linear(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
        biased: bool,
    ) -> Result<LinearWeights> {
        let (weight, bias) = match self {
            Self::Folder { checkpoint, prefix } => {
                let weight =
                    checkpoint.read(&format!("{prefix}{name}.weight"), &[outputs, inputs])?;
                let bias = match biased {
                    true => Some(checkpoint.read(&format!("{prefix}{name}.bias"), &[outputs])?),
                    false => None,
                };
                (Values::Host(weight), bias)
            }
            // A deviation of 1/sqrt(inputs) keeps every layer's output of the order of its input at any
            // width; at the widths of published LLaMAs it is near their initialiser's 0.02.
            Self::Seed(random) => (
                Values::Host(random.draw(outputs * inputs, 1.0 / (inputs as f32).sqrt())),
                biased.then(|| vec![0.0; outputs]),
            ),
            Self::Device => {
                (Values::OfDevice(1.0 / (inputs as f32).sqrt()), biased.then(|| vec![0.0; outputs]))
            }
        };
        Ok(LinearWeights { weight, bias, outputs, inputs })
    }

    fn norm(&mut self, name: &str, config: &LlamaConfig) -> Result<Vec<f32>> {
        match self {
            Self::Folder { checkpoint, prefix } => {
                checkpoint.read(&format!("{prefix}{name}"), &[config.hidden_size])
            }
            Self::Seed(_) | Self::Device => Ok(vec![1.0; config.hidden_size]),
        }
    }

    pub(crate) fn final_norm(&mut self, config: &LlamaConfig) -> Result<Vec<f32>> {
        self.norm("norm.weight", config)
    }
}

fn expected_tensors(config: &LlamaConfig, prefix: &str) -> BTreeMap<String, Vec<usize>> {
    let h = config.hidden_size;
    let mut expected = BTreeMap::new();
    expected.insert(format!("{prefix}embed_tokens.weight"), vec![config.vocab_size, h]);
    expected.insert(format!("{prefix}norm.weight"), vec![h]);
    for index in 0..config.num_hidden_layers {
        let layer = format!("{prefix}layers.{index}.");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            expected.insert(format!("{layer}{norm}.weight"), vec![h]);
        }
        for (name, outputs, inputs, biased) in linear_shapes(config) {
            expected.insert(format!("{layer}{name}.weight"), vec![outputs, inputs]);
            if biased {
                expected.insert(format!("{layer}{name}.bias"), vec![outputs]);
            }
        }
    }
    expected
}

/// Read the output head `[vocab_size, hidden_size]` of a folder: its own matrix, or the tied embeddings.
pub(crate) fn output_head(folder: &Path, config: &LlamaConfig) -> Result<Vec<f32>> {
    let Source::Folder { checkpoint, prefix } = Source::open(folder, config)? else {
        unreachable!("open gives a folder");
    };
    let shape = [config.vocab_size, config.hidden_size];
    if checkpoint.contains(OUTPUT_HEAD) {
        return checkpoint.read(OUTPUT_HEAD, &shape);
    }
    if config.tie_word_embeddings {
        return checkpoint.read(&format!("{prefix}embed_tokens.weight"), &shape);
    }
    Err(Error::checkpoint(folder, OUTPUT_HEAD, format!("a tensor {shape:?}"), "nothing"))
}
