//! The BERT encoder (Devlin et al. 2019, arXiv:1810.04805) in plain operations of any burn backend.

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Int, Tensor, TensorData, activation, module};

use super::parameters::{LayerParameters, LinearParameters, NormParameters, Parameters};
use super::settings::BertSettings;

/// A BERT encoder without its pooler.
#[derive(Debug, Clone)]
pub(super) struct Bert<B: Backend> {
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
    bias: Tensor<B, 1>,
}

/// Layer normalisation.
#[derive(Debug, Clone)]
struct Norm<B: Backend> {
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
    epsilon: f64,
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
    pub(super) fn new(settings: &BertSettings, parameters: Parameters, device: &B::Device) -> Self {
        let hidden = settings.hidden_size;
        let epsilon = settings.layer_norm_eps;
        Self {
            words: matrix(parameters.words, hidden, device),
            positions: matrix(parameters.positions, hidden, device),
            norm: Norm::new(parameters.norm, epsilon, device),
            layers: parameters
                .layers
                .into_iter()
                .map(|layer| Layer::new(layer, epsilon, device))
                .collect(),
            heads: settings.num_attention_heads,
            device: device.clone(),
        }
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
        let padding = batch.padding(&self.device);
        for layer in &self.layers {
            let attended = layer.attend(x.clone(), self.heads, batch, padding.as_ref());
            x = layer.attended_norm.forward(attended + x);
            let widened = activation::gelu(layer.widened.forward(x.clone()));
            x = layer.narrowed_norm.forward(layer.narrowed.forward(widened) + x);
        }
        x.reshape([texts, batch.length, hidden])
    }
}

impl<B: Backend> Layer<B> {
    fn new(parameters: LayerParameters, epsilon: f64, device: &B::Device) -> Self {
        Self {
            query_key_value: Linear::new(parameters.query_key_value, device),
            attended: Linear::new(parameters.attended, device),
            attended_norm: Norm::new(parameters.attended_norm, epsilon, device),
            widened: Linear::new(parameters.widened, device),
            narrowed: Linear::new(parameters.narrowed, device),
            narrowed_norm: Norm::new(parameters.narrowed_norm, epsilon, device),
        }
    }

    /// Multi-head attention, `[tokens, hidden_size]`.
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
        let scores = match padding {
            Some(padding) => {
                let padding = padding.clone().expand([texts, heads, length, length]);
                scores.mask_fill(padding, f32::NEG_INFINITY)
            }
            None => scores,
        };
        let weights = activation::softmax(scores, 3);
        let context = weights.matmul(value).swap_dims(1, 2).reshape([tokens, hidden]);
        self.attended.forward(context)
    }
}

impl<B: Backend> Linear<B> {
    fn new(parameters: LinearParameters, device: &B::Device) -> Self {
        let inputs = parameters.weight.len() / parameters.bias.len();
        // Transposed and copied once, so that every product reads it in the order of memory.
        let published = matrix::<B>(parameters.weight, inputs, device).transpose().into_data();
        Self { weight: Tensor::from_data(published, device), bias: row(parameters.bias, device) }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        module::linear(x, self.weight.clone(), Some(self.bias.clone()))
    }
}

impl<B: Backend> Norm<B> {
    fn new(parameters: NormParameters, epsilon: f64, device: &B::Device) -> Self {
        let NormParameters { scale, shift } = parameters;
        Self { scale: row(scale, device), shift: row(shift, device), epsilon }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let (variance, mean) = x.clone().var_mean_bias(1);
        let normal = (x - mean) / (variance + self.epsilon).sqrt();
        normal * self.scale.clone().unsqueeze() + self.shift.clone().unsqueeze()
    }
}

fn matrix<B: Backend>(values: Vec<f32>, columns: usize, device: &B::Device) -> Tensor<B, 2> {
    let shape = [values.len() / columns, columns];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn row<B: Backend>(values: Vec<f32>, device: &B::Device) -> Tensor<B, 1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}
