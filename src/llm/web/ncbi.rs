//! NCBI's E-utilities: `esearch.fcgi` finds ids, `esummary.fcgi` describes them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::hit::{Hit, clean_query};
use crate::Result;
use crate::service::{JsonService, Patience};

/// NCBI's own address.
pub const NCBI_BASE_URL: &str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils";
/// Without a key NCBI allows three requests a second.
const INTERVAL: Duration = Duration::from_millis(340);
const SEARCH: &str = "/esearch.fcgi";
const SUMMARY: &str = "/esummary.fcgi";
const REMEDY: &str = "try later, or leave out NCBI";

/// What of NCBI is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NcbiDatabase {
    /// Genes, with their summaries.
    Gene,
    /// Papers, by title.
    Pubmed,
}

impl NcbiDatabase {
    /// Its name in NCBI's interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gene => "gene",
            Self::Pubmed => "pubmed",
        }
    }
}

/// NCBI's search, never asked more than three times a second.
#[derive(Debug)]
pub struct NcbiSearch {
    service: JsonService,
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct Found {
    esearchresult: Ids,
}

#[derive(Deserialize)]
struct Ids {
    #[serde(default)]
    idlist: Vec<String>,
}

impl NcbiSearch {
    /// Address NCBI at [`NCBI_BASE_URL`], or a server like it. Nothing is sent yet.
    ///
    /// # Errors
    /// What is no web address.
    pub fn new(base_url: &str, patience: Patience) -> Result<Self> {
        let service = JsonService::new("--ncbi-url", base_url, None, patience, REMEDY)?;
        Ok(Self { service, interval: INTERVAL, next: Mutex::new(None) })
    }

    /// Keep another interval between requests than NCBI's, for a server of one's own.
    pub fn at_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Its address.
    pub fn address(&self) -> String {
        self.service.address()
    }

    /// Search one database; at most `most` hits, best first.
    ///
    /// # Errors
    /// A server that cannot be reached, refuses, or answers in another form.
    pub fn search(&self, database: NcbiDatabase, query: &str, most: usize) -> Result<Vec<Hit>> {
        let (query, most) = (clean_query(query), most.to_string());
        let found = [("term", query.as_str()), ("retmax", &most), ("sort", "relevance")];
        let found: Found = self.get(SEARCH, database, &found)?;
        // Ids go into an address: digits alone.
        let numeric = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let ids: Vec<String> = found.esearchresult.idlist.into_iter().filter(numeric).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let summaries: Value = self.get(SUMMARY, database, &[("id", &ids.join(","))])?;
        let Some(result) = summaries.get("result") else {
            return Err(self.service.misshapen(SUMMARY, "no result in it"));
        };
        Ok(ids.iter().filter_map(|id| hit(database, id, &result[id])).collect())
    }

    fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        database: NcbiDatabase,
        query: &[(&str, &str)],
    ) -> Result<T> {
        let mut all = vec![("db", database.name()), ("retmode", "json"), ("tool", "screader")];
        all.extend(query);
        self.wait_for_turn();
        let body = self.service.get(path, &all);
        let body = body.map_err(|given_up| self.service.error(path, given_up))?;
        serde_json::from_slice(&body).map_err(|error| self.service.misshapen(path, error))
    }

    /// Take the next free moment, and wait for it.
    fn wait_for_turn(&self) {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.interval);
        drop(next);
        std::thread::sleep(turn - now);
    }
}

fn hit(database: NcbiDatabase, id: &str, summary: &Value) -> Option<Hit> {
    let text = |key: &str| summary[key].as_str().unwrap_or_default();
    match database {
        NcbiDatabase::Gene => {
            let species = summary["organism"]["scientificname"].as_str().unwrap_or_default();
            let title = format!("{} ({species}): {}", text("name"), text("description"));
            let url = format!("https://www.ncbi.nlm.nih.gov/gene/{id}");
            Hit::new(&title, &url, text("summary"))
        }
        NcbiDatabase::Pubmed => {
            let url = format!("https://pubmed.ncbi.nlm.nih.gov/{id}/");
            let published = format!("{} {}", text("source"), text("pubdate"));
            Hit::new(text("title"), &url, &published)
        }
    }
    .filter(|_| summary.is_object() && summary.get("error").is_none())
}
