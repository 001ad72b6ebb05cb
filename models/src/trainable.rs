//! Everything that learns: projection, `cls` vector and head. The backbone between them is frozen.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::mlp::{Mlp, MlpConfig, MlpKind, normal};

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
}

/// The trained part of an annotator: `MLP_p`, `e_cls` and `MLP_c` of scReader's equations 2 to 4.
#[derive(Module, Debug)]
pub struct Trainable<B: Backend> {
    /// Gene tokens to the backbone, `[tokens, token_size] -> [tokens, hidden_size]`.
    pub projection: Mlp<B>,
    /// The learned class token, `[hidden_size]`.
    pub cls: Param<Tensor<B, 1>>,
    /// The backbone's `cls` state to class scores, `[cells, hidden_size] -> [cells, classes]`.
    pub head: Mlp<B>,
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
        Trainable { projection, cls, head }
    }

    /// Number of trained numbers, the `cls` vector included.
    pub fn num_params(&self) -> usize {
        self.projection().num_params() + self.head().num_params() + self.hidden_size
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
            input_size: self.hidden_size,
            hidden_size: self.hidden_size,
            output_size: self.classes,
            layers: self.head_layers,
            kind: self.head,
        }
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
