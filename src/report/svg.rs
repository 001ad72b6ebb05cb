//! A small vocabulary to draw with, written as SVG.

use std::fmt::{self, Display, Write};

use super::lettering::{self, Escaped};
use super::palette::Rgb;

/// Where a drawing is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// In the page, whose style sheet says what the inks are by day and by night.
    Page,
    /// In the page on a phone, where a figure has half the width.
    Narrow,
    /// In a file of its own, on white.
    File,
}

/// What is drawn with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ink {
    /// Words, axes.
    Text,
    /// Words that may be passed over.
    Faint,
    /// Grid lines.
    Rule,
    /// What is to be judged.
    Accent,
    /// The full end of a heat map.
    Heat,
    /// Words on that.
    OnHeat,
    /// The ground.
    Paper,
    /// A colour of data, the same by day and by night.
    Colour(Rgb),
}

impl Ink {
    fn css(self, look: Look) -> String {
        let (name, light) = match self {
            Self::Colour([red, green, blue]) => return format!("#{red:02x}{green:02x}{blue:02x}"),
            Self::Text => ("text", "#1c2126"),
            Self::Faint => ("faint", "#59626b"),
            Self::Rule => ("rule", "#dfe3e6"),
            Self::Accent => ("accent", "#0b5fa5"),
            Self::Heat => ("heat", "#084a86"),
            Self::OnHeat => ("on-heat", "#ffffff"),
            Self::Paper => ("paper", "#ffffff"),
        };
        match look {
            Look::Page | Look::Narrow => format!("var(--{name})"),
            Look::File => light.to_owned(),
        }
    }
}

/// On which side of its point a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    /// Size in pixels.
    pub(super) size: f64,
    /// Side of its point.
    pub(super) anchor: Anchor,
    /// Colour.
    pub(super) ink: Ink,
    /// Degrees it is turned by, clockwise.
    pub(super) turn: f64,
    /// Whether a rim of the ground's colour keeps it legible on dots.
    pub(super) rim: bool,
}

/// Set plain words of a size, to the right of their point.
pub(super) fn words(size: f64) -> Type {
    Type { size, anchor: Anchor::Start, ink: Ink::Text, turn: 0.0, rim: false }
}

/// Size of the title of a file.
const TITLE: f64 = 14.0;

/// A drawing that grows.
pub(super) struct Svg {
    look: Look,
    size: [f64; 2],
    title: String,
    body: String,
    /// Room above for the title.
    head: f64,
    /// Least width in the page, before its box begins to scroll.
    least: f64,
}

impl Svg {
    /// Begin a drawing of a size in pixels; the title says what it shows to those who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str, look: Look) -> Self {
        let least = match look {
            Look::Narrow => 0.0,
            Look::Page | Look::File if width < 340.0 => 0.0,
            Look::Page | Look::File => (width * 0.72).max(340.0),
        };
        let (title, body) = (title.to_owned(), String::new());
        let mut svg = Self { look, size: [width, height], title, body, head: 0.0, least };
        if look == Look::File {
            svg.put_title();
        }
        svg
    }

    /// Write the title above the drawing: a file stands without the page's words around it.
    fn put_title(&mut self) {
        let [width, height] = self.size;
        let lines = lettering::lines(&self.title, TITLE, width - 16.0);
        let step = TITLE + 4.0;
        self.head = step * lines.len() as f64 + 14.0;
        self.rect([0.0, -self.head], [width, height + self.head], Ink::Paper, 1.0, "");
        for (number, line) in lines.iter().enumerate() {
            let y = step * (number as f64 + 1.0) + 2.0 - self.head;
            self.text([8.0, y], line, words(TITLE));
        }
    }

    /// Draw a filled rectangle; a tip that is not empty shows where the pointer rests.
    pub(super) fn rect(&mut self, at: [f64; 2], size: [f64; 2], ink: Ink, opacity: f64, tip: &str) {
        let place = format!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}""#,
            Px(at[0]),
            Px(at[1]),
            Px(size[0]),
            Px(size[1]),
            ink.css(self.look)
        );
        let opacity = (opacity < 1.0).then(|| format!(r#" fill-opacity="{opacity:.3}""#));
        self.put(format_args!("{place}{}{}", opacity.unwrap_or_default(), Close("rect", tip)));
    }

    /// Draw a straight line.
    pub(super) fn line(&mut self, from: [f64; 2], to: [f64; 2], ink: Ink, width: f64) {
        self.path(&[from, to], ink, width, "");
    }

    /// Draw a line through points, dashed as `4 3` where `dash` is not empty.
    pub(super) fn path(&mut self, points: &[[f64; 2]], ink: Ink, width: f64, dash: &str) {
        let mut steps = String::new();
        for (number, point) in points.iter().enumerate() {
            let step = if number == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(steps, "{step}{} {}", Px(point[0]), Px(point[1]));
        }
        let ink = ink.css(self.look);
        let dash = (!dash.is_empty()).then(|| format!(r#" stroke-dasharray="{dash}""#));
        self.put(format_args!(
            r#"<path d="{steps}" fill="none" stroke="{ink}" stroke-width="{}" stroke-linejoin="round"{}/>"#,
            Px(width),
            dash.unwrap_or_default()
        ));
    }

    /// Fill what points enclose, thinly.
    pub(super) fn area(&mut self, points: &[[f64; 2]], ink: Ink, opacity: f64) {
        let corners: Vec<String> =
            points.iter().map(|point| format!("{},{}", Px(point[0]), Px(point[1]))).collect();
        let (corners, ink) = (corners.join(" "), ink.css(self.look));
        self.put(format_args!(
            r#"<polygon points="{corners}" fill="{ink}" fill-opacity="{opacity:.2}"/>"#
        ));
    }

    /// Draw a disc, or a ring where `hollow`.
    pub(super) fn circle(&mut self, at: [f64; 2], radius: f64, ink: Ink, hollow: bool, tip: &str) {
        let fill = if hollow { Ink::Paper } else { ink };
        let place = format!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="{}" stroke="{}" stroke-width="1.5""#,
            Px(at[0]),
            Px(at[1]),
            Px(radius),
            fill.css(self.look),
            ink.css(self.look)
        );
        self.put(format_args!("{place}{}", Close("circle", tip)));
    }

    /// Draw a disc without an edge.
    pub(super) fn disc(&mut self, at: [f64; 2], radius: f64, ink: Ink, opacity: f64, tip: &str) {
        let place = format!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="{}" fill-opacity="{opacity:.3}""#,
            Px(at[0]),
            Px(at[1]),
            Px(radius),
            ink.css(self.look)
        );
        self.put(format_args!("{place}{}", Close("circle", tip)));
    }

    /// Draw many small discs of one colour as one element: a page of a hundred thousand stays light.
    pub(super) fn dots(&mut self, points: &[[f64; 2]], ink: Ink, diameter: f64, tip: &str) {
        let mut steps = String::new();
        for point in points {
            let _ = write!(steps, "M{:.1} {:.1}h0", point[0], point[1]);
        }
        let place = format!(
            r#"<path d="{steps}" fill="none" stroke="{}" stroke-width="{}" stroke-linecap="round" stroke-opacity="0.85""#,
            ink.css(self.look),
            Px(diameter)
        );
        self.put(format_args!("{place}{}", Close("path", tip)));
    }

    /// Write a text with its base line at a point.
    pub(super) fn text(&mut self, at: [f64; 2], text: &str, how: Type) {
        let anchor = match how.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let (x, y) = (Px(at[0]), Px(at[1]));
        let turn = match how.turn {
            0.0 => String::new(),
            turn => format!(r#" transform="rotate({} {x} {y})""#, Px(turn)),
        };
        let (size, ink) = (Px(how.size), how.ink.css(self.look));
        let place = format!(r#"<text x="{x}" y="{y}" font-size="{size}"{anchor}{turn}"#);
        let text = Escaped(text);
        // The rim is a text of its own: not every program that reads SVG knows `paint-order`.
        if how.rim {
            let paper = Ink::Paper.css(self.look);
            self.put(format_args!(
                r#"{place} fill="{paper}" stroke="{paper}" stroke-width="3" stroke-linejoin="round" aria-hidden="true">{text}</text>"#
            ));
        }
        self.put(format_args!(r#"{place} fill="{ink}">{text}</text>"#));
    }

    /// End the drawing.
    pub(super) fn finish(self) -> String {
        let [width, height] = self.size;
        let (body, title) = (self.body, Escaped(&self.title));
        let frame = match self.look {
            Look::Page | Look::Narrow => {
                format!(r#"style="max-width:100%;min-width:{}px;height:auto""#, Px(self.least))
            }
            Look::File => {
                r#"xmlns="http://www.w3.org/2000/svg" font-family="'Noto Sans','DejaVu Sans',Helvetica,Arial,sans-serif""#
                    .to_owned()
            }
        };
        let (top, width, height) = (Px(-self.head), Px(width), Px(height + self.head));
        format!(
            "<svg {frame} width=\"{width}\" height=\"{height}\" viewBox=\"0 {top} {width} {height}\" \
             role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{body}</svg>\n"
        )
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }
}

/// The end of an element's opening tag: closed at once, or around a tip.
struct Close<'a>(&'static str, &'a str);

impl Display for Close<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, tip) = *self;
        match tip {
            "" => f.write_str("/>"),
            tip => write!(f, "><title>{}</title></{name}>", Escaped(tip)),
        }
    }
}

/// A length with at most two decimals; what is not finite lies at 0, where it does no harm.
struct Px(f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        write!(f, "{}", if rounded.is_finite() { rounded + 0.0 } else { 0.0 })
    }
}
