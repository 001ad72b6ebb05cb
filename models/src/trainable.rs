//! Everything that learns: projection, `cls` vector and head. The backbone between them is frozen.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::nn::Linear;
use burn::tensor::activation::silu;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::mlp::{Mlp, MlpConfig, MlpKind, linear, normal};

/// Sizes of a [`Trainable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainableConfig {
    /// Width of a gene token before projection: embedding ⊕ positional encoding.
    pub token_size: usize,
    /// Width of the backbone.
    pub hidden_size: usize,
    /// Number of cell types, K.
    pub classes: usize,
    /// Linear layers of the projection; 5 in the paper.
    pub projection_layers: usize,
    /// How the projection's layers are joined.
    pub projection: MlpKind,
    /// Linear layers of the head; 5 in the paper's code.
    pub head_layers: usize,
    /// How the head's layers are joined.
    pub head: MlpKind,
    /// The path around the backbone, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolConfig>,
}

/// Sizes of the path around the backbone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// Width of a gene embedding.
    pub dim: usize,
    /// Width of the pool.
    pub size: usize,
}

/// The trained part of an annotator: `MLP_p`, `e_cls` and `MLP_c` of scReader's equations 2 to 4.
#[derive(Module, Debug)]
pub struct Trainable<B: Backend> {
    /// Gene tokens to the backbone, `[tokens, token_size] -> [tokens, hidden_size]`.
    pub projection: Mlp<B>,
    /// The learned class token, `[hidden_size]`.
    pub cls: Param<Tensor<B, 1>>,
    /// What was made of a cell to class scores, `[cells, features] -> [cells, classes]`.
    pub head: Mlp<B>,
    /// The path around the backbone, if there is one.
    pub pool: Option<Pool<B>>,
}

impl TrainableConfig {
    /// Initialise from a seed; the same seed gives the same bytes on every device.
    ///
    /// `token_scale` is the root mean square of the backbone's own token embeddings: the class token
    /// starts at the size that the backbone was trained to read.
    pub fn init<B: Backend>(
        &self,
        seed: u64,
        token_scale: f32,
        device: &B::Device,
    ) -> Trainable<B> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let projection = self.projection().init(&mut rng, device);
        let cls = normal(self.hidden_size, token_scale, &mut rng);
        let cls = Tensor::from_data(TensorData::new(cls, [self.hidden_size]), device);
        let head = self.head().init(&mut rng, device);
        let cls = Param::initialized(ParamId::new(), cls.require_grad());
        let pool = self.pool.as_ref().map(|pool| pool.init(&mut rng, device));
        Trainable { projection, cls, head, pool }
    }

    /// Width of what the head is given.
    pub fn features(&self) -> usize {
        self.hidden_size + self.pool.as_ref().map_or(0, |pool| pool.size)
    }

    /// Number of trained numbers, the `cls` vector included.
    pub fn num_params(&self) -> usize {
        let pool = self.pool.as_ref().map_or(0, PoolConfig::num_params);
        self.projection().num_params() + self.head().num_params() + self.hidden_size + pool
    }

    fn projection(&self) -> MlpConfig {
        MlpConfig {
            input_size: self.token_size,
            hidden_size: self.hidden_size,
            output_size: self.hidden_size,
            layers: self.projection_layers,
            kind: self.projection,
        }
    }

    fn head(&self) -> MlpConfig {
        MlpConfig {
            input_size: self.features(),
            hidden_size: self.features(),
            output_size: self.classes,
            layers: self.head_layers,
            kind: self.head,
        }
    }
}

/// A path around the backbone: what a layer makes of each gene's embedding, weighed by the cell's expression
/// and added up.
#[derive(Module, Debug)]
pub struct Pool<B: Backend> {
    layer: Linear<B>,
}

impl PoolConfig {
    fn init<B: Backend>(&self, rng: &mut ChaCha8Rng, device: &B::Device) -> Pool<B> {
        Pool { layer: linear(self.dim, self.size, 1.0 / (self.dim as f32).sqrt(), rng, device) }
    }

    fn num_params(&self) -> usize {
        (self.dim + 1) * self.size
    }
}

impl<B: Backend> Pool<B> {
    /// What a gene stands for, `SiLU(W e + b)`: `[genes, dim] -> [genes, size]`.
    pub fn genes(&self, embeddings: Tensor<B, 2>) -> Tensor<B, 2> {
        silu(self.layer.forward(embeddings))
    }
}

/// One parameter on the host: its path in the module, its shape and its values, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter {
    /// Dotted path, as `projection.layers.0.weight`.
    pub name: String,
    /// Shape; weights are `[input, output]`.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

/// Copy every parameter of `module` to the host, in a fixed order.
pub fn read_parameters<B: Backend, M: Module<B>>(module: &M) -> Vec<NamedParameter> {
    let mut reader = Reader { path: Vec::new(), parameters: Vec::new() };
    module.visit(&mut reader);
    reader.parameters
}

/// Replace every parameter of `module` by the one of the same name.
///
/// # Errors
/// The name of the first parameter that is missing or has another shape, with what was expected.
pub fn write_parameters<B: Backend, M: Module<B>>(
    module: M,
    parameters: Vec<NamedParameter>,
) -> Result<M, (String, String)> {
    let parameters = parameters.into_iter().map(|one| (one.name.clone(), one)).collect();
    let mut writer = Writer { path: Vec::new(), parameters, error: None };
    let module = module.map(&mut writer);
    match writer.error {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

/// Copy `module` with the same numbers and the same parameter identities onto a tape that shares nothing
/// with the original's; gradients of the copy are gradients of the original.
pub fn on_own_tape<A: AutodiffBackend, M: Module<A>>(module: &M) -> M {
    module.clone().map(&mut OwnTape)
}

struct OwnTape;

impl<A: AutodiffBackend> ModuleMapper<A> for OwnTape {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<A, D>>) -> Param<Tensor<A, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_inner(tensor.inner()).require_grad(), mapper)
    }
}

struct Reader {
    path: Vec<String>,
    parameters: Vec<NamedParameter>,
}

impl<B: Backend> ModuleVisitor<B> for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().convert::<f32>().into_vec().unwrap_or_default();
        self.parameters.push(NamedParameter { name: self.path.join("."), shape, values });
    }
}

struct Writer {
    path: Vec<String>,
    parameters: std::collections::HashMap<String, NamedParameter>,
    error: Option<(String, String)>,
}

impl<B: Backend> ModuleMapper<B> for Writer {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.join(".");
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.dims().to_vec();
        let value = match self.parameters.remove(&name) {
            Some(found) if found.shape == shape => {
                Tensor::from_data(TensorData::new(found.values, shape), &tensor.device())
                    .require_grad()
            }
            _ => {
                self.error.get_or_insert((name, format!("a tensor of shape {shape:?}")));
                tensor
            }
        };
        Param::from_mapped_value(id, value, mapper)
    }
}
