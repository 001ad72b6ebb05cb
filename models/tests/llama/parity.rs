//! The frozen LLaMA against transformers, PyTorch's gradients and burn's own autodiff.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor, TensorData};
use screader_models::llama::{Kernels, Llama, LlamaConfig, Precision, Weights};

use crate::golden::{Golden, KINDS, floats, real_rows, relative_distance};

const BOTH: [Kernels; 2] = [Kernels::Plain(DType::F32), Kernels::Host];

fn load(golden: &Golden, kernels: Kernels) -> Llama<Flex> {
    let device = Default::default();
    Llama::load_with_kernels(&golden.folder, &device, kernels, &|_, _| {}).unwrap()
}

#[test]
fn hidden_states_are_those_of_transformers() {
    for (kind, kernels) in KINDS.iter().flat_map(|kind| BOTH.map(|kernels| (kind, kernels))) {
        let golden = Golden::read(kind);
        let llama = load(&golden, kernels);
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default());
        let states = llama.hidden_states(x0.clone(), &golden.lengths);
        assert_eq!(states.len(), llama.config().num_hidden_layers + 1);
        for (index, state) in states.into_iter().enumerate() {
            let expected = golden.numbers(&format!("hidden_states.{index}"));
            let distance = relative_distance(
                &real_rows(&floats(state), &golden.lengths),
                &real_rows(&expected.values, &golden.lengths),
            );
            assert!(distance < 1e-4, "{kind} {kernels:?} state {index}: {distance:e}");
        }
        let h_cls = floats(llama.forward(x0, &golden.lengths));
        let distance = relative_distance(&h_cls, &golden.numbers("h_cls").values);
        assert!(distance < 1e-4, "{kind} {kernels:?} cls: {distance:e}");
    }
}

#[test]
fn input_gradients_are_those_of_pytorch() {
    for (kind, kernels) in KINDS.iter().flat_map(|kind| BOTH.map(|kernels| (kind, kernels))) {
        let golden = Golden::read(kind);
        let llama = load(&golden, kernels);
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default());
        let (h_cls, saved) = llama.forward_save(x0, &golden.lengths);
        let distance = relative_distance(&floats(h_cls), &golden.numbers("h_cls").values);
        assert!(distance < 1e-4, "{kind} {kernels:?} cls: {distance:e}");
        let r = golden.numbers("r").tensor::<Flex, 2>(&Default::default());
        let gradient = floats(llama.backward_input(r, saved));
        let distance = relative_distance(&gradient, &golden.numbers("g_x0").values);
        assert!(distance < 1e-3, "{kind} {kernels:?}: {distance:e}");
        let real = real_rows(&gradient, &golden.lengths);
        let sum = |numbers: &[f32]| numbers.iter().map(|x| x.abs()).sum::<f32>();
        assert!(
            (sum(&real) - sum(&gradient)).abs() < 1e-6,
            "{kind} {kernels:?}: pads have a gradient"
        );
    }
}

/// Half-precision weights change the answer by what their precision allows, and no more: the residual
/// stream, norms and softmax are in f32.
#[test]
fn half_precision_stays_near_the_goldens() {
    // Some units in the last place; f16 also loses what is below its least number.
    let types = [(DType::BF16, 3e-2, 6e-2), (DType::F16, 8e-3, 2e-2)];
    for (dtype, allowed_cls, allowed_gradient) in types {
        for kind in ["gqa_tied", "biases", "rope_llama3"] {
            let golden = Golden::read(kind);
            let llama = load(&golden, Kernels::Plain(dtype));
            let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default());
            let (h_cls, saved) = llama.forward_save(x0, &golden.lengths);
            assert_eq!(h_cls.dtype(), DType::F32, "the trained head is given f32");
            let cls = relative_distance(&floats(h_cls), &golden.numbers("h_cls").values);
            let r = golden.numbers("r").tensor::<Flex, 2>(&Default::default());
            let gradient = llama.backward_input(r, saved);
            assert_eq!(gradient.dtype(), DType::F32);
            let gradient = relative_distance(&floats(gradient), &golden.numbers("g_x0").values);
            println!("{kind} {dtype:?}: cls {cls:e}, gradient {gradient:e}");
            assert!(cls > 1e-5, "{kind} {dtype:?}: as exact as f32, so it was not used");
            assert!(cls < allowed_cls, "{kind} {dtype:?}: cls {cls:e}");
            assert!(gradient < allowed_gradient, "{kind} {dtype:?}: gradient {gradient:e}");
        }
    }
}

#[test]
fn a_precision_that_the_device_lacks_is_refused() {
    let device = Default::default();
    let kernels = |precision| Kernels::for_device::<Flex>(&device, precision);
    assert_eq!(kernels(Precision::Auto).unwrap(), Kernels::Host);
    let refused = kernels(Precision::Bf16).unwrap_err().to_string();
    assert!(refused.contains("precision: expected auto or f32, found bf16"), "{refused}");
}

#[test]
fn rounded_weights_are_refused_where_no_card_keeps_them() {
    for kernels in BOTH {
        assert_eq!(kernels.with_weights(Weights::Wide).unwrap(), kernels);
        for weights in [Weights::Int8, Weights::Int4] {
            let error = kernels.with_weights(weights).unwrap_err().to_string();
            assert!(error.contains(&weights.to_string()) && error.contains("wide"), "{error}");
        }
    }
    let fused = Kernels::Fused(DType::BF16, Weights::Wide).with_weights(Weights::Int4).unwrap();
    assert_eq!(fused, Kernels::Fused(DType::BF16, Weights::Int4));
    assert_eq!(fused.precision(), Precision::Bf16);
}

#[test]
fn truncated_padded_and_unpadded_cells_have_the_same_cls() {
    for kernels in BOTH {
        let golden = Golden::read("gqa_tied");
        let device = Default::default();
        let llama = load(&golden, kernels);
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&device);
        let [_, tokens, hidden] = x0.dims();
        let together = floats(llama.forward(x0.clone(), &golden.lengths));
        // What stands in the pads must not matter, be it noise or not a number.
        let junk = Tensor::<Flex, 3>::full([1, tokens, hidden], f32::NAN, &device);
        for (cell, &length) in golden.lengths.iter().enumerate() {
            let real = x0.clone().slice([cell..cell + 1, 0..length, 0..hidden]);
            let alone = floats(llama.forward(real.clone(), &[length]));
            let padded = Tensor::cat(vec![real, junk.clone()], 1);
            let truncated = floats(llama.forward(padded.clone(), &[length]));
            let (h_cls, saved) = llama.forward_save(padded, &[length]);
            let expected = &together[cell * hidden..(cell + 1) * hidden];
            for (how, found) in [("alone", alone), ("padded", floats(h_cls)), ("cut", truncated)] {
                let distance = relative_distance(&found, expected);
                assert!(distance < 1e-5, "{kernels:?} cell {cell} {how}: {distance:e}");
            }
            let gradient = llama.backward_input(Tensor::ones([1, hidden], &device), saved);
            let gradient = floats(gradient);
            assert!(gradient.iter().all(|x| x.is_finite()), "{kernels:?} cell {cell} gradient");
            assert!(gradient[length * hidden..].iter().all(|x| *x == 0.0), "cell {cell} pads");
        }
    }
}

/// A shape whose tokens span several attention blocks of either kind of kernels.
fn long_config() -> LlamaConfig {
    LlamaConfig {
        num_key_value_heads: 2,
        num_hidden_layers: 3,
        ..LlamaConfig::load(&Golden::read("mha").folder).unwrap()
    }
}

fn noise(shape: [usize; 3]) -> Tensor<Flex, 3> {
    let count = shape.iter().product::<usize>() as u32;
    // Low bits of a multiplicative hash: spread enough, and the same everywhere.
    let number = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0;
    let values: Vec<f32> = (0..count).map(number).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

#[test]
fn long_cells_agree_between_the_kernels() {
    let (config, device) = (long_config(), Default::default());
    let lengths = [300, 129, 64];
    let x0 = noise([3, 300, config.hidden_size]);
    let g = noise([1, 3, config.hidden_size]).squeeze_dim::<2>(0);
    let [plain, host] = BOTH.map(|kernels| {
        let llama = Llama::<Flex>::random_with_kernels(&config, 7, &device, kernels);
        let (h_cls, saved) = llama.forward_save(x0.clone(), &lengths);
        (floats(h_cls), floats(llama.backward_input(g.clone(), saved)))
    });
    assert!(relative_distance(&host.0, &plain.0) < 1e-5);
    assert!(relative_distance(&host.1, &plain.1) < 1e-4);
}

#[test]
fn a_last_layer_for_cls_alone_changes_nothing() {
    let (config, device) = (long_config(), Default::default());
    let lengths = [300, 129, 64];
    let x0 = noise([3, 300, config.hidden_size]);
    let g = noise([1, 3, config.hidden_size]).squeeze_dim::<2>(0);
    for kernels in BOTH {
        let llama = Llama::<Flex>::random_with_kernels(&config, 7, &device, kernels);
        let (h_cls, saved) = llama.forward_save(x0.clone(), &lengths);
        let g_x0 = floats(llama.backward_input(g.clone(), saved));
        let whole = llama.with_whole_last_layer();
        let (h_whole, saved) = whole.forward_save(x0.clone(), &lengths);
        let g_whole = floats(whole.backward_input(g.clone(), saved));
        let apart = relative_distance(&floats(h_cls), &floats(h_whole));
        assert!(apart < 1e-5, "{kernels:?} cls: {apart:e}");
        let apart = relative_distance(&g_x0, &g_whole);
        assert!(apart < 1e-4, "{kernels:?} gradient: {apart:e}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let (config, device) = (long_config(), Default::default());
    let x0 = noise([3, 300, config.hidden_size]);
    let g = noise([1, 3, config.hidden_size]).squeeze_dim::<2>(0);
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let llama = Llama::<Flex>::random(&config, seed, &device);
            let (h_cls, saved) = llama.forward_save(x0.clone(), &[300, 129, 64]);
            let bits =
                |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            (bits(floats(h_cls)), bits(floats(llama.backward_input(g.clone(), saved))))
        })
    };
    let one = run(1, 7);
    assert!(one == run(2, 7) && one == run(3, 7));
    assert!(one != run(1, 8), "the seed must matter");
}

#[test]
fn random_weights_are_a_fixed_stream() {
    let llama = Llama::<Flex>::random(&long_config(), 7, &Default::default());
    let rows = floats(llama.embed_tokens(&[0, 1, 47]).unwrap());
    let mean = rows.iter().sum::<f32>() / rows.len() as f32;
    let deviation =
        (rows.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / rows.len() as f32).sqrt();
    assert!(
        mean.abs() < 0.05 && (deviation - 1.0 / 32_f32.sqrt()).abs() < 0.04,
        "{mean} {deviation}"
    );
    assert_eq!(rows[..32], floats(llama.embed_tokens(&[0]).unwrap()));
    assert!(llama.embed_tokens(&[48]).is_err());
}
