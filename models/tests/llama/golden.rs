//! The goldens of `scripts/reference/llama_goldens.py`, and distances to them.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use safetensors::SafeTensors;

/// Every kind of checkpoint that the script writes.
pub const KINDS: [&str; 10] = [
    "mha",
    "gqa_tied",
    "mqa",
    "biases",
    "head_dim",
    "rope_llama3",
    "rope_linear",
    "bfloat16",
    "float16",
    "sharded",
];

/// A named list of numbers with its shape.
pub struct Numbers {
    pub values: Vec<f32>,
    pub shape: Vec<usize>,
}

impl Numbers {
    pub fn tensor<B: Backend, const D: usize>(&self, device: &B::Device) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), device)
    }
}

/// What transformers and PyTorch computed on one checkpoint.
pub struct Golden {
    pub folder: PathBuf,
    bytes: Vec<u8>,
    pub lengths: Vec<usize>,
}

impl Golden {
    pub fn read(kind: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(kind);
        let bytes = std::fs::read(folder.join("golden.safetensors")).unwrap();
        let lengths = SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensor("lengths")
            .unwrap()
            .data()
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize)
            .collect();
        Self { folder, bytes, lengths }
    }

    pub fn numbers(&self, name: &str) -> Numbers {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap();
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        Numbers { values, shape: view.shape().to_vec() }
    }
}

/// Bring a tensor home.
pub fn floats<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().into_vec().unwrap()
}

/// The norm of the difference over the norm of the expectation.
pub fn relative_distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let difference =
        square(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / square(&mut expected.iter().map(|x| f64::from(*x)))).sqrt()
}

/// Keep the rows of real tokens of `[cells, tokens, hidden]`.
pub fn real_rows(values: &[f32], lengths: &[usize]) -> Vec<f32> {
    let cell = values.len() / lengths.len();
    let tokens = *lengths.iter().max().unwrap();
    let row = cell / tokens;
    let rows = lengths.iter().enumerate();
    rows.flat_map(|(c, n)| values[c * cell..c * cell + n * row].to_vec()).collect()
}
