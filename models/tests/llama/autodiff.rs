//! Input gradients against burn's own autodiff, on a forward pass written as plainly as possible.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData, activation};
use safetensors::SafeTensors;
use screader_models::llama::{Kernels, Llama, LlamaConfig};

use crate::golden::{Golden, floats, relative_distance};

type Taped = Autodiff<Flex>;

struct Weights<'a>(SafeTensors<'a>);

impl Weights<'_> {
    fn matrix(&self, name: &str) -> Tensor<Taped, 2> {
        let view = self.0.tensor(&format!("model.{name}.weight")).unwrap();
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let columns = *view.shape().last().unwrap();
        let shape = [values.len() / columns, columns];
        Tensor::from_data(TensorData::new(values, shape), &Default::default())
    }
}

fn normed(x: Tensor<Taped, 2>, weight: Tensor<Taped, 2>, epsilon: f64) -> Tensor<Taped, 2> {
    let mean = x.clone().powf_scalar(2.0).mean_dim(1);
    x / (mean + epsilon).sqrt() * weight
}

/// Rotate `[tokens, head_dim]` at positions 0, 1, ..
fn rotated(x: Tensor<Taped, 2>, theta: f64) -> Tensor<Taped, 2> {
    let [tokens, width] = x.dims();
    let half = width / 2;
    let angle =
        |token: usize, i: usize| token as f64 / theta.powf((2 * (i % half)) as f64 / width as f64);
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> =
            (0..tokens * width).map(|n| f(angle(n / width, n % width)) as f32).collect();
        Tensor::from_data(TensorData::new(values, [tokens, width]), &Default::default())
    };
    let turned =
        Tensor::cat(vec![x.clone().narrow(1, half, half).neg(), x.clone().narrow(1, 0, half)], 1);
    x * table(f64::cos) + turned * table(f64::sin)
}

fn taped_forward(w: &Weights, config: &LlamaConfig, mut x: Tensor<Taped, 2>) -> Tensor<Taped, 2> {
    let (tokens, width) = (x.dims()[0], config.head_dim);
    let group = config.num_attention_heads / config.num_key_value_heads;
    let above = Tensor::tril_mask([tokens, tokens], 0, &Default::default());
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let linear =
            |x: &Tensor<Taped, 2>, part: &str| x.clone().matmul(w.matrix(&name(part)).transpose());
        let n = normed(x.clone(), w.matrix(&name("input_layernorm")), config.rms_norm_eps);
        let [q, k, v] =
            ["q_proj", "k_proj", "v_proj"].map(|part| linear(&n, &format!("self_attn.{part}")));
        let heads = (0..config.num_attention_heads).map(|head| {
            let shared = head / group * width;
            let q = rotated(q.clone().narrow(1, head * width, width), config.rope_theta);
            let k = rotated(k.clone().narrow(1, shared, width), config.rope_theta);
            let scores = q.matmul(k.transpose()).div_scalar((width as f64).sqrt());
            let weights =
                activation::softmax(scores.mask_fill(above.clone(), f32::NEG_INFINITY), 1);
            weights.matmul(v.clone().narrow(1, shared, width))
        });
        x = x + linear(&Tensor::cat(heads.collect(), 1), "self_attn.o_proj");
        let n = normed(x.clone(), w.matrix(&name("post_attention_layernorm")), config.rms_norm_eps);
        let gated = activation::silu(linear(&n, "mlp.gate_proj")) * linear(&n, "mlp.up_proj");
        x = x + linear(&gated, "mlp.down_proj");
    }
    normed(x.narrow(0, tokens - 1, 1), w.matrix("norm"), config.rms_norm_eps)
}

#[test]
fn input_gradients_are_those_of_autodiff() {
    for kind in ["mha", "gqa_tied", "mqa", "head_dim"] {
        let golden = Golden::read(kind);
        let bytes = std::fs::read(golden.folder.join("model.safetensors")).unwrap();
        let weights = Weights(SafeTensors::deserialize(&bytes).unwrap());
        let config = LlamaConfig::load(&golden.folder).unwrap();
        let length = golden.lengths[0];
        let x0 = golden.numbers("x0").tensor::<Flex, 3>(&Default::default()).narrow(0, 0, 1);
        let r = golden.numbers("r").tensor::<Flex, 2>(&Default::default()).narrow(0, 0, 1);

        let taped_x0 = Tensor::<Taped, 2>::from_inner(x0.clone().squeeze_dim(0)).require_grad();
        let taped_cls = taped_forward(&weights, &config, taped_x0.clone());
        let gradients = (taped_cls.clone() * Tensor::from_inner(r.clone())).sum().backward();
        let expected = floats(taped_x0.grad(&gradients).unwrap());

        for kernels in [Kernels::Plain(DType::F32), Kernels::Host] {
            let llama = Llama::<Flex>::load_with_kernels(
                &golden.folder,
                &Default::default(),
                kernels,
                &|_, _| {},
            )
            .unwrap();
            let (h_cls, saved) = llama.forward_save(x0.clone(), &[length]);
            let distance = relative_distance(&floats(h_cls), &floats(taped_cls.clone().inner()));
            assert!(distance < 1e-5, "{kind} {kernels:?} cls: {distance:e}");
            let found = floats(llama.backward_input(r.clone(), saved));
            let distance = relative_distance(&found, &expected);
            assert!(distance < 1e-4, "{kind} {kernels:?}: {distance:e}");
        }
    }
}
