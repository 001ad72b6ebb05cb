//! The decoder with its output head, on the processor's own kernels or on any burn backend.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use screader_kernels::host::{self, Affine};

use crate::Result;
use crate::llama::config::LlamaConfig;
use crate::llama::decoder::{Cache, Decoder};
use crate::llama::host::HostDecoder;
use crate::llama::precision::Kernels;
use crate::llama::run::Run;
use crate::llama::weights::Source;

/// What tells the next token: logits `[vocab_size]` after rows of embeddings.
pub(super) trait Network: Send + Sync {
    /// Read a whole prompt, `rows` `[tokens, hidden]`: the logits after it, and what goes on from there.
    fn read(&self, rows: Vec<f32>) -> (Vec<f32>, Box<dyn Continue + '_>);
}

/// A network that has read something, and keeps its keys and values.
pub(super) trait Continue {
    /// Go on by one token, `row` `[hidden]`: the logits after it.
    fn step(&mut self, row: Vec<f32>) -> Vec<f32>;
}

/// Put a decoder with the output head `head` `[vocab_size, hidden]` on a device.
///
/// On the processor all is `f32` in its own kernels. On a graphics card the operations are burn's, in the
/// type that `kernels` multiply in.
pub(super) fn network<B: Backend>(
    config: &LlamaConfig,
    source: &mut Source,
    head: Vec<f32>,
    kernels: Kernels,
    device: &B::Device,
    on_layer: &dyn Fn(usize, usize),
) -> Result<Box<dyn Network>> {
    let final_norm = source.final_norm(config)?;
    let layers = config.num_hidden_layers;
    let dtype = match kernels {
        Kernels::Host => {
            let mut decoder = HostDecoder::new(config, final_norm);
            for index in 0..layers {
                decoder.push_layer(source.layer(config, index)?);
                on_layer(index + 1, layers);
            }
            let head = Affine::stack(vec![(head, None)], config.hidden_size);
            return Ok(Box::new(OnHost { decoder: decoder.into_decoder(), head }));
        }
        Kernels::Plain(dtype) | Kernels::Fused(dtype, _) => dtype,
    };
    let mut decoder = Decoder::<B>::new(config, final_norm, dtype, device);
    for index in 0..layers {
        decoder.push(source.layer(config, index)?);
        on_layer(index + 1, layers);
    }
    let head = TensorData::new(head, [config.vocab_size, config.hidden_size]);
    let head = Tensor::<B, 2>::from_data(head, device).cast(dtype).transpose();
    Ok(Box::new(OnDevice { decoder, head, dtype, device: device.clone() }))
}

struct OnHost {
    decoder: host::Decoder,
    head: Affine,
}

struct HostContext<'a> {
    network: &'a OnHost,
    cache: host::Cache,
}

impl Network for OnHost {
    fn read(&self, rows: Vec<f32>) -> (Vec<f32>, Box<dyn Continue + '_>) {
        let (state, cache) = self.decoder.read(rows);
        (self.head.apply(&state), Box::new(HostContext { network: self, cache }))
    }
}

impl Continue for HostContext<'_> {
    fn step(&mut self, row: Vec<f32>) -> Vec<f32> {
        self.network.head.apply(&self.network.decoder.step(row, &mut self.cache))
    }
}

struct OnDevice<B: Backend> {
    decoder: Decoder<B>,
    /// `[hidden, vocab_size]`.
    head: Tensor<B, 2>,
    dtype: DType,
    device: B::Device,
}

struct DeviceContext<'a, B: Backend> {
    network: &'a OnDevice<B>,
    cache: Cache<B>,
}

impl<B: Backend> OnDevice<B> {
    fn logits(&self, state: Tensor<B, 2>) -> Vec<f32> {
        let logits = state.cast(self.dtype).matmul(self.head.clone());
        match logits.into_data().convert::<f32>().into_vec() {
            Ok(logits) => logits,
            Err(error) => unreachable!("converted to f32: {error:?}"),
        }
    }

    fn rows(&self, rows: Vec<f32>) -> Tensor<B, 2> {
        let hidden = self.head.dims()[0];
        let shape = [rows.len() / hidden, hidden];
        Tensor::from_data(TensorData::new(rows, shape), &self.device)
    }
}

impl<B: Backend> Network for OnDevice<B> {
    fn read(&self, rows: Vec<f32>) -> (Vec<f32>, Box<dyn Continue + '_>) {
        let (state, cache) = self.decoder.read(self.rows(rows).unsqueeze_dim::<3>(0));
        (self.logits(state), Box::new(DeviceContext { network: self, cache }))
    }
}

impl<B: Backend> Continue for DeviceContext<'_, B> {
    fn step(&mut self, row: Vec<f32>) -> Vec<f32> {
        let state = self.network.decoder.step(self.network.rows(row), &mut self.cache);
        self.network.logits(state)
    }
}
