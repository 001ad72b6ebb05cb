//! From gene records to the description table.

use std::collections::{BTreeMap, HashMap};

use super::complete::Completer;
use super::descriptions::{Description, DescriptionTable, TextSource};
use super::missing::{Missing, MissingPolicy};
use super::orthologs::{Homolog, Orthologs};
use super::record::{GeneRecord, GeneRecords};
use super::template::Template;
use crate::{Error, Result};

/// Everything that turns records into texts.
pub struct Build<'a> {
    /// The text of a gene.
    pub template: Template,
    /// What is done for genes without a summary.
    pub missing: MissingPolicy,
    /// Pairs of genes of the two species; needed by `ortholog`.
    pub orthologs: Option<&'a Orthologs>,
    /// The records of the other species; needed by `ortholog`.
    pub other_species: Option<&'a GeneRecords>,
    /// Who writes missing summaries; needed by `chat`.
    pub completer: Option<&'a mut dyn Completer>,
    /// The question to the completer.
    pub prompt: Template,
}

impl Build<'_> {
    /// Make the table of all `records`, in their order.
    ///
    /// # Errors
    /// [`Error::Input`] if a step of the policy lacks what it needs; what the completer returns.
    pub fn run(mut self, records: &GeneRecords) -> Result<DescriptionTable> {
        self.check_orthologs()?;
        self.check_chat()?;
        let summaries = self.ortholog_summaries();
        let genes = records
            .genes()
            .iter()
            .map(|gene| self.describe(gene, &summaries))
            .collect::<Result<Vec<_>>>()?;
        let mut made_with = BTreeMap::from([
            ("template".to_string(), self.template.name().to_string()),
            ("template_text".to_string(), self.template.source().to_string()),
            (
                "empty_fields".to_string(),
                if self.template.keeps_empty() { "kept" } else { "left out" }.to_string(),
            ),
            ("missing".to_string(), self.missing.to_string()),
            ("sources".to_string(), records.sources().join(", ")),
        ]);
        if let Some(others) = self.other_species.filter(|_| self.missing.has(Missing::Ortholog)) {
            made_with.insert("ortholog_sources".into(), others.sources().join(", "));
        }
        if let Some(completer) = &self.completer
            && self.missing.has(Missing::Chat)
        {
            made_with.insert("completion_model".into(), completer.model().to_string());
            made_with.insert("completion_prompt".into(), self.prompt.source().to_string());
        }
        Ok(DescriptionTable { species: records.species(), made_with, genes })
    }

    fn check_orthologs(&self) -> Result<()> {
        let lacks_pairs = self.orthologs.is_none() || self.other_species.is_none();
        if self.missing.has(Missing::Ortholog) && lacks_pairs {
            return Err(Error::input(
                "--missing ortholog",
                "a homolog table and gene records of the other species",
                "none",
                "give --homologs FILE and --ortholog-records FILE",
            ));
        }
        Ok(())
    }

    fn check_chat(&self) -> Result<()> {
        if self.missing.has(Missing::Chat) && self.completer.is_none() {
            return Err(Error::input(
                "--missing chat",
                "a chat model",
                "none",
                "give --chat-url URL and --chat-model NAME",
            ));
        }
        Ok(())
    }

    /// Summaries of the other species by symbol.
    fn ortholog_summaries(&self) -> HashMap<String, String> {
        let others = self.other_species.filter(|_| self.missing.has(Missing::Ortholog));
        let genes = others.map_or(&[][..], GeneRecords::genes);
        let told = genes.iter().filter(|gene| !gene.summary.is_empty());
        told.map(|gene| (gene.names.symbol.clone(), gene.summary.clone())).collect()
    }

    fn describe(
        &mut self,
        gene: &GeneRecord,
        summaries: &HashMap<String, String>,
    ) -> Result<Description> {
        let (source, text) = self.text(gene, summaries)?;
        // A template of fields that this gene has none of gives no text either.
        let source = if text.is_empty() { TextSource::None } else { source };
        Ok(Description { gene_id: gene.gene_id, names: gene.names.clone(), source, text })
    }

    fn text(
        &mut self,
        gene: &GeneRecord,
        summaries: &HashMap<String, String>,
    ) -> Result<(TextSource, String)> {
        if !gene.summary.is_empty() {
            return Ok((TextSource::Own, self.template.fill(gene)));
        }
        for step in self.missing.steps() {
            match step {
                Missing::Ortholog => {
                    let homolog =
                        self.orthologs.map(|pairs| pairs.of(gene.species, &gene.names.symbol));
                    let Some(Homolog::One(symbol)) = homolog else { continue };
                    let Some(summary) = summaries.get(symbol) else { continue };
                    let text = self.template.fill(&with_summary(gene, summary.clone()));
                    return Ok((TextSource::Ortholog(symbol.to_string()), text));
                }
                Missing::Chat => {
                    let Some(completer) = self.completer.as_mut() else { continue };
                    let summary = completer.complete(&self.prompt.fill(gene))?;
                    if summary.trim().is_empty() {
                        continue;
                    }
                    let text = self.template.fill(&with_summary(gene, summary));
                    return Ok((TextSource::Completed, text));
                }
                Missing::Fields => return Ok((TextSource::Fields, self.template.fill(gene))),
                Missing::SpeciesMean | Missing::Zeros | Missing::Drop => break,
            }
        }
        Ok((TextSource::None, String::new()))
    }

    /// Prompts that the completer will be asked, in order: to say beforehand how many.
    ///
    /// # Errors
    /// As [`Build::run`]; no completer is needed yet, and nothing is asked.
    pub fn prompts(&self, records: &GeneRecords) -> Result<Vec<String>> {
        self.check_orthologs()?;
        if !self.missing.has(Missing::Chat) {
            return Ok(Vec::new());
        }
        let summaries = self.ortholog_summaries();
        let has_ortholog = |gene: &GeneRecord| {
            let homolog = self.orthologs.map(|pairs| pairs.of(gene.species, &gene.names.symbol));
            matches!(homolog, Some(Homolog::One(symbol)) if summaries.contains_key(symbol))
        };
        let before_chat = self.missing.steps().iter().take_while(|step| **step != Missing::Chat);
        let ortholog_first = before_chat.count() > 0;
        let asked = records
            .genes()
            .iter()
            .filter(|gene| gene.summary.is_empty() && !(ortholog_first && has_ortholog(gene)));
        Ok(asked.map(|gene| self.prompt.fill(gene)).collect())
    }
}

fn with_summary(gene: &GeneRecord, summary: String) -> GeneRecord {
    GeneRecord { summary, ..gene.clone() }
}
