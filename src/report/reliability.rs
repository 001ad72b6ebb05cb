//! How far confidence can be trusted: the part named right against the confidence said.

use super::axis::Axis;
use super::numbers::{counted, score};
use super::pick::{self, Answered};
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::{Role, SettingSummary};

const SIDE: f64 = 220.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 10.0;

/// Draw a method's bins of confidence; nothing where the summary has none.
pub(super) fn draw(
    setting: &SettingSummary,
    (method, result): Answered<'_>,
    look: Look,
) -> Option<String> {
    let bins = &result.reliability;
    let title = format!("Reliability of {}, {}", method.label, pick::name(setting));
    let mut svg = Svg::new(LEFT + SIDE + 16.0, TOP + SIDE + 46.0, &title, look);
    let x = Axis { values: [0.0, 1.0], pixels: [LEFT, LEFT + SIDE] };
    let y = Axis { values: [0.0, 1.0], pixels: [TOP + SIDE, TOP] };
    let faint = Type { ink: Ink::Faint, ..words(11.0) };
    for (value, label) in x.ticks(5) {
        svg.line([x.at(value), TOP], [x.at(value), TOP + SIDE], Ink::Rule, 1.0);
        svg.line([LEFT, y.at(value)], [LEFT + SIDE, y.at(value)], Ink::Rule, 1.0);
        let middle = Type { anchor: Anchor::Middle, ..faint };
        svg.text([x.at(value), TOP + SIDE + 15.0], &label, middle);
        let end = Type { anchor: Anchor::End, ..faint };
        svg.text([LEFT - 6.0, y.at(value) + 4.0], &label, end);
    }
    let middle = Type { anchor: Anchor::Middle, ..faint };
    svg.text([LEFT + SIDE / 2.0, TOP + SIDE + 36.0], "mean confidence", middle);
    let turned = Type { turn: -90.0, ..middle };
    svg.text([12.0, TOP + SIDE / 2.0], "part named right", turned);
    svg.path(&[[LEFT, TOP + SIDE], [LEFT + SIDE, TOP]], Ink::Faint, 1.0, "3 3");

    let ink = if method.role == Role::Screader { Ink::Accent } else { Ink::Text };
    let points: Vec<[f64; 2]> =
        bins.iter().map(|bin| [x.at(bin.confidence), y.at(bin.accuracy)]).collect();
    if points.len() > 1 {
        svg.path(&points, ink, 1.5, "");
    }
    let most = bins.iter().map(|bin| bin.cells).max().unwrap_or(0).max(1);
    for (bin, &point) in bins.iter().zip(&points) {
        let tip = format!(
            "{} said {}, right {}",
            counted(bin.cells, "cell"),
            score(bin.confidence),
            score(bin.accuracy)
        );
        // The area is as the cells; the fewest can still be pointed at.
        let radius = 2.5 + 6.5 * (bin.cells as f64 / most as f64).sqrt();
        svg.circle(point, radius, ink, false, &tip);
    }
    (!bins.is_empty()).then(|| svg.finish())
}
