//! How much is learned from few cells: macro-F1 over labelled cells of each type.

use super::axis::Axis;
use super::lettering::{shorten, width};
use super::numbers::mean_sd;
use super::palette::apart;
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::{MeanSd, MethodSummary, Role, SettingSummary};

const LEFT: f64 = 56.0;
const TOP: f64 = 12.0;
const SIZE: f64 = 12.0;
/// From one name to the next below it.
const GAP: f64 = SIZE + 4.0;
const LABELS: f64 = 220.0;
const HEIGHT: f64 = 340.0;

/// The cells a type that a variant is of, as in `5 cells a type`.
pub(super) fn shots(setting: &SettingSummary) -> Option<usize> {
    let (number, rest) = setting.variant.split_once(' ')?;
    matches!(rest, "cell a type" | "cells a type").then(|| number.parse().ok())?
}

/// A method's macro-F1 over cells a type.
struct Line<'a> {
    method: &'a MethodSummary,
    ink: Ink,
    points: Vec<(usize, MeanSd, usize)>,
}

/// Draw the variants of a setting as one figure; nothing unless there are several.
pub(super) fn draw(variants: &[&SettingSummary], look: Look) -> Option<String> {
    let mut variants: Vec<(usize, &SettingSummary)> = variants
        .iter()
        .filter_map(|one| Some((shots(one)?, *one)))
        .filter(|one| one.0 > 0)
        .collect();
    variants.sort_by_key(|(shots, _)| *shots);
    let (first, last) = (variants.first()?.0, variants.last()?.0);
    let lines = lines(&variants);
    if first == last || lines.is_empty() {
        return None;
    }
    let [plot, labels] = match look {
        Look::Narrow => [190.0, 130.0],
        Look::Page | Look::File => [420.0, LABELS],
    };
    let x = Axis {
        values: [(first as f64).log2(), (last as f64).log2()],
        pixels: [LEFT + 14.0, LEFT + plot - 8.0],
    };
    let all = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1.mean));
    let y = Axis::of_scores(all, [TOP + HEIGHT, TOP]);
    let end = ends(&lines, y);
    let bottom = end.iter().fold(TOP + HEIGHT, |low, &at| low.max(at)).max(TOP + HEIGHT) + 46.0;
    let widest = lines.iter().map(|line| width(&line.method.label, SIZE)).fold(0.0, f64::max);
    let right = LEFT + plot + 56.0 + widest.min(labels);
    let mut svg = Svg::new(right, bottom, "Macro-F1 over labelled cells of each type", look);

    let faint = Type { ink: Ink::Faint, ..words(11.0) };
    for (value, label) in y.ticks(6) {
        svg.line([LEFT, y.at(value)], [LEFT + plot, y.at(value)], Ink::Rule, 1.0);
        let how = Type { anchor: Anchor::End, ..faint };
        svg.text([LEFT - 6.0, y.at(value) + 4.0], &label, how);
    }
    let middle = Type { anchor: Anchor::Middle, ..faint };
    for (shots, _) in &variants {
        let at = x.at((*shots as f64).log2());
        svg.line([at, TOP + HEIGHT], [at, TOP + HEIGHT + 4.0], Ink::Faint, 1.0);
        svg.text([at, TOP + HEIGHT + 17.0], &shots.to_string(), middle);
    }
    let below = TOP + HEIGHT + 37.0;
    svg.text([LEFT + plot / 2.0, below], "labelled cells of each type", middle);

    svg.text([12.0, TOP + HEIGHT / 2.0], "macro-F1", Type { turn: -90.0, ..middle });

    // screader last, on top of the others.
    for (line, label_at) in lines.iter().zip(end).rev() {
        draw_line(&mut svg, line, label_at, x, y, labels);
    }
    Some(svg.finish())
}

/// The methods that answered somewhere, as lines.
fn lines<'a>(variants: &[(usize, &'a SettingSummary)]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for (shots, setting) in variants {
        for method in &setting.methods {
            let Some(result) = &method.result else { continue };
            if !result.macro_f1.mean.is_finite() {
                continue;
            }
            let point = (*shots, result.macro_f1, setting.trials);
            match lines.iter_mut().find(|line| line.method.name == method.name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { method, ink: Ink::Accent, points: vec![point] }),
            }
        }
    }
    // The first colour is nearly the accent: it is left out.
    let colours = apart(lines.len() + 1);
    let others = lines.iter_mut().filter(|line| line.method.name != "screader");
    others.zip(&colours[1..]).for_each(|(line, &colour)| line.ink = Ink::Colour(colour));
    lines.sort_by_key(|line| match line.method.role {
        Role::Screader => 0,
        Role::Control => 1,
        Role::Baseline => 2,
    });
    lines
}

/// Where the lines' names stand at their right ends: as near to their last values as they can without
/// standing on each other (isotonic regression, by pooling neighbours that touch).
fn ends(lines: &[Line<'_>], y: Axis) -> Vec<f64> {
    let wanted = |line: &Line<'_>| line.points.last().map_or(0.0, |point| y.at(point.1.mean));
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| wanted(&lines[a]).total_cmp(&wanted(&lines[b])));
    // Blocks of names that touch: how many, and where the first would best be.
    let mut blocks: Vec<(usize, f64)> = Vec::new();
    for &line in &order {
        blocks.push((1, wanted(&lines[line])));
        while let [.., (before, above), (after, below)] = blocks[..]
            && above + before as f64 * GAP > below
        {
            let (many, more) = (before as f64, after as f64);
            let first = (many * above + more * (below - many * GAP)) / (many + more);
            blocks.truncate(blocks.len() - 2);
            blocks.push((before + after, first));
        }
    }
    let places = blocks.into_iter().flat_map(|(many, first)| {
        (0..many).map(move |number| first.max(TOP) + GAP * number as f64)
    });
    let mut ends = vec![0.0; lines.len()];
    order.iter().zip(places).for_each(|(&line, place)| ends[line] = place);
    ends
}

fn draw_line(svg: &mut Svg, line: &Line<'_>, label_at: f64, x: Axis, y: Axis, labels: f64) {
    let at = |shots: usize, value: f64| {
        [x.at((shots as f64).log2()), y.at(value.clamp(y.values[0], y.values[1]))]
    };
    let is_ours = line.method.role == Role::Screader;
    let points: Vec<[f64; 2]> = line.points.iter().map(|one| at(one.0, one.1.mean)).collect();
    if line.method.name == "screader" && line.points.iter().all(|one| one.2 > 1) {
        let upper = line.points.iter().map(|one| at(one.0, one.1.mean + one.1.sd));
        let lower = line.points.iter().map(|one| at(one.0, one.1.mean - one.1.sd));
        let around: Vec<[f64; 2]> = upper.chain(lower.rev()).collect();
        svg.area(&around, line.ink, 0.13);
    }
    let dash = if line.method.role == Role::Control { "5 4" } else { "" };
    svg.path(&points, line.ink, if is_ours { 3.0 } else { 1.6 }, dash);
    for (point, (shots, score, trials)) in points.iter().zip(&line.points) {
        let tip = format!("{}, {shots} a type: {}", line.method.label, mean_sd(*score, *trials));
        let radius = if is_ours { 4.0 } else { 3.0 };
        svg.circle(*point, radius, line.ink, line.method.role == Role::Control, &tip);
    }
    let Some(last) = points.last() else { return };
    // From the last point to the name, ending in a sample of the line.
    let sample = x.pixels[1] + 24.0;
    svg.path(&[[last[0] + 5.0, last[1]], [sample, label_at]], line.ink, 0.8, "");
    let ends = [[sample, label_at], [sample + 18.0, label_at]];
    svg.path(&ends, line.ink, if is_ours { 3.0 } else { 2.0 }, dash);
    let label = shorten(&line.method.label, SIZE, labels);
    let ink = if is_ours { Ink::Accent } else { Ink::Text };
    svg.text([sample + 24.0, label_at + 4.0], &label, Type { ink, ..words(SIZE) });
}
