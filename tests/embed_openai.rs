//! The OpenAI-compatible provider against a server on this machine.

#![allow(clippy::unwrap_used)] // a test may panic

mod http_server;

use std::collections::HashMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use http_server::{Reply, Request, Server};
use indicatif::ProgressBar;
use screader::embed::{EmbeddingTable, OpenAiCompatible, TextEmbedder};
use screader::service::Patience;
use serde_json::{Value, json};

const KEY: &str = "sk-this-key-must-never-be-seen";

fn texts_of(request: &Request) -> Vec<String> {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["model"], "text-embedding-ada-002");
    body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect()
}

/// An answer with vectors of `width`, the last text first: the order is in `index`.
fn vectors(texts: &[String], width: usize) -> Reply {
    let item = |(index, text): (usize, &String)| json!({"object": "embedding", "index": index, "embedding": vec![text.len() as f32; width]});
    let data: Vec<Value> = texts.iter().enumerate().rev().map(item).collect();
    Reply::new(200, json!({"object": "list", "data": data, "usage": {}}).to_string())
}

fn client(server: &Server, attempts: u32, dimensions: Option<usize>) -> OpenAiCompatible {
    let patience = Patience {
        attempts,
        first_wait: Duration::from_millis(5),
        timeout: Duration::from_millis(800),
    };
    let url = format!("{}/v1/", server.url());
    OpenAiCompatible::new(&url, None, "text-embedding-ada-002", dimensions, patience).unwrap()
}

fn embed(client: &OpenAiCompatible, texts: &[&str]) -> screader::Result<Vec<Vec<f32>>> {
    let texts: Vec<String> = texts.iter().map(|&text| text.into()).collect();
    client.embed(&texts, &ProgressBar::hidden())
}

#[test]
fn a_rate_limit_is_waited_out_as_long_as_the_server_asks() {
    let server = Server::start(|request, number| match number {
        0 => Reply::new(429, "slow down").header("Retry-After", "0.3"),
        1 => Reply::new(503, ""),
        _ => vectors(&texts_of(request), 1536),
    });
    let start = std::time::Instant::now();
    let answer = embed(&client(&server, 5, None), &["a", "bb"]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!((answer[0][0], answer[1][0]), (1.0, 2.0), "in the order of the texts");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(server.requests()[0].path, "/v1/embeddings");
}

#[test]
fn patience_ends() {
    let server = Server::start(|_, _| Reply::new(500, "{\"error\": {\"message\": \"on fire\"}}"));
    let error = embed(&client(&server, 4, None), &["a"]).unwrap_err();
    assert_eq!(server.requests().len(), 4);
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("500") && error.to_string().contains("on fire"), "{error}");
}

#[test]
fn a_server_that_does_not_answer_in_time_is_asked_again() {
    let server = Server::start(|request, number| {
        if number == 0 {
            std::thread::sleep(Duration::from_millis(1200));
        }
        vectors(&texts_of(request), 1536)
    });
    assert_eq!(embed(&client(&server, 5, None), &["a"]).unwrap()[0].len(), 1536);
}

#[test]
fn refusals_that_stay_are_not_asked_again() {
    let quota = json!({"error": {"message": "no credit", "code": "insufficient_quota"}});
    for (status, body) in [(401, "{}".into()), (400, "{}".into()), (429, quota.to_string())] {
        let server = Server::start(move |_, _| Reply::new(status, body.clone()));
        embed(&client(&server, 5, None), &["a"]).unwrap_err();
        assert_eq!(server.requests().len(), 1, "{status}");
    }
    let server =
        Server::start(|_, _| Reply::new(307, "").header("Location", "http://127.0.0.1:9/"));
    embed(&client(&server, 5, None), &["a"]).unwrap_err();
    assert_eq!(server.requests().len(), 1, "a redirect is not followed");
}

#[test]
fn answers_that_do_not_fit_the_question_are_refused() {
    type Answer = fn(&[String]) -> Reply;
    let answers: [(&str, Answer); 5] = [
        ("1 vectors for 2 texts", |texts| vectors(&texts[1..], 1536)),
        ("text 7", |_| {
            let item = |index| json!({"index": index, "embedding": [1.0]});
            Reply::new(200, json!({"data": [item(0), item(7)]}).to_string())
        }),
        ("text 0", |_| {
            let item = json!({"index": 0, "embedding": [1.0]});
            Reply::new(200, json!({"data": [item, item]}).to_string())
        }),
        ("another form", |_| Reply::new(200, "<html>")),
        ("another form", |_| Reply::new(200, "{\"data\": [{\"index\": 0}]}")),
    ];
    for (expected, answer) in answers {
        let server = Server::start(move |request, _| answer(&texts_of(request)));
        let error = embed(&client(&server, 3, None), &["a", "bb"]).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn dimensions_are_asked_for_only_when_named() {
    let server = Server::start(|request, _| vectors(&texts_of(request), 256));
    embed(&client(&server, 1, Some(256)), &["a"]).unwrap();
    embed(&client(&server, 1, None), &["a"]).unwrap();
    let body = |at: usize| serde_json::from_str::<Value>(&server.requests()[at].body).unwrap();
    assert_eq!(body(0)["dimensions"], 256);
    assert!(body(1).get("dimensions").is_none());
}

#[test]
fn a_key_is_not_sent_in_the_clear_to_another_machine() {
    temp_key_url("http://example.org/v1", false);
    temp_key_url("ftp://example.org/v1", false);
    temp_key_url("https://user:secret@example.org/v1", false);
    temp_key_url("no url", false);
    temp_key_url("https://example.org/v1", true);
    temp_key_url("http://127.0.0.1:1/v1", true);
}

fn temp_key_url(url: &str, accepted: bool) {
    let folder = tempfile::tempdir().unwrap();
    write_genes(folder.path(), 1);
    let output = command(folder.path(), url).arg("--dry-run").output().unwrap();
    assert_eq!(output.status.success(), accepted, "{url}: {output:?}");
    assert!(!seen(&output).contains("secret"), "{output:?}");
}

fn write_genes(folder: &Path, genes: usize) {
    let mut table = "# screader gene descriptions: 1\n# species: mouse\n# template: plain\n\
                     gene_id\tsymbol\tensembl\taliases\tretired\tsource\ttext\n"
        .to_owned();
    for at in 0..genes {
        // Every third text repeats: it is paid for once.
        table += &format!("{at}\tGene{at}\t\t\t\town\ttext number {}\n", at - at % 3 % 2);
    }
    std::fs::write(folder.join("genes.tsv"), table).unwrap();
}

fn command(folder: &Path, url: &str) -> Command {
    let mut command = Command::cargo_bin("screader").unwrap();
    command.env("OPENAI_API_KEY", KEY).current_dir(folder).args([
        "embed",
        "--genes",
        "genes.tsv",
        "--provider",
        "openai",
        "--base-url",
        url,
        "--out",
        "genes.safetensors",
        "--attempts",
        "1",
    ]);
    command
}

fn seen(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_command_pays_once_for_a_text_goes_on_where_it_stopped_and_hides_the_key() {
    let folder = tempfile::tempdir().unwrap();
    write_genes(folder.path(), 400);
    // The third request fails, with the key in the server's own words.
    let server = Server::start(|request, number| match number {
        2 => Reply::new(500, format!("bad key {}", &request.headers["authorization"])),
        _ => vectors(&texts_of(request), 1536),
    });
    let url = format!("{}/v1", server.url());
    let files = || -> Vec<u8> {
        let paths = std::fs::read_dir(folder.path()).unwrap();
        paths.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
    };
    let key_on_disk = || files().windows(KEY.len()).any(|bytes| bytes == KEY.as_bytes());

    let dry = command(folder.path(), &url)
        .args(["--dry-run", "--price-per-million-tokens", "2.5"])
        .output()
        .unwrap();
    assert!(dry.status.success() && server.requests().is_empty(), "{dry:?}");
    let said = String::from_utf8(dry.stdout.clone()).unwrap();
    for part in ["267 texts", "estimate", "tokens", "US dollars (2.5"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let failed = command(folder.path(), &url).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(!folder.path().join("genes.safetensors").exists());
    assert!(seen(&failed).contains("bad key Bearer [key]"), "{failed:?}");

    let done = command(folder.path(), &url).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    for output in [&dry, &failed, &done] {
        assert!(!seen(output).contains(KEY), "{output:?}");
    }
    assert!(!key_on_disk());
    let requests = server.requests();
    assert_eq!(requests[0].headers["authorization"], format!("Bearer {KEY}"));
    let mut paid: HashMap<String, usize> = HashMap::new();
    for (number, request) in requests.iter().enumerate().filter(|(number, _)| *number != 2) {
        for text in texts_of(request) {
            let times = paid.entry(text).or_default();
            *times += 1;
            assert_eq!(*times, 1, "request {number}");
        }
    }
    assert_eq!(paid.len(), 267);
    let table = EmbeddingTable::read(folder.path().join("genes.safetensors")).unwrap();
    assert_eq!((table.embeddings.n_rows, table.embeddings.n_cols), (400, 1536));
    assert_eq!(table.embeddings.values[0], "text number 0".len() as f32);
    assert_eq!(table.embeddings.values[399 * 1536], "text number 399".len() as f32);

    let again = command(folder.path(), &url).output().unwrap();
    assert!(again.status.success());
    assert_eq!(server.requests().len(), requests.len(), "nothing changed, nothing sent");
}

#[test]
fn vectors_of_the_wrong_length_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_genes(folder.path(), 3);
    let server = Server::start(|request, _| vectors(&texts_of(request), 7));
    let output = command(folder.path(), &server.url()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(seen(&output).contains("1536") && seen(&output).contains('7'), "{output:?}");
    assert!(!folder.path().join("genes.safetensors").exists());
}

#[test]
fn without_a_key_openai_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    write_genes(folder.path(), 3);
    let output = command(folder.path(), "https://api.openai.com/v1")
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(seen(&output).contains("OPENAI_API_KEY"), "{output:?}");
}
