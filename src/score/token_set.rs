//! How alike two names are as sets of words, and from where they are taken for one.

use std::collections::BTreeSet;

/// Names at least so alike are taken for one.
const ALIKE: f64 = 0.85;
/// A shorter name is no name to compare letter by letter, and a shorter word decides what is meant: T, NK, non.
const SHORT_NAME: usize = 5;
const SHORT_WORD: usize = 4;

/// Whether two names in their [normal form](crate::annotate::normal_form) are spellings of one, or one says in more
/// words what the other says.
///
/// They are where [`token_set_ratio`] is at least 0.85 without the word "cell", which says nothing. Names under five
/// letters never are, nor names with a word of their own that is short, has a digit, a plus or a minus (T, CD14+), or is
/// another one's with something before it (immature, myofibroblast).
pub fn is_alike(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|name| words(name, |word| word != "cell"));
    let letters =
        |words: &BTreeSet<&str>| words.iter().map(|word| word.chars().count()).sum::<usize>();
    let shorter = letters(&a).min(letters(&b));
    let decides = |word: &&str| {
        let tells = |one: char| one == '+' || one == '-' || one.is_numeric();
        word.chars().count() < SHORT_WORD || word.chars().any(tells)
    };
    let begins_otherwise =
        a.difference(&b).any(|one| b.difference(&a).any(|x| one.ends_with(x) || x.ends_with(one)));
    shorter >= SHORT_NAME
        && !a.symmetric_difference(&b).any(decides)
        && !begins_otherwise
        && ratio_of_sets(&a, &b) >= ALIKE
}

/// Likeness of two texts as sets of words, from 0 to 1, as `fuzz.token_set_ratio` of RapidFuzz divided by 100.
///
/// 1 where all words of one are in the other; else the best of three likenesses: of the words that only one side
/// has, each after the shared ones, and of the shared words with either side. Two texts are as alike as twice their
/// longest common subsequence by the sum of their lengths.
pub fn token_set_ratio(a: &str, b: &str) -> f64 {
    ratio_of_sets(&words(a, |_| true), &words(b, |_| true))
}

fn words(text: &str, counts: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    text.split_whitespace().filter(|word| counts(word)).collect()
}

fn ratio_of_sets(a: &BTreeSet<&str>, b: &BTreeSet<&str>) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let joined = |words: Vec<&str>| words.join(" ").chars().collect::<Vec<char>>();
    let shared = joined(a.intersection(b).copied().collect()).len();
    let only_a = joined(a.difference(b).copied().collect());
    let only_b = joined(b.difference(a).copied().collect());
    if shared > 0 && (only_a.is_empty() || only_b.is_empty()) {
        return 1.0;
    }
    let space = usize::from(shared > 0);
    let [with_a, with_b] = [&only_a, &only_b].map(|only| shared + space + only.len());
    let likeness = |differing: usize, letters: usize| 1.0 - differing as f64 / letters as f64;
    let differing = only_a.len() + only_b.len() - 2 * common_subsequence(&only_a, &only_b);
    let both = likeness(differing, with_a + with_b);
    if shared == 0 {
        return both;
    }
    let with_shared = |only: &[char], with: usize| likeness(space + only.len(), shared + with);
    both.max(with_shared(&only_a, with_a)).max(with_shared(&only_b, with_b))
}

/// Length of the longest sequence of letters that both have in this order.
fn common_subsequence(a: &[char], b: &[char]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for letter in a {
        let mut diagonal = 0;
        for (place, other) in b.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if letter == other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_is_that_of_rapidfuzz() {
        // Written by scripts/reference/token_set_goldens.py.
        let goldens = include_str!("../../tests/goldens/token_set.json");
        let goldens: Vec<(String, String, f64)> = serde_json::from_str(goldens).unwrap();
        assert!(goldens.len() > 300);
        for (a, b, expected) in goldens {
            let found = token_set_ratio(&a, &b);
            assert!((found - expected).abs() < 1e-9, "{a} | {b}: {found}, not {expected}");
        }
    }

    #[test]
    fn short_words_decide_and_cell_says_nothing() {
        for (a, b) in [
            ("macrophage", "macrophage like"),
            ("hepatocite", "hepatocyte"),
            ("endothelial cell", "vascular endothelial cell"),
            ("oligodendrocyte precursor cell", "oligodendrocyte progenitor precursor cell"),
        ] {
            assert!(is_alike(a, b) && is_alike(b, a), "{a} | {b}");
        }
        for (a, b) in [
            ("naive b cell", "naive t cell"),
            ("nk cell", "nkt cell"),
            ("cell", "endothelial cell"),
            ("t cell", "cd8 t cell"),
            ("alpha cell", "delta cell"),
            ("memory cd4 t cell", "memory cd8 t cell"),
            ("cd14+ monocyte", "cd16+ monocyte"),
            ("immature neuron", "mature neuron"),
            ("non classical monocyte", "classical monocyte"),
            ("myofibroblast", "fibroblast"),
            ("fibroblast", "myofibroblast like pericyte"),
            ("", ""),
        ] {
            assert!(!is_alike(a, b) && !is_alike(b, a), "{a} | {b}");
        }
    }
}
