//! Macro-F1 of each method as a dot with its deviation over trials.

use super::axis::Axis;
use super::lettering::{shorten, width};
use super::numbers::mean_sd;
use super::pick;
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::{Role, SettingSummary};

const SIZE: f64 = 13.0;
const ROW: f64 = 26.0;

/// Draw the methods of a setting that answered, the best on top.
pub(super) fn draw(setting: &SettingSummary, look: Look) -> Option<String> {
    let rows = pick::answered(setting);
    let several = setting.trials > 1;
    // Widths of the labels at most, of the plot, and of the values, which stand in the table of the page too.
    let [labels, plot, values] = match look {
        Look::Narrow => [150.0, 170.0, 14.0],
        Look::Page | Look::File => [225.0, 360.0, if several { 120.0 } else { 60.0 }],
    };
    let scores = rows.iter().map(|(_, result)| result.macro_f1);
    let widest = rows.iter().map(|(method, _)| width(&method.label, SIZE)).fold(0.0, f64::max);
    let left = widest.min(labels) + 14.0;
    let ends = scores.flat_map(|score| [score.mean - score.sd, score.mean + score.sd]);
    let axis = Axis::of_scores(ends, [left, left + plot]);
    let bottom = 10.0 + ROW * rows.len() as f64;
    let title = format!("Macro-F1 of each method, {}", pick::name(setting));
    let mut svg = Svg::new(left + plot + values, bottom + 44.0, &title, look);

    for (value, label) in axis.ticks(if look == Look::Narrow { 4 } else { 5 }) {
        let x = axis.at(value);
        svg.line([x, 6.0], [x, bottom], Ink::Rule, 1.0);
        let how = Type { anchor: Anchor::Middle, ink: Ink::Faint, ..words(11.0) };
        svg.text([x, bottom + 15.0], &label, how);
    }
    let how = Type { anchor: Anchor::Middle, ink: Ink::Faint, ..words(12.0) };
    svg.text([left + plot / 2.0, bottom + 35.0], "macro-F1", how);
    if let Some((_, best)) = pick::best_baseline(setting) {
        let x = axis.at(best.macro_f1.mean);
        svg.path(&[[x, 6.0], [x, bottom]], Ink::Faint, 1.0, "3 3");
    }

    for (row, (method, result)) in rows.iter().enumerate() {
        let y = 10.0 + ROW * (row as f64 + 0.5);
        let ink = if method.role == Role::Screader { Ink::Accent } else { Ink::Text };
        let score = result.macro_f1;
        let how = Type { anchor: Anchor::End, ink, ..words(SIZE) };
        svg.text([left - 12.0, y + 4.5], &shorten(&method.label, SIZE, labels), how);
        if several {
            let clip = |value: f64| axis.at(value.clamp(axis.values[0], axis.values[1]));
            let ends = [clip(score.mean - score.sd), clip(score.mean + score.sd)];
            svg.line([ends[0], y], [ends[1], y], ink, 2.0);
        }
        let written = mean_sd(score, setting.trials);
        let tip = format!("{}: macro-F1 {written}", method.label);
        let (x, hollow) = (axis.at(score.mean), method.role == Role::Control);
        svg.circle([x, y], 5.0, ink, hollow, &tip);
        if look != Look::Narrow {
            svg.text([left + plot + 12.0, y + 4.5], &written, Type { ink, ..words(12.0) });
        }
    }
    (!rows.is_empty()).then(|| svg.finish())
}
