//! What the tests of the registry stand on: a server on a port of its own, and a client that says exactly what it is told to, byte by byte.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod go;
pub(crate) mod guarded;
pub(crate) mod lab;
pub(crate) mod login;
#[path = "../../../rootfs/tests/support/small.rs"]
pub(crate) mod small;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use teu_registry::{
    Children, Exchange, HandshakeObserver, Limits, Listening, Registry, Settings, Tls, auth::Gate, serve,
};
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType};
use teu_store::{ManyInMemory, Repositories};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};

/// A registry that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: Arc<Mutex<Vec<Exchange>>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<usize>>,
    runtime: Option<Runtime>,
}

/// What a server may have, beside what it keeps.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) handshakes: Option<HandshakeObserver>,
}

/// Everything may be done.
pub(crate) fn writable() -> Settings {
    Settings {
        writable: true,
        deletes: true,
        children: Children::AsTheStoreSays,
        limits: Limits::default(),
        ..Settings::default()
    }
}

/// How many bytes of an upload are in its file, of a depot in `depot` in this directory.
pub(crate) fn uploaded(directory: &Path, location: &str) -> u64 {
    let id = location.rsplit('/').next().expect("an id");
    let file = directory.join(format!("depot/uploads/s-{id}"));
    file.metadata().expect("a file").len()
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::of(Arc::new(ManyInMemory::new()), writable())
    }

    pub(crate) fn of(repositories: Arc<dyn Repositories>, settings: Settings) -> Self {
        Self::with(repositories, settings, Setup::default())
    }

    pub(crate) fn with(repositories: Arc<dyn Repositories>, settings: Settings, setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let log = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&log);
        let observer = Arc::new(move |exchange: &Exchange| told.lock().expect("a log").push(exchange.clone()));
        let mut registry = Registry::new(repositories, settings, Some(observer));
        if let Some(gate) = setup.gate {
            registry = registry.behind(gate);
        }
        if let Some(handshakes) = setup.handshakes {
            registry = registry.telling(handshakes);
        }
        let registry = Arc::new(registry);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            // It is told, or dropped.
            let _ = stopped.await;
        };
        let listening = Listening {
            socket: listener,
            tls: setup.tls,
        };
        let served = runtime.spawn(serve(Arc::clone(&registry), listening, stopped));
        Self {
            address,
            registry,
            log,
            stop: Some(stop),
            served: Some(served),
            runtime: Some(runtime),
        }
    }

    /// Stops it, and waits until it has ended; how many uploads were not done.
    pub(crate) fn stop(&mut self) -> usize {
        drop(self.stop.take());
        match (self.served.take(), &self.runtime) {
            (Some(served), Some(runtime)) => runtime.block_on(served).expect("it ends"),
            _ => 0,
        }
    }

    /// The last exchange that it told of.
    pub(crate) fn last(&self) -> Option<Exchange> {
        self.log.lock().expect("a log").last().cloned()
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], content: &[u8]) -> Answer {
        let mut request = head(self, method, target, headers);
        if !content.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(content);
        self.raw(&request)
    }

    /// The same, whose content comes in pieces and without a length, as streams are sent.
    pub(crate) fn stream(&self, method: &str, target: &str, headers: &[(&str, &str)], pieces: &[&[u8]]) -> Answer {
        let mut request = head(self, method, target, headers);
        request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in pieces {
            request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            request.extend_from_slice(piece);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        self.raw(&request)
    }

    /// Says exactly this, and hears until the connection ends.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut client = self.connect();
        // What is refused by its head alone need not be read to its end.
        let _ = client.write_all(request);
        answer(&mut client)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    pub(crate) fn head(&self, target: &str) -> Answer {
        self.ask("HEAD", target, &[], b"")
    }

    pub(crate) fn delete(&self, target: &str) -> Answer {
        self.ask("DELETE", target, &[], b"")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("a connection");
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("patience");
        client
    }

    /// Pushes a blob in one request.
    pub(crate) fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.ask("POST", &target, &[], content).expect(201);
        digest
    }

    /// Begins an upload; where it goes on.
    pub(crate) fn begin(&self, repository: &str) -> String {
        let answer = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        answer.expect(202).header("location").to_owned()
    }

    /// Pushes a manifest.
    pub(crate) fn push(&self, repository: &str, reference: &str, document: &Document) -> Answer {
        let media_type = document.media_type().to_string();
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.ask("PUT", &target, &[("Content-Type", &media_type)], document.raw())
    }

    /// Pushes an image of one layer under a tag.
    pub(crate) fn push_image(&self, repository: &str, tag: &str) -> Document {
        let document = image(tag);
        self.push_blob(repository, CONFIG);
        self.push_blob(repository, tag.as_bytes());
        self.push(repository, tag, &document).expect(201);
        document
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;

/// An image whose one layer is `layer`, as far as anybody looks.
pub(crate) fn image(layer: &str) -> Document {
    let config = Descriptor::of(MediaType::OciConfig, CONFIG);
    let layer = Descriptor::of(MediaType::OciLayer, layer.as_bytes());
    Manifest::build(Format::Oci, &config, &[layer]).expect("a manifest")
}

/// The lines of a request but for those that say how long its content is.
fn head(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        server.address
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    /// The same, whose status must be this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}\n{}",
            self.head,
            String::from_utf8_lossy(&self.content)
        );
        self
    }

    /// The same, an error of this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        let error: serde_json::Value = serde_json::from_slice(&answer.content).expect("JSON");
        assert_eq!(error["errors"][0]["code"], code, "{error}");
        assert_ne!(error["errors"][0]["message"], "", "{error}");
        assert_eq!(answer.header("content-type"), "application/json");
        answer
    }

    /// A header; it must be there.
    #[track_caller]
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> &'a str {
        self.find(name).unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }

    pub(crate) fn find<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.content).expect("JSON")
    }
}

/// Reads one answer, up to the end of the connection.
pub(crate) fn answer(client: &mut TcpStream) -> Answer {
    let mut all = Vec::new();
    // A connection that is reset after its answer has said all the same.
    let heard = client.read_to_end(&mut all);
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?} {heard:?}", String::from_utf8_lossy(&all)));
    let head = String::from_utf8(all[..end].to_vec()).expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Answer {
        status,
        head,
        content: all[end + 4..].to_vec(),
    }
}

/// Waits until it is so: what is told is told when an answer was sent, and nobody waits for that.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never so");
        std::thread::yield_now();
    }
}
