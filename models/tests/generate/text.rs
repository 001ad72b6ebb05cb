//! Text from tokens: pieces, stops, ends.

use screader_models::llama::{
    Constraint, Finish, GenerateSettings, Kernels, LanguageModel, Sampling, SchemaRules,
};
use screader_models::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::talker::talker;
use crate::tiny::load;

fn settings(seed: u64, max_tokens: usize, stop: &[&str]) -> GenerateSettings {
    let sampling = Sampling { temperature: 0.6, top_k: None, top_p: 1.0, seed };
    let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
    GenerateSettings { sampling, max_tokens, stop }
}

#[test]
fn pieces_are_whole_characters_and_add_up_to_the_text() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let prompt = tokenizer.encode("LYZ and γδ", false).unwrap();
    let mut unfinished = 0;
    for seed in 0..20 {
        let mut pieces = Vec::new();
        let mut collect = |piece: &str| pieces.push(piece.to_owned());
        let settings = settings(seed, 60, &[]);
        let told = model.generate(&tokenizer, &prompt, &settings, None, &mut collect).unwrap();
        assert_eq!(pieces.concat(), told.text);
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        // The text is what the tokens say all at once, after the prompt.
        let ends = usize::from(told.finish == Finish::EndOfText);
        let chosen = &told.ids[..told.ids.len() - ends];
        let whole = tokenizer.decode(&[&prompt, chosen].concat()).unwrap();
        assert_eq!(format!("LYZ and γδ{}", told.text), whole, "seed {seed}");
        unfinished += usize::from(pieces.len() < chosen.len());
    }
    assert!(unfinished > 5, "random bytes must form characters of several tokens");
}

#[test]
fn a_stop_ends_the_text_before_it_and_is_never_shown() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let prompt = tokenizer.encode("CD3D", false).unwrap();
    let run = |stop: &[&str]| {
        let mut shown = String::new();
        let settings = settings(5, 80, stop);
        let told = model
            .generate(&tokenizer, &prompt, &settings, None, &mut |piece| shown.push_str(piece))
            .unwrap();
        assert_eq!(shown, told.text);
        told
    };
    let whole = run(&[]);
    let characters: Vec<(usize, char)> = whole.text.char_indices().collect();
    assert!(characters.len() > 40, "{:?}", whole.text);
    // Windows over the whole text: some lie within a token, most across several.
    for window in characters.windows(7).step_by(3) {
        let stop: String = window.iter().map(|(_, character)| character).collect();
        let told = run(&["never to be seen", &stop]);
        let at = whole.text.find(&stop).unwrap();
        assert_eq!(
            (told.text.as_str(), told.finish),
            (&whole.text[..at], Finish::Stop),
            "{stop:?}"
        );
        assert!(told.ids.len() <= whole.ids.len());
    }
}

#[test]
fn the_longest_text_counts_tokens() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let run = |most| {
        let settings = settings(5, most, &[]);
        model.generate(&tokenizer, &[40, 41], &settings, None, &mut |_| {}).unwrap()
    };
    for most in [0, 1, 12] {
        let told = run(most);
        assert_eq!((told.ids.len(), told.finish), (most, Finish::MaxTokens));
    }
}

/// Lets nothing but the digit that follows the last one be written, then the end.
struct Counting {
    ids: Vec<u32>,
    end: u32,
}

impl Constraint for Counting {
    fn restrict(&mut self, logits: &mut [f32]) -> screader_models::Result<()> {
        let allowed = self.ids.first().copied().unwrap_or(self.end) as usize;
        for (id, logit) in logits.iter_mut().enumerate() {
            if id != allowed {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn accept(&mut self, id: u32) -> screader_models::Result<()> {
        assert_eq!(self.ids.remove(0), id);
        Ok(())
    }

    fn is_complete(&mut self) -> bool {
        false
    }
}

#[test]
fn a_constraint_decides_what_may_be_written() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let digits: Vec<u32> =
        (0..10).map(|digit| tokenizer.encode(&digit.to_string(), false).unwrap()[0]).collect();
    let mut counting = Counting { ids: digits, end: model.ends()[1] };
    let settings = settings(1, 60, &[]);
    let constraint: &mut dyn Constraint = &mut counting;
    let told = model.generate(&tokenizer, &[40], &settings, Some(constraint), &mut |_| {}).unwrap();
    assert_eq!((told.text.as_str(), told.finish), ("0123456789", Finish::EndOfText));
}

/// What a model of random weights answers under a schema.
fn answer(
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    schema: &Value,
    seed: u64,
) -> (String, Finish) {
    let rules = SchemaRules::new(model, tokenizer).unwrap();
    let mut rule = rules.constraint(schema).unwrap();
    let settings = settings(seed, 200, &[]);
    let prompt = tokenizer.encode("Answer: ", false).unwrap();
    let told = model.generate(tokenizer, &prompt, &settings, Some(&mut rule), &mut |_| {});
    let told = told.unwrap();
    (told.text, told.finish)
}

#[test]
fn an_answer_follows_its_schema_whatever_the_weights() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let names = ["c0", "γδ \"1\""];
    let cluster = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "cluster": {"type": "string", "enum": names},
            "sure": {"type": "boolean"},
            "count": {"type": "integer", "minimum": 0, "maximum": 9},
            "label": {"type": "string", "maxLength": 6},
        },
        "required": ["cluster", "sure", "count", "label"],
    });
    let list = json!({"type": "array", "items": cluster, "minItems": 1, "maxItems": 2});
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["clusters"],
        "properties": {"clusters": list},
    });
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let (text, finish) = answer(&model, &tokenizer, &schema, seed);
        assert_eq!(finish, Finish::EndOfText, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 1, "{text}");
        let clusters = value["clusters"].as_array().unwrap();
        assert!((1..=2).contains(&clusters.len()), "{text}");
        for one in clusters {
            let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["cluster", "sure", "count", "label"], "{text}");
            assert!(names.contains(&one["cluster"].as_str().unwrap()), "{text}");
            assert!(one["sure"].is_boolean() && one["count"].as_u64().unwrap() < 10, "{text}");
            assert!(one["label"].as_str().unwrap().chars().count() <= 6, "{text}");
        }
        assert_eq!(answer(&model, &tokenizer, &schema, seed).0, text, "the same seed");
        seen.insert(text);
    }
    assert!(seen.len() > 6, "answers must differ by seed");
}

#[test]
fn schemas_that_cannot_be_enforced_are_refused_in_one_line() {
    let folder = talker();
    let model = load(folder.path(), Kernels::Host);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let rules = SchemaRules::new(&model, &tokenizer).unwrap();
    let not = json!({"not": {"type": "string"}});
    for bad in [json!("text"), json!({"type": "no such type"}), not] {
        let line = rules.constraint(&bad).err().unwrap().to_string();
        assert!(line.contains("JSON schema") && !line.contains('\n'), "{line}");
    }
}
