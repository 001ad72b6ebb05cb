//! The BERT encoder (Devlin et al. 2019, arXiv:1810.04805), for inference.

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor, TensorData, activation, module};

use super::host::{self, Step};
use super::settings::BertSettings;
use super::weights::Weights;
use crate::Result;

/// A BERT encoder without its pooler.
#[derive(Debug, Clone)]
pub struct Bert<B: Backend> {
    /// `[vocab_size, hidden_size]`.
    words: Tensor<B, 2>,
    /// Position embeddings plus the embedding of the first token type, `[positions, hidden_size]`.
    positions: Tensor<B, 2>,
    norm: Norm<B>,
    layers: Vec<Layer<B>>,
    heads: usize,
    device: B::Device,
}

#[derive(Debug, Clone)]
struct Layer<B: Backend> {
    /// Queries (already divided by √head_size), keys and values in one product.
    query_key_value: Linear<B>,
    attended: Linear<B>,
    attended_norm: Norm<B>,
    widened: Linear<B>,
    narrowed: Linear<B>,
    narrowed_norm: Norm<B>,
}

/// `x W + b` with `W` of `[inputs, outputs]`.
#[derive(Debug, Clone)]
struct Linear<B: Backend> {
    weight: Tensor<B, 2>,
    bias: Row<B>,
}

/// Layer normalisation.
#[derive(Debug, Clone)]
struct Norm<B: Backend> {
    scale: Row<B>,
    shift: Row<B>,
    epsilon: f64,
}

/// A vector that is needed as a tensor and, on the CPU, as plain values.
#[derive(Debug, Clone)]
struct Row<B: Backend> {
    tensor: Tensor<B, 1>,
    values: Vec<f32>,
}

/// Texts as token ids, padded at their ends to one length.
pub(super) struct TokenBatch<B: Backend> {
    /// `[texts, length]`.
    ids: Tensor<B, 2, Int>,
    /// How many of each text's ids are no padding.
    lengths: Vec<usize>,
    length: usize,
}

impl<B: Backend> TokenBatch<B> {
    pub(super) fn new(texts: &[&[u32]], device: &B::Device) -> Self {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = vec![0_i32; texts.len() * length];
        for (row, text) in ids.chunks_exact_mut(length.max(1)).zip(texts) {
            row.iter_mut().zip(text.iter()).for_each(|(id, &token)| *id = token as i32);
        }
        let ids = Tensor::from_data(TensorData::new(ids, [texts.len(), length]), device);
        Self { ids, lengths, length }
    }

    /// 1 for a token and 0 for padding, `[texts, length]`.
    pub(super) fn kept(&self, device: &B::Device) -> Tensor<B, 2> {
        let kept = self.lengths.iter().flat_map(|&kept| {
            (0..self.length).map(move |at| if at < kept { 1.0_f32 } else { 0.0 })
        });
        let data = TensorData::new(kept.collect::<Vec<f32>>(), [self.lengths.len(), self.length]);
        Tensor::from_data(data, device)
    }

    /// Where attention must not look, `[texts, 1, 1, length]`; `None` where nothing is padded.
    fn padding(&self, device: &B::Device) -> Option<Tensor<B, 4, Bool>> {
        let padded = self.lengths.iter().any(|&length| length < self.length);
        padded.then(|| {
            let shape = [self.lengths.len(), 1, 1, self.length];
            self.kept(device).equal_elem(0.0).reshape(shape)
        })
    }
}

impl<B: Backend> Bert<B> {
    pub(super) fn load(
        settings: &BertSettings,
        weights: &mut Weights<'_>,
        device: &B::Device,
    ) -> Result<Self> {
        let hidden = settings.hidden_size;
        let loader = Loader { settings, device };
        let words =
            weights.take("embeddings.word_embeddings.weight", &[settings.vocab_size, hidden])?;
        let mut positions = weights.take(
            "embeddings.position_embeddings.weight",
            &[settings.max_position_embeddings, hidden],
        )?;
        let types = weights
            .take("embeddings.token_type_embeddings.weight", &[settings.type_vocab_size, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&types).for_each(|(value, first_type)| *value += first_type);
        }
        let layers = (0..settings.num_hidden_layers)
            .map(|at| loader.layer(weights, &format!("encoder.layer.{at}")))
            .collect::<Result<_>>()?;
        Ok(Self {
            words: loader.matrix(words, hidden),
            positions: loader.matrix(positions, hidden),
            norm: loader.norm(weights, "embeddings.LayerNorm")?,
            layers,
            heads: settings.num_attention_heads,
            device: device.clone(),
        })
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &B::Device {
        &self.device
    }

    /// The last hidden states of every token, `[texts, length, hidden_size]`.
    pub(super) fn forward(&self, batch: &TokenBatch<B>) -> Tensor<B, 3> {
        let texts = batch.lengths.len();
        let hidden = self.positions.dims()[1];
        let words = self.words.clone().select(0, batch.ids.clone().reshape([-1]));
        let positions = self.positions.clone().slice([0..batch.length, 0..hidden]);
        let x = words.reshape([texts, batch.length, hidden]) + positions.unsqueeze();
        let mut x = self.norm.forward(x.reshape([texts * batch.length, hidden]));
        let padding = match host::is_host::<B>() {
            true => None,
            false => batch.padding(&self.device),
        };
        for layer in &self.layers {
            let attended = layer.attend(x.clone(), self.heads, batch, padding.as_ref());
            x = layer.attended_norm.forward_sum(attended, &layer.attended, x);
            let narrowed = layer.narrowed.product(layer.widened.forward_gelu(x.clone()));
            x = layer.narrowed_norm.forward_sum(narrowed, &layer.narrowed, x);
        }
        x.reshape([texts, batch.length, hidden])
    }
}

impl<B: Backend> Layer<B> {
    /// Multi-head attention without the bias of its last product, `[tokens, hidden_size]`.
    fn attend(
        &self,
        x: Tensor<B, 2>,
        heads: usize,
        batch: &TokenBatch<B>,
        padding: Option<&Tensor<B, 4, Bool>>,
    ) -> Tensor<B, 2> {
        let [tokens, hidden] = x.dims();
        let (texts, length, size) = (batch.lengths.len(), batch.length, hidden / heads);
        // [texts, length, 3, heads, size] -> [3, texts, heads, length, size], without a copy.
        let all = self.query_key_value.forward(x);
        let all = all.reshape([texts, length, 3, heads, size]).permute([2, 0, 3, 1, 4]);
        let part = |at: usize| {
            all.clone().slice([at..at + 1, 0..texts, 0..heads, 0..length, 0..size]).squeeze_dim(0)
        };
        let (query, key, value): (Tensor<B, 4>, Tensor<B, 4>, Tensor<B, 4>) =
            (part(0), part(1), part(2));
        let scores = query.matmul(key.swap_dims(2, 3));
        let weights = if host::is_host::<B>() {
            host::in_place(scores, Step::Softmax(length, heads * length, &batch.lengths))
        } else {
            let scores = match padding {
                Some(padding) => {
                    let padding = padding.clone().expand([texts, heads, length, length]);
                    scores.mask_fill(padding, f32::NEG_INFINITY)
                }
                None => scores,
            };
            activation::softmax(scores, 3)
        };
        let context = weights.matmul(value).swap_dims(1, 2).reshape([tokens, hidden]);
        self.attended.product(context)
    }
}

impl<B: Backend> Linear<B> {
    /// `x W`, the bias left to whoever takes the product.
    fn product(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.clone())
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        if host::is_host::<B>() {
            host::in_place(self.product(x), Step::Bias(&self.bias.values))
        } else {
            module::linear(x, self.weight.clone(), Some(self.bias.tensor.clone()))
        }
    }

    fn forward_gelu(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        if host::is_host::<B>() {
            host::in_place(self.product(x), Step::BiasGelu(&self.bias.values))
        } else {
            activation::gelu(self.forward(x))
        }
    }
}

impl<B: Backend> Norm<B> {
    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        if host::is_host::<B>() {
            let (scale, shift) = (&self.scale.values, &self.shift.values);
            return host::in_place(x, Step::Normalise(scale, shift, self.epsilon as f32));
        }
        let (variance, mean) = x.clone().var_mean_bias(1);
        let normal = (x - mean) / (variance + self.epsilon).sqrt();
        normal * self.scale.tensor.clone().unsqueeze() + self.shift.tensor.clone().unsqueeze()
    }

    /// Normalise `product + bias + residual`, the bias being that of `linear`.
    fn forward_sum(
        &self,
        product: Tensor<B, 2>,
        linear: &Linear<B>,
        residual: Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        if !host::is_host::<B>() {
            return self.forward(product + linear.bias.tensor.clone().unsqueeze() + residual);
        }
        let residual = residual.into_data();
        let residual = residual.as_slice::<f32>().unwrap_or_default();
        let step = Step::BiasResidual(&linear.bias.values, residual);
        self.forward(host::in_place(product, step))
    }
}

/// Takes the parts of the encoder from a checkpoint by their names.
struct Loader<'a, B: Backend> {
    settings: &'a BertSettings,
    device: &'a B::Device,
}

impl<B: Backend> Loader<'_, B> {
    fn layer(&self, weights: &mut Weights<'_>, name: &str) -> Result<Layer<B>> {
        let (hidden, inner) = (self.settings.hidden_size, self.settings.intermediate_size);
        let attention = format!("{name}.attention");
        let scale = 1.0 / (self.settings.head_size() as f32).sqrt();
        let mut parts = Vec::with_capacity(3);
        for (part, scale) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let mut linear =
                self.parameters(weights, &format!("{attention}.self.{part}"), hidden, hidden)?;
            linear.0.iter_mut().chain(&mut linear.1).for_each(|value| *value *= scale);
            parts.push(linear);
        }
        let (weight, bias): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let mut linear = |name: &str, inputs, outputs| {
            let (weight, bias) = self.parameters(weights, name, inputs, outputs)?;
            Ok(self.linear(weight, bias, inputs))
        };
        Ok(Layer {
            query_key_value: self.linear(weight.concat(), bias.concat(), hidden),
            attended: linear(&format!("{attention}.output.dense"), hidden, hidden)?,
            widened: linear(&format!("{name}.intermediate.dense"), hidden, inner)?,
            narrowed: linear(&format!("{name}.output.dense"), inner, hidden)?,
            attended_norm: self.norm(weights, &format!("{attention}.output.LayerNorm"))?,
            narrowed_norm: self.norm(weights, &format!("{name}.output.LayerNorm"))?,
        })
    }

    /// Weight `[outputs, inputs]`, as published, and bias.
    fn parameters(
        &self,
        weights: &mut Weights<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = weights.take(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok((weight, weights.take(&format!("{name}.bias"), &[outputs])?))
    }

    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Linear<B> {
        // Transposed and copied once, so that every product reads it in the order of memory.
        let published = self.matrix(weight, inputs).transpose().into_data();
        Linear { weight: Tensor::from_data(published, self.device), bias: self.row(bias) }
    }

    fn norm(&self, weights: &mut Weights<'_>, name: &str) -> Result<Norm<B>> {
        let hidden = [self.settings.hidden_size];
        Ok(Norm {
            scale: self.row(weights.take(&format!("{name}.weight"), &hidden)?),
            shift: self.row(weights.take(&format!("{name}.bias"), &hidden)?),
            epsilon: self.settings.layer_norm_eps,
        })
    }

    fn matrix(&self, values: Vec<f32>, columns: usize) -> Tensor<B, 2> {
        let shape = [values.len() / columns, columns];
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }

    fn row(&self, values: Vec<f32>) -> Row<B> {
        let data = TensorData::new(values.clone(), [values.len()]);
        Row { tensor: Tensor::from_data(data, self.device), values }
    }
}
