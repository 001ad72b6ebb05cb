//! Cells on their map: by what group they are of, and by a measure.

use crate::bench::summary::EmbeddingSummary;
use crate::report::numbers::amount;
use crate::report::palette::{Palette, Rgb};
use crate::report::scatter::{SIDE, diameter, frame, panel, placement, thinned};
use crate::report::svg::{Anchor, Ink, Look, Svg, Type, words};

/// Colours from low to high that the colour-blind can rank (viridis, at even steps).
const RISING: [Rgb; 5] =
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
/// Steps of colour of a measure: more are not told apart.
const STEPS: usize = 24;
/// The part of the cells at either end that takes the last colour, so that one odd cell does not take them all.
const TAIL: f64 = 0.02;

/// Draw cells by their group.
pub(super) fn by_group(
    title: &str,
    points: &[[f32; 2]],
    groups: &[usize],
    names: &[String],
    palette: &Palette,
    look: Look,
) -> Option<String> {
    let embedding = EmbeddingSummary {
        label: title.to_owned(),
        points: points.to_vec(),
        classes: groups.to_vec(),
        names: names.to_vec(),
        silhouette: f64::NAN,
        knn_purity: f64::NAN,
    };
    let mut svg = Svg::new(SIDE, SIDE, title, look);
    panel(&mut svg, [0.0, 0.0], &embedding, palette).then(|| svg.finish())
}

/// Draw cells by a measure, with its range under them.
pub(super) fn by_measure(
    title: &str,
    points: &[[f32; 2]],
    values: &[f32],
    look: Look,
) -> Option<String> {
    let cells: Vec<usize> = thinned(points.len().min(values.len()))
        .into_iter()
        .filter(|&cell| values[cell].is_finite() && points[cell].iter().all(|at| at.is_finite()))
        .collect();
    if cells.is_empty() {
        return None;
    }
    let mut sorted: Vec<f64> = cells.iter().map(|&cell| f64::from(values[cell])).collect();
    sorted.sort_by(f64::total_cmp);
    let tail = (sorted.len() as f64 * TAIL) as usize;
    let (low, high) = (sorted[tail], sorted[sorted.len() - 1 - tail]);
    let step_of = |value: f64| match high > low {
        true => (((value - low) / (high - low)).clamp(0.0, 1.0) * (STEPS - 1) as f64).round(),
        false => 0.0,
    };
    let place = placement([0.0, 0.0], points, &cells);
    let mut of_step = vec![Vec::new(); STEPS];
    for &cell in &cells {
        of_step[step_of(f64::from(values[cell])) as usize].push(place(points[cell]));
    }
    let mut svg = Svg::new(SIDE, SIDE + 40.0, title, look);
    for (step, dots) in of_step.iter().enumerate().filter(|(_, dots)| !dots.is_empty()) {
        svg.dots(dots, Ink::Colour(colour(step)), diameter(cells.len()), "");
    }
    frame(&mut svg, [0.0, 0.0]);
    let width = (SIDE - 40.0) / STEPS as f64;
    for step in 0..STEPS {
        let left = 20.0 + width * step as f64;
        svg.rect([left, SIDE + 10.0], [width + 0.5, 8.0], Ink::Colour(colour(step)), 1.0, "");
    }
    let faint = Type { ink: Ink::Faint, ..words(11.0) };
    svg.text([20.0, SIDE + 33.0], &amount(low), faint);
    let end = Type { anchor: Anchor::End, ..faint };
    svg.text([SIDE - 20.0, SIDE + 33.0], &amount(high), end);
    Some(svg.finish())
}

/// The colour of a step.
fn colour(step: usize) -> Rgb {
    let at = step as f64 / (STEPS - 1) as f64 * (RISING.len() - 1) as f64;
    let (below, share) = ((at as usize).min(RISING.len() - 2), at.fract());
    let share = if at as usize > below { 1.0 } else { share };
    let mix = |part: usize| {
        let [from, to] = [RISING[below][part], RISING[below + 1][part]].map(f64::from);
        (from + share * (to - from)).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_rise_from_the_first_to_the_last() {
        assert_eq!((colour(0), colour(STEPS - 1)), (RISING[0], RISING[4]));
        let light = |rgb: Rgb| rgb.iter().map(|&part| u32::from(part)).sum::<u32>();
        assert!((1..STEPS).all(|step| light(colour(step)) >= light(colour(step - 1))));
    }

    #[test]
    fn one_odd_cell_does_not_take_all_colours() {
        let points: Vec<[f32; 2]> = (0..200).map(|cell| [cell as f32, 0.0]).collect();
        let mut values: Vec<f32> = (0..200).map(|cell| cell as f32).collect();
        values[7] = 1e6;
        let svg = by_measure("counts", &points, &values, Look::Page).unwrap();
        assert!(svg.matches("<path").count() > STEPS / 2, "the cells share out the colours");
        assert!(svg.contains(">196<") && !svg.contains("1,000,000"), "{svg}");
        assert!(by_measure("none", &[], &[], Look::Page).is_none());
    }
}
