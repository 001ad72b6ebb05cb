//! cuBLASLt on burn's buffers, without copies.
//!
//! The library is opened at run time. It runs on a stream of its own, which waits for everything that the
//! context was given before a product and lets everything after wait for it: burn keeps its streams to
//! itself, but the driver records and awaits events of a whole context since CUDA 12.5. Older drivers are
//! made to wait from the host, which is slower and as right.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::cuda::CudaRuntime;
use cudarc::cublaslt::{result as lt, sys};
use cudarc::driver::{CudaContext, CudaStream, result as driver, sys as cuda};

use super::product::{As, Matrices, Write};

/// Memory that the library's kernels may use, in bytes; what NVIDIA advises for Hopper.
const WORKSPACE: usize = 32 << 20;

/// The library, opened on one device.
pub struct CublasLt {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    order: Order,
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
        let workspace = unsafe { driver::malloc_sync(WORKSPACE) }.map_err(failed("no workspace"))?;
        let order = match driver_version() {
            Some(12_050..) => {
                let flags = cuda::CUevent_flags::CU_EVENT_DISABLE_TIMING;
                let event = || driver::event::create(flags).map_err(failed("no event"));
                Order::Events { before: event()?, after: event()? }
            }
            _ => Order::Waiting,
        };
        Ok(Self { context, stream, order, handle, workspace, plans: Mutex::default() })
    }

    /// Compute as [`super::product::Products::multiply`] does.
    ///
    /// # Panics
    /// When the library refuses or fails, with its status.
    pub fn multiply<R: CubeRuntime>(
        &self,
        (a, a_as): (&Matrices<R>, As),
        (b, b_as): (&Matrices<R>, As),
        out: &Matrices<R>,
        scale: f32,
        write: Write,
    ) {
        // To the library, which counts by columns, a row-major matrix is its transpose: so it is asked for
        // outᵀ = bᵀ aᵀ.
        let addresses = [address(b), address(a), address(out)];
        let (factor, key) = ([(b, b_as), (a, a_as)], Key::of((a, a_as), (b, b_as), out, write, addresses));
        if let Err(error) = self.context.bind_to_thread() {
            panic!("the CUDA context cannot be entered: {error:?}");
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.entry(key) {
            std::collections::hash_map::Entry::Occupied(plan) => plan.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => {
                let alignment = empty.key().alignment;
                match Plan::new(self.handle, factor, out, alignment) {
                    Ok(plan) => empty.insert(plan),
                    Err(error) => panic!("cuBLASLt has no kernel for this product: {error:?}"),
                }
            }
        };
        self.in_order(|| {
            let beta: f32 = if write == Write::Add { 1.0 } else { 0.0 };
            let [first, second, product] = plan.layouts;
            // SAFETY: the addresses are of live buffers that hold the matrices the layouts describe, by the
            // caller's word; the descriptions live as long as `self`.
            unsafe {
                lt::matmul(
                    self.handle,
                    plan.description,
                    (&raw const scale).cast(),
                    (&raw const beta).cast(),
                    addresses[0] as *const c_void,
                    first,
                    addresses[1] as *const c_void,
                    second,
                    addresses[2] as *const c_void,
                    product,
                    addresses[2] as *mut c_void,
                    product,
                    &raw const plan.algorithm,
                    self.workspace as *mut c_void,
                    WORKSPACE,
                    self.stream.cu_stream().cast(),
                )
            }
            .map_err(|error| format!("{error:?}"))
        });
        if self.waits()
            && let Err(error) = self.stream.synchronize()
        {
            panic!("a product failed: {error:?}");
        }
    }

    fn waits(&self) -> bool {
        matches!(self.order, Order::Waiting)
    }

    /// Queue work behind all that the context has been given and before all that it will be.
    fn in_order(&self, work: impl FnOnce() -> Result<(), String>) {
        let (context, stream) = (self.context.cu_ctx(), self.stream.cu_stream());
        let checked = |call: &str, code: cuda::CUresult| {
            code.result().map_err(|error| format!("{call}: {error:?}"))
        };
        let done = match &self.order {
            // SAFETY: context, stream and events are alive and belong together.
            Order::Events { before, after } => unsafe {
                checked("cuCtxRecordEvent", cuda::cuCtxRecordEvent(context, *before))
                    .and_then(|()| checked("cuStreamWaitEvent", cuda::cuStreamWaitEvent(stream, *before, 0)))
                    .and_then(|()| work())
                    .and_then(|()| checked("cuEventRecord", cuda::cuEventRecord(*after, stream)))
                    .and_then(|()| checked("cuCtxWaitEvent", cuda::cuCtxWaitEvent(context, *after)))
            },
            // SAFETY: waits for the current context, which is ours.
            Order::Waiting => {
                checked("cuCtxSynchronize", unsafe { cuda::cuCtxSynchronize() }).and_then(|()| work())
            }
        };
        if let Err(error) = done {
            panic!("a matrix product failed on the device: {error}");
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
        }
    }
}

impl Key {
    fn of<R: CubeRuntime>(
        (a, a_as): (&Matrices<R>, As),
        (b, b_as): (&Matrices<R>, As),
        out: &Matrices<R>,
        write: Write,
        addresses: [u64; 3],
    ) -> Self {
        // What all addresses, rows and matrices begin at a multiple of, in bytes.
        let bytes = |matrices: &Matrices<R>| {
            let size = matrices.buffer.dtype.size();
            ((matrices.stride * size) | (matrices.apart * size)) as u64
        };
        let places = addresses.iter().fold(0, |bits, address| bits | address);
        let bits = places | bytes(a) | bytes(b) | bytes(out) | 256;
        Self {
            sizes: [out.rows, out.columns, if a_as == As::Is { a.columns } else { a.rows }],
            strides: [a.stride, b.stride, out.stride],
            count: out.count,
            apart: [a.apart, b.apart, out.apart],
            transposed: [a_as == As::Transposed, b_as == As::Transposed],
            dtypes: [a.buffer.dtype, out.buffer.dtype],
            sum: write == Write::Add,
            alignment: 1 << bits.trailing_zeros(),
        }
    }
}

impl Plan {
    fn new<R: CubeRuntime>(
        handle: sys::cublasLtHandle_t,
        factors: [(&Matrices<R>, As); 2],
        out: &Matrices<R>,
        alignment: u32,
    ) -> Result<Self, cudarc::cublaslt::result::CublasError> {
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let description = lt::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)?;
        use sys::cublasLtMatmulDescAttributes_t::{
            CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB,
        };
        let sides = [CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB];
        for (side, (_, as_)) in sides.into_iter().zip(factors) {
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
        let layouts = [layout(factors[0].0)?, layout(factors[1].0)?, layout(out)?];
        let preference = lt::create_matmul_pref()?;
        let workspace = WORKSPACE;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        // SAFETY: the preference was just made; the workspace is a size, alignments are 32-bit integers.
        let found = unsafe {
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
            let [first, second, product] = layouts;
            let found = lt::get_matmul_algo_heuristic(
                handle, description, first, second, product, product, preference,
            );
            lt::destroy_matmul_pref(preference)?;
            found?
        };
        Ok(Self { description, layouts, algorithm: found.algo })
    }
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
) -> Result<sys::cublasLtMatrixLayout_t, cudarc::cublaslt::result::CublasError> {
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

/// Where the first matrix begins on the device. Asking also has everything queued so far handed to the
/// driver, so that an event recorded next comes after it.
fn address<R: CubeRuntime>(matrices: &Matrices<R>) -> u64 {
    let buffer: &dyn Any = matrices.buffer;
    let Some(buffer) = buffer.downcast_ref::<CubeTensor<CudaRuntime>>() else {
        unreachable!("cuBLASLt is opened for CUDA devices only");
    };
    match buffer.client.get_resource(buffer.handle.clone()) {
        Ok(resource) => {
            resource.resource().ptr + (matrices.offset * buffer.dtype.size()) as u64
        }
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
