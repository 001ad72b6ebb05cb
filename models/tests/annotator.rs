//! The joined network: its gradients are those of its loss, and neither company nor packing of cells
//! changes what is said of a cell.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use screader_models::adamw::global_norm;
use screader_models::annotator::{Annotator, Body, Readout, for_reading};
use screader_models::llama::{Llama, LlamaConfig};
use screader_models::mlp::{MlpConfig, MlpKind};
use screader_models::reader::{
    Combine, EmbeddingNoise, MeasuredGenes, Order, PackedCells, TokenSource,
};
use screader_models::trainable::{
    NamedParameter, PoolConfig, Trainable, TrainableConfig, read_parameters, write_parameters,
};

type B = Flex;
type A = Autodiff<Flex>;

const GENES: usize = 20;
const CLASSES: usize = 3;

fn numbers(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn matrix(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Tensor<B, 2> {
    let data = TensorData::new(numbers(rows * columns, rng), [rows, columns]);
    Tensor::from_data(data, &Default::default())
}

fn annotator(combine: Combine, order: Order) -> Annotator<B> {
    with_body(combine, order, |llama| Body::Llama(Box::new(llama)))
}

fn with_body(
    combine: Combine,
    order: Order,
    body: impl FnOnce(Llama<B>) -> Body<B>,
) -> Annotator<B> {
    let config = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 32, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true}"#;
    let config = LlamaConfig::parse(config, Path::new("test")).unwrap();
    let backbone = Llama::<B>::random(&config, 3, &Default::default());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let instruction = backbone.embed_tokens(&[5, 6, 7]).unwrap();
    let tokens = TokenSource::new(
        matrix(GENES, 6, &mut rng),
        matrix(16, if combine == Combine::AddPe { 6 } else { 4 }, &mut rng),
        Some(instruction),
        combine,
        order,
    );
    Annotator::new(body(backbone), tokens)
}

fn trainable(annotator: &Annotator<B>, kind: MlpKind) -> (TrainableConfig, Trainable<A>) {
    with_pool(annotator, kind, None)
}

fn with_pool(
    annotator: &Annotator<B>,
    kind: MlpKind,
    pool: Option<PoolConfig>,
) -> (TrainableConfig, Trainable<A>) {
    let config = TrainableConfig {
        token_size: annotator.tokens().token_size(),
        hidden_size: 16,
        classes: CLASSES,
        projection_layers: 3,
        projection: kind,
        head_layers: 3,
        head: kind,
        pool,
    };
    let trainable: Trainable<A> = config.init(9, 0.5, &Default::default());
    // Weights of 0.02 make gradients too small for differences in f32.
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let parameters = read_parameters(&trainable)
        .into_iter()
        .map(|one| {
            let values = one.values.iter().map(|v| v + 0.4 * rng.random_range(-1.0f32..1.0));
            NamedParameter { values: values.collect(), ..one }
        })
        .collect();
    let trainable = write_parameters(trainable, parameters).unwrap();
    (config, trainable)
}

fn cells() -> PackedCells {
    let lengths = vec![5, 2, 7];
    PackedCells {
        genes: (0..14).map(|at| (at * 7 % GENES) as u32).collect(),
        values: (0..14).map(|at| 0.5 + at as f32 / 10.0).collect(),
        lengths,
        measured: MeasuredGenes {
            genes: vec![1, 4, 8, 19],
            values: (0..12).map(|at| (at as f32 * 0.7).sin()).collect(),
        },
        noise: None,
    }
}

/// The cells as a step of training sees them.
fn noisy_cells() -> PackedCells {
    PackedCells { noise: Some(EmbeddingNoise { deviation: 0.3, seed: 9 }), ..cells() }
}

fn only(cells: &PackedCells, cell: usize) -> PackedCells {
    let first: usize = cells.lengths[..cell].iter().sum();
    let span = first..first + cells.lengths[cell];
    PackedCells {
        genes: cells.genes[span.clone()].to_vec(),
        values: cells.values[span].to_vec(),
        lengths: vec![cells.lengths[cell]],
        measured: MeasuredGenes {
            genes: cells.measured.genes.clone(),
            values: cells.measured.values[cell * 4..(cell + 1) * 4].to_vec(),
        },
        noise: cells.noise,
    }
}

/// Read cells with what the path around the backbone makes of their genes, where there is one.
fn read(annotator: &Annotator<B>, trainable: &Trainable<B>, cells: &PackedCells) -> Readout {
    let pooled = annotator.pooled_genes(trainable, &cells.measured.genes);
    annotator.read(trainable, cells, pooled.as_ref())
}

#[test]
fn gradients_are_those_of_the_loss() {
    let cases = [
        (Combine::ConcatPe, Order::CellsInstructionCls, MlpKind::Residual),
        (Combine::Multiply, Order::InstructionCellsCls, MlpKind::Plain),
        (Combine::AddPe, Order::CellsInstructionCls, MlpKind::Plain),
    ];
    for (combine, order, kind) in cases {
        let llama = annotator(combine, order);
        follows_its_loss(&llama, &trainable(&llama, kind).1, &["projection", "cls", "head"]);
        // Without a LLaMA there is no class token to learn.
        let mean = with_body(combine, order, |_| Body::MeanPool { hidden_size: 16 });
        follows_its_loss(&mean, &trainable(&mean, kind).1, &["projection", "head"]);
        for annotator in [llama, mean] {
            let (_, beside) = with_pool(&annotator, kind, Some(PoolConfig { dim: 6, size: 5 }));
            follows_its_loss(&annotator, &beside, &["projection", "head", "pool"]);
        }
    }
}

fn follows_its_loss(annotator: &Annotator<B>, trainable: &Trainable<A>, parts: &[&str]) {
    let (cells, targets, weights) = (noisy_cells(), [0, 2, 1], [0.2f32, 0.5, 0.3]);
    let loss = |parameters: Vec<NamedParameter>| {
        let moved = write_parameters(trainable.clone(), parameters).unwrap();
        annotator.gradients(&moved, &cells, &targets, &weights, 1.0).loss
    };
    let step = annotator.gradients(trainable, &cells, &targets, &weights, 1.0);
    let norm = global_norm(trainable, &step.gradients);
    assert!(norm > 1e-3, "no gradient to compare");

    // Along any direction, the loss changes as the gradient says.
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for &part in parts {
        let parameters = read_parameters(trainable);
        let direction: Vec<Vec<f32>> = parameters
            .iter()
            .map(|one| match one.name.starts_with(part) {
                true => numbers(one.values.len(), &mut rng),
                false => vec![0.0; one.values.len()],
            })
            .collect();
        let moved = |by: f32| {
            let shift = |(one, along): (&NamedParameter, &Vec<f32>)| NamedParameter {
                values: one.values.iter().zip(along).map(|(v, d)| v + by * d).collect(),
                ..one.clone()
            };
            loss(parameters.iter().zip(&direction).map(shift).collect())
        };
        let by = 2e-3;
        let measured = (moved(by) - moved(-by)) / (2.0 * f64::from(by));
        let expected = along(trainable, &step.gradients, &direction);
        let error = (measured - expected).abs() / expected.abs().max(1e-2);
        assert!(error < 2e-2, "{part}: {measured} against {expected}");
    }
}

/// The scalar product of the gradients with `direction`, parameter by parameter.
fn along(
    trainable: &Trainable<A>,
    gradients: &burn::optim::GradientsParams,
    direction: &[Vec<f32>],
) -> f64 {
    use burn::module::{Module, ModuleVisitor, Param};
    struct Product<'a> {
        gradients: &'a burn::optim::GradientsParams,
        direction: &'a [Vec<f32>],
        sum: f64,
    }
    impl ModuleVisitor<A> for Product<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<A, D>>) {
            let (first, rest) = self.direction.split_first().unwrap();
            self.direction = rest;
            let Some(gradient) = self.gradients.get::<B, D>(param.id) else { return };
            let gradient: Vec<f32> = gradient.into_data().into_vec().unwrap();
            self.sum +=
                gradient.iter().zip(first).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum::<f64>();
        }
    }
    let mut product = Product { gradients, direction, sum: 0.0 };
    trainable.visit(&mut product);
    product.sum
}

#[test]
fn without_a_llama_the_head_reads_the_mean_of_the_projected_genes() {
    let pooled = with_body(Combine::None, Order::CellsInstructionCls, |_| Body::MeanPool {
        hidden_size: 16,
    });
    let (_, trainable) = trainable(&pooled, MlpKind::Plain);
    let reader = for_reading(&trainable);
    let mut cells = cells();
    cells.lengths.push(0);
    let read = read(&pooled, &reader, &cells);
    let mut first = 0;
    for (cell, &length) in cells.lengths.iter().enumerate() {
        let genes = PackedCells {
            genes: cells.genes[first..first + length].to_vec(),
            values: cells.values[first..first + length].to_vec(),
            lengths: vec![length],
            ..PackedCells::default()
        };
        first += length;
        let expected: Vec<f32> = match length {
            0 => vec![0.0; 16],
            _ => {
                let tokens = pooled.tokens().embeddings(&genes.genes, None);
                let tokens = reader.projection.forward(tokens);
                tokens.mean_dim(0).into_data().into_vec().unwrap()
            }
        };
        for (a, b) in read.states[cell * 16..(cell + 1) * 16].iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "cell {cell}: {a} against {b}");
        }
    }
}

#[test]
fn a_gene_is_projected_once_as_if_for_each_of_its_tokens() {
    let cells = noisy_cells();
    for combine in [Combine::ConcatPe, Combine::Multiply, Combine::AddPe, Combine::None] {
        let annotator = annotator(combine, Order::CellsInstructionCls);
        let (_, trainable) = trainable(&annotator, MlpKind::Residual);
        let reader = for_reading(&trainable);
        let found = annotator.tokens().project(&reader.projection, &cells, |table| table);

        // The tables that `annotator` was made of.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let _embeddings = matrix(GENES, 6, &mut rng);
        let encoding = matrix(16, if combine == Combine::AddPe { 6 } else { 4 }, &mut rng);
        let ranks: Vec<i32> = cells.lengths.iter().flat_map(|&length| 0..length as i32).collect();
        let device = Default::default();
        let ranks = encoding.select(0, Tensor::from_data(TensorData::new(ranks, [14]), &device));
        let genes = annotator.tokens().embeddings(&cells.genes, cells.noise);
        let tokens = match combine {
            Combine::ConcatPe => Tensor::cat(vec![genes, ranks], 1),
            Combine::AddPe => genes + ranks,
            Combine::None => genes,
            Combine::Multiply => {
                genes * Tensor::from_data(TensorData::new(cells.values.clone(), [14, 1]), &device)
            }
        };
        let expected = reader.projection.forward(tokens);
        let apart: f32 = (found - expected).abs().max().into_scalar();
        assert!(apart < 1e-4, "{combine:?}: {apart}");
    }
}

#[test]
fn a_scale_on_the_way_through_the_backbone_leaves_the_gradients_as_they_are() {
    let annotator = annotator(Combine::ConcatPe, Order::CellsInstructionCls);
    let (_, trainable) = trainable(&annotator, MlpKind::Residual);
    let (cells, targets, weights) = (cells(), [0, 2, 1], [0.2f32, 0.5, 0.3]);
    let gradients = |scale| {
        let step = annotator.gradients(&trainable, &cells, &targets, &weights, scale);
        step.gradients.get::<B, 1>(trainable.cls.id).unwrap().into_data()
    };
    // A power of two changes no digit.
    assert_eq!(gradients(1.0), gradients(65_536.0));
}

#[test]
fn a_cell_is_read_the_same_alone_and_in_company() {
    let annotator = annotator(Combine::ConcatPe, Order::CellsInstructionCls);
    for pool in [None, Some(PoolConfig { dim: 6, size: 5 })] {
        let (config, trainable) = with_pool(&annotator, MlpKind::Residual, pool);
        let reader = for_reading(&trainable);
        let cells = cells();
        let together = read(&annotator, &reader, &cells);
        assert_eq!(together.states.len(), 3 * config.features());
        for cell in 0..cells.lengths.len() {
            let alone = read(&annotator, &reader, &only(&cells, cell));
            let span = cell * CLASSES..(cell + 1) * CLASSES;
            for (a, b) in alone.logits.iter().zip(&together.logits[span]) {
                assert!((a - b).abs() < 1e-4, "cell {cell}: {a} against {b}");
            }
        }
        assert!(together.logits[..CLASSES] != together.logits[CLASSES..2 * CLASSES]);
    }
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let annotator = annotator(Combine::ConcatPe, Order::CellsInstructionCls);
    let (_, trainable) = trainable(&annotator, MlpKind::Residual);
    let (cells, targets, weights) = (noisy_cells(), [0, 2, 1], [0.2f32, 0.5, 0.3]);
    let whole = annotator.gradients(&trainable, &cells, &targets, &weights, 1.0);
    let quiet = annotator.gradients(&trainable, &self::cells(), &targets, &weights, 1.0);
    assert!((quiet.loss - whole.loss).abs() > 1e-4, "noise is part of what is learned from");
    let mut accumulated = burn::optim::GradientsAccumulator::new();
    let mut loss = 0.0;
    for cell in 0..3 {
        let part = annotator.gradients(
            &trainable,
            &only(&cells, cell),
            &targets[cell..=cell],
            &weights[cell..=cell],
            1.0,
        );
        loss += part.loss;
        accumulated.accumulate(&trainable, part.gradients);
    }
    assert!((loss - whole.loss).abs() < 1e-5);
    let ones: Vec<Vec<f32>> =
        read_parameters(&trainable).iter().map(|one| vec![1.0; one.values.len()]).collect();
    let (a, b) = (
        along(&trainable, &whole.gradients, &ones),
        along(&trainable, &accumulated.grads(), &ones),
    );
    assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "{a} against {b}");
}

#[test]
fn the_papers_network_has_the_papers_size() {
    let sizes = |hidden_size, classes| TrainableConfig {
        token_size: 1536,
        hidden_size,
        classes,
        projection_layers: 5,
        projection: MlpKind::Plain,
        head_layers: 5,
        head: MlpKind::Plain,
        pool: None,
    };
    assert_eq!(sizes(4096, 61).num_params(), 140_795_965 + 4096);
    assert_eq!(sizes(4096, 37).num_params(), 140_697_637 + 4096);
    assert_eq!(sizes(5120, 61).num_params(), 217_937_981 + 5120);
    for kind in [MlpKind::Plain, MlpKind::Residual] {
        let pool = Some(PoolConfig { dim: 7, size: 5 });
        let config = TrainableConfig { projection: kind, head: kind, pool, ..sizes(8, 3) };
        let module: Trainable<B> = config.init(0, 0.1, &Default::default());
        assert_eq!(burn::module::Module::num_params(&module), config.num_params());
    }
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let config = MlpConfig {
        input_size: 4,
        hidden_size: 8,
        output_size: 2,
        layers: 3,
        kind: MlpKind::Residual,
    };
    let init = |seed| {
        let mlp = config.init::<B>(&mut ChaCha8Rng::seed_from_u64(seed), &Default::default());
        read_parameters(&mlp)
    };
    assert_eq!(init(1), init(1));
    assert_ne!(init(1), init(2));
}
