//! cuBLASLt on burn's buffers, without copies.
//!
//! The library is opened at run time. It runs on a stream of its own, which waits for everything that the
//! context was given before a product and lets everything after wait for it: burn keeps its streams to
//! itself, but the driver records and awaits events of a whole context since CUDA 12.5. Older drivers are
//! made to wait from the host, which is slower and as right.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::cuda::CudaRuntime;
use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::{result as lt, sys};
use cudarc::driver::{CudaContext, CudaStream, result as driver, sys as cuda};

use super::product::{As, Matrices, Product, Write};

/// Memory that the library's kernels may use, in bytes; what NVIDIA advises for Hopper.
const WORKSPACE: usize = 32 << 20;

/// How many of the library's proposals are tried for a product that is worth it, and how often each.
const PROPOSALS: usize = 8;
const TIMED_RUNS: usize = 3;

/// Multiplications from which on the fastest kernel is looked for; under it a trial costs more than it gains.
const WORTH_A_TRIAL: usize = 1 << 32;

/// The library, opened on one device.
pub struct CublasLt {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    order: Order,
    /// Events that a trial is timed by.
    clock: [cuda::CUevent; 2],
    handle: sys::cublasLtHandle_t,
    workspace: cuda::CUdeviceptr,
    plans: Mutex<HashMap<Key, Plan>>,
}

/// How products are ordered among burn's kernels.
enum Order {
    /// By events of the whole context.
    Events { before: cuda::CUevent, after: cuda::CUevent },
    /// By waiting on the host.
    Waiting,
}

/// What a plan depends on.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    sizes: [usize; 3],
    strides: [usize; 3],
    count: usize,
    apart: [usize; 3],
    transposed: [bool; 2],
    dtypes: [DType; 2],
    sum: bool,
    alignment: u32,
}

/// What the library is told of a product, and the kernel it chose.
struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

// SAFETY: the library's handle and descriptions may be used from any thread, one call at a time for the
// descriptions, which the mutex sees to; events, streams and device memory belong to the context.
unsafe impl Send for CublasLt {}
// SAFETY: as above.
unsafe impl Sync for CublasLt {}

impl std::fmt::Debug for CublasLt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CublasLt")
    }
}

impl CublasLt {
    /// Open the library for a device.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn open(device: usize) -> Result<Self, String> {
        // SAFETY: asks whether the library can be opened, which runs its initialisers as any use would.
        if !unsafe { sys::is_culib_present() } {
            return Err("libcublasLt is not installed".into());
        }
        let failed = |what: &str| {
            let what = what.to_string();
            move |error: driver::DriverError| format!("{what}: {error:?}")
        };
        let context = CudaContext::new(device).map_err(failed("no context"))?;
        let stream = context.new_stream().map_err(failed("no stream"))?;
        let handle = lt::create_handle().map_err(|error| format!("cublasLtCreate: {error:?}"))?;
        // SAFETY: plain allocation, freed when dropped.
        let workspace =
            unsafe { driver::malloc_sync(WORKSPACE) }.map_err(failed("no workspace"))?;
        let timing = cuda::CUevent_flags::CU_EVENT_DEFAULT;
        let mark = || driver::event::create(timing).map_err(failed("no event"));
        let clock = [mark()?, mark()?];
        let order = match driver_version() {
            Some(12_050..) => {
                let flags = cuda::CUevent_flags::CU_EVENT_DISABLE_TIMING;
                let event = || driver::event::create(flags).map_err(failed("no event"));
                Order::Events { before: event()?, after: event()? }
            }
            _ => Order::Waiting,
        };
        Ok(Self { context, stream, order, clock, handle, workspace, plans: Mutex::default() })
    }

    /// Compute as [`super::product::Products::multiply`] does.
    ///
    /// # Panics
    /// When the library refuses or fails, with its status.
    pub fn multiply<R: CubeRuntime>(&self, products: &[Product<R>]) {
        if let Err(error) = self.context.bind_to_thread() {
            panic!("the CUDA context cannot be entered: {error:?}");
        }
        let mut addresses = Addresses::default();
        // To the library, which counts by columns, a row-major matrix is its transpose: so it is asked for
        // outᵀ = bᵀ aᵀ.
        let addresses: Vec<[u64; 3]> = products
            .iter()
            .map(|product| [&product.b.0, &product.a.0, &product.out].map(|m| addresses.of(m)))
            .collect();
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_order(|| {
            products.iter().zip(addresses).try_for_each(|(product, addresses)| {
                let plan = match plans.entry(Key::of(product, addresses)) {
                    Entry::Occupied(plan) => plan.into_mut(),
                    Entry::Vacant(place) => {
                        let plan = Plan::new(self, product, addresses, place.key().alignment)?;
                        place.insert(plan)
                    }
                };
                self.run(plan, &plan.algorithm, product, addresses)
            })
        });
    }

    /// Queue one product.
    fn run<R: CubeRuntime>(
        &self,
        plan: &Plan,
        algorithm: &sys::cublasLtMatmulAlgo_t,
        product: &Product<R>,
        addresses: [u64; 3],
    ) -> Result<(), CublasError> {
        let beta: f32 = if product.write == Write::Add { 1.0 } else { 0.0 };
        let [first, second, out] = plan.layouts;
        // SAFETY: the addresses are of live buffers that hold the matrices the layouts describe, by the
        // caller's word; the descriptions live as long as `plan`.
        unsafe {
            lt::matmul(
                self.handle,
                plan.description,
                (&raw const product.scale).cast(),
                (&raw const beta).cast(),
                addresses[0] as *const c_void,
                first,
                addresses[1] as *const c_void,
                second,
                addresses[2] as *const c_void,
                out,
                addresses[2] as *mut c_void,
                out,
                algorithm,
                self.workspace as *mut c_void,
                WORKSPACE,
                self.stream.cu_stream().cast(),
            )
        }
    }

    /// Queue work behind all that the context has been given and before all that it will be.
    fn in_order(&self, work: impl FnOnce() -> Result<(), CublasError>) {
        let (context, stream) = (self.context.cu_ctx(), self.stream.cu_stream());
        // SAFETY: context, stream and events are alive and belong together.
        let before = unsafe {
            match &self.order {
                Order::Events { before, .. } => cuda::cuCtxRecordEvent(context, *before)
                    .result()
                    .and_then(|()| cuda::cuStreamWaitEvent(stream, *before, 0).result()),
                Order::Waiting => cuda::cuCtxSynchronize().result(),
            }
        };
        if let Err(error) = before {
            panic!("the work before a matrix product failed on the device: {error:?}");
        }
        if let Err(error) = work() {
            panic!("cuBLASLt could not multiply: {error:?}");
        }
        // SAFETY: as above.
        let after = unsafe {
            match &self.order {
                Order::Events { after, .. } => cuda::cuEventRecord(*after, stream)
                    .result()
                    .and_then(|()| cuda::cuCtxWaitEvent(context, *after).result()),
                Order::Waiting => cuda::cuStreamSynchronize(stream).result(),
            }
        };
        if let Err(error) = after {
            panic!("a matrix product failed on the device: {error:?}");
        }
    }

    /// Time a kernel of the library for a product, in milliseconds, after one run that does not count.
    fn time<R: CubeRuntime>(
        &self,
        plan: &Plan,
        algorithm: &sys::cublasLtMatmulAlgo_t,
        product: &Product<R>,
        addresses: [u64; 3],
    ) -> Option<f32> {
        self.run(plan, algorithm, product, addresses).ok()?;
        let [begin, end] = &self.clock;
        let stream = self.stream.cu_stream();
        // SAFETY: stream and events are alive and of one context.
        unsafe {
            driver::event::record(*begin, stream).ok()?;
            for _ in 0..TIMED_RUNS {
                self.run(plan, algorithm, product, addresses).ok()?;
            }
            driver::event::record(*end, stream).ok()?;
            cuda::cuEventSynchronize(*end).result().ok()?;
            driver::event::elapsed(*begin, *end).ok()
        }
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_err() || self.stream.synchronize().is_err() {
            return;
        }
        // SAFETY: nothing runs on the stream any more, and each is freed once.
        unsafe {
            let _ = driver::free_sync(self.workspace);
            let _ = lt::destroy_handle(self.handle);
            if let Order::Events { before, after } = self.order {
                let _ = driver::event::destroy(before);
                let _ = driver::event::destroy(after);
            }
            for mark in self.clock {
                let _ = driver::event::destroy(mark);
            }
        }
    }
}

impl Key {
    fn of<R: CubeRuntime>(product: &Product<R>, addresses: [u64; 3]) -> Self {
        let Product { a: (a, a_as), b: (b, b_as), out, write, .. } = product;
        // What all addresses, rows and matrices begin at a multiple of, in bytes.
        let bytes = |matrices: &Matrices<R>| {
            let size = matrices.buffer.dtype.size();
            ((matrices.stride * size) | (matrices.apart * size)) as u64
        };
        let places = addresses.iter().fold(0, |bits, address| bits | address);
        let bits = places | bytes(a) | bytes(b) | bytes(out) | 256;
        Self {
            sizes: [out.rows, out.columns, if *a_as == As::Is { a.columns } else { a.rows }],
            strides: [a.stride, b.stride, out.stride],
            count: out.count,
            apart: [a.apart, b.apart, out.apart],
            transposed: [a_as, b_as].map(|as_| *as_ == As::Transposed),
            dtypes: [a.buffer.dtype, out.buffer.dtype],
            sum: *write == Write::Add,
            alignment: 1 << bits.trailing_zeros(),
        }
    }
}

impl Plan {
    /// Describe a product and find the fastest of the kernels that the library proposes.
    fn new<R: CubeRuntime>(
        library: &CublasLt,
        product: &Product<R>,
        addresses: [u64; 3],
        alignment: u32,
    ) -> Result<Self, CublasError> {
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let description = lt::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)?;
        use sys::cublasLtMatmulDescAttributes_t::{
            CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB,
        };
        let sides = [
            (CUBLASLT_MATMUL_DESC_TRANSA, product.b.1),
            (CUBLASLT_MATMUL_DESC_TRANSB, product.a.1),
        ];
        for (side, as_) in sides {
            // cublasOperation_t: 0 as is, 1 transposed.
            let operation = i32::from(as_ == As::Transposed);
            // SAFETY: the description was just made; the attribute is a 32-bit integer.
            unsafe {
                lt::set_matmul_desc_attribute(
                    description,
                    side,
                    (&raw const operation).cast(),
                    size_of_val(&operation),
                )?;
            }
        }
        let layouts = [layout(&product.b.0)?, layout(&product.a.0)?, layout(&product.out)?];
        let mut proposed = proposals(library.handle, description, layouts, alignment)?;
        let Some(first) = proposed.first().copied() else {
            return Err(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED));
        };
        let mut plan = Self { description, layouts, algorithm: first };
        let out = &product.out;
        let work = out.count * out.rows * out.columns * plan_inner(product);
        // Runs that add up would leave their sums; and what is small is not worth the trial.
        if product.write == Write::Over && work >= WORTH_A_TRIAL {
            let timed = proposed.drain(..).filter_map(|algorithm| {
                Some((library.time(&plan, &algorithm, product, addresses)?, algorithm))
            });
            let fastest = timed.min_by(|(a, _), (b, _)| a.total_cmp(b));
            plan.algorithm = fastest.map_or(first, |(_, algorithm)| algorithm);
        }
        Ok(plan)
    }
}

/// How many numbers each sum of a product runs over.
fn plan_inner<R: CubeRuntime>(product: &Product<R>) -> usize {
    match product.a.1 {
        As::Is => product.a.0.columns,
        As::Transposed => product.a.0.rows,
    }
}

/// The kernels that the library proposes, the likely fastest first.
fn proposals(
    handle: sys::cublasLtHandle_t,
    description: sys::cublasLtMatmulDesc_t,
    [first, second, out]: [sys::cublasLtMatrixLayout_t; 3],
    alignment: u32,
) -> Result<Vec<sys::cublasLtMatmulAlgo_t>, CublasError> {
    use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
    let preference = lt::create_matmul_pref()?;
    let workspace = WORKSPACE;
    // SAFETY: the preference was just made; the workspace is a size, alignments are 32-bit integers.
    unsafe {
        lt::set_matmul_pref_attribute(
            preference,
            Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            (&raw const workspace).cast(),
            size_of::<usize>(),
        )?;
        for side in [
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            let at = (&raw const alignment).cast();
            lt::set_matmul_pref_attribute(preference, side, at, size_of::<u32>())?;
        }
    }
    let mut found = [MaybeUninit::<sys::cublasLtMatmulHeuristicResult_t>::uninit(); PROPOSALS];
    let mut count = 0;
    // SAFETY: everything was made above; the library writes `count` results to `found`, at most its length.
    let found = unsafe {
        let asked = sys::cublasLtMatmulAlgoGetHeuristic(
            handle,
            description,
            first,
            second,
            out,
            out,
            preference,
            PROPOSALS as i32,
            found[0].as_mut_ptr(),
            &raw mut count,
        );
        lt::destroy_matmul_pref(preference)?;
        asked.result()?;
        found[..count as usize].iter().map(|result| result.assume_init()).collect::<Vec<_>>()
    };
    let usable = found.into_iter().filter(|result| result.state.result().is_ok());
    Ok(usable.map(|result| result.algo).collect())
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by `new` and destroyed once.
        unsafe {
            let _ = lt::destroy_matmul_desc(self.description);
            for layout in self.layouts {
                let _ = lt::destroy_matrix_layout(layout);
            }
        }
    }
}

fn layout<R: CubeRuntime>(
    matrices: &Matrices<R>,
) -> Result<sys::cublasLtMatrixLayout_t, CublasError> {
    let numbers = match matrices.buffer.dtype {
        DType::BF16 => sys::cudaDataType_t::CUDA_R_16BF,
        DType::F16 => sys::cudaDataType_t::CUDA_R_16F,
        DType::F32 => sys::cudaDataType_t::CUDA_R_32F,
        other => panic!("cuBLASLt is asked for f32, f16 and bf16 only, not {other:?}"),
    };
    let (rows, columns) = (matrices.columns as u64, matrices.rows as u64);
    let layout = lt::create_matrix_layout(numbers, rows, columns, matrices.stride as i64)?;
    use sys::cublasLtMatrixLayoutAttribute_t as Attribute;
    let (count, apart) = (matrices.count as i32, matrices.apart as i64);
    // SAFETY: the layout was just made; the count is a 32-bit integer, the distance a 64-bit one.
    unsafe {
        lt::set_matrix_layout_attribute(
            layout,
            Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
            (&raw const count).cast(),
            size_of::<i32>(),
        )?;
        lt::set_matrix_layout_attribute(
            layout,
            Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
            (&raw const apart).cast(),
            size_of::<i64>(),
        )?;
    }
    Ok(layout)
}

/// Where buffers lie on the device, each asked for once.
///
/// Asking also has everything queued so far handed to the driver, so that an event recorded next comes after
/// it.
#[derive(Default)]
struct Addresses(HashMap<*const c_void, u64>);

impl Addresses {
    /// Where the first of the matrices begins.
    fn of<R: CubeRuntime>(&mut self, matrices: &Matrices<R>) -> u64 {
        let key = std::ptr::from_ref(matrices.buffer).cast();
        let begin = *self.0.entry(key).or_insert_with(|| address(matrices.buffer));
        begin + (matrices.offset * matrices.buffer.dtype.size()) as u64
    }
}

fn address<R: CubeRuntime>(buffer: &CubeTensor<R>) -> u64 {
    let Some(buffer) = (buffer as &dyn Any).downcast_ref::<CubeTensor<CudaRuntime>>() else {
        unreachable!("cuBLASLt is opened for CUDA devices only");
    };
    match buffer.client.get_resource(buffer.handle.clone()) {
        Ok(resource) => resource.resource().ptr,
        Err(error) => panic!("a buffer of the device is gone: {error:?}"),
    }
}

/// The newest CUDA version that the driver runs, as 12050 for 12.5.
fn driver_version() -> Option<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    let code = unsafe { cuda::cuDriverGetVersion(&raw mut version) };
    code.result().ok().map(|()| version)
}
