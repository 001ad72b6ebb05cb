//! What a model thinks aloud, told apart from what it answers.
//!
//! Reasoning belongs in a field of its own, but servers leak it into the answer: as gpt-oss's
//! channels (OpenAI's harmony format), with or without their markers, or between `<think>` tags.

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";

/// What a model said, its thoughts apart.
pub(super) struct Said {
    /// The answer.
    pub(super) text: String,
    /// The thoughts, from the field of their own or leaked into the answer.
    pub(super) reasoning: Option<String>,
}

/// Settle what the answer is. Where there is none but there are thoughts, it is in these (gpt-oss), and
/// `notes` says so; `None` where there is nothing at all.
pub(super) fn settle(
    content: &str,
    thoughts: Option<String>,
    notes: &mut Vec<String>,
) -> Option<Said> {
    let (text, leaked) = separate(content);
    let reasoning = thoughts.filter(|thoughts| !thoughts.trim().is_empty()).or(leaked);
    if !text.is_empty() {
        return Some(Said { text, reasoning });
    }
    let thoughts = reasoning?;
    notes.push("the answer was empty: taken from the model's reasoning".to_owned());
    let (text, _) = separate(&thoughts);
    let text = if text.is_empty() { thoughts.trim().to_owned() } else { text };
    Some(Said { text, reasoning: Some(thoughts) })
}

/// Note that an answer is not whole.
pub(super) fn note_cut(notes: &mut Vec<String>) {
    notes.push("the answer was cut at its longest: allow more with --max-tokens".to_owned());
}

/// Split a text into the answer and the reasoning in it.
fn separate(text: &str) -> (String, Option<String>) {
    let (answer, thoughts) = if text.contains(CHANNEL) {
        channels(text)
    } else if let Some(split) = unmarked_channels(text) {
        split
    } else {
        think_tags(text)
    };
    let answer = without_markers(&answer).trim().to_owned();
    let thoughts = without_markers(&thoughts).trim().to_owned();
    (answer, (!thoughts.is_empty()).then_some(thoughts))
}

/// `<|channel|>analysis<|message|>…<|end|>…<|channel|>final<|message|>…<|return|>`.
fn channels(text: &str) -> (String, String) {
    let (mut answer, mut thoughts) = (String::new(), String::new());
    let mut parts = text.split(CHANNEL);
    // What stands before the first channel is the answer of a server that cut the marker off.
    answer.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (head, body) = part.split_once(MESSAGE).unwrap_or(("final", part));
        let end = ["<|end|>", "<|return|>", "<|call|>", "<|start|>"];
        let end = end.iter().filter_map(|marker| body.find(marker)).min().unwrap_or(body.len());
        let into = if head.trim_start().starts_with("final") { &mut answer } else { &mut thoughts };
        into.push_str(&body[..end]);
        into.push('\n');
    }
    (answer, thoughts)
}

/// The same with its markers dropped by a tokenizer: `analysis…assistantfinal…`.
fn unmarked_channels(text: &str) -> Option<(String, String)> {
    let (thoughts, answer) =
        text.trim_start().strip_prefix("analysis")?.rsplit_once("assistantfinal")?;
    Some((answer.to_owned(), thoughts.to_owned()))
}

/// `<think>…</think>`; an end without a start too, since some chat templates write the start.
fn think_tags(text: &str) -> (String, String) {
    let (start, end) = ("<think>", "</think>");
    let (mut answer, mut thoughts) = (String::new(), String::new());
    let mut rest = text;
    if let Some(close) = rest.find(end)
        && !rest[..close].contains(start)
    {
        thoughts.push_str(&rest[..close]);
        rest = &rest[close + end.len()..];
    }
    while let Some((before, after)) = rest.split_once(start) {
        answer.push_str(before);
        let (inside, after) = after.split_once(end).unwrap_or((after, ""));
        thoughts.push_str(inside);
        thoughts.push('\n');
        rest = after;
    }
    answer.push_str(rest);
    (answer, thoughts)
}

/// Without the markers `<|name|>` of chat templates.
fn without_markers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<|") {
        plain.push_str(before);
        match after.split_once("|>") {
            Some((name, after)) if is_name(name) => rest = after,
            _ => {
                plain.push_str("<|");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.len() <= 40 && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, String) {
        let (answer, thoughts) = separate(text);
        (answer, thoughts.unwrap_or_default())
    }

    #[test]
    fn reasoning_leaves_the_answer_whatever_its_form() {
        for (text, answer, thoughts) in [
            ("T cells", "T cells", ""),
            ("a <| b |> c", "a <| b |> c", ""),
            (
                "<|channel|>analysis<|message|>CD3D?<|end|><|start|>assistant<|channel|>final<|message|>T cells<|return|>",
                "T cells",
                "CD3D?",
            ),
            ("<|channel|>final <|constrain|>json<|message|>{\"a\": 1}", "{\"a\": 1}", ""),
            ("<|channel|>analysis<|message|>only thoughts", "", "only thoughts"),
            ("analysisCD3D means T.assistantfinal{\"a\": 1}", "{\"a\": 1}", "CD3D means T."),
            ("analysis of the cluster: T cells", "analysis of the cluster: T cells", ""),
            ("<think>\nhm\n</think>\n\nB cells", "B cells", "hm"),
            ("hm</think>B cells", "B cells", "hm"),
            ("<think>never ends", "", "never ends"),
            ("NK cells<|im_end|>", "NK cells", ""),
        ] {
            assert_eq!(split(text), (answer.to_owned(), thoughts.to_owned()), "{text}");
        }
    }
}
