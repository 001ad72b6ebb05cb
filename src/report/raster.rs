//! Drawings as PNG, for slides and for programs that know no SVG.
//!
//! Text is set in Noto Sans, which comes along: a bare machine has no font, and the same summary gives the
//! same picture everywhere. It holds Latin, Greek and Cyrillic; other scripts show in the SVG files only.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::{Error, Result};

/// Pixels of the picture for each of the drawing, so that it is sharp in print.
const SCALE: f32 = 2.0;
/// The longest side that is made.
const LONGEST: f32 = 8000.0;
const FAMILY: &str = "Noto Sans";

/// Turns drawings into pictures.
pub(super) struct Rasteriser {
    options: Options<'static>,
}

impl Rasteriser {
    /// Load the font.
    pub(super) fn new() -> Self {
        let mut options = Options { font_family: FAMILY.to_owned(), ..Options::default() };
        let fonts = options.fontdb_mut();
        fonts.load_font_data(ttf_noto_sans::REGULAR.to_vec());
        fonts.set_sans_serif_family(FAMILY);
        Self { options }
    }

    /// Turn a drawing into the bytes of a PNG file; `place` names it in errors.
    ///
    /// # Errors
    /// A drawing that is no SVG or whose size no picture can have: a mistake of this program.
    pub(super) fn png(&self, svg: &str, place: &str) -> Result<Vec<u8>> {
        let wrong = |found: String| Error::input(place, "a drawing", found, "report this as a bug");
        let tree = Tree::from_str(svg, &self.options).map_err(|error| wrong(error.to_string()))?;
        let (width, height) = (tree.size().width(), tree.size().height());
        let scale = SCALE.min(LONGEST / width.max(height));
        let pixels = |length: f32| (length * scale).ceil() as u32;
        let mut picture = Pixmap::new(pixels(width), pixels(height))
            .ok_or_else(|| wrong(format!("a size of {width} x {height}")))?;
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
        picture.encode_png().map_err(|error| wrong(error.to_string()))
    }
}
