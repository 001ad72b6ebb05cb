//! `screader genes build`

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::name_list::genes_of;
use crate::genes::{
    Build, CachedCompleter, ChatCompleter, Completer, DescriptionTable, GeneMatcher, GeneNames,
    GeneRecords, MissingPolicy, Orthologs, SourceKind, Species, Template,
};
use crate::{Error, Result};

/// Make a description table from gene records.
///
/// Files may be given several times and are merged by gene id; of two that have a field the first
/// has the last word. All may be gzip.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The species of the table.
    #[arg(long, value_enum)]
    species: Species,
    /// NCBI's gene_info.
    #[arg(long, value_name = "FILE")]
    gene_info: Vec<PathBuf>,
    /// NCBI's gene_summary (RefSeq summaries by gene id).
    #[arg(long, value_name = "FILE")]
    summaries: Vec<PathBuf>,
    /// A table with a row a gene: a column symbol, and any of GeneID, ensembl, synonyms, full_name,
    /// summary and the other fields of a template.
    #[arg(long, value_name = "FILE")]
    table: Vec<PathBuf>,
    /// Gene reports of NCBI Datasets, JSON or JSON lines.
    #[arg(long, value_name = "FILE")]
    datasets: Vec<PathBuf>,
    /// NCBI's gene_history (retired ids and symbols).
    #[arg(long, value_name = "FILE")]
    history: Vec<PathBuf>,
    /// Ensembl ids with GENCODE names: `ENSG…,NAME` without header.
    #[arg(long, value_name = "FILE")]
    gencode: Vec<PathBuf>,
    /// Pairs of human and mouse genes, by symbol, or NCBI's gene_orthologs.
    #[arg(long, value_name = "FILE")]
    homologs: Option<PathBuf>,
    /// Gene records of the other species, of any of the kinds above; they lend their summaries.
    #[arg(long, value_name = "FILE")]
    ortholog_records: Vec<PathBuf>,
    /// The text of a gene: 7 (the fields of scReader's paper), 11 (those of its code), or a file
    /// with placeholders such as {symbol} and {summary}.
    #[arg(long, default_value = "7", value_name = "7|11|FILE")]
    template: String,
    /// Keep the lines of a template that a gene has nothing for.
    #[arg(long)]
    keep_empty_fields: bool,
    /// What to do for genes without a summary, in order: ortholog, chat, then one of fields (the
    /// text of the other fields), species_mean, zeros, drop.
    #[arg(long, default_value = "fields", value_name = "STEPS")]
    missing: MissingPolicy,
    /// Only genes of these NCBI types: protein-coding, ncRNA and so on.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    gene_type: Vec<String>,
    /// Only the genes of this data set, or of a .txt or .list file with a name a line.
    #[arg(long, value_name = "FILE")]
    only: Option<PathBuf>,
    /// Model that writes missing summaries (with `--missing chat`).
    #[arg(long, value_name = "NAME", requires = "chat_url")]
    chat_model: Option<String>,
    /// Base address of the OpenAI-compatible server that has the model, up to and with /v1.
    #[arg(long, value_name = "URL", requires = "chat_model")]
    chat_url: Option<String>,
    /// Environment variable that holds the key; unset or empty sends none.
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY")]
    chat_key_env: String,
    /// File with the question, with placeholders; the paper's by default.
    #[arg(long, value_name = "FILE")]
    chat_prompt: Option<PathBuf>,
    /// File that keeps the answers, so that none is paid for twice [default: OUT.answers.jsonl].
    #[arg(long, value_name = "FILE")]
    chat_cache: Option<PathBuf>,
    /// Say what would be done and how many questions would be asked; ask and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// The table to write; compressed if it ends in .gz.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

impl BuildArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let template = Template::open(&self.template)?.keep_empty(self.keep_empty_fields);
        let prompt = self.prompt()?;
        let records = self.records()?;
        let others = self.other_records()?;
        let orthologs = self.orthologs(&records, others.as_ref())?;
        let mut completer = self.completer()?;
        let mut build = Build {
            template,
            missing: self.missing.clone(),
            orthologs: orthologs.as_ref(),
            other_species: others.as_ref(),
            completer: None,
            prompt,
        };
        let prompts = build.prompts(&records)?;
        if self.dry_run {
            // Nothing is opened for writing, so the cache is not asked what it has.
            println!("{} genes, {} with a summary", records.len(), records.with_summary());
            println!("{} questions to a chat model, less those answered before", prompts.len());
            return Ok(());
        }
        if let Some(completer) = completer.as_mut() {
            let new = prompts.iter().filter(|prompt| !completer.has(prompt)).count();
            eprintln!(
                "{} summaries from {}, {new} to be asked for",
                prompts.len(),
                completer.model()
            );
            completer.show_progress(new);
            build.completer = Some(completer);
        }
        let table = build.run(&records)?;
        table.write(&self.out)?;
        self.report(&table);
        Ok(())
    }

    fn prompt(&self) -> Result<Template> {
        match &self.chat_prompt {
            Some(path) => Template::open(&path.to_string_lossy()),
            None => Template::completion_prompt(),
        }
    }

    fn records(&self) -> Result<GeneRecords> {
        let given = [
            (&self.gene_info, "--gene-info", SourceKind::GeneTable),
            (&self.table, "--table", SourceKind::GeneTable),
            (&self.datasets, "--datasets", SourceKind::Datasets),
            (&self.summaries, "--summaries", SourceKind::GeneSummary),
            (&self.history, "--history", SourceKind::GeneHistory),
            (&self.gencode, "--gencode", SourceKind::Gencode),
        ];
        let mut files: Vec<&Path> = Vec::new();
        for (paths, flag, kind) in given {
            for path in paths {
                let found = SourceKind::of(path)?;
                if found != kind {
                    let place = format!("{flag} {}", path.display());
                    return Err(Error::input(place, kind, found, "use the flag of that kind"));
                }
                files.push(path);
            }
        }
        if self.gene_info.is_empty() && self.table.is_empty() && self.datasets.is_empty() {
            return Err(Error::input(
                "screader genes build",
                "a file with genes",
                "none",
                "give --gene-info, --table or --datasets; `screader fetch genes` downloads them",
            ));
        }
        let mut records = GeneRecords::new(self.species);
        records.read_all(&files)?;
        if !self.gene_type.is_empty() {
            records.keep(|gene| self.gene_type.contains(&gene.gene_type));
            self.require(&records, "--gene-type")?;
        }
        if let Some(path) = &self.only {
            let names: Vec<GeneNames> =
                records.genes().iter().map(|gene| gene.names.clone()).collect();
            let matched = GeneMatcher::new(&names).match_frame(&genes_of(path)?).genes;
            eprintln!("--only {}: {}", path.display(), matched.coverage);
            let rows: HashSet<usize> = matched.rows.into_iter().flatten().collect();
            let mut row = 0..;
            records.keep(|_| row.next().is_some_and(|row| rows.contains(&row)));
            self.require(&records, "--only")?;
        }
        Ok(records)
    }

    fn require(&self, records: &GeneRecords, flag: &str) -> Result<()> {
        if records.is_empty() {
            return Err(Error::input(flag, "at least one gene", "none", "check the filter"));
        }
        Ok(())
    }

    fn other_records(&self) -> Result<Option<GeneRecords>> {
        if self.ortholog_records.is_empty() {
            return Ok(None);
        }
        let mut records = GeneRecords::new(self.species.other());
        records.read_all(&self.ortholog_records)?;
        Ok(Some(records))
    }

    fn orthologs(
        &self,
        records: &GeneRecords,
        others: Option<&GeneRecords>,
    ) -> Result<Option<Orthologs>> {
        let Some(path) = &self.homologs else { return Ok(None) };
        let orthologs = match others {
            Some(others) if Orthologs::is_by_id(path)? => {
                Orthologs::read_by_id(path, records, others)?
            }
            _ => Orthologs::read(path)?,
        };
        Ok(Some(orthologs))
    }

    fn completer(&self) -> Result<Option<CachedCompleter<ChatCompleter>>> {
        let (Some(model), Some(url), false) = (&self.chat_model, &self.chat_url, self.dry_run)
        else {
            return Ok(None);
        };
        let key = std::env::var(&self.chat_key_env).ok().filter(|key| !key.is_empty());
        let chat = ChatCompleter::new(url, model, key)?;
        let cache = self.chat_cache.clone().unwrap_or_else(|| {
            let mut name = self.out.as_os_str().to_os_string();
            name.push(".answers.jsonl");
            PathBuf::from(name)
        });
        CachedCompleter::open(&cache, chat).map(Some)
    }

    fn report(&self, table: &DescriptionTable) {
        let counts = table.counts();
        if self.json {
            let report = json!({
                "out": self.out,
                "species": table.species,
                "genes": table.genes.len(),
                "text": counts,
                "made_with": table.made_with,
            });
            println!("{report}");
            return;
        }
        let parts: Vec<String> =
            counts.iter().map(|(source, count)| format!("{count} {source}")).collect();
        println!("{}: {} genes ({})", self.out.display(), table.genes.len(), parts.join(", "));
    }
}
