//! Rates of matrix products on CUDA.

use burn::tensor::{DType, Distribution, Tensor, TensorPrimitive};
use burn_cuda::Cuda;
use cubecl::cuda::CudaRuntime;
use screader_kernels::gpu::product::{As, Matrices, Product, Products, Write};
use serde_json::json;

use super::{Options, median};

/// Rates of the matrix products of a 7B and a 13B LLaMA on CUDA, forward and back.
pub(super) fn products(options: &Options) -> Result<(), String> {
    let device = Default::default();
    let (library, reason) = Products::for_device::<CudaRuntime>(&device);
    if let Some(reason) = reason {
        eprintln!("cuBLASLt: {reason}");
    }
    let random = |rows: usize, columns: usize| {
        let shape = [rows, columns];
        let tensor = Tensor::<Cuda, 2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        tensor.cast(DType::BF16).into_primitive().tensor()
    };
    let maps = [
        (12_288, 4096),
        (22_016, 4096),
        (4096, 11_008),
        (15_360, 5120),
        (27_648, 5120),
        (5120, 13_824),
        (5120, 5120),
    ];
    for rows in options.numbers("rows", "8192,16384") {
        for (outputs, inputs) in maps {
            let (weight, x, y) =
                (random(outputs, inputs), random(rows, inputs), random(rows, outputs));
            let work = 2.0 * rows as f64 * outputs as f64 * inputs as f64;
            for (by, products) in [("cuBLASLt", &library), ("burn", &Products::Burn)] {
                if products.name() != by || (by == "burn" && !options.0.contains_key("burn")) {
                    continue;
                }
                let [x, y, weight] = [&x, &y, &weight].map(Matrices::whole);
                let repeats = 10;
                let multiply = |a: &Matrices<_>, b: &Matrices<_>, b_as, out: &Matrices<_>| {
                    let (a, b, out) = ((a.clone(), As::Is), (b.clone(), b_as), out.clone());
                    products.multiply(&[Product { a, b, out, scale: 1.0, write: Write::Over }]);
                };
                let wait = |tensor: &burn_cubecl::tensor::CubeTensor<CudaRuntime>| {
                    let tensor =
                        Tensor::<Cuda, 2>::from_primitive(TensorPrimitive::Float(tensor.clone()));
                    tensor.slice([0..1, 0..1]).into_data();
                };
                let forward = median(3, || {
                    for _ in 0..repeats {
                        multiply(&x, &weight, As::Transposed, &y);
                    }
                    wait(y.buffer);
                });
                let back = median(3, || {
                    for _ in 0..repeats {
                        multiply(&y, &weight, As::Is, &x);
                    }
                    wait(x.buffer);
                });
                let rate = |seconds: f64| work * f64::from(repeats) / seconds / 1e12;
                eprintln!(
                    "{rows} × {inputs} → {outputs}, {by}: {:.0} and back {:.0} TFLOP/s",
                    rate(forward),
                    rate(back)
                );
                println!(
                    "{}",
                    json!({"what": "product", "rows": rows, "inputs": inputs, "outputs": outputs, "by": by, "forward_tflops": rate(forward), "back_tflops": rate(back)})
                );
            }
        }
    }
    Ok(())
}
