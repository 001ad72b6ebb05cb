//! The gated activation of LLaMA's MLP (Shazeer, 2020).

use burn::tensor::{Tensor, activation, backend::Backend};

/// Gate: `silu(gate) · up`, elementwise; all three are `[.., intermediate]`.
pub fn swiglu<B: Backend, const D: usize>(gate: Tensor<B, D>, up: Tensor<B, D>) -> Tensor<B, D> {
    activation::silu(gate) * up
}

/// Carry a gradient from the output of [`swiglu`] to `(gate, up)`.
///
/// With `s = sigmoid(gate)`: `g_gate = g · up · s · (1 + gate · (1 − s))` and `g_up = g · gate · s`.
pub fn swiglu_backward<B: Backend, const D: usize>(
    g: Tensor<B, D>,
    gate: Tensor<B, D>,
    up: Tensor<B, D>,
) -> (Tensor<B, D>, Tensor<B, D>) {
    let s = activation::sigmoid(gate.clone());
    let silu = gate * s.clone();
    // s · (1 + gate · (1 − s)) = s + silu · (1 − s) = s + silu − silu · s
    let slope = s.clone() + silu.clone() - silu.clone() * s;
    (g.clone() * up * slope, g * silu)
}
