//! `screader embed`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::embed::{
    EmbeddingTable, MINILM_MODEL, MiniLm, MissingText, OPENAI_BASE_URL, OPENAI_MODEL,
    OpenAiCompatible, Price, TableBuilder, TextEmbedder, find_minilm,
};
use crate::genes::DescriptionTable;
use crate::service::{ApiKey, Patience, estimate_tokens};
use crate::{Error, Result};

/// Embed gene descriptions as vectors.
///
/// Only texts that have no vector yet are embedded: those of an earlier table at --out (or --reuse)
/// and those that an interrupted run left in the journal beside it are taken from there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader genes build --species mouse --out genes.tsv …
  screader embed --genes genes.tsv --provider minilm --out genes.safetensors
  screader embed --genes genes.tsv --provider openai --out genes.safetensors --dry-run")]
pub(super) struct EmbedArgs {
    /// The description table, as `screader genes build` writes it.
    #[arg(long, value_name = "TSV")]
    genes: PathBuf,
    /// The embedding table to write, a safetensors file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Who embeds: minilm on this machine, or a service with OpenAI's interface.
    #[arg(long, value_enum, default_value_t = Provider::Minilm)]
    provider: Provider,
    /// What becomes of genes without a text [default: what the description table says, else
    /// species_mean].
    #[arg(long, value_enum)]
    missing: Option<MissingText>,
    /// Another table whose vectors are taken where text and model are the same.
    #[arg(long, value_name = "FILE")]
    reuse: Vec<PathBuf>,
    /// Say what would be embedded, sent and paid, and end.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    minilm: MinilmArgs,
    #[command(flatten)]
    openai: OpenAiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Provider {
    /// all-MiniLM-L6-v2, or another folder of sentence-transformers, on this machine.
    Minilm,
    /// OpenAI, or any service or local server that speaks its interface.
    Openai,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "MiniLM")]
pub(super) struct MinilmArgs {
    /// The folder of the weights [default: screader/all-MiniLM-L6-v2 in the user's cache].
    #[arg(long, value_name = "DIR", env = "SCREADER_MINILM")]
    pub(super) model_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "OpenAI and compatible")]
struct OpenAiArgs {
    /// The model.
    #[arg(long, value_name = "NAME", default_value = OPENAI_MODEL)]
    model: String,
    /// The address before /embeddings.
    #[arg(long, value_name = "URL", default_value = OPENAI_BASE_URL)]
    base_url: String,
    /// Ask for vectors of this length [default: the model's own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    dimensions: Option<u32>,
    /// The environment variable that holds the key; it is never printed or stored.
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY")]
    api_key_env: String,
    /// US dollars for a million tokens, for the estimate [default: OpenAI's list of May 2026].
    #[arg(long, value_name = "USD")]
    price_per_million_tokens: Option<f64>,
    /// Attempts for one request, at rate limits, server errors and time-outs.
    #[arg(long, value_name = "N", default_value_t = Patience::default().attempts)]
    attempts: u32,
}

impl EmbedArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let descriptions = DescriptionTable::read(&self.genes)?;
        let missing = self.missing_policy(&descriptions)?;
        let embedder = self.embedder()?;
        let mut builder = TableBuilder::new(&descriptions, embedder.as_ref(), missing);
        let earlier = self.out.exists().then_some(&self.out);
        for path in self.reuse.iter().chain(earlier) {
            builder.reuse(&EmbeddingTable::read(path)?);
        }
        if !self.dry_run {
            let found = builder.journal_beside(&self.out)?;
            if found > 0 {
                eprintln!("{found} texts were embedded by an interrupted run");
            }
        }
        let texts = builder.texts_to_embed();
        self.announce(&builder, embedder.as_ref(), &texts, missing);
        if self.dry_run {
            return Ok(());
        }
        let progress = progress_bar(texts.len())?;
        let built = builder.build(&progress)?;
        progress.finish_and_clear();
        let (rows, width) = (built.table.embeddings.n_rows, built.table.embeddings.n_cols);
        eprintln!("{rows} genes x {width}, {} texts embedded", built.embedded);
        built.write(&self.out)?;
        println!("{}", self.out.display());
        Ok(())
    }

    fn missing_policy(&self, descriptions: &DescriptionTable) -> Result<MissingText> {
        let (Some(name), None) = (descriptions.missing_embedding(), self.missing) else {
            return Ok(self.missing.unwrap_or_default());
        };
        MissingText::from_str(name, true).map_err(|_| {
            Error::input(
                format!("{}: missing", self.genes.display()),
                "species_mean, zeros or drop",
                name,
                "name one with --missing",
            )
        })
    }

    fn embedder(&self) -> Result<Box<dyn TextEmbedder>> {
        if self.provider == Provider::Minilm {
            let folder = find_minilm(self.minilm.model_dir.as_deref())?;
            return Ok(Box::new(MiniLm::load(folder, MINILM_MODEL)?));
        }
        let args = &self.openai;
        let key = ApiKey::from_environment(&args.api_key_env);
        if key.is_none() && args.base_url == OPENAI_BASE_URL && !self.dry_run {
            return Err(Error::input(
                &args.api_key_env,
                "a key in this environment variable",
                "nothing",
                "export it, or name a server of your own with --base-url",
            ));
        }
        let patience = Patience { attempts: args.attempts.max(1), ..Patience::default() };
        let dimensions = args.dimensions.map(|number| number as usize);
        let embedder =
            OpenAiCompatible::new(&args.base_url, key, &args.model, dimensions, patience)?;
        Ok(Box::new(embedder))
    }

    /// Say on stderr, or on stdout where it is all that was asked for, what is about to happen.
    fn announce(
        &self,
        builder: &TableBuilder<'_>,
        embedder: &dyn TextEmbedder,
        texts: &[String],
        missing: MissingText,
    ) {
        let mut lines = vec![format!(
            "{} {}: {} texts to embed; {} genes without text: {missing}",
            embedder.name(),
            embedder.model(),
            texts.len(),
            builder.genes_without_text(),
        )];
        if self.provider == Provider::Openai {
            lines.push(self.cost(texts));
        }
        for line in lines {
            if self.dry_run { println!("{line}") } else { eprintln!("{line}") }
        }
    }

    fn cost(&self, texts: &[String]) -> String {
        let tokens = estimate_tokens(texts);
        let price = match self.openai.price_per_million_tokens {
            Some(dollars) => Some(Price { dollars_per_million_tokens: dollars, built_in: false }),
            None if self.openai.base_url == OPENAI_BASE_URL => Price::of_model(&self.openai.model),
            None => None,
        };
        let cost = match price {
            Some(Price { dollars_per_million_tokens: dollars, built_in }) => {
                let source = if built_in { ", OpenAI's list of May 2026" } else { "" };
                let cost = tokens as f64 / 1e6 * dollars;
                format!("{cost:.2} US dollars ({dollars} for a million tokens{source})")
            }
            None => "price unknown, see --price-per-million-tokens".to_owned(),
        };
        let url = &self.openai.base_url;
        format!("sent to {url}: about {tokens} tokens (an estimate, 4 characters each); {cost}")
    }
}

fn progress_bar(texts: usize) -> Result<ProgressBar> {
    let progress = ProgressBar::new(texts as u64);
    let style = ProgressStyle::with_template("texts {wide_bar} {pos}/{len} {per_sec} ETA {eta}")
        .map_err(|error| Error::input("progress bar", "a template", error, "report this"))?;
    progress.set_style(style);
    Ok(progress)
}
