//! Training that shares each batch out among devices ends with the weights of training on one.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use burn::backend::{Autodiff, Flex};
use screader::backbone::Backbone;
use screader::config::{Config, Preset};
use screader::demo;
use screader::genes::Species;
use screader::train::checkpoint::{Card, Checkpoint, DataCard, Source};
use screader::train::fit::Run;
use screader::train::labelled::Labelled;
use screader::train::task::Task;
use screader_models::trainable::NamedParameter;

const SETTINGS: [&str; 6] = [
    "train.steps=6",
    "train.batch_size=24",
    "train.micro_batch_size=5",
    "train.evaluate_every=3",
    "rank.top_genes=12",
    "train.embedding_noise=0.1",
];

/// The parameters after training on `devices` copies of the network, of which each takes `side_by_side`
/// micro-batches at once.
fn trained(devices: usize, side_by_side: usize, folder: &Path) -> Vec<NamedParameter> {
    let set: Vec<String> = SETTINGS.iter().map(|one| (*one).to_string()).collect();
    let config = Config::load(Some(Preset::Demo), None, &set).unwrap();
    let source = Source::Demo { species: Species::Mouse };
    let cells = demo::simulate(Species::Mouse, config.train.seed).unwrap();
    let table = demo::embeddings(Species::Mouse).unwrap();
    let labelled = Labelled::read(&cells, &source.to_string(), &table, &config).unwrap();
    let task = Task::prepare(&labelled, table.genes.len(), &config).unwrap();
    let backbone = Backbone::random(config.train.seed);
    let device = Default::default();
    let annotators: Vec<_> = (0..devices)
        .map(|_| backbone.annotator::<Flex>(&table, &config, &device).unwrap())
        .collect();
    let sizes = config.model.trainable(&annotators[0], task.classes.len());
    let scale = annotators[0].token_scale().unwrap();
    let trainable = sizes.init::<Autodiff<Flex>>(config.train.seed, scale, &device);
    let data = DataCard { source, matrix: "X".into(), cells: [0; 3] };
    let run = Run::<Autodiff<Flex>> {
        config: &config,
        task: &task,
        annotators: &annotators,
        card: Card::new(&table, &backbone, sizes, data),
        folder,
        quiet: true,
        side_by_side,
    };
    std::fs::create_dir_all(folder).unwrap();
    run.fit(trainable, &device, None).unwrap();
    let mut parameters = Checkpoint::load(&folder.join("last")).unwrap().parameters;
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    parameters
}

#[test]
fn the_weights_are_those_of_one_device() {
    let folder = tempfile::tempdir().unwrap();
    let bits = |parameters: &[NamedParameter]| {
        let values = parameters.iter().flat_map(|parameter| &parameter.values);
        values.map(|value| value.to_bits()).collect::<Vec<u32>>()
    };
    let one = bits(&trained(1, 1, &folder.path().join("one")));
    assert!(!one.is_empty());
    for (devices, side_by_side) in [(2, 1), (3, 2)] {
        let several = trained(devices, side_by_side, &folder.path().join(format!("{devices}")));
        assert!(bits(&several) == one, "{devices} devices, {side_by_side} side by side");
    }
}

#[test]
fn devices_that_cannot_work_together_are_refused_in_one_line() {
    let refused = |verb: &[&str], device: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
        let output = command.args(verb).args(["--device", device]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{verb:?} {device}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.trim().lines().count(), 1, "{line}");
        line
    };
    let train = ["train", "--species", "mouse"];
    assert!(refused(&train, "cpu,cpu").contains("each device once"));
    let infer =
        ["infer", "--checkpoint", "run", "--data", "cells.h5ad", "--predictions", "types.csv"];
    assert!(refused(&infer, "cpu,cpu").contains("once"));
}
