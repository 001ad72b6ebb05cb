//! Answers as they come: lines, numbered lines, JSON in prose, fences, thoughts.

use serde_json::Value;

/// What was read of one cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParsedAnswer {
    /// The cell type.
    pub label: String,
    /// From 0 to 1, where the answer says it.
    pub confidence: Option<f64>,
    /// Why, where the answer says it.
    pub evidence: String,
    /// What else it may be.
    pub alternatives: Vec<String>,
}

/// The longest label that is one; what is longer is prose.
const LONGEST_LABEL: usize = 120;

/// Read the answer to a question about `clusters`, by their names: one entry a cluster, `None` where the answer has
/// none. Text that fits no cluster is left out.
pub fn parse_answers(text: &str, clusters: &[String]) -> Vec<Option<ParsedAnswer>> {
    let text = without_thoughts(text);
    if let Some(found) = from_json(&text, clusters) {
        return found;
    }
    if let [_] = clusters {
        return vec![one_answer(&text)];
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| is_answer(line)).collect();
    let keyed: Vec<Option<ParsedAnswer>> =
        clusters.iter().map(|name| of_name(&lines, name)).collect();
    if keyed.iter().filter(|one| one.is_some()).count() * 2 > clusters.len() {
        return keyed;
    }
    let labels: Vec<&str> =
        lines.iter().map(|line| bare(line)).filter(|one| !one.is_empty()).collect();
    // With a line more or less nobody knows which is whose.
    match labels.len() == clusters.len() {
        true => labels.into_iter().map(as_label).collect(),
        false => vec![None; clusters.len()],
    }
}

/// Take away what a model thought before it answered, in the marks of several families.
fn without_thoughts(text: &str) -> String {
    let mut text = text.to_owned();
    for (open, close) in [("<think>", "</think>"), ("<thinking>", "</thinking>")] {
        while let Some(end) = text.find(close) {
            let start = text[..end].find(open).unwrap_or(0);
            text.replace_range(start..end + close.len(), "");
        }
    }
    if let Some(at) = text.rfind("<|channel|>final<|message|>") {
        text = text[at + "<|channel|>final<|message|>".len()..].to_owned();
    }
    text.replace("<|return|>", "").replace("<|end|>", "")
}

fn from_json(text: &str, clusters: &[String]) -> Option<Vec<Option<ParsedAnswer>>> {
    let value = first_json(text)?;
    let list = match &value {
        Value::Array(list) => list.clone(),
        Value::Object(object) => match object.get("clusters").or(object.get("annotations")) {
            Some(Value::Array(list)) => list.clone(),
            _ if object.contains_key("cell_type") => vec![value.clone()],
            // An object of clusters to labels.
            _ => {
                let of =
                    |name: &String| object.get(name).and_then(Value::as_str).and_then(as_label);
                let found: Vec<_> = clusters.iter().map(of).collect();
                return found.iter().any(Option::is_some).then_some(found);
            }
        },
        _ => return None,
    };
    let text_of = |one: &Value, key: &str| match &one[key] {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let read = |one: &Value| -> Option<ParsedAnswer> {
        if let Value::String(label) = one {
            return as_label(label);
        }
        let mut found = as_label(&text_of(one, "cell_type"))?;
        found.confidence = one["confidence"].as_f64().filter(|value| (0.0..=1.0).contains(value));
        found.evidence = text_of(one, "evidence");
        let other = text_of(one, "alternative");
        found.alternatives = if other.is_empty() { Vec::new() } else { vec![other] };
        Some(found)
    };
    let named = |name: &String| list.iter().find(|one| same(&text_of(one, "cluster"), name));
    let found: Vec<_> = match (clusters, list.as_slice()) {
        ([_], [one]) => vec![read(one)],
        _ if list.iter().all(Value::is_string) && list.len() == clusters.len() => {
            list.iter().map(read).collect()
        }
        _ => clusters.iter().map(|name| named(name).and_then(read)).collect(),
    };
    Some(found)
}

/// The first whole JSON object or array in a text.
fn first_json(text: &str) -> Option<Value> {
    text.char_indices().filter(|(_, character)| matches!(character, '{' | '[')).find_map(
        |(at, _)| {
            let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
            let value = values.next()?.ok()?;
            let empty = match &value {
                Value::Array(list) => {
                    list.is_empty() || !list.iter().all(|one| one.is_object() || one.is_string())
                }
                Value::Object(object) => object.is_empty(),
                _ => true,
            };
            (!empty).then_some(value)
        },
    )
}

/// The answer about a single cluster: a title, or the first line that is one.
fn one_answer(text: &str) -> Option<ParsedAnswer> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let title = lines.iter().find(|line| line.starts_with('#'));
    if let Some(title) = title {
        let rest: Vec<&str> =
            lines.iter().filter(|line| *line != title).map(|line| bare(line)).collect();
        let mut found = as_label(bare(title))?;
        found.evidence = rest.join(" ");
        return Some(found);
    }
    let line = lines.iter().find(|line| is_answer(line))?;
    let label = bare(line);
    // "Cluster 0: B cells" and "Cell type: B cells" say the type behind the colon.
    let label = match label.split_once(':') {
        Some((_, behind)) if !behind.trim().is_empty() => bare(behind.trim()),
        _ => label,
    };
    as_label(label)
}

/// Whether a line may hold an answer: no fence, no words that lead to one.
fn is_answer(line: &str) -> bool {
    let lower = line.to_lowercase();
    let leads = [
        "here are",
        "here is",
        "sure",
        "based on",
        "the cell types",
        "note:",
        "certainly",
        "below",
    ];
    !line.is_empty()
        && !line.starts_with("```")
        && !line.ends_with(':')
        && !leads.iter().any(|words| lower.starts_with(words))
}

/// A line without bullets, numbers, marks and quotation around it.
fn bare(line: &str) -> &str {
    let mut line = line.trim();
    loop {
        let before = line;
        line = line.trim_start_matches(['-', '*', '•', '#', '>', ' ', '"', '\'', '`', '“']);
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0
            && let Some(rest) = line[digits..].strip_prefix(['.', ')'])
            && rest.starts_with(' ')
        {
            line = rest.trim_start();
        }
        if line == before {
            break;
        }
    }
    line.trim_end_matches(['*', '"', '\'', '`', '”', ' ', ',', ';', '.'])
}

/// The line that begins with a cluster's name and a colon, as `Cluster 3: B cell`, `3: B cell`, `**3** - B cell`.
fn of_name(lines: &[&str], name: &str) -> Option<ParsedAnswer> {
    lines.iter().find_map(|line| {
        let (key, label) = line.split_once(':').or_else(|| line.split_once(" - "))?;
        let key = key.trim_matches(['*', '-', '•', '#', ' ', '"', '`']);
        let key = match key.get(..7) {
            Some(word) if word.eq_ignore_ascii_case("cluster") => key[7..].trim(),
            _ => key,
        };
        same(key, name).then(|| as_label(bare(label)))?
    })
}

fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// A label of a length that a label has.
fn as_label(text: &str) -> Option<ParsedAnswer> {
    let label = bare(text);
    let fits = !label.is_empty() && label.chars().count() <= LONGEST_LABEL;
    fits.then(|| ParsedAnswer { label: label.to_owned(), ..ParsedAnswer::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str, clusters: &[&str]) -> Vec<String> {
        let names: Vec<String> = clusters.iter().map(|name| (*name).to_owned()).collect();
        let read = parse_answers(text, &names);
        read.into_iter().map(|one| one.map_or("-".to_owned(), |one| one.label)).collect()
    }

    #[test]
    fn lines_are_told_apart_from_what_is_around_them() {
        let two = ["0", "1"];
        for text in [
            "T cells\nMonocytes",
            "1. T cells\n2. Monocytes\n",
            "Here are the cell types:\n\n- T cells\n- **Monocytes**",
            "```\nT cells\nMonocytes\n```",
            "<think>0 is 1: B cell\nmaybe</think>\nT cells\nMonocytes",
            "<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>T cells\nMonocytes<|return|>",
            "Cluster 1: Monocytes\nCluster 0: T cells\nNote: markers overlap",
            "**0**: T cells\n**1**: Monocytes",
            "{\"0\": \"T cells\", \"1\": \"Monocytes\"}",
            "[\"T cells\", \"Monocytes\"]",
            "Sure! ```json\n{\"clusters\": [{\"cluster\": \"1\", \"cell_type\": \"Monocytes\"}, \
             {\"cluster\": 0, \"cell_type\": \"T cells\"}]}\n```",
        ] {
            assert_eq!(labels(text, &two), ["T cells", "Monocytes"], "{text}");
        }
    }

    #[test]
    fn a_wrong_count_is_nobodys_answer() {
        assert_eq!(labels("T cells", &["0", "1"]), ["-", "-"]);
        assert_eq!(labels("a\nb\nc", &["0", "1"]), ["-", "-"]);
        assert_eq!(labels("", &["0"]), ["-"]);
        assert_eq!(labels("0: T cells\n2: B cells", &["0", "1", "2"]), ["T cells", "-", "B cells"]);
    }

    #[test]
    fn a_single_cluster_may_be_answered_in_prose() {
        assert_eq!(labels("\"NK cells\"", &["4"]), ["NK cells"]);
        assert_eq!(labels("Cell type: NK cells.", &["4"]), ["NK cells"]);
        let names = ["4".to_owned()];
        let note = "## **NK cells**\n- They kill.\n- GNLY says so.\n- No CD3.";
        let found = parse_answers(note, &names)[0].clone().unwrap();
        assert_eq!(
            (found.label.as_str(), found.evidence.as_str()),
            ("NK cells", "They kill GNLY says so No CD3")
        );
    }

    #[test]
    fn confidence_that_is_none_is_left_out() {
        let names = ["0".to_owned()];
        let read = |confidence: &str| {
            let text = format!(
                "{{\"cell_type\": \"B\", \"confidence\": {confidence}, \"alternative\": \"T\"}}"
            );
            parse_answers(&text, &names)[0].clone().unwrap()
        };
        assert_eq!(read("0.9").confidence, Some(0.9));
        assert_eq!(read("90").confidence, None);
        assert_eq!(read("0.9").alternatives, ["T"]);
    }

    proptest! {
        #[test]
        fn any_text_has_one_entry_a_cluster(text in "(?s).{0,300}", count in 1usize..6) {
            let names: Vec<String> = (0..count).map(|at| at.to_string()).collect();
            let read = parse_answers(&text, &names);
            prop_assert_eq!(read.len(), count);
            for one in read.into_iter().flatten() {
                prop_assert!(!one.label.trim().is_empty());
            }
        }

        #[test]
        fn pieces_of_answers_do_no_harm(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("```"), Just("{"), Just("}"), Just("[\"a\""), Just("]"), Just("0: T\n"), Just("1."),
                    Just("<think>"), Just("</think>"), Just("\n"), Just("\"cell_type\":"), Just("Cluster"), Just("é:"),
                ],
                0..20,
            )
        ) {
            let names = ["0".to_owned(), "é".to_owned()];
            prop_assert_eq!(parse_answers(&pieces.concat(), &names).len(), 2);
        }
    }
}
