//! One file over HTTP, with resume.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE,
};

use super::integrity::{check_gzip, sha256_of};
use crate::{Error, Result};

/// Longest wait for a connection, and for the next bytes of a body.
const STALLED: Duration = Duration::from_secs(60);

/// What to download, where to, and what it has to be.
#[derive(Debug, Clone)]
pub struct Download<'a> {
    /// The address.
    pub url: &'a str,
    /// The file that is to be; until it is whole, `FILE.part` stands in its place.
    pub target: &'a Path,
    /// What it must hash to, where known.
    pub sha256: Option<&'a str>,
    /// How long it must be in bytes, where known beforehand.
    pub bytes: Option<u64>,
    /// Bearer token, where one is needed.
    pub token: Option<&'a str>,
    /// What the user can do if it fails.
    pub remedy: &'a str,
}

/// What was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Bytes that an earlier attempt had left and that were kept.
    pub resumed_from: u64,
}

/// An HTTP client with its patience.
#[derive(Debug, Clone)]
pub struct Downloader {
    client: Client,
    attempts: u32,
    first_pause: Duration,
}

/// Why an attempt failed, and whether another may succeed.
struct Failure {
    again: bool,
    /// No connection came about, as on a machine that is offline.
    unreachable: bool,
    error: Error,
}

impl Downloader {
    /// Make a client that tries 5 times, with pauses from 1 second on, doubling.
    ///
    /// # Errors
    /// [`Error::Network`] if the TLS set-up fails.
    pub fn new() -> Result<Self> {
        let agent = concat!("screader/", env!("CARGO_PKG_VERSION"));
        // In the blocking client the time-out holds for each read, not for the whole body.
        let client = Client::builder()
            .timeout(STALLED)
            .connect_timeout(STALLED)
            .user_agent(agent)
            .build()
            .map_err(|error| Error::Network {
                url: "https".into(),
                reason: reason(&error),
                remedy: "check the system's TLS certificates".into(),
            })?;
        Ok(Self { client, attempts: 5, first_pause: Duration::from_secs(1) })
    }

    /// Try this often, and wait this long before the second attempt (then twice as long each).
    pub fn patience(mut self, attempts: u32, first_pause: Duration) -> Self {
        self.attempts = attempts.max(1);
        self.first_pause = first_pause;
        self
    }

    /// Download a file: resume `FILE.part` if the server still has the same version, check length,
    /// gzip (of a target that ends in `.gz`) and hash, then rename.
    ///
    /// # Errors
    /// [`Error::Network`] after the last attempt, or at once where another cannot help (404, 401,
    /// 403); [`Error::Input`] if the content is not what it has to be (the part is then removed);
    /// [`Error::Io`] if the disk refuses.
    pub fn download(&self, job: &Download<'_>) -> Result<Downloaded> {
        if let Some(folder) = job.target.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        }
        let part = Part::beside(job.target);
        let kept = part.length();
        let mut resumed_from = None;
        self.retry(|| {
            let started_at = self.attempt(job, &part)?;
            resumed_from.get_or_insert(started_at.min(kept));
            Ok(())
        })?;
        let sha256 = check(job, &part)?;
        std::fs::rename(&part.path, job.target).map_err(Error::io(job.target, "rename"))?;
        part.forget_version();
        let bytes = std::fs::metadata(job.target).map_err(Error::io(job.target, "read"))?.len();
        Ok(Downloaded { bytes, sha256, resumed_from: resumed_from.unwrap_or(0) })
    }

    /// Get a small JSON document.
    ///
    /// # Errors
    /// As [`Downloader::download`].
    pub fn json(&self, url: &str, token: Option<&str>, remedy: &str) -> Result<serde_json::Value> {
        self.retry(|| {
            let mut request = self.client.get(url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().map_err(|error| no_answer(url, &error, remedy))?;
            let response = accepted(response, url, remedy)?;
            response.json().map_err(|error| no_answer(url, &error, remedy))
        })
    }

    /// Try until an attempt succeeds, cannot be helped by another, or was the last. A host that was
    /// never reached is not waited for: the machine is offline, and the user should know at once.
    fn retry<T>(&self, mut attempt: impl FnMut() -> std::result::Result<T, Failure>) -> Result<T> {
        let mut pause = self.first_pause;
        let mut reached = false;
        for _ in 1..self.attempts {
            let failure = match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            reached |= !failure.unreachable;
            if !failure.again || !reached {
                return Err(failure.error);
            }
            eprintln!("{}; trying again in {} s", failure.error, pause.as_secs_f32());
            std::thread::sleep(pause);
            pause *= 2;
        }
        attempt().map_err(|failure| failure.error)
    }

    /// Ask for what the part lacks and append it; returns where it went on.
    fn attempt(&self, job: &Download<'_>, part: &Part) -> std::result::Result<u64, Failure> {
        let version = part.version();
        let have = if version.is_some() { part.length() } else { 0 };
        let mut request = self.client.get(job.url);
        if let Some(token) = job.token {
            request = request.bearer_auth(token);
        }
        if let Some(version) = version.filter(|_| have > 0) {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, version);
        }
        let response = request.send().map_err(|error| no_answer(job.url, &error, job.remedy))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // Nothing is left to send if the part is whole; else it is of no use.
            if have > 0 && total_of_range(response.headers()) == Some(have) {
                return Ok(have);
            }
            part.remove();
            let error = network(job.url, "the server refused the range", job.remedy);
            return Err(Failure { again: true, unreachable: false, error });
        }
        let response = accepted(response, job.url, job.remedy)?;
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(have) => have,
            StatusCode::PARTIAL_CONTENT => {
                part.remove();
                let error = network(job.url, "the server sent another range", job.remedy);
                return Err(Failure { again: true, unreachable: false, error });
            }
            _ => 0,
        };
        part.append(job, response, start)
    }
}

/// The unfinished file and the version of the original that it is part of.
struct Part {
    path: PathBuf,
    version_path: PathBuf,
}

impl Part {
    fn beside(target: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = target.as_os_str().to_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { path: with(".part"), version_path: with(".part.version") }
    }

    fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// The ETag or date of the original; a part without one cannot be resumed.
    fn version(&self) -> Option<String> {
        std::fs::read_to_string(&self.version_path).ok().filter(|text| !text.is_empty())
    }

    fn forget_version(&self) {
        // It may never have been written; a leftover does no harm.
        let _ = std::fs::remove_file(&self.version_path);
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
        self.forget_version();
    }

    fn append(
        &self,
        job: &Download<'_>,
        mut response: Response,
        start: u64,
    ) -> std::result::Result<u64, Failure> {
        let disk = |error| Failure { again: false, unreachable: false, error };
        let headers = response.headers();
        let total = length_of(headers).map(|length| start + length).or(job.bytes);
        if start == 0 {
            let version = strong_version(headers);
            std::fs::write(&self.version_path, version.unwrap_or_default())
                .map_err(Error::io(&self.version_path, "write"))
                .map_err(disk)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(start > 0).truncate(start == 0);
        let mut file =
            options.open(&self.path).map_err(Error::io(&self.path, "open")).map_err(disk)?;
        let bar = progress(job.target, start, total);
        let mut block = vec![0; 1 << 18];
        let mut have = start;
        loop {
            let read = match response.read(&mut block) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    let reason = format!("the connection broke after {have} bytes ({error})");
                    return Err(Failure {
                        unreachable: false,
                        again: true,
                        error: network(job.url, reason, job.remedy),
                    });
                }
            };
            file.write_all(&block[..read]).map_err(Error::io(&self.path, "write")).map_err(disk)?;
            have += read as u64;
            bar.set_position(have);
        }
        file.sync_all().map_err(Error::io(&self.path, "write")).map_err(disk)?;
        bar.finish_and_clear();
        match total {
            Some(total) if total != have => {
                let reason = format!("the connection ended after {have} of {total} bytes");
                Err(Failure {
                    again: have < total,
                    unreachable: false,
                    error: network(job.url, reason, job.remedy),
                })
            }
            _ => Ok(start),
        }
    }
}

/// Check the whole part; a part that fails is removed, since going on with it cannot mend it.
fn check(job: &Download<'_>, part: &Part) -> Result<String> {
    let checked = (|| {
        let place = job.target.display();
        let length = part.length();
        if let Some(bytes) = job.bytes.filter(|&bytes| bytes != length) {
            let (expected, found) = (format!("{bytes} bytes"), format!("{length} bytes"));
            return Err(Error::input(
                place,
                expected,
                found,
                "the download was removed; fetch again",
            ));
        }
        if job.target.extension().is_some_and(|extension| extension == "gz") {
            check_gzip(&part.path)?;
        }
        let sha256 = sha256_of(&part.path)?;
        match job.sha256 {
            Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => Err(Error::input(
                place,
                format!("SHA-256 {expected}"),
                sha256,
                "the download was removed; fetch again, and if it stays so do not use the file",
            )),
            _ => Ok(sha256),
        }
    })();
    if checked.is_err() {
        part.remove();
    }
    checked
}

fn progress(target: &Path, start: u64, total: Option<u64>) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    bar.with_position(start).with_message(name)
}

fn accepted(response: Response, url: &str, remedy: &str) -> std::result::Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let again = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error();
    let error = network(url, format!("HTTP status {status}"), remedy);
    Err(Failure { again, unreachable: false, error })
}

fn no_answer(url: &str, error: &reqwest::Error, remedy: &str) -> Failure {
    let unreachable = error.is_connect();
    Failure { again: true, unreachable, error: network(url, reason(error), remedy) }
}

/// The innermost cause, which is what the user can act on.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_connect() {
        format!("no connection ({cause}); is this machine offline?")
    } else {
        cause.to_string()
    }
}

fn network(url: &str, reason: impl Into<String>, remedy: &str) -> Error {
    let url = url.split('?').next().unwrap_or(url).to_string();
    Error::Network { url, reason: reason.into(), remedy: remedy.to_string() }
}

/// A version that If-Range may name: a strong ETag, else the date.
fn strong_version(headers: &HeaderMap) -> Option<String> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_string);
    let etag = headers.get(ETAG).and_then(text).filter(|tag| !tag.starts_with("W/"));
    etag.or_else(|| headers.get(LAST_MODIFIED).and_then(text))
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn total_of_range(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit('/').next()?.parse().ok()
}
