//! What a comparison found, as a page to read and files to go on with.
//!
//! Everything is drawn from a [`Summary`] alone, so that an old one can be drawn anew:
//!
//! | file | what |
//! |---|---|
//! | `report.html` | one page that needs nothing else: no network, no script |
//! | `figures/*.svg`, `figures/*.png` | its figures |
//! | `numbers.json` | the whole summary |
//! | `methods.csv` | a row for each setting, variant and method, with every number |
//! | `classes.csv` | precision, recall and F1 of each class |
//! | `confusion.csv` | cells of each true and named class |

mod axis;
mod classes;
pub mod clusters;
mod confusion;
mod csv;
mod figures;
mod forest;
mod lettering;
mod numbers;
mod page;
mod palette;
mod pick;
mod quality;
mod raster;
mod reliability;
mod scatter;
mod section;
mod shots;
mod svg;
mod verdict;

use std::path::Path;

use rayon::prelude::*;

use crate::bench::summary::Summary;
use crate::{Error, Result, whole_file};
pub use confusion::ConfusionMap;
use figures::{Figure, Figures};
use palette::Palette;
pub use quality::{Quality, Threshold, write_quality};
use raster::Rasteriser;
use svg::Look;

/// Leave the report of a summary in a folder, which is made if it is not there. The page is written last:
/// where it is new, everything is.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to.
pub fn write(summary: &Summary, folder: &Path) -> Result<()> {
    let drawings = folder.join("figures");
    std::fs::create_dir_all(&drawings).map_err(Error::io(&drawings, "create"))?;
    let palette = Palette::of(summary);
    let figures = Figures::of(summary, &palette);
    let rasteriser = Rasteriser::new();
    let all: Vec<&Figure> = figures.all().collect();
    all.par_iter().try_for_each(|figure| draw(figure, &palette, &rasteriser, &drawings))?;

    let numbers = folder.join("numbers.json");
    let json = serde_json::to_vec_pretty(summary);
    whole_file::write(
        &numbers,
        &json.map_err(|error| Error::io(&numbers, "write")(error.into()))?,
    )?;
    type Table = fn(&Summary, &Path) -> Result<Vec<u8>>;
    let tables: [(&str, Table); 3] = [
        ("methods.csv", csv::methods),
        ("classes.csv", csv::classes),
        ("confusion.csv", csv::confusion),
    ];
    for (name, table) in tables {
        let path = folder.join(name);
        whole_file::write(&path, &table(summary, &path)?)?;
    }
    let path = folder.join("report.html");
    whole_file::write(&path, page::html(summary, &figures, &palette, &path)?.as_bytes())
}

/// Leave a figure as SVG and as PNG.
fn draw(figure: &Figure, palette: &Palette, rasteriser: &Rasteriser, folder: &Path) -> Result<()> {
    let Some(svg) = figure.svg(palette, Look::File) else { return Ok(()) };
    let path = folder.join(format!("{}.svg", figure.stem));
    whole_file::write(&path, svg.as_bytes())?;
    let png = rasteriser.png(&svg, &path.display().to_string())?;
    whole_file::write(&path.with_extension("png"), &png)
}
