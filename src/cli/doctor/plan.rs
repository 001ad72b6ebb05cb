//! What each way to keep a backbone needs, and how many cells at once it leaves room for.

use screader_models::llama::Recompute;

use super::gigabytes;
use crate::device::{Device, DeviceMemory, Format, Plan, Shape};

/// Rates of matrix products in bf16 of cards that users have, in TFLOP/s: that of the H200 measured, the others
/// of NVIDIA's sheets.
const RATES: [(&str, f64); 3] = [("H200", 790.0), ("A40", 150.0), ("4090", 165.0)];
/// The part of it that a training step of 13 billion weights reached on the H200.
const REACHED: f64 = 0.65;

/// A row for each way: what it needs, then the cells at once on each device, with cells/s where the card's rate
/// is known.
pub(super) fn table(shape: &Shape, tokens: u64, devices: &[DeviceMemory]) -> String {
    let mut text = format!(
        "{:<8}{:<10}{:>10}{:>10}{:>10}{:>14}",
        "weights", "recompute", "frozen", "trained", "a cell", "TFLOP a cell"
    );
    for device in devices {
        text.push_str(&format!("{:>18}", device.device.to_string()));
    }
    text.push('\n');
    for format in Format::ALL {
        for (recompute, name) in [(Recompute::Nothing, "nothing"), (Recompute::Layers, "layers")] {
            let plan = Plan::of(shape, format, tokens);
            let operations = shape.operations(tokens, recompute) / 1e12;
            text.push_str(&format!(
                "{:<8}{name:<10}{:>10}{:>10}{:>10}{operations:>14.1}",
                format.name(),
                gigabytes(plan.weights),
                gigabytes(plan.trainables),
                gigabytes(plan.activations(1, recompute, true)),
            ));
            for device in devices {
                let cells = on_device(&plan, format, recompute, device, operations);
                text.push_str(&format!("{cells:>18}"));
            }
            text.push('\n');
        }
    }
    text.push_str(
        "\nGB of 10^9 bytes; a cell as a card's allocator reserves it. Under a device: cells at once, a tenth of \
         its memory left free,\nand cells/s at 0.65 of its rate of products where that is known. Estimates, held \
         against an H200 for 7B and 13B.\n",
    );
    text
}

/// Cells at once on a device, or a dash where it does not keep a backbone so.
fn on_device(
    plan: &Plan,
    format: Format,
    recompute: Recompute,
    device: &DeviceMemory,
    operations: f64,
) -> String {
    let on_card = device.device != Device::Cpu;
    if !on_card && (format, recompute) != (Format::F32, Recompute::Nothing) {
        return "–".into();
    }
    let cells = plan.cells(device.bytes, recompute, on_card);
    let rate = RATES.iter().find(|(card, _)| device.name.contains(card));
    match rate {
        Some((_, rate)) if cells > 0 && format != Format::F32 => {
            format!("{cells}, {:.1} cells/s", REACHED * rate / operations)
        }
        _ => cells.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_13b_takes_4_bits_and_recomputing_on_24_gigabytes() {
        let shape =
            Shape { hidden: 5120, intermediate: 13_824, layers: 40, query: 5120, key_value: 5120 };
        let card = DeviceMemory {
            device: Device::Cuda(0),
            name: "NVIDIA GeForce RTX 4090".into(),
            bytes: 25_757_220_864,
        };
        let text = table(&shape, 2064, &[card]);
        let cells = |weights: &str, recompute: &str| {
            let row = text.lines().find(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(weights) && words.next() == Some(recompute)
            });
            row.unwrap().split_whitespace().nth(6).unwrap().trim_end_matches(',').to_owned()
        };
        assert_eq!(cells("bf16", "layers"), "0");
        assert_eq!(cells("int4", "nothing"), "0");
        assert_eq!(cells("int4", "layers"), "1");
        // The floors that the project holds itself to: 110.9 and 165 TFLOP a cell.
        assert!(text.contains("110.9") && text.contains("165."), "{text}");
    }
}
