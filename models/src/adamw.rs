//! AdamW with a global gradient norm and a state kept by parameter name, so that it survives on disk.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{
    AdamW as Rule, AdamWConfig as RuleConfig, AdamWState, AdaptiveMomentumState, GradientsParams,
    SimpleOptimizer,
};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::trainable::NamedParameter;

/// Settings of [`AdamW`], with PyTorch's meaning; epsilon is PyTorch's 1e-8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Decoupled weight decay, applied to every parameter.
    pub weight_decay: f32,
    /// Largest norm of all gradients taken together; 0 never clips.
    pub clip_norm: f64,
}

/// AdamW (Loshchilov and Hutter, 2019): burn's update rule, with moments held by parameter name.
///
/// burn keeps its own state under identifiers that differ from run to run, and clips each tensor by
/// itself; a resumed run must find its moments, and a norm over all parameters keeps their directions.
pub struct AdamW<B: Backend> {
    rule: Rule,
    clip_norm: f64,
    time: usize,
    moments: BTreeMap<String, (Tensor<B, 1>, Tensor<B, 1>)>,
}

impl AdamWConfig {
    /// Start without moments.
    pub fn init<B: Backend>(&self) -> AdamW<B> {
        let rule = RuleConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(1e-8)
            .with_weight_decay(self.weight_decay)
            .build();
        AdamW { rule, clip_norm: self.clip_norm, time: 0, moments: BTreeMap::new() }
    }
}

impl<B: Backend> AdamW<B> {
    /// Update every parameter of `module` that has a gradient.
    pub fn step<A, M>(
        &mut self,
        learning_rate: f64,
        module: M,
        gradients: GradientsParams,
        norm: f64,
    ) -> M
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: Module<A>,
    {
        let scale =
            if self.clip_norm > 0.0 && norm > self.clip_norm { self.clip_norm / norm } else { 1.0 };
        let module = module.map(&mut Step {
            optimizer: self,
            gradients,
            learning_rate,
            scale,
            path: Vec::new(),
        });
        self.time += 1;
        module
    }

    /// Both moments of every parameter, on the host.
    pub fn state(&self) -> Vec<NamedParameter> {
        let host = |name: String, tensor: &Tensor<B, 1>| NamedParameter {
            name,
            shape: tensor.dims().to_vec(),
            values: tensor.to_data().convert::<f32>().into_vec().unwrap_or_default(),
        };
        self.moments
            .iter()
            .flat_map(|(name, (first, second))| {
                [host(format!("{name}.moment_1"), first), host(format!("{name}.moment_2"), second)]
            })
            .collect()
    }

    /// Continue from the moments that [`AdamW::state`] gave after `time` steps.
    pub fn restore(&mut self, time: usize, state: Vec<NamedParameter>, device: &B::Device) {
        let mut state: BTreeMap<String, NamedParameter> =
            state.into_iter().map(|one| (one.name.clone(), one)).collect();
        let tensor = |one: NamedParameter| {
            let length = one.values.len();
            Tensor::from_data(TensorData::new(one.values, [length]), device)
        };
        let names: Vec<String> = state
            .keys()
            .filter_map(|key| key.strip_suffix(".moment_1"))
            .map(String::from)
            .collect();
        for name in names {
            let first = state.remove(&format!("{name}.moment_1"));
            let second = state.remove(&format!("{name}.moment_2"));
            if let (Some(first), Some(second)) = (first, second) {
                self.moments.insert(name, (tensor(first), tensor(second)));
            }
        }
        self.time = time;
    }
}

/// The 2-norm of all gradients of `module` taken together.
pub fn global_norm<A: AutodiffBackend, M: Module<A>>(
    module: &M,
    gradients: &GradientsParams,
) -> f64 {
    let mut norm = Norm { gradients, squares: 0.0 };
    module.visit(&mut norm);
    norm.squares.sqrt()
}

struct Norm<'a> {
    gradients: &'a GradientsParams,
    squares: f64,
}

impl<A: AutodiffBackend> ModuleVisitor<A> for Norm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<A, D>>) {
        if let Some(gradient) = self.gradients.get::<A::InnerBackend, D>(param.id) {
            self.squares += gradient.square().sum().into_scalar().elem::<f64>();
        }
    }
}

struct Step<'a, B: Backend> {
    optimizer: &'a mut AdamW<B>,
    gradients: GradientsParams,
    learning_rate: f64,
    scale: f64,
    path: Vec<String>,
}

impl<B: Backend, A: AutodiffBackend<InnerBackend = B>> ModuleMapper<A> for Step<'_, B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<A, D>>) -> Param<Tensor<A, D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<B, D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let shape = tensor.shape();
        let length = shape.num_elements();
        let value = tensor.inner().reshape([length]);
        let mut gradient = gradient.reshape([length]);
        if self.scale != 1.0 {
            gradient = gradient.mul_scalar(self.scale);
        }
        let name = self.path.join(".");
        let state = self.optimizer.moments.remove(&name).map(|(moment_1, moment_2)| {
            AdamWState::new(AdaptiveMomentumState {
                time: self.optimizer.time,
                moment_1,
                moment_2,
                max_moment_2: None,
            })
        });
        let (value, state) = self.optimizer.rule.step(self.learning_rate, value, gradient, state);
        if let Some(state) = state {
            let moments = (state.momentum.moment_1, state.momentum.moment_2);
            self.optimizer.moments.insert(name, moments);
        }
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}
