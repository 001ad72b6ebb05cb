//! The frozen LLaMA against transformers, PyTorch's gradients and burn's own autodiff.

mod golden;

use burn::backend::Flex;
use burn::tensor::Tensor;
use golden::{Golden, KINDS, floats, real_rows, relative_distance};
use screader_models::llama::Llama;

#[test]
fn hidden_states_are_those_of_transformers() {
    for kind in KINDS {
        let golden = Golden::read(kind);
        let llama = Llama::<Flex>::load(&golden.folder, &Default::default()).unwrap();
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default());
        let states = llama.hidden_states(x0.clone(), &golden.lengths);
        assert_eq!(states.len(), llama.config().num_hidden_layers + 1);
        for (index, state) in states.into_iter().enumerate() {
            let expected = golden.numbers(&format!("hidden_states.{index}"));
            let distance = relative_distance(
                &real_rows(&floats(state), &golden.lengths),
                &real_rows(&expected.values, &golden.lengths),
            );
            assert!(distance < 1e-4, "{kind} state {index}: {distance:e}");
        }
        let h_cls = floats(llama.forward(x0, &golden.lengths));
        let distance = relative_distance(&h_cls, &golden.numbers("h_cls").values);
        assert!(distance < 1e-4, "{kind} cls: {distance:e}");
    }
}

#[test]
fn input_gradients_are_those_of_pytorch() {
    for kind in KINDS {
        let golden = Golden::read(kind);
        let llama = Llama::<Flex>::load(&golden.folder, &Default::default()).unwrap();
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default());
        let (h_cls, saved) = llama.forward_save(x0, &golden.lengths);
        let distance = relative_distance(&floats(h_cls), &golden.numbers("h_cls").values);
        assert!(distance < 1e-4, "{kind} cls: {distance:e}");
        let r = golden.numbers("r").tensor::<Flex, 2>(&Default::default());
        let gradient = floats(llama.backward_input(r, saved));
        let distance = relative_distance(&gradient, &golden.numbers("g_x0").values);
        assert!(distance < 1e-3, "{kind}: {distance:e}");
        let real = real_rows(&gradient, &golden.lengths);
        let sum = |numbers: &[f32]| numbers.iter().map(|x| x.abs()).sum::<f32>();
        assert!((sum(&real) - sum(&gradient)).abs() < 1e-6, "{kind}: pads have a gradient");
    }
}

#[test]
fn truncated_padded_and_unpadded_cells_have_the_same_cls() {
    let golden = Golden::read("gqa_tied");
    let device = Default::default();
    let llama = Llama::<Flex>::load(&golden.folder, &device).unwrap();
    let x0 = golden.numbers("x0").tensor::<Flex, 3>(&device);
    let [_, tokens, hidden] = x0.dims();
    let together = floats(llama.forward(x0.clone(), &golden.lengths));
    // What stands in the pads must not matter, be it noise or not a number.
    let junk = Tensor::<Flex, 3>::full([1, tokens, hidden], f32::NAN, &device);
    for (cell, &length) in golden.lengths.iter().enumerate() {
        let real = x0.clone().slice([cell..cell + 1, 0..length, 0..hidden]);
        let alone = floats(llama.forward(real.clone(), &[length]));
        let padded = Tensor::cat(vec![real, junk.clone()], 1);
        let (h_cls, saved) = llama.forward_save(padded, &[length]);
        let padded = floats(h_cls);
        let expected = &together[cell * hidden..(cell + 1) * hidden];
        assert!(relative_distance(&alone, expected) < 1e-5, "cell {cell} alone");
        assert!(relative_distance(&padded, expected) < 1e-5, "cell {cell} padded");
        let gradient = floats(llama.backward_input(Tensor::ones([1, hidden], &device), saved));
        assert!(gradient.iter().all(|x| x.is_finite()), "cell {cell} gradient");
        assert!(gradient[length * hidden..].iter().all(|x| *x == 0.0), "cell {cell} pads");
    }
}
