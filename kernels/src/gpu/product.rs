//! Matrix products of parts of buffers.

use burn::tensor::Shape;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;
use cubecl::zspace::{Strides, metadata::Metadata};

use super::{array, empty, unit_a_piece};

/// Equally shaped matrices in one buffer.
#[derive(Debug, Clone)]
pub struct Matrices<'a, R: CubeRuntime> {
    /// The buffer, which lies row by row.
    pub buffer: &'a CubeTensor<R>,
    /// Where the first number of the first matrix lies.
    pub offset: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// How many matrices.
    pub count: usize,
    /// Numbers from one matrix to the next.
    pub apart: usize,
}

impl<'a, R: CubeRuntime> Matrices<'a, R> {
    /// One matrix that is a whole buffer `[rows, columns]`.
    pub fn whole(buffer: &'a CubeTensor<R>) -> Self {
        let [rows, columns] = buffer.meta.shape().dims();
        Self { buffer, offset: 0, rows, columns, stride: columns, count: 1, apart: 0 }
    }

    /// Some of the rows of one matrix.
    pub fn rows(self, first: usize, rows: usize) -> Self {
        Self { offset: self.offset + first * self.stride, rows, ..self }
    }
}

/// How a factor enters a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum As {
    /// As it lies.
    Is,
    /// With rows and columns exchanged.
    Transposed,
}

/// What a product does with what its place held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// It takes its place.
    Over,
    /// It is added to it.
    Add,
}

/// `out = scale · a b`, or that added to `out`, for each of `out.count` matrices.
///
/// `a` and `b` are of one type, `out` of that or `f32`; sums are made in `f32`.
#[derive(Debug, Clone)]
pub struct Product<'a, R: CubeRuntime> {
    /// First factor.
    pub a: (Matrices<'a, R>, As),
    /// Second factor.
    pub b: (Matrices<'a, R>, As),
    /// Where the product goes.
    pub out: Matrices<'a, R>,
    /// Factor of the product.
    pub scale: f32,
    /// Whether it replaces or adds.
    pub write: Write,
}

/// Who multiplies.
#[derive(Debug)]
pub enum Products {
    /// Burn's own kernels.
    Burn,
    /// NVIDIA's library.
    #[cfg(feature = "cuda")]
    CublasLt(Box<super::cublas::CublasLt>),
}

impl Products {
    /// cuBLASLt for a CUDA device where the library is installed; otherwise burn's kernels and the reason.
    pub fn for_device<R: CubeRuntime>(device: &R::Device) -> (Self, Option<String>) {
        #[cfg(feature = "cuda")]
        if let Some(device) =
            (device as &dyn std::any::Any).downcast_ref::<cubecl::cuda::CudaDevice>()
        {
            return match super::cublas::CublasLt::open(device.index) {
                Ok(library) => (Self::CublasLt(Box::new(library)), None),
                Err(reason) => (Self::Burn, Some(reason)),
            };
        }
        let _ = device;
        (Self::Burn, None)
    }

    /// Who multiplies, by name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Burn => "burn",
            #[cfg(feature = "cuda")]
            Self::CublasLt(_) => "cuBLASLt",
        }
    }

    /// Compute products one after the other.
    ///
    /// # Panics
    /// When the shapes of one disagree, as burn does.
    pub fn multiply<R: CubeRuntime>(&self, products: &[Product<R>]) {
        products.iter().for_each(Product::agree);
        match self {
            Self::Burn => products.iter().for_each(multiply_by_burn),
            #[cfg(feature = "cuda")]
            Self::CublasLt(library) => library.multiply(products),
        }
    }
}

impl<R: CubeRuntime> Product<'_, R> {
    fn agree(&self) {
        let oriented = |(matrices, as_): &(Matrices<R>, As)| match as_ {
            As::Is => (matrices.rows, matrices.columns),
            As::Transposed => (matrices.columns, matrices.rows),
        };
        let ((m, inner), (also_inner, n)) = (oriented(&self.a), oriented(&self.b));
        assert_eq!(inner, also_inner, "columns of the first factor and rows of the second");
        assert_eq!((self.out.rows, self.out.columns), (m, n), "shape of the product");
    }
}

fn multiply_by_burn<R: CubeRuntime>(product: &Product<R>) {
    let Product { a, b, out, scale, write } = product;
    let [a, b] = [a, b].map(|(matrices, as_)| {
        // Vulkan binds buffers from few offsets only, so parts of one are copied out.
        if matrices.offset == 0 {
            view(matrices, *as_)
        } else {
            let Matrices { rows, columns, count, .. } = *matrices;
            let (buffer, apart) = (&part(matrices), rows * columns);
            let copied =
                Matrices { buffer, offset: 0, rows, columns, stride: columns, count, apart };
            view(&copied, *as_)
        }
    });
    let product = match matmul(a, b, None, MatmulStrategy::Cube, out.buffer.dtype) {
        Ok(product) => product,
        Err(error) => panic!("no kernel of burn multiplies these: {error:?}"),
    };
    place(&into_contiguous(product), out, *scale, *write);
}

/// Copy matrices to a buffer of their own, `[count, rows, columns]`.
fn part<R: CubeRuntime>(matrices: &Matrices<R>) -> CubeTensor<R> {
    let Matrices { buffer, rows, columns, count, .. } = *matrices;
    let out = empty(buffer, [count, rows, columns], buffer.dtype);
    let numbers = count * rows * columns;
    let (cubes, dim) = unit_a_piece(&buffer.client, numbers);
    // SAFETY: the caller's matrices lie in their buffer, and the copy is as long as they are.
    unsafe {
        part_kernel::launch_unchecked(
            &buffer.client,
            cubes,
            dim,
            array(buffer),
            array(&out),
            numbers,
            matrices.offset,
            rows,
            columns,
            matrices.stride,
            matrices.apart,
            buffer.dtype.into(),
        );
    }
    out
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn part_kernel<E: Float>(
    from: &Array<E>,
    out: &mut Array<E>,
    numbers: usize,
    offset: usize,
    rows: usize,
    columns: usize,
    stride: usize,
    apart: usize,
    #[define(E)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= numbers {
        terminate!();
    }
    let row = at / columns;
    out[at] = from[offset + row / rows * apart + row % rows * stride + at % columns];
}

/// The matrices as a strided tensor of burn's, which begins where their buffer does.
fn view<R: CubeRuntime>(matrices: &Matrices<R>, as_: As) -> CubeTensor<R> {
    let Matrices { buffer, rows, columns, stride, count, apart, .. } = *matrices;
    let (shape, strides) = match as_ {
        As::Is => ([count, rows, columns], [apart, stride, 1]),
        As::Transposed => ([count, columns, rows], [apart, 1, stride]),
    };
    let meta = Metadata::new(Shape::from(shape), Strides::new(&strides));
    let (client, device) = (buffer.client.clone(), buffer.device.clone());
    CubeTensor::new(client, buffer.handle.clone(), meta, device, buffer.dtype)
}

/// Put a product `[count, rows, columns]` where it belongs.
fn place<R: CubeRuntime>(product: &CubeTensor<R>, out: &Matrices<R>, scale: f32, write: Write) {
    let numbers = out.count * out.rows * out.columns;
    let (count, dim) = unit_a_piece(&product.client, numbers);
    // SAFETY: the caller's matrices lie in their buffer, and the product is as long as they are.
    unsafe {
        place_kernel::launch_unchecked(
            &product.client,
            count,
            dim,
            array(product),
            array(out.buffer),
            scale,
            numbers,
            out.offset,
            out.rows,
            out.columns,
            out.stride,
            out.apart,
            write == Write::Add,
            out.buffer.dtype.into(),
        );
    }
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn place_kernel<E: Float>(
    product: &Array<E>,
    out: &mut Array<E>,
    scale: f32,
    numbers: usize,
    offset: usize,
    rows: usize,
    columns: usize,
    stride: usize,
    apart: usize,
    #[comptime] sum: bool,
    #[define(E)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= numbers {
        terminate!();
    }
    let row = at / columns;
    let to = offset + row / rows * apart + row % rows * stride + at % columns;
    let mut value = f32::cast_from(product[at]) * scale;
    if sum {
        value += f32::cast_from(out[to]);
    }
    out[to] = E::cast_from(value);
}
