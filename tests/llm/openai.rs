//! The provider `openai` against a server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use screader::llm::{ChatModel, OpenAiChat, Usage, ask_all};
use serde_json::json;

use crate::http_server::{Reply, Request, Server};
use crate::{KEY, body, key, patience, request, schema};

fn reply(text: &str) -> Reply {
    let answer = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "some-model-2026",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24},
    });
    Reply::new(200, answer.to_string())
}

fn refusal(status: u16, message: &str) -> Reply {
    Reply::new(status, json!({"error": {"message": message, "code": null}}).to_string())
}

fn model(server: &Server, attempts: u32) -> OpenAiChat {
    OpenAiChat::new(&format!("{}/v1/", server.url()), key(), patience(attempts)).unwrap()
}

#[test]
fn a_question_is_asked_as_the_interface_wants_it() {
    let server = Server::start(|_, _| reply("T cells"));
    let model = model(&server, 1);
    let mut asked = request("CD3D, IL7R");
    asked.temperature = 0.7;
    asked.schema = Some(schema());
    asked.stop = vec!["END".into()];
    let answer = model.ask(&asked).unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("T cells", "some-model-2026"));
    assert_eq!(answer.usage, Usage { prompt_tokens: 21, completion_tokens: 3 });
    assert!(answer.notes.is_empty() && answer.reasoning.is_none());
    assert_eq!(model.destination().unwrap(), format!("{}/v1", server.url()));
    let sent = &server.requests()[0];
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(sent.headers["content-type"], "application/json");
    let named = json!({"name": "answer", "schema": schema(), "strict": true});
    assert_eq!(
        body(sent),
        json!({
            "model": "some-model",
            "messages": [{"role": "system", "content": "You name cells."},
                         {"role": "user", "content": "CD3D, IL7R"}],
            "temperature": 0.7, "top_p": 1.0, "seed": 7, "max_tokens": 64, "stop": ["END"],
            "response_format": {"type": "json_schema", "json_schema": named},
        })
    );
}

#[test]
fn no_key_sends_none() {
    let server = Server::start(|_, _| reply("T cells"));
    let model = OpenAiChat::new(&server.url(), None, patience(1)).unwrap();
    model.ask(&request("?")).unwrap();
    assert!(!server.requests()[0].headers.contains_key("authorization"));
    assert_eq!(server.requests()[0].path, "/chat/completions");
}

#[test]
fn a_rate_limit_is_waited_out_as_long_as_the_server_asks() {
    let server = Server::start(|_, number| match number {
        0 => refusal(429, "slow down").header("Retry-After", "0.2"),
        1 => Reply::new(503, "<html>busy</html>"),
        _ => reply("T cells"),
    });
    let start = Instant::now();
    assert_eq!(model(&server, 4).ask(&request("?")).unwrap().text, "T cells");
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn patience_ends_and_no_error_shows_the_key() {
    let echo =
        |request: &Request| refusal(500, &format!("on fire {}", request.headers["authorization"]));
    let server = Server::start(move |request, _| echo(request));
    let error = model(&server, 3).ask(&request("?")).unwrap_err();
    assert_eq!((server.requests().len(), error.exit_code()), (3, 1));
    let error = format!("{error} {error:?}");
    assert!(error.contains("500") && error.contains("on fire Bearer [key]"), "{error}");
    assert!(error.contains("attempt 3 of 3"), "{error}");
    assert!(!error.contains(KEY), "{error}");
}

#[test]
fn refusals_that_stay_are_not_asked_again() {
    let quota = json!({"error": {"message": "no credit", "type": "insufficient_quota"}});
    for (status, text) in [(401, "{}".into()), (400, "{}".into()), (429, quota.to_string())] {
        let server = Server::start(move |_, _| Reply::new(status, text.clone()));
        model(&server, 5).ask(&request("?")).unwrap_err();
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_server_that_does_not_answer_in_time_is_asked_again() {
    let server = Server::start(|_, number| {
        if number == 0 {
            std::thread::sleep(Duration::from_millis(400));
        }
        reply("T cells")
    });
    let mut patience = patience(3);
    patience.timeout = Duration::from_millis(250);
    let model = OpenAiChat::new(&server.url(), key(), patience).unwrap();
    assert_eq!(model.ask(&request("?")).unwrap().text, "T cells");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn answers_of_another_form_are_told() {
    for (text, expected) in [
        ("<html>", "another form"),
        ("{}", "no choices"),
        ("{\"choices\": [{\"message\": {\"content\": null}}]}", "no text"),
        ("{\"choices\": 3}", "another form"),
    ] {
        let server = Server::start(move |_, _| Reply::new(200, text));
        let error = model(&server, 3).ask(&request("?")).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(server.requests().len(), 1, "{text}");
    }
}

#[test]
fn refused_structured_output_is_asked_for_in_plain_text_and_said() {
    let server = Server::start(|request, _| match body(request).get("response_format") {
        Some(_) => refusal(400, "This response_format type is unavailable now"),
        None => reply("{\"cell_type\": \"T cells\"}"),
    });
    let model = model(&server, 3);
    let mut asked = request("CD3D, IL7R");
    asked.schema = Some(schema());
    let first = model.ask(&asked).unwrap();
    assert_eq!(first.text, "{\"cell_type\": \"T cells\"}");
    assert_eq!(first.notes.len(), 1);
    assert!(first.notes[0].contains("refused structured output"), "{:?}", first.notes);
    let plain = body(&server.requests()[1])["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(plain.starts_with("CD3D, IL7R\n\nAnswer with one JSON object"), "{plain}");
    assert!(plain.contains(&schema().to_string()), "{plain}");
    // It is not asked for a second time, and said again.
    assert_eq!(model.ask(&asked).unwrap().notes, first.notes);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn parts_that_a_model_does_not_know_are_left_out_and_said() {
    let server = Server::start(|request, _| {
        let sent = body(request);
        if sent.get("max_tokens").is_some() {
            refusal(400, "'max_tokens' is not supported: use 'max_completion_tokens' instead.")
        } else if sent.get("temperature").is_some() {
            refusal(400, "Unsupported value: 'temperature' does not support 0.")
        } else {
            reply("T cells")
        }
    });
    let answer = model(&server, 2).ask(&request("?")).unwrap();
    assert_eq!(answer.notes.len(), 2, "{:?}", answer.notes);
    let last = body(&server.requests()[2]);
    assert_eq!(last["max_completion_tokens"], 64);
    assert!(last.get("max_tokens").is_none() && last.get("temperature").is_none());
}

#[test]
fn a_part_that_is_refused_under_both_its_names_comes_to_an_end() {
    let server = Server::start(|_, _| refusal(400, "neither max_tokens nor max_completion_tokens"));
    model(&server, 2).ask(&request("?")).unwrap_err();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn reasoning_is_kept_apart_and_an_empty_answer_is_taken_from_it() {
    let message = |message: serde_json::Value| {
        let answer = json!({"choices": [{"finish_reason": "length", "message": message}]});
        let server = Server::start(move |_, _| Reply::new(200, answer.to_string()));
        model(&server, 1).ask(&request("?")).unwrap()
    };
    let answer = message(json!({"content": "T cells", "reasoning_content": "CD3D …"}));
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("T cells", Some("CD3D …")));
    assert!(answer.notes[0].contains("--max-tokens"), "{:?}", answer.notes);
    assert_eq!(answer.model, "some-model");
    let answer = message(json!({"content": "<think>CD3D …</think>T cells"}));
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("T cells", Some("CD3D …")));
    let answer = message(json!({"content": "", "reasoning": "so T cells"}));
    assert_eq!(answer.text, "so T cells");
    assert!(answer.notes.iter().any(|note| note.contains("reasoning")), "{:?}", answer.notes);
}

#[test]
fn a_key_is_not_sent_in_the_clear_to_another_machine() {
    for (url, accepted) in [
        ("http://example.org/v1", false),
        ("ftp://example.org/v1", false),
        ("https://user:secret@example.org/v1", false),
        ("no url", false),
        ("https://example.org/v1", true),
        ("http://localhost:1/v1", true),
    ] {
        let model = OpenAiChat::new(url, key(), patience(1));
        assert_eq!(model.is_ok(), accepted, "{url}");
        if let Err(error) = model {
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}

#[test]
fn many_questions_keep_their_order_and_the_limit() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start_concurrent(|request, _| {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(15));
        NOW.fetch_sub(1, Ordering::SeqCst);
        match body(request)["messages"][1]["content"].as_str().unwrap() {
            "question 5" => refusal(400, "no"),
            question => reply(&format!("answer to {question}")),
        }
    });
    let requests: Vec<_> = (0..12).map(|at| request(&format!("question {at}"))).collect();
    let answers = ask_all(&model(&server, 1), &requests, 3, &ProgressBar::hidden());
    assert_eq!(MOST.load(Ordering::SeqCst), 3);
    for (at, answer) in answers.iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer.text, format!("answer to question {at}")),
            Err(_) => assert_eq!(at, 5),
        }
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
}

fn searched(text: &str) -> Reply {
    let annotations = json!([
        {"type": "url_citation", "url": "https://a.example/p", "title": "T <b>cells</b>"},
        {"type": "url_citation", "url": "https://a.example/p", "title": "again"},
        {"type": "url_citation", "url": "javascript:alert(1)", "title": "no page"},
    ]);
    let answer = json!({
        "model": "gpt-4o", "status": "completed",
        "output": [
            {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "CD3D"}},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "CD3D …"}]},
            {"type": "message", "role": "assistant",
             "content": [{"type": "output_text", "text": text, "annotations": annotations}]},
        ],
        "usage": {"input_tokens": 300, "output_tokens": 12},
    });
    Reply::new(200, answer.to_string())
}

#[test]
fn openais_own_search_gives_sources() {
    let server = Server::start(|_, _| searched("{\"cell_type\": \"T cells\"}"));
    let model = model(&server, 2).with_own_search(true);
    let mut asked = request("CD3D, IL7R");
    asked.web = true;
    asked.schema = Some(schema());
    let answer = model.ask(&asked).unwrap();
    assert_eq!(answer.text, "{\"cell_type\": \"T cells\"}");
    assert_eq!(answer.reasoning.as_deref(), Some("CD3D …"));
    assert_eq!(answer.usage, Usage { prompt_tokens: 300, completion_tokens: 12 });
    assert_eq!(answer.sources.len(), 1);
    assert_eq!(answer.sources[0].url, "https://a.example/p");
    assert_eq!(answer.sources[0].title, "T ‹b›cells‹/b›");
    assert!(answer.notes[0].contains("no seed"), "{:?}", answer.notes);
    let sent = &server.requests()[0];
    assert_eq!(sent.path, "/v1/responses");
    let sent = body(sent);
    assert_eq!(sent["tools"], json!([{"type": "web_search"}]));
    assert_eq!(sent["store"], false);
    assert_eq!(sent["text"]["format"]["schema"], schema());
    assert_eq!(sent["max_output_tokens"], 64);
}

#[test]
fn a_web_question_without_a_search_is_refused() {
    let server = Server::start(|_, _| refusal(400, "Hosted tool 'web_search' is not supported"));
    let mut asked = request("?");
    asked.web = true;
    let error = model(&server, 2).ask(&asked).unwrap_err();
    assert!(server.requests().is_empty() && error.exit_code() == 2, "{error}");
    let error = model(&server, 2).with_own_search(true).ask(&asked).unwrap_err();
    assert!(error.to_string().contains("--search-url") && error.exit_code() == 2, "{error}");
}
