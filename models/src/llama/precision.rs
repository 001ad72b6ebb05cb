//! In which type the frozen decoder multiplies.

use std::fmt;

use burn::tensor::{DType, backend::Backend};
use serde::{Deserialize, Serialize};

use super::card;
use crate::{Error, Result, is_processor};

/// The type of the decoder's weights and of what is multiplied with them. The residual stream, the
/// norms, softmax and everything that trains stay in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Brain floating point where the device computes with it, else `f32`.
    Auto,
    /// 32 bits.
    F32,
    /// Brain floating point: the range of `f32`, 8 bits of precision.
    Bf16,
    /// Half precision: 11 bits, nothing above 65,504.
    F16,
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// How the frozen matrices are kept on a graphics card. One whose numbers are no multiple of 32 stays wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// In the type that they are multiplied in.
    #[default]
    Wide,
    /// Rounded to 8 bits with a scale for each 32 numbers.
    Int8,
    /// Rounded to 4 bits with a scale for each 32 numbers.
    Int4,
}

impl fmt::Display for Weights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Wide => "wide",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        })
    }
}

/// Which kernels run the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Burn's operations on the backend's device, with weights of this type.
    Plain(DType),
    /// Fused kernels of a graphics card, which multiply in this type, and how they keep the weights.
    Fused(DType, Weights),
    /// The decoder in host memory, on all CPU cores, with `f32` weights.
    Host,
}

impl Kernels {
    /// Give the faster kernels for a device in `precision`: `Host` on the CPU backend, which computes in
    /// `f32` alone, `Fused` on CUDA and Vulkan, `Plain` on any other.
    ///
    /// # Errors
    /// A precision that the device does not compute in.
    pub fn for_device<B: Backend>(device: &B::Device, precision: Precision) -> Result<Self> {
        let refuse = |expected: &str| {
            let place = format!("{device:?}");
            Err(Error::checkpoint(place, "precision", expected, precision))
        };
        let on_cpu = is_processor::<B>();
        let dtype = match precision {
            Precision::Auto | Precision::F32 if on_cpu => return Ok(Self::Host),
            _ if on_cpu => return refuse("auto or f32"),
            Precision::Auto if B::supports_dtype(device, DType::BF16) => DType::BF16,
            Precision::Auto | Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::F16 => DType::F16,
        };
        if dtype != DType::F32 && !B::supports_dtype(device, dtype) {
            return refuse("a type that the device computes in: auto or f32");
        }
        Ok(if card::is_card::<B>() {
            Self::Fused(dtype, Weights::Wide)
        } else {
            Self::Plain(dtype)
        })
    }

    /// Keep the weights as `weights` says.
    ///
    /// # Errors
    /// Rounded weights where no graphics card keeps them.
    pub fn with_weights(self, weights: Weights) -> Result<Self> {
        match (self, weights) {
            (Self::Fused(dtype, _), _) => Ok(Self::Fused(dtype, weights)),
            (_, Weights::Wide) => Ok(self),
            _ => {
                let expected = "wide: rounded weights are kept on graphics cards alone";
                Err(Error::checkpoint("this device", "weights", expected, weights))
            }
        }
    }

    /// The precision that these kernels multiply in.
    pub fn precision(self) -> Precision {
        match self {
            Self::Plain(DType::BF16) | Self::Fused(DType::BF16, _) => Precision::Bf16,
            Self::Plain(DType::F16) | Self::Fused(DType::F16, _) => Precision::F16,
            _ => Precision::F32,
        }
    }
}
