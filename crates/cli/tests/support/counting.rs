//! A registry of one image with one large layer, which counts the bytes of blobs that cross the wire, and can stop in the middle of them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use teu_spec::{Algorithm, Descriptor, Digest, Document, Format, Manifest, MediaType};

/// The layer is made of blocks, each of which says which it is: no memory holds it, and a wrong offset shows.
const BLOCK: usize = 1 << 20;

/// The registry. Its threads end with the process of the test.
pub(crate) struct Counting {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    /// The image's manifest.
    pub(crate) digest: Digest,
    /// Its layer.
    pub(crate) layer: Descriptor,
    inner: Arc<Inner>,
}

struct Inner {
    manifest: Document,
    config: Vec<u8>,
    layer: Descriptor,
    /// Bytes of blobs that were sent.
    sent: AtomicU64,
    /// How often the layer was asked for.
    asked: AtomicUsize,
    gate: Mutex<Gate>,
    changed: Condvar,
}

/// Where the first answer with the layer stops.
struct Gate {
    after: u64,
    reached: bool,
    open: bool,
}

impl Counting {
    /// A registry with `app:1`, whose layer has `blocks` MiB. The first answer with the layer stops after half of it, until that is
    /// [let go](Self::let_go) or the connection ends.
    pub(crate) fn start(blocks: usize) -> Self {
        let mut hasher = Algorithm::Sha256.hasher();
        for number in 0..blocks {
            hasher.update(&block(number));
        }
        let size = (blocks * BLOCK) as u64;
        let layer = Descriptor::new(MediaType::OciLayer, hasher.finish(), size);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            layer.digest
        )
        .into_bytes();
        let config_descriptor = Descriptor::of(MediaType::OciConfig, &config);
        let manifest = Manifest::build(Format::Oci, &config_descriptor, std::slice::from_ref(&layer));
        let manifest = manifest.expect("a manifest");
        let inner = Arc::new(Inner {
            config,
            layer: layer.clone(),
            sent: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            gate: Mutex::new(Gate {
                after: size / 2,
                reached: false,
                open: false,
            }),
            changed: Condvar::new(),
            manifest,
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let digest = Digest::of(inner.manifest.raw());
        let server = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A client that is killed breaks its connection.
                thread::spawn(move || server.talk(stream));
            }
        });
        Self {
            host,
            digest,
            layer,
            inner,
        }
    }

    /// Waits until the first answer with the layer has stopped.
    pub(crate) fn stopped(&self) {
        let gate = self.inner.gate.lock().expect("the gate");
        let waited = self
            .inner
            .changed
            .wait_timeout_while(gate, Duration::from_secs(60), |gate| !gate.reached);
        assert!(
            !waited.expect("the gate").1.timed_out(),
            "the layer was never asked for"
        );
    }

    /// Lets the first answer go on.
    pub(crate) fn let_go(&self) {
        self.inner.gate.lock().expect("the gate").open = true;
        self.inner.changed.notify_all();
    }

    /// The bytes of blobs that were sent since this was last asked.
    pub(crate) fn taken(&self) -> u64 {
        self.inner.sent.swap(0, SeqCst)
    }
}

fn block(number: usize) -> Vec<u8> {
    let mut block = vec![number as u8; BLOCK];
    block[..8].copy_from_slice(&(number as u64).to_be_bytes());
    block
}

impl Inner {
    fn talk(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (mut request, mut range) = (String::new(), 0);
            // TLS ends here: it is no line of text.
            if lines.read_line(&mut request).ok()? == 0 {
                return None;
            }
            loop {
                let mut header = String::new();
                lines.read_line(&mut header).ok()?;
                match header.trim().split_once(": ") {
                    None => break,
                    Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                        range = value.strip_prefix("bytes=")?.split('-').next()?.parse().ok()?;
                    }
                    Some(_) => {}
                }
            }
            let mut words = request.split(' ');
            self.answer(&stream, words.next()?, words.next()?, range)?;
        }
    }

    fn answer(&self, mut stream: &TcpStream, method: &str, path: &str, from: u64) -> Option<()> {
        let name = path.rsplit('/').next()?;
        let has_body = method == "GET";
        if path.contains("/manifests/") {
            let raw = self.manifest.raw();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nDocker-Content-Digest: {}\r\nContent-Length: {}\r\n\r\n",
                self.manifest.media_type(),
                Digest::of(raw),
                raw.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            return stream.write_all(if has_body { raw } else { b"" }).ok();
        }
        let is_layer = name == self.layer.digest.to_string();
        let size = if is_layer {
            self.layer.size
        } else {
            self.config.len() as u64
        };
        let head = match from {
            0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"),
            from => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\nContent-Length: {}\r\n\r\n",
                size - 1,
                size - from
            ),
        };
        stream.write_all(head.as_bytes()).ok()?;
        match (has_body, is_layer) {
            (false, _) => Some(()),
            (true, false) => {
                self.sent.fetch_add(size - from, SeqCst);
                stream.write_all(&self.config[usize::try_from(from).ok()?..]).ok()
            }
            (true, true) => self.send_layer(stream, from),
        }
    }

    fn send_layer(&self, mut stream: &TcpStream, from: u64) -> Option<()> {
        let stops = self.asked.fetch_add(1, SeqCst) == 0;
        let mut at = from;
        while at < self.layer.size {
            let block = block(usize::try_from(at).ok()? / BLOCK);
            let rest = &block[usize::try_from(at).ok()? % BLOCK..];
            self.sent.fetch_add(rest.len() as u64, SeqCst);
            stream.write_all(rest).ok()?;
            at += rest.len() as u64;
            let mut gate = self.gate.lock().expect("the gate");
            if stops && at >= gate.after {
                gate.reached = true;
                self.changed.notify_all();
                drop(self.changed.wait_while(gate, |gate| !gate.open).expect("the gate"));
            }
        }
        Some(())
    }
}
