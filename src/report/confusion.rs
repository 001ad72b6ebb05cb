//! Which types are taken for which: a heat map of each true type's cells over the types they are named.

use std::path::Path;

use super::lettering::{shorten, width};
use super::numbers::{counted, percent};
use super::palette::{Palette, Rgb};
use super::pick::{self, Answered};
use super::raster::Rasteriser;
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::bench::summary::SettingSummary;
use crate::{Result, whole_file};

/// The turn of the names above the columns.
const TURN: f64 = -50.0;
/// Longest name beside a row and above a column, in sizes of its letters.
const ROW_NAME: f64 = 13.0;
const COLUMN_NAME: f64 = 11.0;
/// Names in one direction beyond which they get more room.
const MANY: usize = 16;

/// How often what is named so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfusionMap {
    /// What it shows, in a few words.
    pub title: String,
    /// What is counted: `cell`, `row`, `cluster`.
    pub unit: String,
    /// True types, in the order of the rows.
    pub truths: Vec<String>,
    /// Names given, in the order of the columns.
    pub labels: Vec<String>,
    /// Counts, `[truths, labels]`.
    pub counts: Vec<usize>,
}

impl ConfusionMap {
    /// Draw it to `path`: as PNG where the name ends so, else as SVG.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let svg = self.svg(&Marks::none(self), Look::File);
        if path.extension().is_none_or(|end| !end.eq_ignore_ascii_case("png")) {
            return whole_file::write(path, svg.as_bytes());
        }
        let png = Rasteriser::new().png(&svg, &path.display().to_string())?;
        whole_file::write(path, &png)
    }

    fn svg(&self, marks: &Marks, look: Look) -> String {
        let (rows, columns) = (self.truths.len(), self.labels.len());
        let (square, size) = match rows.max(columns) {
            ..=8 => (34.0, 13.0),
            9..=MANY => (28.0, 12.0),
            17..=30 => (20.0, 11.0),
            _ => (14.0, 10.0),
        };
        let more = if rows.max(columns) > MANY { 1.4 } else { 1.0 };
        let row_name = |row: usize| {
            shorten(
                &format!("{}{}", marks.rows[row].0, self.truths[row]),
                size,
                more * ROW_NAME * size,
            )
        };
        let column_name = |column: usize| {
            let name = format!("{}{}", marks.columns[column].0, self.labels[column]);
            shorten(&name, size, more * COLUMN_NAME * size)
        };
        let widest = (0..rows).map(|row| width(&row_name(row), size)).fold(30.0, f64::max);
        let [across, down] = [columns, rows].map(|count| square * count as f64);
        // How far the turned names reach up, and beyond the last column.
        let (sine, cosine) = (-TURN).to_radians().sin_cos();
        let reach = (0..columns).map(|column| {
            let long = width(&column_name(column), size) + 4.0;
            [long * sine, square * (column as f64 + 0.5) + long * cosine + size]
        });
        let [up, over] = reach
            .fold([0.0, across], |most: [f64; 2], one| [most[0].max(one[0]), most[1].max(one[1])]);
        let (left, top) = (widest + 18.0, up + 26.0);
        let mut svg = Svg::new(left + over + 4.0, top + down + 6.0, &self.title, look);

        let faint = Type { ink: Ink::Faint, anchor: Anchor::End, ..words(11.0) };
        svg.text([left - 14.0, top - 22.0], "named", faint);
        svg.text([left - 14.0, top - 7.0], "true", faint);
        for row in 0..rows {
            let at = top + square * (row as f64 + 0.5);
            if let Some(colour) = marks.rows[row].1 {
                svg.rect(
                    [left - 9.0, at - 4.0],
                    [5.0, 8.0],
                    Ink::Colour(colour),
                    1.0,
                    &self.truths[row],
                );
            }
            let how = Type { anchor: Anchor::End, ..words(size) };
            svg.text([left - 14.0, at + 0.35 * size], &row_name(row), how);
        }
        for column in 0..columns {
            let at = left + square * (column as f64 + 0.5);
            if let Some(colour) = marks.columns[column].1 {
                svg.rect(
                    [at - 4.0, top - 9.0],
                    [8.0, 5.0],
                    Ink::Colour(colour),
                    1.0,
                    &self.labels[column],
                );
            }
            let how = Type { turn: TURN, ..words(size) };
            svg.text([at + 0.3 * size, top - 14.0], &column_name(column), how);
        }
        for row in 0..rows {
            for column in 0..columns {
                let at = [left + square * column as f64, top + square * row as f64];
                self.draw_square(&mut svg, [row, column], at, square);
            }
        }
        grid(&mut svg, [left, top], square, rows, columns);
        svg.finish()
    }

    fn draw_square(&self, svg: &mut Svg, [row, column]: [usize; 2], at: [f64; 2], square: f64) {
        let of_row = &self.counts[row * self.labels.len()..(row + 1) * self.labels.len()];
        let (count, all) = (of_row[column], of_row.iter().sum::<usize>());
        if count == 0 {
            return;
        }
        let part = count as f64 / all as f64;
        let tip = format!(
            "{}, named {}: {count} of {} ({})",
            self.truths[row],
            self.labels[column],
            counted(all, &self.unit),
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

/// What stands before a name, and the colour beside it.
type Mark = (String, Option<Rgb>);

/// Marks of the names, by which other figures know them.
struct Marks {
    rows: Vec<Mark>,
    columns: Vec<Mark>,
}

impl Marks {
    fn none(map: &ConfusionMap) -> Self {
        let [rows, columns] =
            [&map.truths, &map.labels].map(|names| vec![(String::new(), None); names.len()]);
        Self { rows, columns }
    }
}

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
    let names: Vec<String> = classes.iter().map(|&class| setting.classes[class].clone()).collect();
    let square = |&truth: &usize| classes.iter().map(move |said| counts[truth * all + said]);
    let map = ConfusionMap {
        title: format!("Confusion of {}, {}", method.label, pick::name(setting)),
        unit: "cell".to_owned(),
        counts: classes.iter().flat_map(square).collect(),
        truths: names.clone(),
        labels: names,
    };
    // Numbers tell names apart that are cut alike.
    let mark = |name: &String| {
        let is_numbered = classes.len() > MANY;
        let number = if is_numbered { format!("{} ", palette.number(name)) } else { String::new() };
        (number, Some(palette.colour(name)))
    };
    let rows: Vec<Mark> = map.truths.iter().map(mark).collect();
    Some(map.svg(&Marks { columns: rows.clone(), rows }, look))
}

/// Lines between the squares, so that an empty row is seen to be one.
fn grid(svg: &mut Svg, [left, top]: [f64; 2], square: f64, rows: usize, columns: usize) {
    let [across, down] = [columns, rows].map(|count| square * count as f64);
    for row in 0..=rows {
        let at = top + square * row as f64;
        svg.line([left, at], [left + across, at], Ink::Rule, 0.5);
    }
    for column in 0..=columns {
        let at = left + square * column as f64;
        svg.line([at, top], [at, top + down], Ink::Rule, 0.5);
    }
}
