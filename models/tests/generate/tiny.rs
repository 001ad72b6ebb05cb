//! Folders of tiny LLaMAs, and the numbers of the goldens.

use std::path::Path;

use burn::backend::Flex;
use safetensors::SafeTensors;
use screader_models::llama::{Kernels, LanguageModel};
use serde_json::Value;

use crate::talker::goldens;

/// Load a folder with `kernels`.
pub fn load(folder: &Path, kernels: Kernels) -> LanguageModel {
    let device = Default::default();
    LanguageModel::load_with_kernels::<Flex>(folder, &device, kernels, &|_, _| {}).unwrap()
}

/// Copy the golden LLaMA `kind` with a setting changed.
pub fn altered(kind: &str, key: &str, value: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = goldens().join(kind);
    let text = std::fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config[key] = value;
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    folder
}

/// A safetensors file of goldens.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor(name).unwrap();
        let id = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap()) as u32;
        data.data().chunks_exact(8).map(id).collect()
    }

    /// The rows of a matrix.
    pub fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        let values: Vec<f32> = view.data().chunks_exact(4).map(number).collect();
        values.chunks_exact(view.shape()[1]).map(<[f32]>::to_vec).collect()
    }
}

/// The largest difference between two lists.
pub fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
