//! The provider `ollama` against a server.

use std::time::{Duration, Instant};

use screader::llm::{ChatModel, Ollama, OllamaSettings, Think, Usage};
use serde_json::{Value, json};

use crate::http_server::{Reply, Server};
use crate::{KEY, body, key, patience, request, schema};

fn reply(message: Value, done_reason: &str) -> Reply {
    let answer = json!({
        "model": "gpt-oss:20b", "created_at": "2026-01-01T00:00:00Z", "message": message,
        "done": true, "done_reason": done_reason, "prompt_eval_count": 30, "eval_count": 4,
    });
    Reply::new(200, answer.to_string())
}

fn says(text: &str) -> Reply {
    reply(json!({"role": "assistant", "content": text}), "stop")
}

fn refusal(status: u16, words: &str) -> Reply {
    Reply::new(status, json!({"error": words}).to_string())
}

fn model(server: &Server, settings: OllamaSettings) -> Ollama {
    Ollama::new(&server.url(), None, settings, patience(3)).unwrap()
}

#[test]
fn parameters_are_inside_options() {
    let server = Server::start(|_, _| says("T cells"));
    let settings = OllamaSettings { num_ctx: None, think: Some(Think::Low) };
    let mut asked = request("CD3D, IL7R");
    asked.temperature = 0.7;
    asked.schema = Some(schema());
    asked.stop = vec!["END".into()];
    let answer = model(&server, settings).ask(&asked).unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("T cells", "gpt-oss:20b"));
    assert_eq!(answer.usage, Usage { prompt_tokens: 30, completion_tokens: 4 });
    assert!(answer.notes.is_empty());
    let sent = &server.requests()[0];
    assert_eq!(sent.path, "/api/chat");
    assert_eq!(
        body(sent),
        json!({
            "model": "some-model", "stream": false, "think": "low", "format": schema(),
            "messages": [{"role": "system", "content": "You name cells."},
                         {"role": "user", "content": "CD3D, IL7R"}],
            "options": {"temperature": 0.7, "top_p": 1.0, "seed": 7, "num_predict": 64,
                        "num_ctx": 4096, "stop": ["END"]},
        })
    );
}

#[test]
fn the_context_holds_the_question() {
    let server = Server::start(|_, _| says("T cells"));
    let long = request(&"CD3D, ".repeat(10_000));
    model(&server, OllamaSettings::default()).ask(&long).unwrap();
    let own = OllamaSettings { num_ctx: Some(2048), think: None };
    model(&server, own).ask(&long).unwrap();
    let context = |at: usize| body(&server.requests()[at])["options"]["num_ctx"].as_u64().unwrap();
    assert_eq!((context(0), context(1)), (32_768, 2048));
    assert_ne!(
        model(&server, own).identity(),
        model(&server, OllamaSettings::default()).identity()
    );
}

#[test]
fn a_missing_model_gives_the_command_that_brings_it() {
    let server = Server::start(|_, _| refusal(404, "model 'some-model' not found"));
    let error = model(&server, OllamaSettings::default()).ask(&request("?")).unwrap_err();
    assert!(error.to_string().contains("ollama pull some-model"), "{error}");
    assert_eq!((error.exit_code(), server.requests().len()), (2, 1));
}

#[test]
fn a_server_that_is_not_there_is_told_so() {
    let nobody = Ollama::new("http://127.0.0.1:9", None, OllamaSettings::default(), patience(2));
    let error = nobody.unwrap().ask(&request("?")).unwrap_err().to_string();
    assert!(error.contains("ollama serve") && error.contains("attempt 2 of 2"), "{error}");
}

#[test]
fn load_is_waited_out_and_faults_end() {
    let server = Server::start(|_, number| match number {
        0 => refusal(429, "busy").header("Retry-After", "0.2"),
        _ => says("T cells"),
    });
    let start = Instant::now();
    assert_eq!(
        model(&server, OllamaSettings::default()).ask(&request("?")).unwrap().text,
        "T cells"
    );
    assert!(start.elapsed() >= Duration::from_millis(200));

    let server = Server::start(|request, _| {
        refusal(500, &format!("cuda error {}", request.headers["authorization"]))
    });
    let gated = Ollama::new(&server.url(), key(), OllamaSettings::default(), patience(3)).unwrap();
    let error = format!("{:?}", gated.ask(&request("?")).unwrap_err());
    assert_eq!(server.requests().len(), 3);
    assert!(error.contains("cuda error Bearer [key]") && !error.contains(KEY), "{error}");

    for text in ["<html>", "{}", "{\"message\": {\"content\": \" \"}}"] {
        let server = Server::start(move |_, _| Reply::new(200, text));
        let error = model(&server, OllamaSettings::default()).ask(&request("?")).unwrap_err();
        assert!(error.to_string().contains("another form"), "{error}");
    }
}

#[test]
fn gpt_oss_is_read_wherever_it_puts_its_answer() {
    let ask = |message: Value, done_reason: &'static str| {
        let server = Server::start(move |_, _| reply(message.clone(), done_reason));
        model(&server, OllamaSettings::default()).ask(&request("?")).unwrap()
    };
    let answer = ask(json!({"content": "T cells", "thinking": "CD3D …"}), "stop");
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("T cells", Some("CD3D …")));
    assert!(answer.notes.is_empty());

    let thinking = "{\"cell_type\": \"T cells\"}";
    let answer = ask(json!({"content": "", "thinking": thinking}), "stop");
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), (thinking, Some(thinking)));
    assert!(answer.notes[0].contains("reasoning"), "{:?}", answer.notes);

    let leaked = "<|channel|>analysis<|message|>CD3D …<|end|><|start|>assistant<|channel|>final<|message|>T cells";
    let answer = ask(json!({"content": leaked}), "length");
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("T cells", Some("CD3D …")));
    assert!(answer.notes[0].contains("--max-tokens"), "{:?}", answer.notes);
}

#[test]
fn what_a_model_cannot_do_is_left_out_and_said() {
    let server = Server::start(|request, _| {
        let sent = body(request);
        if sent.get("think").is_some() {
            refusal(400, "\"some-model\" does not support thinking")
        } else if sent.get("format").is_some() {
            refusal(400, "invalid JSON schema in format")
        } else {
            says("{\"cell_type\": \"T cells\"}")
        }
    });
    let settings = OllamaSettings { num_ctx: None, think: Some(Think::On) };
    let mut asked = request("CD3D, IL7R");
    asked.schema = Some(schema());
    let answer = model(&server, settings).ask(&asked).unwrap();
    assert_eq!(answer.notes.len(), 2, "{:?}", answer.notes);
    let sent = body(&server.requests()[2]);
    assert!(sent.get("think").is_none() && sent.get("format").is_none());
    let question = sent["messages"][1]["content"].as_str().unwrap();
    assert!(question.contains(&schema().to_string()), "{question}");
}
