//! A bounded HTTP server on the loopback address, for tests of downloads and chat.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Requests after which the server gives up: a client that never ends is a failure.
const MOST_REQUESTS: usize = 200;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path with query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Body.
    #[allow(dead_code, reason = "only some of the tests that share this server look at it")]
    pub body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Break the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
}

impl Reply {
    /// A reply without headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut_after: None }
    }

    /// Add a header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// Break the connection after so many bytes of the body.
    #[allow(dead_code, reason = "only some of the tests that share this server break connections")]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }
}

/// The requests so far.
type Log = Arc<Mutex<Vec<Request>>>;

/// A running server; dropping it ends it.
pub struct Server {
    address: SocketAddr,
    requests: Log,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serve `answer`, one request at a time; it gets the request and its number from 0.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + 'static) -> Self {
        Self::serve(move |stream, number, log| serve_one(&stream, number, log, &answer))
    }

    /// Serve `answer` with a thread for each request.
    #[allow(dead_code, reason = "only some of the tests that share this server ask at once")]
    pub fn start_concurrent(
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::serve(move |stream, number, log| {
            let (answer, log) = (answer.clone(), log.clone());
            std::thread::spawn(move || serve_one(&stream, number, &log, &*answer));
        })
    }

    fn serve(handle: impl Fn(TcpStream, usize, &Log) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, ended) = (requests.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().take(MOST_REQUESTS).enumerate() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                handle(stream, number, &log);
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// Base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accept; if the thread has ended already there is nothing to wake.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve_one(
    stream: &TcpStream,
    number: usize,
    log: &Log,
    answer: &dyn Fn(&Request, usize) -> Reply,
) {
    if let Some(request) = read_request(stream) {
        log.lock().unwrap().push(request.clone());
        write_reply(stream, &answer(&request, number));
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_string();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn write_reply(mut stream: &TcpStream, reply: &Reply) {
    let length = reply.body.len();
    let mut head = format!(
        "HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Length: {length}\r\n",
        reply.status
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &reply.body[..reply.cut_after.unwrap_or(length).min(length)];
    // A client that went away is part of some tests.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let _ = stream.flush();
}

/// Serve bytes as a file server does: ranges, `If-Range` and an ETag.
#[allow(dead_code, reason = "only some of the tests that share this server serve files")]
pub fn serve_file(request: &Request, content: &[u8], etag: &str) -> Reply {
    let same = request.headers.get("if-range").is_none_or(|tag| tag == etag);
    let range = request.headers.get("range").filter(|_| same);
    let start: Option<usize> =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let total = content.len();
    match start {
        Some(start) if start >= total => {
            Reply::new(416, "").header("Content-Range", format!("bytes */{total}"))
        }
        Some(start) => Reply::new(206, &content[start..])
            .header("Content-Range", format!("bytes {start}-{}/{total}", total - 1))
            .header("ETag", etag),
        None => Reply::new(200, content).header("ETag", etag),
    }
}
