//! The arguments that every verb with settings shares.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, Preset};
use crate::device::{Device, DeviceChoice};
use crate::{Error, Result};

/// The labelled cells that a verb learns from, and what is known of their genes. Without a file it is the
/// bundled demo.
#[derive(Debug, Args)]
pub(super) struct CellsArgs {
    /// Labelled cells: h5ad, 10x HDF5 or folder, loom, csv.
    #[arg(long, value_name = "FILE")]
    pub(super) data: Option<PathBuf>,
    /// Column of obs with the cell types.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Column of obs (donor, batch) that must not stand on both sides of a split.
    #[arg(long, value_name = "COLUMN")]
    group_by: Option<String>,
    /// Gene embedding table, as `screader embed` writes it.
    #[arg(long, value_name = "FILE")]
    pub(super) genes: Option<PathBuf>,
}

impl CellsArgs {
    /// The settings of the run, those of the demo's preset under them where there is no file.
    pub(super) fn config(&self, settings: &SettingArgs) -> Result<Config> {
        let demo = self.data.is_none().then_some(Preset::Demo);
        let mut config = settings.config(demo)?;
        config.data.label = self.label.clone().unwrap_or(config.data.label);
        config.split.group = self.group_by.clone().or(config.split.group);
        Ok(config)
    }

    /// `out`, or else a folder under `parent` that has the name of the file, or of the demo.
    pub(super) fn folder(&self, out: Option<&Path>, parent: &str, demo: &str) -> PathBuf {
        let name = match (out, &self.data) {
            (Some(out), _) => return out.to_path_buf(),
            (None, Some(data)) => data.file_stem().unwrap_or_default(),
            (None, None) => demo.as_ref(),
        };
        Path::new(parent).join(name)
    }
}

/// Say that --genes is needed.
pub(super) fn no_gene_table() -> Error {
    Error::input(
        "--genes",
        "a gene embedding table",
        "nothing",
        "make one with `screader genes build` and `screader embed`",
    )
}

/// Say that --backbone is needed.
pub(super) fn no_backbone() -> Error {
    Error::input(
        "--backbone",
        "the folder of a LLaMA, or a control: \"random\", \"none\"",
        "nothing",
        "fetch one with `screader fetch backbone`, or pass --backbone random as a control",
    )
}

/// Where settings come from, and what the run may use of the machine.
#[derive(Debug, Args)]
pub(super) struct SettingArgs {
    /// Settings file; `screader config` prints every setting with its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Named settings, laid under --config and --set.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// One setting, as train.steps=3000; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    machine: MachineArgs,
}

/// What a run may use of the machine.
#[derive(Debug, Args)]
pub(super) struct MachineArgs {
    /// Device: auto, cpu, cuda[:N] or wgpu[:N]; for training several of a kind, as cuda:0,cuda:1.
    #[arg(long, default_value = "auto", value_delimiter = ',', value_name = "DEVICE")]
    device: Vec<DeviceChoice>,
    /// Threads of the CPU; all cores unless said.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl SettingArgs {
    /// The settings of this run, over those of `preset` unless another was named.
    pub(super) fn config(&self, preset: Option<Preset>) -> Result<Config> {
        Config::load(self.preset.or(preset), self.config.as_deref(), &self.set)
    }

    /// The device of this run, probed; the threads are set.
    pub(super) fn device(&self) -> Result<Device> {
        self.machine.device()
    }

    /// The devices of this run, at least one, probed; the threads are set.
    pub(super) fn devices(&self) -> Result<Vec<Device>> {
        self.machine.devices()
    }
}

impl MachineArgs {
    /// The device of this run, probed; the threads are set.
    ///
    /// # Errors
    /// More than one device.
    pub(super) fn device(&self) -> Result<Device> {
        match self.devices()?[..] {
            [device] => Ok(device),
            _ => Err(Error::input(
                "--device",
                "one device",
                format!("{}", self.device.len()),
                "name one; several work together in `screader train` alone",
            )),
        }
    }

    fn devices(&self) -> Result<Vec<Device>> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global().map_err(
                |error| Error::input("--threads", "a number of threads", error, "leave it out"),
            )?;
        }
        let devices = self.device.iter().map(|device| device.resolve());
        let devices: Vec<Device> = devices.collect::<Result<_>>()?;
        let twice = devices.iter().enumerate().find(|(at, device)| devices[..*at].contains(device));
        match twice {
            None => Ok(devices),
            Some((_, device)) => {
                let expected = "each device once";
                Err(Error::input("--device", expected, format!("{device} twice"), "name it once"))
            }
        }
    }
}
