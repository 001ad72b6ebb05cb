//! all-MiniLM-L6-v2 from a hub of our own: the folder, its lock, its pinned weights, no network.

#![allow(clippy::unwrap_used)] // a test may panic

mod http_server;

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use http_server::{Reply, Server, serve_file};
use screader::embed::find_minilm;
use screader::fetch::{Downloader, HubAddress, HubCache, HubModel, Lock, fetch_model};

/// SHA-256 of `abc`, from FIPS 180-2.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// The folder as the model's page lists it.
const FILES: [&str; 9] = [
    "1_Pooling/config.json",
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
];

/// A hub whose weights are `abc` and which states `stated` as their hash; other files hold their
/// own name. The first answer for the weights breaks after one byte.
fn hub(stated: String) -> Server {
    Server::start(move |request, number| {
        let path = request.path.split('?').next().unwrap();
        if path == "/api/models/sentence-transformers/all-MiniLM-L6-v2/revision/main" {
            let other =
                |name: &&str| format!(r#"{{"rfilename": "{name}", "size": {}}}"#, name.len());
            let mut siblings: Vec<String> =
                FILES.iter().filter(|name| **name != "model.safetensors").map(other).collect();
            siblings.extend(["pytorch_model.bin", "onnx/model.onnx"].iter().map(other));
            siblings.push(format!(
                r#"{{"rfilename": "model.safetensors", "size": 3, "lfs": {{"sha256": "{stated}"}}}}"#
            ));
            let list = format!(r#"{{"sha": "c0ffee", "siblings": [{}]}}"#, siblings.join(","));
            return Reply::new(200, list);
        }
        let folder = "/sentence-transformers/all-MiniLM-L6-v2/resolve/c0ffee/";
        match path.strip_prefix(folder) {
            Some("model.safetensors") => {
                let reply = serve_file(request, b"abc", "\"weights\"");
                let first = !request.headers.contains_key("range") && number > 0;
                if first { reply.cut_after(1) } else { reply }
            }
            Some(name) if FILES.contains(&name) => serve_file(request, name.as_bytes(), "\"f\""),
            _ => Reply::new(404, "no"),
        }
    })
}

fn pinned() -> String {
    HubModel::minilm(Path::new("")).sha256["model.safetensors"].clone()
}

fn minilm(hub: &str, folder: &Path) -> std::process::Output {
    Command::cargo_bin("screader")
        .unwrap()
        .args(["fetch", "minilm", "--model-dir"])
        .arg(folder)
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", folder.join("no cache"))
        .env_remove("HF_TOKEN")
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap()
}

#[test]
fn the_folder_arrives_resumed_locked_and_where_embed_looks() {
    let server = hub(ABC.into());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/minilm");
    let mut model = HubModel::minilm(&folder);
    model.sha256.insert("model.safetensors".into(), ABC.into());
    let (token, cache) = (Some("secret-token".into()), HubCache::default());
    let address = HubAddress { endpoint: server.url(), token, cache };
    let downloader = Downloader::new().unwrap().patience(2, Duration::from_millis(1));
    let done = fetch_model(&downloader, &address, &model, false).unwrap();

    assert_eq!(done.locked.files.keys().collect::<Vec<_>>(), FILES.iter().collect::<Vec<_>>());
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), b"abc");
    let pooling = folder.join("1_Pooling/config.json");
    assert_eq!(std::fs::read_to_string(pooling).unwrap(), "1_Pooling/config.json");
    assert_eq!(find_minilm(Some(&folder)).unwrap(), folder);
    let sent = server.requests();
    assert!(sent.last().unwrap().path.ends_with("/c0ffee/config.json"), "it marks a whole folder");
    assert!(sent.iter().any(|one| one.headers.get("range").is_some_and(|r| r == "bytes=1-")));
    assert!(sent.iter().all(|one| one.headers["authorization"] == "Bearer secret-token"));
    let text = std::fs::read_to_string(&model.lock).unwrap();
    assert!(text.contains(ABC) && text.contains("c0ffee") && !text.contains("secret"), "{text}");
    assert_eq!(Lock::read(&model.lock).unwrap().model["all-MiniLM-L6-v2"], done.locked);

    // What is whole is not asked for again, so that it also succeeds offline.
    let again = fetch_model(&downloader, &address, &model, false).unwrap();
    assert_eq!((again.kept, server.requests().len()), (FILES.len(), sent.len()));
}

#[test]
fn other_weights_than_the_pinned_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    // The hub says that it has others: nothing of them is downloaded.
    let server = hub(ABC.into());
    let run = minilm(&server.url(), &parent.path().join("stated"));
    let talk = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{talk}");
    assert!(talk.contains(ABC) && talk.contains(&pinned()), "{talk}");
    let asked = server.requests();
    assert!(!asked.iter().any(|one| one.path.ends_with("model.safetensors")), "{asked:?}");
    // The hub states the pinned hash and sends others, of the stated length.
    let server = hub(pinned());
    let folder = parent.path().join("sent");
    let run = minilm(&server.url(), &folder);
    let talk = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{talk}");
    assert!(talk.contains(ABC) && talk.contains(&pinned()), "{talk}");
    assert!(!folder.join("model.safetensors").exists());
    assert!(find_minilm(Some(&folder)).is_err(), "half a folder is none");
}

#[test]
fn offline_one_line_names_the_other_ways() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("minilm");
    let run = minilm(&nobody, &folder);
    let talk = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{talk}");
    for words in ["offline", "scripts/fetch-minilm", "--model-dir"] {
        assert!(talk.contains(words), "{words}: {talk}");
    }
    assert_eq!(talk.trim().lines().count(), 1, "{talk}");
    assert!(!folder.exists());
}

/// The Hugging Face cache as transformers leaves it: blobs by hash, a snapshot that links to them.
fn cache_of_others(hub: &Path) {
    let repo = hub.join("models--sentence-transformers--all-MiniLM-L6-v2");
    for folder in ["blobs", "refs", "snapshots/c0ffee/1_Pooling"] {
        std::fs::create_dir_all(repo.join(folder)).unwrap();
    }
    std::fs::write(repo.join("refs/main"), "c0ffee").unwrap();
    for (at, name) in FILES.iter().enumerate() {
        let blob = repo.join(format!("blobs/{at}"));
        std::fs::write(&blob, if *name == "model.safetensors" { "abc" } else { name }).unwrap();
        std::fs::copy(blob, repo.join("snapshots/c0ffee").join(name)).unwrap();
    }
}

#[test]
fn what_other_tools_fetched_is_not_downloaded_again() {
    let parent = tempfile::tempdir().unwrap();
    let hub_folder = parent.path().join("hub");
    cache_of_others(&hub_folder);
    let model = |name: &str, sha256: &str| {
        let mut model = HubModel::minilm(&parent.path().join(name));
        model.sha256.insert("model.safetensors".into(), sha256.into());
        model
    };
    let cache = HubCache::in_folder(&hub_folder);
    let downloader = Downloader::new().unwrap().patience(1, Duration::from_millis(1));

    // The hub is asked what there is, and for no file.
    let server = hub(ABC.into());
    let online = HubAddress { endpoint: server.url(), token: None, cache: cache.clone() };
    let first = fetch_model(&downloader, &online, &model("online", ABC), false).unwrap();
    assert_eq!(first.locked.files["model.safetensors"].sha256, ABC);
    assert_eq!(std::fs::read(first.folder.join("model.safetensors")).unwrap(), b"abc");
    assert_eq!(server.requests().len(), 1);

    // Nobody answers: the cache's own listing stands for the hub's, the pinned hash still holds.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let offline = HubAddress { endpoint: nobody, token: None, cache };
    let second = fetch_model(&downloader, &offline, &model("offline", ABC), false).unwrap();
    assert_eq!(second.locked.revision, "c0ffee");
    assert_eq!(find_minilm(Some(&second.folder)).unwrap(), second.folder);
    assert!(fetch_model(&downloader, &offline, &model("other", &pinned()), false).is_err());
}
