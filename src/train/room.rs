//! How many cells go through the backbone at once, so that a run fits into memory; one that cannot fit is
//! refused before any weight is loaded.

use screader_models::llama::{Kernels, Recompute};

use super::task::Task;
use crate::backbone::Backbone;
use crate::config::{Config, RecomputeChoice};
use crate::device::{Device, Format, Plan, Shape, Survey};
use crate::{Error, Result};

/// More cells at once are no faster, and gradients of fewer are not worse: they accumulate.
const MOST_CELLS: u64 = 32;

/// What is to be fitted into the memory of a device.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    shape: &'a Shape,
    format: Format,
    /// Tokens of the longest cell.
    tokens: u64,
    device: Device,
    /// Bytes.
    memory: u64,
    /// Micro-batches that run side by side, memory allowing.
    side_by_side: u64,
}

/// Settle what `config` leaves open (`train.micro_batch_size = 0`, `model.recompute = "auto"`) by the least memory
/// of `devices`, the first of which is `on`; returns how many micro-batches may run side by side on each.
///
/// # Errors
/// [`Error::Input`] where the weights with a single cell do not fit.
pub fn make_room<B: burn::tensor::backend::Backend>(
    config: &mut Config,
    task: &Task,
    backbone: &Backbone,
    devices: &[Device],
    on: &B::Device,
) -> Result<usize> {
    let threads = match devices[0] {
        Device::Cpu => rayon::current_num_threads(),
        Device::Cuda(_) | Device::Wgpu(_) => 1,
    };
    let Some(shape) = backbone.shape()? else {
        settle(config, MOST_CELLS, Recompute::Nothing);
        return Ok(threads);
    };
    let kernels = Kernels::for_device::<B>(on, config.model.precision)?;
    let ranked = &task.readable.ranked;
    let genes = (0..ranked.n_cells()).map(|cell| ranked.cell(cell).0.len()).max().unwrap_or(0);
    // A word of the instruction has about as many tokens as it has letters in the worst of tokenizers.
    let tokens = genes + config.model.instruction.len() + 1;
    let survey = Survey::take();
    let found = survey.devices();
    // Software that plays a graphics card has the processor's memory.
    let memory = |device: &Device| {
        let here = found.iter().find(|one| one.device == *device);
        here.map_or(survey.memory_available, |here| here.bytes)
    };
    let least = devices.iter().map(|device| (memory(device), *device));
    let (memory, device) = least.min_by_key(|(memory, _)| *memory).unwrap_or((0, devices[0]));
    let request = Request {
        shape: &shape,
        format: Format::of(kernels.precision(), config.model.weights),
        tokens: tokens as u64,
        device,
        memory,
        side_by_side: threads as u64,
    };
    fit(config, &request)
}

fn fit(config: &mut Config, request: &Request<'_>) -> Result<usize> {
    let Request { shape, format, tokens, device, memory, side_by_side } = *request;
    let plan = Plan::of(shape, format, tokens);
    let on_card = device != Device::Cpu;
    let allowed: &[Recompute] = match config.model.recompute {
        // The processor's decoder keeps everything.
        _ if !on_card => &[Recompute::Nothing],
        RecomputeChoice::Auto => &[Recompute::Nothing, Recompute::Layers],
        RecomputeChoice::Nothing => &[Recompute::Nothing],
        RecomputeChoice::Layers => &[Recompute::Layers],
    };
    let fitting = |recompute: &Recompute| (plan.cells(memory, *recompute, on_card), *recompute);
    let Some((cells, recompute)) = allowed.iter().map(fitting).find(|(cells, _)| *cells > 0) else {
        return Err(does_not_fit(&plan, request, on_card));
    };
    // Of a micro-batch the backbone reads a share.
    let share = config.train.backbone_share;
    let read = |batch: u64| (batch as f64 * share).ceil() as u64;
    let size = match config.train.micro_batch_size as u64 {
        // Halves, so that a little more or less free memory changes no run.
        0 => (0..=MOST_CELLS.ilog2())
            .map(|halves| MOST_CELLS >> halves)
            .find(|&batch| read(batch) * side_by_side <= cells)
            .unwrap_or(1),
        size => size,
    };
    settle(config, size, recompute);
    Ok((cells / read(size)).clamp(1, side_by_side) as usize)
}

fn settle(config: &mut Config, size: u64, recompute: Recompute) {
    if config.train.micro_batch_size == 0 {
        config.train.micro_batch_size = size as usize;
    }
    if config.model.recompute == RecomputeChoice::Auto {
        config.model.recompute = recompute.into();
    }
}

fn does_not_fit(plan: &Plan, request: &Request<'_>, on_card: bool) -> Error {
    let least = if on_card { Recompute::Layers } else { Recompute::Nothing };
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let needed = plan.weights + plan.trainables + plan.activations(1, least, on_card);
    Error::input(
        format!("memory of {}", request.device),
        format!(
            "about {} for the frozen weights in {}, what trains, and one cell of {} tokens",
            gigabytes(needed),
            request.format.name(),
            request.tokens
        ),
        format!("{}, a tenth of which is left free", gigabytes(request.memory)),
        match on_card {
            true => {
                "set model.recompute = \"layers\", model.weights = \"int4\" or fewer rank.top_genes, or \
                     take a smaller backbone: `screader doctor` lists what fits"
            }
            false => {
                "set fewer rank.top_genes or take a smaller backbone: `screader doctor` lists what fits"
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama-2-13b.
    const SHAPE: Shape =
        Shape { hidden: 5120, intermediate: 13_824, layers: 40, query: 5120, key_value: 5120 };

    fn fitted(format: Format, device: Device, gigabytes: u64, set: &[&str]) -> Result<Config> {
        let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
        let mut config = Config::load(None, None, &set)?;
        let side_by_side = if device == Device::Cpu { 4 } else { 1 };
        let memory = gigabytes * 1_000_000_000;
        let request = Request { shape: &SHAPE, format, tokens: 2064, device, memory, side_by_side };
        fit(&mut config, &request)?;
        Ok(config)
    }

    fn side_by_side(gigabytes: u64) -> usize {
        let mut config = Config::default();
        let (format, device, memory) = (Format::F32, Device::Cpu, gigabytes * 1_000_000_000);
        let side_by_side = 16;
        let request = Request { shape: &SHAPE, format, tokens: 2064, device, memory, side_by_side };
        fit(&mut config, &request).unwrap()
    }

    #[test]
    fn a_card_keeps_everything_where_it_can_and_computes_again_where_it_must() {
        let all = ["train.backbone_share=1"];
        let large = fitted(Format::Bf16, Device::Cuda(0), 141, &all).unwrap();
        assert_eq!(large.model.recompute, RecomputeChoice::Nothing);
        assert_eq!(large.train.micro_batch_size, 4);
        let small = fitted(Format::Bf16, Device::Cuda(0), 48, &all).unwrap();
        assert_eq!(small.model.recompute, RecomputeChoice::Layers);
        assert_eq!(small.train.micro_batch_size, 2);
        assert!(fitted(Format::Bf16, Device::Cuda(0), 24, &all).is_err());
        let rounded = fitted(Format::Int4, Device::Cuda(0), 24, &all).unwrap();
        assert_eq!(rounded.model.recompute, RecomputeChoice::Layers);
    }

    #[test]
    fn what_the_user_set_is_kept() {
        let set = ["model.recompute=layers", "train.micro_batch_size=3"];
        let config = fitted(Format::Bf16, Device::Cuda(0), 141, &set).unwrap();
        assert_eq!(config.model.recompute, RecomputeChoice::Layers);
        assert_eq!(config.train.micro_batch_size, 3);
        let nothing = ["model.recompute=nothing"];
        assert!(fitted(Format::Bf16, Device::Cuda(0), 48, &nothing).is_err());
    }

    #[test]
    fn micro_batches_that_run_side_by_side_share_the_memory() {
        // A cell keeps 18.6 GB in f32 and the weights take 50.8: 512 GB hold 21 of them, four times five.
        let all = ["train.backbone_share=1"];
        let config = fitted(Format::F32, Device::Cpu, 512, &all).unwrap();
        assert_eq!(config.train.micro_batch_size, 4);
        let fewer = fitted(Format::F32, Device::Cpu, 512, &["train.backbone_share=0.25"]).unwrap();
        assert_eq!(fewer.train.micro_batch_size, 16, "the backbone reads a fourth of them");
        assert_eq!((side_by_side(2000), side_by_side(128)), (16, 3));
    }

    #[test]
    fn what_cannot_fit_is_refused_in_one_line_that_says_what_to_do() {
        let error = fitted(Format::F32, Device::Cpu, 16, &[]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = error.to_string();
        assert!(
            line.contains("memory of cpu: expected about 7") && line.contains("16.0 GB"),
            "{line}"
        );
        assert!(!line.contains('\n') && line.contains("rank.top_genes"), "{line}");
    }
}
