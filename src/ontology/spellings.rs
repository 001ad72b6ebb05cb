//! How people write what the ontology names in full: `CD14+ Mono`, `NK`, `Memory CD4 T`, `B cells naive`.

/// What a word of a label stands for.
const ABBREVIATIONS: [(&str, &str); 14] = [
    ("mono", "monocyte"),
    ("mac", "macrophage"),
    ("mφ", "macrophage"),
    ("dc", "dendritic cell"),
    ("dcs", "dendritic cell"),
    ("neutro", "neutrophil"),
    ("mk", "megakaryocyte"),
    ("fibro", "fibroblast"),
    ("endo", "endothelial cell"),
    ("epi", "epithelial cell"),
    ("astro", "astrocyte"),
    ("oligo", "oligodendrocyte"),
    ("opc", "oligodendrocyte precursor cell"),
    ("smc", "smooth muscle cell"),
];
/// Words that name a cell only with the word "cell" after them.
const NEED_CELL: [&str; 4] = ["t", "b", "nk", "nkt"];

/// The spellings of a label in its plain form, each as its words in order of the alphabet, the nearest to it first.
pub(super) fn spellings(form: &str) -> Vec<String> {
    let full = |word: &str| {
        let known = ABBREVIATIONS.iter().find(|(short, _)| *short == word);
        known.map_or(word, |(_, full)| full).to_owned()
    };
    let words: Vec<String> = form.split(' ').map(full).collect();
    let mut found = Vec::new();
    let mut add = |words: &[String]| {
        for words in [words.to_vec(), [words, &["cell".to_owned()]].concat()] {
            let words = in_order(&words.join(" "));
            if !found.contains(&words) {
                found.push(words);
            }
        }
    };
    add(&words);
    let is_t_cell = words.iter().any(|word| word == "t");
    for (bare, signed) in [("cd4", "cd4+"), ("cd8", "cd8+")] {
        if is_t_cell && words.iter().any(|word| word == bare) {
            add(&words.iter().map(|word| word.replace(bare, signed)).collect::<Vec<_>>());
        }
    }
    let is_marked = |word: &String| is_t_cell && ["cd4", "cd8"].contains(&word.as_str());
    let positive: Vec<String> = words
        .iter()
        .map(|word| match word.strip_suffix('+') {
            Some(marker) => format!("{marker} positive"),
            None if is_marked(word) => format!("{word} positive"),
            None => word.clone(),
        })
        .collect();
    add(&positive);
    if is_t_cell && positive.iter().any(|word| word.ends_with(" positive")) {
        add(&[&positive[..], &["alpha beta".to_owned()]].concat());
    }
    found
}

/// What is left of a label in its plain form without its first words, the longest first: the last word says what kind of
/// cell it is.
pub(super) fn without_first_words(form: &str) -> Vec<String> {
    let words: Vec<&str> = form.split(' ').collect();
    let rest = |from: usize| words[from..].join(" ");
    let is_name =
        |rest: &String| rest != "cell" && (rest.len() > 2 || NEED_CELL.contains(&&**rest));
    (1..words.len()).map(rest).filter(is_name).collect()
}

/// The words of a text in order of the alphabet.
pub(super) fn in_order(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words.join(" ")
}
