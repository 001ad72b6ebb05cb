//! Summaries from a chat model: asked once, kept, retried within bounds.

#![allow(clippy::unwrap_used)]

mod http_server;

use std::time::Duration;

use assert_cmd::Command;
use http_server::{Reply, Server};
use screader::genes::{CachedCompleter, ChatCompleter, Completer};

fn answer(text: &str) -> Reply {
    let body = serde_json::json!({"choices": [{"message": {"content": text}}]});
    Reply::new(200, body.to_string())
}

fn chat(server: &Server, key: Option<&str>) -> ChatCompleter {
    ChatCompleter::new(&server.url(), "a-model", key.map(str::to_string))
        .unwrap()
        .patience(3, Duration::from_millis(1))
}

#[test]
fn the_question_is_put_as_the_api_wants_it() {
    let server = Server::start(|_, _| answer("A gene.  Of **note**."));
    let text = chat(&server, Some("the-key")).complete("What is Ccl2?").unwrap();
    assert_eq!(text, "A gene. Of note.");
    let request = &server.requests()[0];
    assert_eq!(request.path, "/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer the-key");
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["model"], "a-model");
    assert_eq!(body["messages"][0]["content"], "What is Ccl2?");
}

#[test]
fn busy_is_asked_again_and_refusals_are_not() {
    let busy = Server::start(|_, number| match number {
        0 => Reply::new(429, ""),
        1 => Reply::new(500, ""),
        _ => answer("fine"),
    });
    assert_eq!(chat(&busy, None).complete("x").unwrap(), "fine");
    let down = Server::start(|_, _| Reply::new(503, ""));
    assert!(chat(&down, None).complete("x").is_err());
    assert_eq!(down.requests().len(), 3);
    let refused = Server::start(|_, _| Reply::new(401, ""));
    let error = chat(&refused, Some("the-key")).complete("x").unwrap_err().to_string();
    assert!(error.contains("401") && !error.contains("the-key"), "{error}");
    assert_eq!(refused.requests().len(), 1);
    let odd = Server::start(|_, _| Reply::new(200, "{\"choices\": []}"));
    assert!(chat(&odd, None).complete("x").unwrap_err().to_string().contains("choices[0]"));
}

#[test]
fn no_answer_is_paid_for_twice() {
    let server = Server::start(|request, _| answer(&format!("{} bytes", request.body.len())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let mut first = CachedCompleter::open(&path, chat(&server, None)).unwrap();
    let text = first.complete("one").unwrap();
    assert_eq!(first.complete("one").unwrap(), text);
    first.complete("three").unwrap();
    assert_eq!((first.asked(), server.requests().len()), (2, 2));
    drop(first);

    // Killed while writing: the torn last line goes, the rest stays and can be added to.
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"key\": \"tor")).unwrap();
    let mut again = CachedCompleter::open(&path, chat(&server, None)).unwrap();
    assert!(again.has("one") && again.has("three") && !again.has("two"));
    assert_eq!(again.complete("one").unwrap(), text);
    again.complete("two").unwrap();
    drop(again);
    assert_eq!(server.requests().len(), 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    std::fs::write(&path, "not an answer\n").unwrap();
    assert!(CachedCompleter::open(&path, chat(&server, None)).is_err());
}

#[test]
fn the_command_asks_only_when_told_to_and_only_for_what_is_missing() {
    let server = Server::start(|_, _| answer("Written by a model."));
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("genes.tsv");
    std::fs::write(&table, "GeneID\tSymbol\tsummary\n1\tAa1\tHas one.\n2\tBb2\t\n").unwrap();
    let out = folder.path().join("out.tsv");
    let run = |more: &[&str]| {
        let run = Command::cargo_bin("screader")
            .unwrap()
            .args(["genes", "build", "--species", "mouse", "--json", "--table"])
            .arg(&table)
            .arg("--out")
            .arg(&out)
            .args(["--chat-url", &server.url(), "--chat-model", "m", "--chat-key-env", "NO_KEY"])
            .args(more)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    run(&[]);
    run(&["--missing", "chat", "--dry-run"]);
    assert_eq!(server.requests().len(), 0);
    for _ in 0..2 {
        let report: serde_json::Value =
            serde_json::from_str(&run(&["--missing", "chat,zeros"])).unwrap();
        assert_eq!(report["text"], serde_json::json!({"own": 1, "completed": 1}));
    }
    let asked = server.requests();
    assert_eq!(asked.len(), 1, "the second run has the answer kept");
    assert!(asked[0].body.contains("mouse gene Bb2"));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("Written by a model."), "{text}");
}
