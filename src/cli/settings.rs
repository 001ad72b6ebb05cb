//! The arguments that every verb with settings shares.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Preset};
use crate::device::{Device, DeviceChoice};
use crate::{Error, Result};

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
    /// Device: auto, cpu, cuda[:N] or wgpu[:N].
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
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
}

impl MachineArgs {
    /// The device of this run, probed; the threads are set.
    pub(super) fn device(&self) -> Result<Device> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global().map_err(
                |error| Error::input("--threads", "a number of threads", error, "leave it out"),
            )?;
        }
        self.device.resolve()
    }
}
