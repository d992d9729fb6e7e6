//! A server of HTTP/1.1 that answers as a test says, and can hold its answers back until so many are waited for.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use teu_spec::Digest;

use super::Layout;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query; of a proxy the whole URL, or host and port.
    pub(crate) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The path's last component.
    pub(crate) fn leaf(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// `GET /v2/…`, to compare with.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What is answered: a status, headers, and a body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// The layout's image, as a registry serves it that has nothing else: `None` for what it has not.
pub(crate) fn served(layout: &Layout, manifest: &Digest, request: &Request) -> Option<Answer> {
    let leaf = request.leaf();
    let is_manifest = request.target.contains("/manifests/");
    let digest = match leaf.parse::<Digest>() {
        Ok(digest) => digest,
        Err(_) if is_manifest => *manifest,
        Err(_) => return (request.target == "/v2/").then(|| (200, Vec::new(), Vec::new())),
    };
    let content = fs::read(layout.blob_path(&digest)).ok()?;
    let mut headers = vec![("Docker-Content-Digest", digest.to_string())];
    if is_manifest {
        let told: Value = serde_json::from_slice(&content).expect("JSON");
        let kind = told["mediaType"].as_str().expect("a type").to_owned();
        headers.push(("Content-Type", kind));
    }
    Some((200, headers, content))
}

/// An answer that says nothing else.
pub(crate) fn status(status: u16) -> Answer {
    (status, Vec::new(), Vec::new())
}

/// The server. Its threads end with the process of the test.
pub(crate) struct Answers {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Answers {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client may go when it has what it wants.
                thread::spawn(move || talk(&stream, &log, &*answer));
            }
        });
        Self { host, seen }
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("the log").clone()
    }

    /// The same as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Request::line).collect()
    }
}

fn talk(
    mut stream: &TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request) -> Answer + ?Sized),
) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        // TLS ends here: it is no line of text.
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            match line.trim_end().split_once(':') {
                None => break,
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            }
        }
        let request = Request {
            method,
            target,
            headers,
        };
        let length = request.header("content-length").unwrap_or("0").parse().ok()?;
        std::io::copy(&mut lines.by_ref().take(length), &mut std::io::sink()).ok()?;
        log.lock().expect("the log").push(request.clone());
        let (status, headers, body) = answer(&request);
        let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_head = request.method == "HEAD";
        let said = [head.as_bytes(), b"\r\n", if is_head { b"" } else { &body[..] }].concat();
        stream.write_all(&said).ok()?;
    }
}

/// Holds answers back until so many are waited for, and then gives one at a time. Who asks for no more side by side is never given two.
pub(crate) struct Held {
    state: Mutex<Waiting>,
    changed: Condvar,
    side_by_side: usize,
}

struct Waiting {
    now: usize,
    most: usize,
    /// How many are still to be answered.
    left: usize,
}

impl Held {
    /// Of `all` answers, `side_by_side` at a time.
    pub(crate) fn new(all: usize, side_by_side: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(Waiting {
                now: 0,
                most: 0,
                left: all,
            }),
            changed: Condvar::new(),
            side_by_side,
        })
    }

    /// Waits for this answer's turn. It never comes where fewer are asked for side by side, which the test then finds.
    pub(crate) fn wait(&self) {
        let mut state = self.state.lock().expect("the state");
        state.now += 1;
        state.most = state.most.max(state.now);
        self.changed.notify_all();
        let is_early = |state: &mut Waiting| state.now < self.side_by_side.min(state.left);
        let waited = self
            .changed
            .wait_timeout_while(state, Duration::from_secs(60), is_early);
        let (mut state, timeout) = waited.expect("the state");
        assert!(!timeout.timed_out(), "fewer than {} are asked for", self.side_by_side);
        state.now -= 1;
        state.left -= 1;
        // The last ones wait for nobody.
        self.changed.notify_all();
    }

    /// How many were waited for at most.
    pub(crate) fn most(&self) -> usize {
        self.state.lock().expect("the state").most
    }
}
