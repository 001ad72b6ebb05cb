//! Queries from the gene lists of a question, for models that cannot ask for a search themselves.

use crate::llm::{ChatRequest, Role};

/// Lists of one question that are searched for.
const LISTS: usize = 12;
/// Genes that make a list; fewer may be an enumeration of anything.
const FEWEST: usize = 3;
/// Genes that a web search and a search for papers start from: more find nothing.
const FOR_WEB: usize = 5;
const FOR_PAPERS: usize = 2;

/// The gene lists in the last message of the user: lines of symbols between commas.
pub(super) fn gene_lists(request: &ChatRequest) -> Vec<Vec<String>> {
    let question = request.messages.iter().rev().find(|message| message.role == Role::User);
    let lines = question.map_or("", |message| message.content.as_str()).lines();
    lines.filter_map(genes_of).take(LISTS).collect()
}

/// The symbols of a line such as `3: CD3D, IL7R, CCR7.`; `None` where it is prose.
fn genes_of(line: &str) -> Option<Vec<String>> {
    let items: Vec<&str> = line.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let last = items.len().checked_sub(1)?;
    let mut genes = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let mut words = item.split([' ', ':', ';', '\t']).filter(|word| !word.is_empty());
        // Before the first gene stands the cluster's name, behind the last the sentence goes on.
        let word = match at {
            0 => words.next_back()?,
            _ if at == last => words.next()?,
            _ if words.clone().count() > 1 => return None,
            _ => words.next()?,
        };
        let word = word.trim_end_matches('.').trim_matches(['"', '\'', '(', ')', '[', ']', '`']);
        if !is_symbol(word) {
            return None;
        }
        genes.push(word.to_owned());
    }
    (genes.len() >= FEWEST).then_some(genes)
}

fn is_symbol(word: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && (2..=25).contains(&word.len()) && word.bytes().all(inside)
}

/// A query for pages on what cell these genes mark.
pub(super) fn for_web(genes: &[String]) -> String {
    format!("{} marker genes cell type", genes[..genes.len().min(FOR_WEB)].join(" "))
}

/// A query for papers.
pub(super) fn for_papers(genes: &[String]) -> String {
    format!("{} cell type", genes[..genes.len().min(FOR_PAPERS)].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_from_prose() {
        let genes = |line: &str| genes_of(line).map(|genes| genes.join(" "));
        for (line, expected) in [
            ("CD3D, IL7R, CCR7", Some("CD3D IL7R CCR7")),
            ("3: CD3D,IL7R,CCR7.", Some("CD3D IL7R CCR7")),
            ("Cluster 12: HLA-DRA, Cd74, NKX2-1", Some("HLA-DRA Cd74 NKX2-1")),
            ("markers Lyz2, Cd14, Fcgr3. What is it?", Some("Lyz2 Cd14 Fcgr3")),
            ("Only the name, do not show numbers, please.", None),
            ("CD3D, IL7R", None),
            ("", None),
            ("Identify cell types of human PBMC cells", None),
        ] {
            assert_eq!(genes(line).as_deref(), expected, "{line}");
        }
    }
}
