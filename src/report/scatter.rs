//! Held-out cells in two dimensions, coloured by type.

use super::lettering::{shorten, width};
use super::numbers::score;
use super::palette::Palette;
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::EmbeddingSummary;

/// Side of a panel.
pub(super) const SIDE: f64 = 330.0;
/// More dots than this are no clearer, only heavier.
const MOST: usize = 20_000;
/// Rounds in which the types' dots are laid down by turns, so that no type hides all others.
const ROUNDS: usize = 12;

/// The part of an embedding's cells that is drawn, at even steps: indices of cells.
pub(super) fn drawn(embedding: &EmbeddingSummary) -> Vec<usize> {
    thinned(embedding.points.len().min(embedding.classes.len()))
}

/// As many of so many cells as are drawn, at even steps.
pub(super) fn thinned(cells: usize) -> Vec<usize> {
    let most = cells.min(MOST);
    (0..most).map(|number| number * cells / most).collect()
}

/// Draw one embedding.
pub(super) fn draw(embedding: &EmbeddingSummary, palette: &Palette, look: Look) -> Option<String> {
    let title = format!("Held-out cells by {}", embedding.label);
    let mut svg = Svg::new(SIDE, SIDE, &title, look);
    panel(&mut svg, [0.0, 0.0], embedding, palette).then(|| svg.finish())
}

/// Draw all embeddings side by side with their names, scores and one legend, to stand alone.
pub(super) fn draw_all(embeddings: &[EmbeddingSummary], palette: &Palette) -> Option<String> {
    const GAP: f64 = 24.0;
    const SIZE: f64 = 12.0;
    let names = names(embeddings, palette);
    let across = ((SIDE + GAP) * embeddings.len() as f64 + GAP).max(2.0 * SIDE);
    let name = |name: &str| match palette.is_numbered() {
        true => shorten(&format!("{}  {name}", palette.number(name)), SIZE, 250.0),
        false => shorten(name, SIZE, 250.0),
    };
    let widest = names.iter().map(|one| width(&name(one), SIZE)).fold(60.0, f64::max) + 36.0;
    let columns = ((across - 2.0 * GAP) / widest).floor().max(1.0) as usize;
    let rows = names.len().div_ceil(columns);
    let legend_top = SIDE + 92.0;
    let height = legend_top + 18.0 * rows as f64 + 6.0;
    let mut svg = Svg::new(across, height, "Held-out cells as each method sees them", Look::File);
    let mut any = false;
    for (number, embedding) in embeddings.iter().enumerate() {
        let left = GAP + (SIDE + GAP) * number as f64;
        svg.text([left, 24.0], &shorten(&embedding.label, 15.0, SIDE), words(15.0));
        any |= panel(&mut svg, [left, 36.0], embedding, palette);
        let how = Type { ink: Ink::Faint, ..words(SIZE) };
        svg.text([left, SIDE + 56.0], &caption(embedding), how);
    }
    for (number, class) in names.iter().enumerate() {
        // Down the columns, as one reads a list.
        let (column, row) = (number / rows, number % rows);
        let at = [GAP + widest * column as f64, legend_top + 18.0 * row as f64];
        let ink = Ink::Colour(palette.colour(class));
        svg.rect([at[0], at[1] - 9.0], [10.0, 10.0], ink, 1.0, "");
        svg.text([at[0] + 16.0, at[1]], &name(class), words(SIZE));
    }
    any.then(|| svg.finish())
}

/// What is said under an embedding.
pub(super) fn caption(embedding: &EmbeddingSummary) -> String {
    format!(
        "silhouette {}, kNN purity {}",
        score(embedding.silhouette),
        score(embedding.knn_purity)
    )
}

/// The types of all embeddings that have cells, by their numbers.
pub(super) fn names<'a>(embeddings: &'a [EmbeddingSummary], palette: &Palette) -> Vec<&'a str> {
    let mut names: Vec<&str> = embeddings
        .iter()
        .flat_map(|one| one.classes.iter().filter_map(|&class| one.names.get(class)))
        .map(String::as_str)
        .collect();
    names.sort_by_key(|name| palette.number(name));
    names.dedup();
    names
}

/// Draw the dots of an embedding in a frame; whether there were any.
pub(super) fn panel(
    svg: &mut Svg,
    corner: [f64; 2],
    embedding: &EmbeddingSummary,
    palette: &Palette,
) -> bool {
    let cells: Vec<usize> = drawn(embedding)
        .into_iter()
        .filter(|&cell| embedding.points[cell].iter().all(|part| part.is_finite()))
        .filter(|&cell| embedding.classes[cell] < embedding.names.len())
        .collect();
    let place = placement(corner, &embedding.points, &cells);
    let mut of_class = vec![Vec::new(); embedding.names.len()];
    for &cell in &cells {
        of_class[embedding.classes[cell]].push(place(embedding.points[cell]));
    }
    let diameter = diameter(cells.len());
    for round in 0..ROUNDS {
        for (class, points) in of_class.iter().enumerate() {
            let part: Vec<[f64; 2]> = points.iter().skip(round).step_by(ROUNDS).copied().collect();
            if !part.is_empty() {
                let (name, at) =
                    (&embedding.names[class], Ink::Colour(palette.colour(&embedding.names[class])));
                svg.dots(&part, at, diameter, name);
            }
        }
    }
    for (class, points) in of_class.iter().enumerate() {
        if let (Some(at), Some(tag)) = (centre(points), palette.tag(&embedding.names[class])) {
            let how = Type { anchor: Anchor::Middle, rim: true, ..words(11.0) };
            svg.text([at[0], at[1] + 4.0], &tag, how);
        }
    }
    frame(svg, corner);
    !cells.is_empty()
}

/// Diameter of the dots of so many cells.
pub(super) fn diameter(cells: usize) -> f64 {
    (100.0 / (cells.max(1) as f64).sqrt()).clamp(1.6, 6.0)
}

/// Draw the edge of a panel.
pub(super) fn frame(svg: &mut Svg, [left, top]: [f64; 2]) {
    let (right, bottom) = (left + SIDE, top + SIDE);
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
    svg.path(&corners, Ink::Rule, 1.0, "");
}

/// Map coordinates into the frame, both axes alike: distances in the plane keep their proportions.
pub(super) fn placement(
    [left, top]: [f64; 2],
    points: &[[f32; 2]],
    cells: &[usize],
) -> impl Fn([f32; 2]) -> [f64; 2] {
    let mut ends = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
    for &cell in cells {
        for (end, part) in ends.iter_mut().zip(points[cell]) {
            *end = [end[0].min(f64::from(part)), end[1].max(f64::from(part))];
        }
    }
    let span = ends.iter().map(|end| end[1] - end[0]).fold(1e-9, f64::max);
    let scale = (SIDE - 24.0) / span;
    move |[x, y]| {
        let middle = |end: [f64; 2]| (end[0] + end[1]) / 2.0;
        [
            left + SIDE / 2.0 + (f64::from(x) - middle(ends[0])) * scale,
            top + SIDE / 2.0 - (f64::from(y) - middle(ends[1])) * scale,
        ]
    }
}

/// The point nearest to the middle of a type's points: a place where the type is, even if it is a ring.
fn centre(points: &[[f64; 2]]) -> Option<[f64; 2]> {
    let median = |axis: usize| {
        let mut parts: Vec<f64> = points.iter().map(|point| point[axis]).collect();
        parts.sort_by(f64::total_cmp);
        parts.get(parts.len() / 2).copied()
    };
    let (x, y) = (median(0)?, median(1)?);
    let far = |point: &[f64; 2]| (point[0] - x).hypot(point[1] - y);
    points.iter().copied().min_by(|a, b| far(a).total_cmp(&far(b)))
}
