//! Colours: one for each class, the same in all figures of a report.

use std::collections::HashMap;

use super::lettering::shorten;
use crate::bench::summary::Summary;

/// A colour of the screen (sRGB).
pub(super) type Rgb = [u8; 3];

/// The colours to begin with, told apart by the colour-blind (after Okabe and Ito 2008; its black and its
/// yellow, which vanish on one of the two grounds, are an olive and a grey here).
const FEW: [Rgb; 8] = [
    [0x00, 0x72, 0xb2],
    [0xe6, 0x9f, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xd5, 0x5e, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x8c, 0x6d, 0x1f],
    [0x8a, 0x8f, 0x94],
];

/// The classes of a report with their numbers and colours.
pub(super) struct Palette {
    places: HashMap<String, usize>,
    colours: Vec<Rgb>,
    short_names: bool,
}

impl Palette {
    /// Give every class of the summary a colour, the commonest first.
    pub(super) fn of(summary: &Summary) -> Self {
        let common = summary.data.types.iter().map(|(name, _)| name);
        let settings = summary.settings.iter().flat_map(|setting| &setting.classes);
        let drawn = summary.embeddings.iter().flat_map(|embedding| &embedding.names);
        Self::of_names(common.chain(settings).chain(drawn).map(String::as_str))
    }

    /// Give every name a colour, in their order.
    pub(super) fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut places = HashMap::new();
        for name in names {
            let next = places.len();
            places.entry(name.to_owned()).or_insert(next);
        }
        let colours = apart(places.len());
        Self { places, colours, short_names: false }
    }

    /// Tag classes in figures by their names, which are short, as those of clusters are.
    pub(super) fn with_short_names(self) -> Self {
        Self { short_names: true, ..self }
    }

    /// What stands at a class's place in figures, where colours alone do not do.
    pub(super) fn tag(&self, class: &str) -> Option<String> {
        match self.short_names {
            true => Some(shorten(class, 11.0, 60.0)),
            false => self.is_numbered().then(|| self.number(class).to_string()),
        }
    }

    /// The colour of a class.
    pub(super) fn colour(&self, class: &str) -> Rgb {
        let place = self.places.get(class).copied().unwrap_or(0);
        self.colours.get(place).copied().unwrap_or(FEW[7])
    }

    /// Whether there are more classes than colours alone tell apart, so that numbers stand beside them.
    pub(super) fn is_numbered(&self) -> bool {
        self.places.len() > FEW.len()
    }

    /// The number of a class in figures too small for names, from 1.
    pub(super) fn number(&self, class: &str) -> usize {
        self.places.get(class).map_or(0, |place| place + 1)
    }
}

/// So many colours, as far from each other as they can: each next one is the candidate whose nearest
/// among those taken is farthest, to the usual eye and to one without green cones together.
pub(super) fn apart(count: usize) -> Vec<Rgb> {
    let mut taken = FEW[..count.min(FEW.len())].to_vec();
    let candidates = candidates();
    let seen: Vec<[Lab; 2]> = candidates.iter().map(|&one| seen(one)).collect();
    let mut gaps = vec![f64::INFINITY; candidates.len()];
    let narrow = |gaps: &mut [f64], colour: Rgb| {
        let other = self::seen(colour);
        for (gap, one) in gaps.iter_mut().zip(&seen) {
            *gap = gap.min(distance(one[0], other[0]) + distance(one[1], other[1]));
        }
    };
    taken.iter().for_each(|&colour| narrow(&mut gaps, colour));
    while taken.len() < count {
        let farthest = (0..candidates.len()).max_by(|&a, &b| gaps[a].total_cmp(&gaps[b]));
        let Some(farthest) = farthest.filter(|&at| gaps[at] > 0.0) else {
            // More classes than colours: begin again.
            taken.extend_from_within(..(count - taken.len()).min(taken.len()));
            continue;
        };
        taken.push(candidates[farthest]);
        narrow(&mut gaps, candidates[farthest]);
    }
    taken
}

/// A colour as the eye judges distances: lightness, green to red, blue to yellow (Oklab).
type Lab = [f64; 3];

fn distance(a: Lab, b: Lab) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// A colour as the usual eye sees it, and one without green cones (Viénot, Brettel and Mollon 1999).
fn seen(colour: Rgb) -> [Lab; 2] {
    let linear = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    let [red, green, blue] = linear;
    let both = 0.29275 * red + 0.70725 * green;
    let without = [both, both, (-0.02234 * red + 0.02234 * green + blue).clamp(0.0, 1.0)];
    [lab(linear), lab(without)]
}

/// Linear sRGB to Oklab (Ottosson 2020).
fn lab([red, green, blue]: [f64; 3]) -> Lab {
    let long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue).cbrt();
    let medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue).cbrt();
    let short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue).cbrt();
    [
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    ]
}

/// Colours that show on white and on black: of middling lightness, from greyish to vivid.
fn candidates() -> Vec<Rgb> {
    let mut all = Vec::new();
    for lightness in [0.48, 0.56, 0.64, 0.72, 0.8] {
        for chroma in [0.05, 0.1, 0.15, 0.2] {
            let hues = (0..36).map(|step| f64::from(step * 10).to_radians());
            all.extend(
                hues.filter_map(|hue| rgb([lightness, chroma * hue.cos(), chroma * hue.sin()])),
            );
        }
    }
    all
}

/// Oklab to sRGB, where the screen can show it.
fn rgb([lightness, a, b]: Lab) -> Option<Rgb> {
    let long = (lightness + 0.3963377774 * a + 0.2158037573 * b).powi(3);
    let medium = (lightness - 0.1055613458 * a - 0.0638541728 * b).powi(3);
    let short = (lightness - 0.0894841775 * a - 1.2914855480 * b).powi(3);
    let linear = [
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    ];
    // Colours at the very rim of what the screen shows count, whatever the last digits say.
    linear.iter().all(|part| (-1e-4..=1.0001).contains(part)).then(|| {
        linear.map(|part| {
            let part = part.clamp(0.0, 1.0);
            let part =
                if part <= 0.0031308 { part * 12.92 } else { 1.055 * part.powf(1.0 / 2.4) - 0.055 };
            (part * 255.0).round() as u8
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_colours_are_sixty_and_the_first_are_always_the_same() {
        let colours = apart(60);
        for (at, one) in colours.iter().enumerate() {
            for other in &colours[at + 1..] {
                assert!(distance(seen(*one)[0], seen(*other)[0]) > 0.03, "{one:?} {other:?}");
            }
        }
        assert_eq!(apart(5), colours[..5]);
        assert_eq!(apart(5000).len(), 5000);
    }

    #[test]
    fn the_way_to_oklab_and_back_is_one() {
        for colour in FEW {
            assert_eq!(rgb(seen(colour)[0]), Some(colour));
        }
    }
}
