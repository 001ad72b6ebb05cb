//! `screader doctor`

mod plan;

use std::path::{Path, PathBuf};

use clap::Args;
use screader_models::llama::{LlamaConfig, Recompute};
use serde_json::{Value, json};

use crate::device::{Device, DeviceMemory, Format, Plan, Shape, Survey};
use crate::embed::{find_minilm, minilm_folder};
use crate::fetch::{Backbone, known_backbones};
use crate::{Error, Result};

/// Show devices, memory and which backbone fits.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader doctor
  screader doctor --plan llama-2-13b
  screader doctor --plan checkpoints/tinyllama-1.1b --tokens 1016")]
pub(super) struct DoctorArgs {
    /// Tokens of a cell: its genes, the instruction and cls.
    #[arg(long, default_value_t = 2064, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    tokens: u64,
    /// Folder in which fetched backbones lie.
    #[arg(long, value_name = "DIR", default_value = "checkpoints")]
    checkpoints: PathBuf,
    /// Show for one backbone, known by name or in a folder, what each way to keep it needs.
    #[arg(long, value_name = "BACKBONE")]
    plan: Option<String>,
    /// Print everything as JSON.
    #[arg(long, conflicts_with = "plan")]
    json: bool,
}

/// A known backbone, and whether it is here.
struct Candidate {
    backbone: Backbone,
    fetched: bool,
}

impl DoctorArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let survey = Survey::take();
        if let Some(name) = &self.plan {
            let table = plan::table(&shape_of(name)?, self.tokens, &survey.devices());
            print!("{name}, cells of {} tokens\n\n{table}", self.tokens);
            return Ok(());
        }
        let candidates: Vec<Candidate> = known_backbones()?
            .into_iter()
            .map(|backbone| {
                let folder = self.checkpoints.join(&backbone.name);
                Candidate { fetched: folder.join("config.json").is_file(), backbone }
            })
            .collect();
        if self.json {
            println!("{:#}", self.as_json(&survey, &candidates));
        } else {
            print!("{}", self.as_text(&survey, &candidates));
        }
        Ok(())
    }

    fn as_text(&self, survey: &Survey, candidates: &[Candidate]) -> String {
        let mut text = devices_text(survey);
        text.push_str(&format!("\nText embeddings\n  {}\n", minilm_text()));
        text.push_str(&format!(
            "\nBackbones: cells of {} tokens that train at once, by the format of the frozen weights\n",
            self.tokens
        ));
        let devices = survey.devices();
        let heads = devices.iter().map(|device| format!("{:>16}", device.device.to_string()));
        let heads: String = heads.collect();
        text.push_str(&format!(
            "  {:<16}{:>11}{:>10}{:>10}{:>9}{heads}\n",
            "", "parameters", "f32", "bf16", "a cell"
        ));
        for Candidate { backbone, fetched } in candidates {
            let shape = Shape::from(backbone);
            let plans = [Format::F32, Format::Bf16].map(|f| Plan::of(&shape, f, self.tokens));
            let fits = devices.iter().map(|device| format!("{:>16}", self.fits(&shape, device)));
            text.push_str(&format!(
                "  {:<16}{:>11}{:>10}{:>10}{:>9}{}{}\n",
                backbone.name,
                parameters(backbone.parameters),
                gigabytes(plans[0].weights + plans[0].trainables),
                gigabytes(plans[1].weights + plans[1].trainables),
                gigabytes(plans[1].cell_keeping_all),
                fits.collect::<String>(),
                if *fetched { "  fetched" } else { "" },
            ));
        }
        text.push_str(
            "  f32, bf16: frozen weights with projection, head and optimiser; a cell: what it keeps in \
             bf16. int8, int4: model.weights; *: with\n  model.recompute = \"layers\", which training takes by \
             itself where it must. Estimates, a tenth of the memory left free.\n  More of one: `screader \
             doctor --plan NAME`. Get one: `screader fetch backbone NAME`.\n",
        );
        text
    }

    /// The most exact way to keep a backbone in which a device trains at least one cell at a time.
    fn fits(&self, shape: &Shape, device: &DeviceMemory) -> String {
        let on_card = device.device != Device::Cpu;
        let fitting = ways(device.device).iter().find_map(|&(format, recompute)| {
            let plan = Plan::of(shape, format, self.tokens);
            let cells = plan.cells(device.bytes, recompute, on_card);
            (cells > 0).then_some((format, recompute, cells))
        });
        match fitting {
            Some((format, Recompute::Nothing, cells)) => format!("{}: {cells}", format.name()),
            Some((format, Recompute::Layers, cells)) => format!("{}*: {cells}", format.name()),
            None => "no".into(),
        }
    }

    fn as_json(&self, survey: &Survey, candidates: &[Candidate]) -> Value {
        let devices = survey.devices();
        let backbones: Vec<Value> = candidates
            .iter()
            .map(|Candidate { backbone, fetched }| {
                json!({
                    "name": backbone.name,
                    "repo": backbone.repo,
                    "licence": backbone.licence,
                    "parameters": backbone.parameters,
                    "fetched": fetched,
                    "needs": needs(backbone, self.tokens),
                    "cells_at_once": cells_at_once(backbone, &devices, self.tokens),
                })
            })
            .collect();
        let minilm = find_minilm(minilm_named().as_deref());
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": {
                "name": survey.processor,
                "threads": survey.threads,
                "memory_bytes": survey.memory,
                "memory_available_bytes": survey.memory_available,
            },
            "cuda": cuda_json(survey),
            "vulkan": vulkan_json(survey),
            "minilm": { "folder": minilm.as_ref().ok(), "found": minilm.is_ok() },
            "checkpoints": self.checkpoints,
            "tokens": self.tokens,
            "backbones": backbones,
        })
    }
}

/// The ways in which a device keeps a frozen backbone, most exact first: the processor computes in f32 and
/// keeps every activation; a card in f32 is for checking alone.
fn ways(device: Device) -> &'static [(Format, Recompute)] {
    match device {
        Device::Cpu => &[(Format::F32, Recompute::Nothing)],
        Device::Cuda(_) | Device::Wgpu(_) => &[
            (Format::Bf16, Recompute::Nothing),
            (Format::Bf16, Recompute::Layers),
            (Format::Int8, Recompute::Layers),
            (Format::Int4, Recompute::Layers),
        ],
    }
}

/// Sizes of a backbone known by name or in a folder.
fn shape_of(name: &str) -> Result<Shape> {
    let known = known_backbones()?;
    if let Some(backbone) = known.iter().find(|backbone| backbone.name == name) {
        return Ok(backbone.into());
    }
    let folder = Path::new(name);
    if !folder.join("config.json").is_file() {
        let names: Vec<&str> = known.iter().map(|backbone| backbone.name.as_str()).collect();
        let expected = format!("a folder with config.json, or one of {}", names.join(", "));
        return Err(Error::input("--plan", expected, name, "name one of these"));
    }
    Ok(Shape::from(&LlamaConfig::load(folder)?))
}

fn devices_text(survey: &Survey) -> String {
    let mut text = format!(
        "screader {}\n\nDevices\n  {:<9} {}, {} threads, {} GB of memory, {} GB available\n",
        env!("CARGO_PKG_VERSION"),
        "cpu",
        survey.processor,
        survey.threads,
        gigabytes(survey.memory),
        gigabytes(survey.memory_available),
    );
    let build = |built: bool, feature: &str| match built {
        true => String::new(),
        false => format!(" (not in this build: cargo install screader --features {feature})"),
    };
    let cuda = &survey.gpus.cuda;
    match &cuda.driver {
        Err(reason) => text.push_str(&format!("  {:<9} none: {reason}", "cuda")),
        Ok(driver) => {
            let toolkit = match (&driver.toolkit, driver.nvrtc) {
                (Some(folder), true) => format!("toolkit in {}", folder.display()),
                (None, _) => "no CUDA toolkit: set CUDA_PATH".into(),
                (_, false) => "no libnvrtc: install the CUDA toolkit".into(),
            };
            text.push_str(&format!(
                "  {:<9} driver for CUDA {}, {toolkit}",
                "cuda", driver.version
            ));
        }
    }
    text.push_str(&format!("{}\n", build(cuda.built, "cuda")));
    for (number, card) in cuda.driver.iter().flat_map(|driver| &driver.devices).enumerate() {
        let ((major, minor), memory) = (card.capability, gigabytes(card.memory));
        text.push_str(&format!(
            "  {:<9} {}, compute capability {major}.{minor}, {memory} GB\n",
            Device::Cuda(number).to_string(),
            card.name,
        ));
    }
    let vulkan = &survey.gpus.vulkan;
    let words = match &vulkan.devices {
        Err(reason) => format!("none: {reason}"),
        Ok(devices) if devices.is_empty() => "none: the loader is there, but no driver".into(),
        Ok(_) => "Vulkan".into(),
    };
    text.push_str(&format!("  {:<9} {words}{}\n", "wgpu", build(vulkan.built, "wgpu")));
    for (number, card) in vulkan.devices.iter().flatten().enumerate() {
        text.push_str(&format!(
            "  {:<9} {}, {:?}, {} GB\n",
            Device::Wgpu(number).to_string(),
            card.name,
            card.kind,
            gigabytes(card.memory),
        ));
    }
    text
}

fn minilm_text() -> String {
    let named = minilm_named();
    match (find_minilm(named.as_deref()), minilm_folder(named.as_deref())) {
        (Ok(folder), _) => format!("MiniLM in {}", folder.display()),
        (Err(_), Ok(folder)) => format!(
            "no MiniLM in {}: `screader fetch minilm`, or scripts/fetch-minilm, gets it",
            folder.display()
        ),
        (_, Err(no_home)) => format!("no MiniLM: {no_home}"),
    }
}

/// The folder that the environment names, as for `screader embed`.
fn minilm_named() -> Option<PathBuf> {
    std::env::var_os("SCREADER_MINILM").filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn needs(backbone: &Backbone, tokens: u64) -> Value {
    let formats = Format::ALL.iter().map(|format| {
        let plan = Plan::of(&backbone.into(), *format, tokens);
        let need = json!({
            "weights_bytes": plan.weights,
            "trainables_bytes": plan.trainables,
            "cell_bytes": plan.cell_keeping_all,
            "cell_bytes_where_layers_are_recomputed": plan.cell_keeping_inputs,
        });
        (format.name().to_string(), need)
    });
    Value::Object(formats.collect())
}

fn cells_at_once(backbone: &Backbone, devices: &[DeviceMemory], tokens: u64) -> Value {
    let of_device = |device: &DeviceMemory| {
        let on_card = device.device != Device::Cpu;
        let cells = ways(device.device).iter().map(|&(format, recompute)| {
            let plan = Plan::of(&backbone.into(), format, tokens);
            let name = match recompute {
                Recompute::Nothing => format.name().to_owned(),
                Recompute::Layers => format!("{}, layers recomputed", format.name()),
            };
            (name, json!(plan.cells(device.bytes, recompute, on_card)))
        });
        (device.device.to_string(), Value::Object(cells.collect()))
    };
    Value::Object(devices.iter().map(of_device).collect())
}

fn cuda_json(survey: &Survey) -> Value {
    let cuda = &survey.gpus.cuda;
    match &cuda.driver {
        Err(reason) => json!({ "built": cuda.built, "missing": reason, "devices": [] }),
        Ok(driver) => {
            let devices = driver.devices.iter().map(|card| {
                let (major, minor) = card.capability;
                let capability = format!("{major}.{minor}");
                json!({ "name": card.name, "memory_bytes": card.memory, "compute_capability": capability })
            });
            json!({
                "built": cuda.built,
                "driver_cuda_version": driver.version,
                "nvrtc": driver.nvrtc,
                "toolkit": driver.toolkit,
                "devices": devices.collect::<Vec<_>>(),
            })
        }
    }
}

fn vulkan_json(survey: &Survey) -> Value {
    let vulkan = &survey.gpus.vulkan;
    match &vulkan.devices {
        Err(reason) => json!({ "built": vulkan.built, "missing": reason, "devices": [] }),
        Ok(devices) => {
            let devices = devices.iter().map(|card| {
                let kind = format!("{:?}", card.kind).to_lowercase();
                json!({ "name": card.name, "memory_bytes": card.memory, "kind": kind })
            });
            json!({ "built": vulkan.built, "devices": devices.collect::<Vec<_>>() })
        }
    }
}

/// Bytes as gigabytes of 10^9 with one decimal, two under one.
fn gigabytes(bytes: u64) -> String {
    let value = bytes as f64 / 1e9;
    if value < 1.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

/// A number of parameters as people say it: `135M`, `6.7B`.
fn parameters(count: u64) -> String {
    if count < 1_000_000_000 {
        format!("{:.0}M", count as f64 / 1e6)
    } else {
        format!("{:.1}B", count as f64 / 1e9)
    }
}
