//! From a gene's fields to the text that is embedded.

use std::path::Path;

use super::record::GeneRecord;
use super::text_file::read_text;
use crate::{Error, Result};

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Symbol,
    Ensembl,
    GeneId,
    FullName,
    PrimarySource,
    SeeRelated,
    GeneType,
    RefseqStatus,
    Species,
    Organism,
    Lineage,
    Aliases,
    Summary,
    Annotation,
    Expression,
}

const FIELDS: [(&str, Field); 15] = [
    ("symbol", Field::Symbol),
    ("ensembl", Field::Ensembl),
    ("gene_id", Field::GeneId),
    ("full_name", Field::FullName),
    ("primary_source", Field::PrimarySource),
    ("see_related", Field::SeeRelated),
    ("gene_type", Field::GeneType),
    ("refseq_status", Field::RefseqStatus),
    ("species", Field::Species),
    ("organism", Field::Organism),
    ("lineage", Field::Lineage),
    ("aliases", Field::Aliases),
    ("summary", Field::Summary),
    ("annotation", Field::Annotation),
    ("expression", Field::Expression),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A text with placeholders: `{symbol}`, `{full_name}`, `{summary}` and so on; `{{` is a brace.
///
/// A line whose placeholders are all empty for a gene is left out, so that no text is spent on
/// "Expression: " with nothing behind it; [`Template::keep_empty`] keeps such lines, as the authors
/// of scReader do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    name: String,
    source: String,
    lines: Vec<Vec<Part>>,
    keep_empty: bool,
}

impl Template {
    /// The 7 fields that the scReader paper lists (section V).
    ///
    /// # Errors
    /// None in practice; the text is parsed like any other.
    pub fn screader_7() -> Result<Self> {
        Self::parse("7", include_str!("templates/screader_7.txt"))
    }

    /// The 11 fields that the published code of scReader joins.
    ///
    /// # Errors
    /// None in practice; the text is parsed like any other.
    pub fn screader_11() -> Result<Self> {
        Self::parse("11", include_str!("templates/screader_11.txt"))
    }

    /// The prompt with which scReader's paper asks a chat model for a missing description.
    ///
    /// # Errors
    /// None in practice; the text is parsed like any other.
    pub fn completion_prompt() -> Result<Self> {
        Self::parse("completion_prompt", include_str!("templates/completion_prompt.txt"))
    }

    /// Take the preset `7` or `11`, or read the file of that name.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Input`] as for [`Template::parse`].
    pub fn open(preset_or_path: &str) -> Result<Self> {
        match preset_or_path {
            "7" => Self::screader_7(),
            "11" => Self::screader_11(),
            path => Self::parse(path, &read_text(Path::new(path))?),
        }
    }

    /// Parse a template; `name` is where it came from.
    ///
    /// # Errors
    /// [`Error::Input`] that names an unknown placeholder or a brace without its partner, or if
    /// there is no placeholder at all.
    pub fn parse(name: &str, source: &str) -> Result<Self> {
        let lines = source
            .trim_end()
            .lines()
            .enumerate()
            .map(|(at, line)| parse_line(&format!("{name}: line {}", at + 1), line))
            .collect::<Result<Vec<_>>>()?;
        let any = lines.iter().flatten().any(|part| matches!(part, Part::Field(_)));
        if !any {
            return Err(Error::input(name, "a placeholder such as {summary}", "none", known()));
        }
        Ok(Self { name: name.into(), source: source.trim_end().into(), lines, keep_empty: false })
    }

    /// Keep lines whose placeholders are all empty.
    pub fn keep_empty(mut self, keep: bool) -> Self {
        self.keep_empty = keep;
        self
    }

    /// `7`, `11` or the path of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text with its placeholders.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether lines without content are kept.
    pub fn keeps_empty(&self) -> bool {
        self.keep_empty
    }

    /// Fill in a gene's fields.
    pub fn fill(&self, gene: &GeneRecord) -> String {
        let lines = self.lines.iter().filter_map(|parts| self.fill_line(parts, gene));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn fill_line(&self, parts: &[Part], gene: &GeneRecord) -> Option<String> {
        let mut line = String::new();
        let mut fields = 0;
        let mut filled = 0;
        for part in parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => {
                    let value = value_of(*field, gene);
                    fields += 1;
                    filled += usize::from(!value.is_empty());
                    line.push_str(&value);
                }
            }
        }
        (self.keep_empty || fields == 0 || filled > 0).then_some(line)
    }
}

fn value_of(field: Field, gene: &GeneRecord) -> String {
    match field {
        Field::Symbol => gene.names.symbol.clone(),
        Field::Ensembl => gene.names.ensembl.clone().unwrap_or_default(),
        Field::GeneId => gene.gene_id.map(|id| id.to_string()).unwrap_or_default(),
        Field::FullName => gene.full_name.clone(),
        Field::PrimarySource => gene.primary_source.clone(),
        Field::SeeRelated => gene.see_related.clone(),
        Field::GeneType => gene.gene_type.clone(),
        Field::RefseqStatus => gene.refseq_status.clone(),
        Field::Species => gene.species.to_string(),
        Field::Organism => gene.organism.clone(),
        Field::Lineage => gene.lineage.clone(),
        Field::Aliases => gene.names.aliases.join("; "),
        Field::Summary => gene.summary.clone(),
        Field::Annotation => gene.annotation.clone(),
        Field::Expression => gene.expression.clone(),
    }
}

fn parse_line(place: &str, line: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let (word, after) = match (brace, after.split_once('}')) {
            ("{", Some(pair)) => pair,
            _ => {
                let found = format!("a lone {brace}");
                return Err(Error::input(place, "{field}", found, "write {{ or }} for a brace"));
            }
        };
        let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == word) else {
            return Err(Error::input(place, "a known field", format!("{{{word}}}"), known()));
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Field(*field));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn known() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    format!("known are {}", names.join(", "))
}
