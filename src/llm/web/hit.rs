//! What a search found, as the model may see it.

use std::collections::HashSet;

use reqwest::Url;

use crate::llm::foreign::{foreign_block, foreign_text};
use crate::llm::{ChatAnswer, Source};
use crate::{Error, Result};

/// The longest title, text, address and query, in characters.
const TITLE: usize = 160;
const TEXT: usize = 500;
const ADDRESS: usize = 400;
const QUERY: usize = 300;

/// A page or record that a search found, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its title.
    pub title: String,
    /// Its address, http or https.
    pub url: String,
    /// What it says, cut to 500 characters.
    pub text: String,
}

impl Hit {
    /// Take what a search gave; `None` where the address is no web address.
    pub(in crate::llm) fn new(title: &str, url: &str, text: &str) -> Option<Self> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let plain = url.username().is_empty() && url.password().is_none();
        let url = url.to_string();
        // An address that is cut leads elsewhere.
        let url = (plain && url.chars().count() <= ADDRESS).then_some(url)?;
        let title = foreign_text(title, TITLE);
        Some(Self { title, url: foreign_text(&url, ADDRESS), text: foreign_text(text, TEXT) })
    }
}

/// Clean a query, which a model may have written.
pub(super) fn clean_query(query: &str) -> String {
    foreign_text(query, QUERY)
}

/// Everything found for one question.
#[derive(Debug, Default)]
pub(super) struct Found {
    sources: Vec<Source>,
    seen: HashSet<String>,
    searches: usize,
    failures: Vec<Error>,
}

impl Found {
    /// Take in what a search gave, and put it as the model may see it.
    pub(super) fn add(&mut self, query: &str, hits: Result<Vec<Hit>>) -> String {
        self.searches += 1;
        let mut lines = vec![format!("query: {}", clean_query(query))];
        match hits {
            Ok(hits) if hits.is_empty() => lines.push("nothing found".to_owned()),
            Ok(hits) => lines.extend(hits.into_iter().map(|hit| self.line(hit))),
            Err(error) => {
                // Why is for the user; a model has no use for it.
                self.failures.push(error);
                lines.push("the search failed".to_owned());
            }
        }
        foreign_block("web_results", &lines)
    }

    fn line(&mut self, hit: Hit) -> String {
        let Hit { title, url, text } = hit;
        let line = format!("- {title} ({url}): {text}");
        if self.seen.insert(url.clone()) {
            self.sources.push(Source { title, url });
        }
        line
    }

    /// Refuse to go on where every search failed: an answer without the web is not what was asked.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn check(&mut self) -> Result<()> {
        if self.searches > 0 && self.failures.len() == self.searches {
            return Err(self.failures.swap_remove(0));
        }
        Ok(())
    }

    /// Whether there was a search.
    pub(super) fn searched(&self) -> bool {
        self.searches > 0
    }

    /// Add the sources to an answer, and say which searches failed.
    pub(super) fn credit(self, answer: &mut ChatAnswer) {
        for source in self.sources {
            if !answer.sources.contains(&source) {
                answer.sources.push(source);
            }
        }
        if let Some(first) = self.failures.first() {
            let (failed, all) = (self.failures.len(), self.searches);
            answer.notes.push(format!("{failed} of {all} searches failed: {first}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_hits() {
        for url in ["javascript:alert(1)", "file:///etc/passwd", "no url", "https://u:p@host/"] {
            assert_eq!(Hit::new("t", url, "x"), None, "{url}");
        }
        let hit = Hit::new("a <b>", "https://host/<i>", &"long ".repeat(1000)).unwrap();
        assert_eq!((hit.title.as_str(), hit.url.as_str()), ("a ‹b›", "https://host/%3Ci%3E"));
        assert!(hit.text.chars().count() <= TEXT + 1);
    }
}
