//! Frozen affine maps as a card keeps them, and how they are multiplied with.

use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use screader_kernels::gpu::empty;
use screader_kernels::gpu::product::{As, Matrices, Product, Write};
use screader_kernels::gpu::quantised::Quantised;

use super::FusedDecoder;
use super::tensors::{of_burn, to_burn};

/// A frozen affine map; the bias is `[1, outputs]`.
pub(super) struct Affine<R: CubeRuntime> {
    pub(super) weight: Weight<R>,
    pub(super) bias: Option<CubeTensor<R>>,
}

/// A frozen matrix as it is kept.
pub(super) enum Weight<R: CubeRuntime> {
    Wide(CubeTensor<R>),
    Quantised(Quantised<R>),
}

impl<R: CubeRuntime> Weight<R> {
    /// The matrix as it is multiplied with.
    pub(super) fn wide(&self) -> CubeTensor<R> {
        match self {
            Self::Wide(weight) => weight.clone(),
            Self::Quantised(weight) => weight.dequantise(),
        }
    }
}

impl<R: CubeRuntime> FusedDecoder<R> {
    /// `x Wᵀ + b`.
    pub(super) fn map(&self, x: &CubeTensor<R>, affine: &Affine<R>) -> CubeTensor<R> {
        self.map_rows(x, Matrices::whole(&affine.weight.wide()), affine.bias.clone())
    }

    /// `x Wᵀ + b` for some of the rows of a matrix and as many entries of its bias.
    pub(super) fn map_rows(
        &self,
        x: &CubeTensor<R>,
        weight: Matrices<R>,
        bias: Option<CubeTensor<R>>,
    ) -> CubeTensor<R> {
        let [rows, _] = x.meta.shape().dims();
        let y = empty(x, [rows, weight.rows], self.dtype);
        self.multiply(x, weight, As::Transposed, &y);
        match bias {
            None => y,
            Some(bias) => of_burn(to_burn::<R, u8, 2>(y) + to_burn(bias)),
        }
    }

    /// `g W`.
    pub(super) fn map_back(&self, g: &CubeTensor<R>, affine: &Affine<R>) -> CubeTensor<R> {
        self.map_rows_back(g, Matrices::whole(&affine.weight.wide()))
    }

    /// `g W` for some of the rows of a matrix.
    pub(super) fn map_rows_back(&self, g: &CubeTensor<R>, weight: Matrices<R>) -> CubeTensor<R> {
        let [rows, _] = g.meta.shape().dims();
        let y = empty(g, [rows, weight.columns], self.dtype);
        self.multiply(g, weight, As::Is, &y);
        y
    }

    fn multiply(&self, x: &CubeTensor<R>, weight: Matrices<R>, as_: As, out: &CubeTensor<R>) {
        self.products.multiply(&[Product {
            a: (Matrices::whole(x), As::Is),
            b: (weight, as_),
            out: Matrices::whole(out),
            scale: 1.0,
            write: Write::Over,
        }]);
    }
}
