//! Recordings, caches and replays, with a budget behind them.

use std::path::Path;

use indicatif::ProgressBar;
use screader::llm::{
    ChatAnswer, ChatModel, ChatPrice, ChatRequest, OpenAiChat, Paid, Purse, Recording, ask_all,
};
use serde_json::json;

use crate::http_server::{Reply, Server};
use crate::{KEY, body, key, patience, request};

/// A server that answers each question with its number, and shows the key.
fn server() -> Server {
    Server::start_concurrent(|request, number| {
        let question = body(request)["messages"][1]["content"].clone();
        let text = format!("answer {number} to {question}");
        let answer = json!({
            "model": "m", "usage": {"prompt_tokens": 10, "completion_tokens": 1000},
            "choices": [{"message": {"content": text, "reasoning": "hm"}}],
        });
        Reply::new(200, answer.to_string())
    })
}

fn model(server: &Server) -> OpenAiChat {
    OpenAiChat::new(&server.url(), key(), patience(1)).unwrap()
}

fn questions() -> Vec<ChatRequest> {
    let mut all: Vec<_> = (0..6).map(|at| request(&format!("cluster {at}: CD3D"))).collect();
    // Asked three times: repeats of a vote.
    all.extend([request("cluster 2: CD3D"), request("cluster 2: CD3D")]);
    all
}

fn ask(model: &dyn ChatModel, requests: &[ChatRequest]) -> Vec<ChatAnswer> {
    let answers = ask_all(model, requests, 4, &ProgressBar::hidden());
    answers.into_iter().map(Result::unwrap).collect()
}

fn bytes(answers: &[ChatAnswer]) -> String {
    serde_json::to_string(answers).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_run_is_reproduced_offline_byte_for_byte_and_holds_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let server = server();
    let recorded = ask(&Recording::record(&path).unwrap().of(model(&server)), &questions());
    assert_eq!(server.requests().len(), 8);
    assert_eq!(server.requests()[0].headers["authorization"], format!("Bearer {KEY}"));
    assert!(recorded[2] != recorded[6] && recorded[6] != recorded[7], "repeats differ");
    assert!(!read(&path).contains(KEY));
    assert_eq!(read(&path).lines().count(), 9);

    let (url, replaying) = (server.url(), Recording::replay(&path).unwrap());
    drop(server);
    let offline = OpenAiChat::new(&url, None, patience(1)).unwrap();
    let replayed = ask(&replaying.of(offline), &questions());
    assert_eq!(bytes(&replayed), bytes(&recorded));
}

#[test]
fn a_replay_says_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let server = server();
    ask(&Recording::record(&path).unwrap().of(model(&server)), &questions());
    let replaying = Recording::replay(&path).unwrap();
    let offline = replaying.of(model(&server));
    let fault = |request: &ChatRequest| {
        let error = offline.ask(request).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let mut other = request("cluster 3: CD3D");
    other.temperature = 0.5;
    let error = fault(&other);
    assert!(
        error.contains("differs from the nearest in temperature (0.5, recorded 0.0);"),
        "{error}"
    );
    let error = fault(&request("cluster 3: CD19"));
    assert!(error.contains("message 2") && error.contains("CD19"), "{error}");
    // Asked once, so that a second time has no answer.
    offline.ask(&request("cluster 3: CD3D")).unwrap();
    let error = fault(&request("cluster 3: CD3D"));
    assert!(error.contains("asked 1 times") && error.contains("once more"), "{error}");
    let elsewhere = OpenAiChat::new("https://other.example/v1", None, patience(1)).unwrap();
    let error = replaying.of(elsewhere).ask(&request("cluster 4: CD3D")).unwrap_err().to_string();
    assert!(error.contains("the provider") && error.contains("other.example"), "{error}");
    assert_eq!(server.requests().len(), 8, "a replay asks nothing");
}

#[test]
fn a_cache_pays_once_and_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.jsonl");
    let server = server();
    let half = &questions()[..4];
    let first = ask(&Recording::cache(&path).unwrap().of(model(&server)), half);
    assert_eq!(server.requests().len(), 4);

    // A kill in the middle of a line.
    let whole = read(&path);
    std::fs::write(&path, format!("{whole}{}", whole[whole.len() - 200..].trim_end())).unwrap();
    let all = ask(&Recording::cache(&path).unwrap().of(model(&server)), &questions());
    assert_eq!(bytes(&all[..4]), bytes(&first));
    assert_eq!(server.requests().len(), 8, "two more clusters and two more repeats");
    let again = ask(&Recording::cache(&path).unwrap().of(model(&server)), &questions());
    assert_eq!(bytes(&again), bytes(&all));
    assert_eq!(server.requests().len(), 8);
    // A cache is a recording.
    let replayed = ask(&Recording::replay(&path).unwrap().of(model(&server)), &questions());
    assert_eq!(bytes(&replayed), bytes(&all));
    assert!(!read(&path).contains(KEY));
}

#[test]
fn files_that_are_no_recording_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for text in ["some other file\n", "{}", "{\"screader_recording\":2}\n"] {
        std::fs::write(&path, text).unwrap();
        for opened in [Recording::record(&path), Recording::cache(&path), Recording::replay(&path)]
        {
            assert_eq!(opened.unwrap_err().exit_code(), 2, "{text}");
        }
        assert_eq!(read(&path), text);
    }
    std::fs::write(&path, "{\"screader_recording\":1}\n{\"identity\": 3}\n").unwrap();
    let error = Recording::replay(&path).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(Recording::replay(&folder.path().join("none")).is_err());
    let open = Recording::cache(&folder.path().join("new")).unwrap();
    let error = Recording::cache(&folder.path().join("new")).unwrap_err().to_string();
    assert!(error.contains("another screader"), "{error}");
    drop(open);
}

#[test]
fn a_budget_stops_before_it_is_passed_and_answers_so_far_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.jsonl");
    let server = server();
    // An answer costs 0.1 dollars, and is expected to, at 1,000 tokens.
    let price = Some(ChatPrice { prompt: 0.0, completion: 100.0, built_in: false });
    let mut requests = questions();
    requests.iter_mut().for_each(|request| request.max_tokens = Some(1000));
    let purse = Purse::new(Some(0.35));
    let cache = Recording::cache(&path).unwrap();
    let paid = cache.of(Paid::new(model(&server), &purse, price));
    let answers = ask_all(&paid, &requests, 4, &ProgressBar::hidden());
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_eq!(server.requests().len(), 3);
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(error.to_string().contains("--max-cost"), "{error}");
    }
    let spent = purse.spent();
    assert_eq!((spent.usage.completion_tokens, spent.usage.prompt_tokens), (3000, 30));
    assert!((spent.dollars.unwrap() - 0.3).abs() < 1e-9);
    drop(cache);

    // With more money the rest is asked, and the first three are not paid again.
    let purse = Purse::new(Some(0.55));
    let cache = Recording::cache(&path).unwrap();
    let paid = cache.of(Paid::new(model(&server), &purse, price));
    ask(&paid, &requests);
    assert_eq!(server.requests().len(), 8);
}
