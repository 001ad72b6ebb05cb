//! A model that runs in this process: random weights behind a real tokenizer.

use screader::device::Device;
use screader::llm::{ChatModel, ChatRequest, LocalModel, Message, Recording};
use screader_models::chat::{Chat, ChatTurn};
use screader_models::tokenizer::Tokenizer;
use serde_json::Value;

use crate::talker::talker;
use crate::{request, schema};

/// A template that any conversation fits.
const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
                        {{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";

fn open(template: Option<&str>) -> (tempfile::TempDir, LocalModel) {
    let folder = talker();
    if let Some(template) = template {
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    }
    let model = LocalModel::open(folder.path(), Device::Cpu).unwrap();
    (folder, model)
}

fn drawn(seed: u64) -> ChatRequest {
    ChatRequest { temperature: 0.8, seed: Some(seed), ..request("CD3D, CD3E?") }
}

#[test]
fn an_answer_comes_with_its_counts_and_from_nowhere() {
    let (folder, model) = open(Some(TEMPLATE));
    assert_eq!(model.destination(), None);
    assert!(model.destinations().is_empty());
    let answer = model.ask(&request("CD3D, CD3E?")).unwrap();
    let turns = [
        ChatTurn { role: "system", content: "You name cells." },
        ChatTurn { role: "user", content: "CD3D, CD3E?" },
    ];
    let prompt = Chat::load(folder.path()).unwrap().prompt(&turns).unwrap();
    assert_eq!(answer.usage.prompt_tokens, prompt.ids.len() as u64);
    assert_eq!(answer.usage.completion_tokens, 64);
    assert!(answer.notes.iter().any(|note| note.contains("cut at its longest")));
    assert_eq!(answer.model, model.name());
    assert!(folder.path().ends_with(model.name()) && answer.sources.is_empty());
}

#[test]
fn the_same_seed_has_the_same_answer_and_is_said_piece_by_piece() {
    let (_folder, model) = open(Some(TEMPLATE));
    let first = model.ask(&drawn(1)).unwrap();
    assert_eq!(model.ask(&drawn(1)).unwrap(), first);
    assert_ne!(model.ask(&drawn(2)).unwrap().text, first.text);
    let (mut said, mut pieces) = (String::new(), 0);
    let mut listen = |piece: &str| {
        said.push_str(piece);
        pieces += 1;
    };
    let aloud = model.ask_aloud(&drawn(1), &mut listen).unwrap();
    assert_eq!(aloud, first);
    assert!(pieces > 10 && said.contains(&first.text), "{said:?} {:?}", first.text);
}

#[test]
fn a_schema_is_stated_and_kept_to() {
    let (_folder, model) = open(Some(TEMPLATE));
    let plain = model.ask(&drawn(3)).unwrap();
    let request = ChatRequest { schema: Some(schema()), max_tokens: Some(600), ..drawn(3) };
    for seed in 0..4 {
        let request = ChatRequest { seed: Some(seed), ..request.clone() };
        let answer = model.ask(&request).unwrap();
        assert!(answer.usage.prompt_tokens > plain.usage.prompt_tokens + 20, "it is stated");
        // A string of random letters may be longer than the longest answer.
        if answer.notes.is_empty() {
            let value: Value = serde_json::from_str(&answer.text).unwrap();
            assert!(value["cell_type"].is_string(), "{}", answer.text);
        } else {
            assert!(answer.text.starts_with("{\"cell_type\": \""), "{}", answer.text);
        }
    }
    let odd = serde_json::json!({"type": "object", "not": {}});
    let answer = model.ask(&ChatRequest { schema: Some(odd), ..drawn(3) }).unwrap();
    assert!(answer.notes.iter().any(|note| note.contains("not enforced")), "{:?}", answer.notes);
}

#[test]
fn names_that_are_spelled_like_control_tokens_stay_names() {
    let (folder, model) = open(Some(TEMPLATE));
    let tokens = |question: &str| {
        let request = ChatRequest { max_tokens: Some(1), ..request(question) };
        model.ask(&request).unwrap().usage.prompt_tokens
    };
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let planted = "<|im_end|>";
    assert_eq!(tokenizer.encode(planted, false).unwrap().len(), 1, "a control token by itself");
    assert!(tokens(&format!("CD3D{planted}")) > tokens("CD3D") + 3, "text as a name");
}

#[test]
fn a_model_without_a_template_is_asked_in_a_plain_form_and_says_so() {
    let (_folder, model) = open(None);
    let answer = model.ask(&request("CD3D?")).unwrap();
    assert!(answer.notes.iter().any(|note| note.contains("no chat template")));
    let (_folder, model) = open(Some("{{ raise_exception('roles') }}"));
    let line = model.ask(&request("CD3D?")).unwrap_err().to_string();
    assert!(line.contains("chat_template") && line.contains("roles"), "{line}");
}

#[test]
fn a_template_that_refuses_rules_gets_them_in_the_question() {
    let strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}\
                  {% for message in messages %}{{ message.content }}{% endfor %}";
    let (_folder, model) = open(Some(strict));
    let answer = model.ask(&request("CD3D?")).unwrap();
    assert!(answer.notes.iter().any(|note| note.contains("before the question")));
}

#[test]
fn a_recording_knows_the_weights_and_replays_without_asking() {
    let (folder, model) = open(Some(TEMPLATE));
    let path = folder.path().join("run.jsonl");
    let first = {
        let recording = Recording::record(&path).unwrap();
        recording.of(&model).ask(&drawn(5)).unwrap()
    };
    let replay = Recording::replay(&path).unwrap();
    assert_eq!(replay.of(&model).ask(&drawn(5)).unwrap(), first);
    // Other weights of the same name gave no such answer.
    let weights = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let other = LocalModel::open(folder.path(), Device::Cpu).unwrap();
    assert_ne!(other.identity(), model.identity());
    let replay = Recording::replay(&path).unwrap();
    assert!(replay.of(&other).ask(&drawn(5)).is_err());
}

#[test]
fn what_cannot_be_asked_is_said_in_one_line() {
    let (folder, model) = open(Some(TEMPLATE));
    let refused = |request: &ChatRequest, word: &str| {
        let error = model.ask(request).unwrap_err();
        let line = error.to_string();
        assert!(line.contains(word) && !line.contains('\n'), "{line}");
        assert_eq!(error.exit_code(), 2, "{line}");
    };
    refused(&ChatRequest { web: true, ..request("x") }, "--web");
    refused(&ChatRequest { top_p: 0.0, ..request("x") }, "top_p");
    refused(&ChatRequest { temperature: -1.0, ..request("x") }, "temperature");
    let long = Message::user("CD3D, ".repeat(4000));
    refused(&ChatRequest { messages: vec![long], ..request("x") }, "max_position_embeddings");
    for (missing, word) in [("tokenizer.json", "tokenizer.json"), ("config.json", "fetch backbone")]
    {
        std::fs::remove_file(folder.path().join(missing)).unwrap();
        let error = LocalModel::open(folder.path(), Device::Cpu).err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
