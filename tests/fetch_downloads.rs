//! Downloads against a server of our own: resume, hashes, refusals, no network.

#![allow(clippy::unwrap_used)]

mod http_server;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use http_server::{Reply, Server, serve_file};
use screader::Error;
use screader::fetch::{
    Download, Downloaded, Downloader, HubAddress, HubCache, Lock, fetch_backbone, fetch_gene_files,
    sha256_of,
};
use screader::genes::Species;

/// SHA-256 of `abc`, from FIPS 180-2.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn downloader(attempts: u32) -> Downloader {
    Downloader::new().unwrap().patience(attempts, Duration::from_millis(1))
}

fn get(
    downloader: &Downloader,
    url: &str,
    target: &Path,
    sha256: Option<&str>,
) -> screader::Result<Downloaded> {
    downloader.download(&Download {
        url,
        target,
        sha256,
        bytes: None,
        token: None,
        remedy: "pass a local file",
    })
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_file_arrives_whole_and_nothing_else_is_left() {
    let server = Server::start(|request, _| serve_file(request, b"abc", "\"1\""));
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("new/folder/file");
    let done = get(&downloader(1), &server.url(), &target, Some(ABC)).unwrap();
    assert_eq!(done, Downloaded { bytes: 3, sha256: ABC.into(), resumed_from: 0 });
    assert_eq!(names_in(target.parent().unwrap()), ["file"]);
    assert_eq!(sha256_of(&target).unwrap(), ABC);
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let server = Server::start(|request, number| {
        let reply = serve_file(request, &content(), "\"v\"");
        if number < 2 { reply.cut_after(100_000) } else { reply }
    });
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let done = get(&downloader(3), &server.url(), &target, None).unwrap();
    assert_eq!(done.bytes, 300_000);
    assert_eq!(std::fs::read(&target).unwrap(), content());
    let ranges: Vec<_> =
        server.requests().iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=100000-"));
    assert_eq!(ranges[2].as_deref(), Some("bytes=200000-"));
}

#[test]
fn a_later_run_goes_on_with_what_an_earlier_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let broken = Server::start(|request, _| serve_file(request, &content(), "\"v\"").cut_after(7));
    let error = get(&downloader(1), &broken.url(), &target, None).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert!(!target.exists(), "a part is never the file");
    let server = Server::start(|request, _| serve_file(request, &content(), "\"v\""));
    let done = get(&downloader(1), &server.url(), &target, None).unwrap();
    assert_eq!(done.resumed_from, 7);
    assert_eq!(std::fs::read(&target).unwrap(), content());
    // And a part that is whole already only needs its name.
    std::fs::write(folder.path().join("other.part"), content()).unwrap();
    std::fs::write(folder.path().join("other.part.version"), "\"v\"").unwrap();
    let done = get(&downloader(1), &server.url(), &folder.path().join("other"), None).unwrap();
    assert_eq!(done.resumed_from, 300_000);
}

#[test]
fn a_part_of_another_version_or_of_unknown_version_is_not_continued() {
    let server = Server::start(|request, _| serve_file(request, b"abc", "\"new\""));
    for version in [Some("\"old\""), None] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file.part"), "zz").unwrap();
        if let Some(version) = version {
            std::fs::write(folder.path().join("file.part.version"), version).unwrap();
        }
        let target = folder.path().join("file");
        let done = get(&downloader(1), &server.url(), &target, Some(ABC)).unwrap();
        assert_eq!(done.resumed_from, 0);
    }
}

#[test]
fn a_wrong_hash_or_a_broken_gzip_leaves_no_file() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/cut.gz" => {
            let whole = gzip("a text of some length");
            Reply::new(200, &whole[..whole.len() - 4])
        }
        _ => Reply::new(200, "abd"),
    });
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let error = get(&downloader(3), &server.url(), &target, Some(ABC)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains(ABC), "{error}");
    let url = format!("{}/cut.gz", server.url());
    let error = get(&downloader(3), &url, &folder.path().join("cut.gz"), None).unwrap_err();
    assert!(error.to_string().contains("whole gzip"), "{error}");
    assert!(names_in(folder.path()).is_empty(), "{:?}", names_in(folder.path()));
}

#[test]
fn a_busy_server_is_asked_again_and_a_refusal_is_not() {
    let busy = Server::start(|request, number| match number {
        0 => Reply::new(503, "later"),
        1 => Reply::new(429, "slower"),
        _ => serve_file(request, b"abc", "\"1\""),
    });
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    get(&downloader(3), &busy.url(), &target, Some(ABC)).unwrap();
    for status in [404, 401, 403] {
        let server = Server::start(move |_, _| Reply::new(status, "no"));
        let error = get(&downloader(5), &server.url(), &target, None).unwrap_err().to_string();
        assert!(error.contains(&format!("HTTP status {status}")), "{error}");
        assert!(error.contains("pass a local file"), "{error}");
        assert_eq!(server.requests().len(), 1, "{status} is final");
    }
    let server = Server::start(|_, _| Reply::new(500, "no"));
    let error = get(&downloader(3), &server.url(), &target, None).unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    assert_eq!(server.requests().len(), 3, "the attempts are bounded");
}

/// An address that nobody listens at.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn offline_the_command_says_so_and_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::cargo_bin("screader")
        .unwrap()
        .args(["fetch", "genes", "--species", "mouse", "--mirror", &nobody(), "--out"])
        .arg(folder.path())
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let talk = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{talk}");
    assert!(talk.contains("offline") && talk.contains("--gene-info FILE"), "{talk}");
    assert_eq!(talk.trim().lines().count(), 1, "{talk}");
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn an_ontology_is_fetched_once_under_its_name() {
    let server = Server::start(|request, _| serve_file(request, b"format-version: 1.2\n", "\"1\""));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/cl/cl-basic.obo", server.url());
    for _ in 0..2 {
        let mut fetch = Command::cargo_bin("screader").unwrap();
        let fetch = fetch.args(["fetch", "ontology", "--url", &url, "--out"]).arg(folder.path());
        let output = fetch.output().unwrap();
        let path = folder.path().join("cl-basic.obo");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", path.display()));
        assert_eq!(std::fs::read(path).unwrap(), b"format-version: 1.2\n");
    }
    assert_eq!(server.requests().len(), 1, "what is there is not asked for");
    assert_eq!(names_in(folder.path()), ["cl-basic.obo", "cl-basic.obo.sha256"]);
}

#[test]
fn gene_files_are_fetched_once_and_their_hashes_recorded() {
    let server = Server::start(|request, _| serve_file(request, &gzip(&request.path), "\"1\""));
    let folder = tempfile::tempdir().unwrap();
    let fetch = |update| {
        let species = Species::Human;
        fetch_gene_files(&downloader(1), &server.url(), species, folder.path(), update).unwrap()
    };
    let paths = fetch(false);
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    let expected =
        ["/GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz", "/gene_summary.gz", "/gene_history.gz"];
    assert_eq!(asked, expected);
    for path in &paths {
        let mut sidecar = path.clone().into_os_string();
        sidecar.push(".sha256");
        let recorded = std::fs::read_to_string(sidecar).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(recorded, format!("{}  {name}\n", sha256_of(path).unwrap()));
    }
    fetch(false);
    assert_eq!(server.requests().len(), 3, "what is there is not asked for");
    std::fs::write(&paths[0], "tampered").unwrap();
    fetch(false);
    assert_eq!(server.requests().len(), 4, "what changed is fetched again");
    fetch(true);
    assert_eq!(server.requests().len(), 7);
}

/// A hub with one model of two files, whose weights are `weights`.
fn hub(weights: &'static str, stated: &'static str) -> Server {
    Server::start(move |request, _| {
        let path = request.path.split('?').next().unwrap();
        if path.starts_with("/api/models/some-org/tiny/revision/") {
            let list = format!(
                r#"{{"sha": "c0ffee", "siblings": [
                    {{"rfilename": "config.json", "size": 2}},
                    {{"rfilename": "model.safetensors", "size": 3, "lfs": {{"sha256": "{stated}"}}}},
                    {{"rfilename": "original/model.safetensors", "size": 3}},
                    {{"rfilename": "../escape.safetensors", "size": 3}},
                    {{"rfilename": "pytorch_model.bin", "size": 3}}]}}"#
            );
            return Reply::new(200, list);
        }
        match path {
            "/some-org/tiny/resolve/c0ffee/config.json" => serve_file(request, b"{}", "\"c\""),
            "/some-org/tiny/resolve/c0ffee/model.safetensors" => {
                serve_file(request, weights.as_bytes(), "\"m\"")
            }
            _ => Reply::new(404, "no"),
        }
    })
}

fn address(server: &Server, token: Option<&str>) -> HubAddress {
    let token = token.map(str::to_string);
    HubAddress { endpoint: server.url(), token, cache: HubCache::default() }
}

#[test]
fn a_backbone_is_fetched_locked_and_held_to_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let first = hub("abc", ABC);
    let hub_address = address(&first, Some("secret-token"));
    let fetch = |hub: &HubAddress, update| {
        fetch_backbone(&downloader(1), hub, "some-org/tiny", folder.path(), update)
    };
    let done = fetch(&hub_address, false).unwrap();
    assert_eq!(done.folder, folder.path().join("some-org--tiny"));
    assert_eq!(names_in(&done.folder), ["config.json", "model.safetensors"]);
    let sent = first.requests();
    assert!(sent.iter().all(|one| one.headers["authorization"] == "Bearer secret-token"));
    let lock_path = folder.path().join("lock.toml");
    let text = std::fs::read_to_string(&lock_path).unwrap();
    assert!(text.contains(ABC) && text.contains("c0ffee") && !text.contains("secret"), "{text}");
    let lock = Lock::read(&lock_path).unwrap();
    assert_eq!(lock.model["some-org--tiny"], done.locked);

    assert_eq!(fetch(&hub_address, false).unwrap().kept, 2, "nothing is downloaded twice");

    // The publisher swaps the weights: the lock refuses them, --update takes them.
    const ABD: &str = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";
    let swapped = hub("abd", ABD);
    std::fs::remove_file(done.folder.join("model.safetensors")).unwrap();
    let error = fetch(&address(&swapped, None), false).unwrap_err().to_string();
    assert!(error.contains(ABC) && error.contains(ABD), "{error}");
    assert!(!done.folder.join("model.safetensors").exists());
    let done = fetch(&address(&swapped, None), true).unwrap();
    assert_eq!(done.locked.files["model.safetensors"].sha256, ABD);
}

#[test]
fn names_that_are_no_backbone_are_refused_before_any_request() {
    let server = Server::start(|_, _| Reply::new(200, "{}"));
    let folder = tempfile::tempdir().unwrap();
    for name in ["llama-9", "../up/down", "a/..", "a/b/c", "/etc", ""] {
        let error =
            fetch_backbone(&downloader(1), &address(&server, None), name, folder.path(), false)
                .unwrap_err();
        assert!(error.to_string().contains("smollm2-135m"), "{name}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_repository_without_safetensors_is_refused() {
    let server = Server::start(|_, _| {
        Reply::new(200, r#"{"sha": "c0ffee", "siblings": [{"rfilename": "pytorch_model.bin"}]}"#)
    });
    let folder = tempfile::tempdir().unwrap();
    let error =
        fetch_backbone(&downloader(1), &address(&server, None), "a/b", folder.path(), false)
            .unwrap_err();
    assert!(error.to_string().contains("safetensors"), "{error}");
}

#[test]
fn a_gated_backbone_says_what_opens_it() {
    let server = Server::start(|_, _| Reply::new(401, "Access is restricted"));
    let folder = tempfile::tempdir().unwrap();
    let hub = address(&server, None);
    let error = fetch_backbone(&downloader(3), &hub, "llama-3.2-1b", folder.path(), false);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("meta-llama/Llama-3.2-1B") && error.contains("HF_TOKEN"), "{error}");
    assert!(!error.contains("blobs"), "the query is not shown: {error}");
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn without_a_name_the_known_backbones_are_listed() {
    let run = Command::cargo_bin("screader").unwrap().args(["fetch", "backbone"]).output().unwrap();
    let list = String::from_utf8(run.stdout).unwrap();
    assert_eq!(list.lines().count(), 9, "{list}");
    assert!(list.contains("llama-2-13b") && list.contains("26.0 GB"), "{list}");
}
