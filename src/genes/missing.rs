//! What is done for genes without a summary, step by step.

use std::fmt::{self, Display};
use std::str::FromStr;

/// One step for genes that have no summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Take the summary of the one-to-one ortholog in the other species.
    Ortholog,
    /// Ask a chat model for one.
    Chat,
    /// Make the text of the other fields.
    Fields,
    /// Leave the text empty; the gene's embedding is the mean of the species' (scReader).
    SpeciesMean,
    /// Leave the text empty; the gene's embedding is zero (GenePT).
    Zeros,
    /// Leave the text empty; the gene is left out of cells.
    Drop,
}

const WORDS: [(&str, Missing); 6] = [
    ("ortholog", Missing::Ortholog),
    ("chat", Missing::Chat),
    ("fields", Missing::Fields),
    ("species_mean", Missing::SpeciesMean),
    ("zeros", Missing::Zeros),
    ("drop", Missing::Drop),
];

impl Missing {
    /// Whether nothing is left to do after this step.
    fn is_last(self) -> bool {
        !matches!(self, Self::Ortholog | Self::Chat)
    }
}

impl Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(_, step)| step == self).map_or("", |(word, _)| word);
        out.write_str(word)
    }
}

/// The steps in order: any of `ortholog` and `chat`, then one of `fields`, `species_mean`, `zeros`
/// and `drop`. Written with commas; where no last step is named it is `fields`, as scReader's code
/// embeds what the record has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPolicy(Vec<Missing>);

impl MissingPolicy {
    /// The steps, of which only the last is final.
    pub fn steps(&self) -> &[Missing] {
        &self.0
    }

    /// Whether the step is among them.
    pub fn has(&self, step: Missing) -> bool {
        self.0.contains(&step)
    }
}

impl Display for MissingPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(Missing::to_string).collect();
        out.write_str(&words.join(","))
    }
}

impl FromStr for MissingPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps: Vec<Missing> = Vec::new();
        for word in text.split(',').map(str::trim) {
            let Some(&(_, step)) = WORDS.iter().find(|(known, _)| *known == word) else {
                let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
                return Err(format!("unknown step {word:?}; known are {}", known.join(", ")));
            };
            if let Some(last) = steps.last().filter(|last| last.is_last()) {
                return Err(format!("{step} after {last} is never reached; put {last} last"));
            }
            if steps.contains(&step) {
                return Err(format!("{step} is named twice"));
            }
            steps.push(step);
        }
        if steps.last().is_none_or(|last| !last.is_last()) {
            steps.push(Missing::Fields);
        }
        Ok(Self(steps))
    }
}
