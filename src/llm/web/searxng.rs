//! A SearXNG endpoint, asked at `{base}/search?q=…&format=json`.

use serde::Deserialize;

use super::hit::{Hit, clean_query};
use crate::Result;
use crate::service::{JsonService, Patience};

const PATH: &str = "/search";
const REMEDY: &str = "is the search endpoint right, and does its settings.yml allow the format json? \
                      without the web, leave out --web";

/// A SearXNG endpoint that the user named.
#[derive(Debug)]
pub struct SearxngSearch {
    service: JsonService,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Page>,
}

#[derive(Deserialize)]
struct Page {
    url: String,
    title: Option<String>,
    content: Option<String>,
}

impl SearxngSearch {
    /// Address an endpoint, as `http://localhost:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// What is no web address.
    pub fn new(base_url: &str, patience: Patience) -> Result<Self> {
        let service = JsonService::new("--search-url", base_url, None, patience, REMEDY)?;
        Ok(Self { service })
    }

    /// Its address.
    pub fn address(&self) -> String {
        self.service.address()
    }

    /// Search; at most `most` hits, in the engine's order.
    ///
    /// # Errors
    /// An endpoint that cannot be reached, refuses, or answers in another form.
    pub fn search(&self, query: &str, most: usize) -> Result<Vec<Hit>> {
        let query = clean_query(query);
        let body = self.service.get(PATH, &[("q", &query), ("format", "json")]);
        let body = body.map_err(|given_up| self.service.error(PATH, given_up))?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| self.service.misshapen(PATH, error))?;
        let hits = answer.results.into_iter().filter_map(|page| {
            let (title, text) = (page.title.unwrap_or_default(), page.content.unwrap_or_default());
            Hit::new(&title, &page.url, &text)
        });
        Ok(hits.take(most).collect())
    }
}
