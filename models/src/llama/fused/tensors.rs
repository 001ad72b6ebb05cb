//! Between burn's tensors and the buffers that the kernels work on.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, TensorPrimitive};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};

use super::Gpu;

pub(super) fn to_burn<R: CubeRuntime, BT: BoolElement, const D: usize>(
    tensor: CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

pub(super) fn of_burn<R: CubeRuntime, BT: BoolElement, const D: usize>(
    tensor: Tensor<Gpu<R, BT>, D>,
) -> CubeTensor<R> {
    into_contiguous(tensor.into_primitive().tensor())
}

pub(super) fn from_host<R: CubeRuntime>(data: TensorData, device: &R::CubeDevice) -> CubeTensor<R> {
    of_burn(Tensor::<Gpu<R, u8>, 2>::from_data(data, device))
}

pub(super) fn vector<R: CubeRuntime>(values: Vec<f32>, device: &R::CubeDevice) -> CubeTensor<R> {
    let length = values.len();
    of_burn(Tensor::<Gpu<R, u8>, 1>::from_data(TensorData::new(values, [length]), device))
}

pub(super) fn integers<R: CubeRuntime>(
    values: impl Iterator<Item = usize>,
    device: &R::CubeDevice,
) -> CubeTensor<R> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let length = values.len();
    let data = TensorData::new(values, [length]);
    into_contiguous(Tensor::<Gpu<R, u8>, 1, Int>::from_data(data, device).into_primitive())
}

pub(super) fn zeros<R: CubeRuntime>(like: &CubeTensor<R>) -> CubeTensor<R> {
    let [rows, width] = like.meta.shape().dims();
    of_burn(Tensor::<Gpu<R, u8>, 2>::zeros([rows, width], &like.device))
}

fn indices<R: CubeRuntime>(rows: &CubeTensor<R>) -> Tensor<Gpu<R, u8>, 1, Int> {
    Tensor::from_primitive(rows.clone())
}

pub(super) fn select<R: CubeRuntime>(from: &CubeTensor<R>, rows: &CubeTensor<R>) -> CubeTensor<R> {
    of_burn(to_burn::<R, u8, 2>(from.clone()).select(0, indices(rows)))
}

/// Add `part` to distinct `rows` of `sum`.
pub(super) fn add_at<R: CubeRuntime>(
    sum: CubeTensor<R>,
    rows: &CubeTensor<R>,
    part: CubeTensor<R>,
) -> CubeTensor<R> {
    let part = to_burn::<R, u8, 2>(part);
    of_burn(to_burn::<R, u8, 2>(sum).select_assign(0, indices(rows), part, IndexingUpdateOp::Add))
}
