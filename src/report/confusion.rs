//! Which types are taken for which: a heat map of each true type's cells over the types they are named.

use super::lettering::{shorten, width};
use super::numbers::{counted, percent};
use super::palette::Palette;
use super::pick::{self, Answered};
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::SettingSummary;

/// The turn of the names above the columns.
const TURN: f64 = -50.0;
/// Longest name beside a row and above a column, in sizes of its letters.
const ROW_NAME: f64 = 13.0;
const COLUMN_NAME: f64 = 11.0;

/// Draw a method's confusion, each row divided by its cells; nothing where the summary has none.
pub(super) fn draw(
    setting: &SettingSummary,
    (method, result): Answered<'_>,
    palette: &Palette,
    look: Look,
) -> Option<String> {
    let counts = &result.confusion;
    let all = setting.classes.len();
    if all == 0 || counts.len() != all * all {
        return None;
    }
    let cells_of = |truth: usize| counts[truth * all..(truth + 1) * all].iter().sum::<usize>();
    let named = |said: usize| (0..all).map(|truth| counts[truth * all + said]).sum::<usize>();
    // Commonest first, as everywhere; types that neither occur nor are named need no room.
    let mut classes: Vec<usize> = (0..all).filter(|&one| cells_of(one) + named(one) > 0).collect();
    classes.sort_by_key(|&class| palette.number(&setting.classes[class]));
    if classes.is_empty() {
        return None;
    }

    let (square, size) = match classes.len() {
        ..=8 => (34.0, 13.0),
        9..=16 => (28.0, 12.0),
        17..=30 => (20.0, 11.0),
        _ => (14.0, 10.0),
    };
    // Numbers tell names apart that are cut alike.
    let many = classes.len() > 16;
    let name = |class: usize, most: f64| {
        let name = &setting.classes[class];
        let most = if many { 1.4 * most } else { most };
        let number = if many { format!("{} ", palette.number(name)) } else { String::new() };
        shorten(&format!("{number}{name}"), size, most * size)
    };
    let width_of = |class: usize, most: f64| width(&name(class, most), size);
    let widest = classes.iter().map(|&class| width_of(class, ROW_NAME)).fold(30.0, f64::max);
    let side = square * classes.len() as f64;
    // How far the turned names reach up, and beyond the last column.
    let (sine, cosine) = (-TURN).to_radians().sin_cos();
    let reach = classes.iter().enumerate().map(|(place, &class)| {
        let long = width_of(class, COLUMN_NAME) + 4.0;
        [long * sine, square * (place as f64 + 0.5) + long * cosine + size]
    });
    let [up, over] =
        reach.fold([0.0, side], |most: [f64; 2], one| [most[0].max(one[0]), most[1].max(one[1])]);
    let (left, top) = (widest + 18.0, up + 26.0);
    let title = format!("Confusion of {}, {}", method.label, pick::name(setting));
    let mut svg = Svg::new(left + over + 4.0, top + side + 6.0, &title, look);

    let faint = Type { ink: Ink::Faint, anchor: Anchor::End, ..words(11.0) };
    svg.text([left - 14.0, top - 22.0], "named", faint);
    svg.text([left - 14.0, top - 7.0], "true", faint);
    for (place, &class) in classes.iter().enumerate() {
        let at = square * (place as f64 + 0.5);
        let ink = Ink::Colour(palette.colour(&setting.classes[class]));
        svg.rect([left - 9.0, top + at - 4.0], [5.0, 8.0], ink, 1.0, &setting.classes[class]);
        svg.rect([left + at - 4.0, top - 9.0], [8.0, 5.0], ink, 1.0, &setting.classes[class]);
        let how = Type { anchor: Anchor::End, ..words(size) };
        svg.text([left - 14.0, top + at + 0.35 * size], &name(class, ROW_NAME), how);
        let how = Type { turn: TURN, ..words(size) };
        svg.text([left + at + 0.3 * size, top - 14.0], &name(class, COLUMN_NAME), how);
    }
    for (row, &truth) in classes.iter().enumerate() {
        let cells = cells_of(truth);
        for (column, &said) in classes.iter().enumerate() {
            let count = counts[truth * all + said];
            let at = [left + square * column as f64, top + square * row as f64];
            if count == 0 {
                continue;
            }
            let part = count as f64 / cells as f64;
            let tip = format!(
                "{}, named {}: {} of {} ({})",
                setting.classes[truth],
                setting.classes[said],
                count,
                counted(cells, "cell"),
                percent(part)
            );
            // Single cells stay visible beside whole types.
            svg.rect(at, [square, square], Ink::Heat, 0.1 + 0.9 * part, &tip);
            if square >= 28.0 && part >= 0.005 {
                let ink = if part > 0.62 { Ink::OnHeat } else { Ink::Text };
                let middle = [at[0] + square / 2.0, at[1] + square / 2.0 + 4.0];
                let how = Type { anchor: Anchor::Middle, ink, ..words(11.0) };
                svg.text(middle, &format!("{:.0}", 100.0 * part), how);
            }
        }
    }
    grid(&mut svg, [left, top], square, classes.len());
    Some(svg.finish())
}

/// Lines between the squares, so that an empty row is seen to be one.
fn grid(svg: &mut Svg, [left, top]: [f64; 2], square: f64, classes: usize) {
    let side = square * classes as f64;
    for line in 0..=classes {
        let at = square * line as f64;
        svg.line([left, top + at], [left + side, top + at], Ink::Rule, 0.5);
        svg.line([left + at, top], [left + at, top + side], Ink::Rule, 0.5);
    }
}
