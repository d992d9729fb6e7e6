//! A server that does what a test says, lies included: HTTP/1.1 over raw sockets, so that nothing corrects it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether all of the body was read; else the connection is broken and the answer lost.
    pub(crate) whole: bool,
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The values of a parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// `GET /v2/…`, to compare with.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What is answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    end: End,
}

/// What follows the body's bytes.
enum End {
    /// Nothing: it is as long as it says.
    Honest,
    /// The connection is closed, after `Content-Length` said this.
    Says(u64),
    /// Zeros without end, in chunks.
    Endless,
    /// Nothing, and the connection stays open, after `Content-Length` said this.
    Stalls(u64),
    /// There is no head: the body is all that is sent.
    Raw,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            end: End::Honest,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same with another value of a header, if it has one.
    pub(crate) fn replace(mut self, name: &str, value: impl ToString) -> Self {
        for (_, found) in self.headers.iter_mut().filter(|(found, _)| found == name) {
            *found = value.to_string();
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// `Content-Length` says `length`, whatever the body has; then the connection is closed.
    pub(crate) fn says(mut self, length: u64) -> Self {
        self.end = End::Says(length);
        self
    }

    /// The first bytes of the body, and the connection is closed.
    pub(crate) fn cut(mut self, after: usize) -> Self {
        let length = self.body.len() as u64;
        self.headers.retain(|(name, _)| name != "Content-Length");
        self.body.truncate(after);
        self.says(length)
    }

    pub(crate) fn endless(mut self) -> Self {
        self.end = End::Endless;
        self
    }

    /// `Content-Length` says `length`, and what the body lacks never comes.
    pub(crate) fn stalls(mut self, length: u64) -> Self {
        self.end = End::Stalls(length);
        self
    }

    /// These bytes and nothing else.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            end: End::Raw,
            ..Self::new(0).body(bytes)
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;
type BodyLimit = dyn Fn(&Seen) -> Option<usize> + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct Scripted {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    log: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// How a server is to be.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// How many bytes of a request's body are read before the connection breaks; none for all of them and no break.
    pub(crate) breaks: Option<Box<BodyLimit>>,
}

impl Scripted {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Options::default(), handler).await
    }

    pub(crate) async fn start_with(options: Options, handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let breaks: Arc<BodyLimit> = match options.breaks {
            Some(breaks) => Arc::from(breaks),
            None => Arc::new(|_: &Seen| None),
        };
        let acceptor = options.tls.map(TlsAcceptor::from);
        let server_log = log.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    break;
                };
                let talk = Talk {
                    handler: handler.clone(),
                    breaks: breaks.clone(),
                    log: server_log.clone(),
                    connection,
                };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                talk.serve(stream).await;
                            }
                        }
                        None => talk.serve(stream).await,
                    }
                });
            }
        });
        Self { host, log, task }
    }

    /// All requests so far, in the order in which their heads came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().expect("the log").clone()
    }

    /// The same as lines: `GET /v2/…`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
struct Talk {
    handler: Arc<Handler>,
    breaks: Arc<BodyLimit>,
    log: Arc<Mutex<Vec<Seen>>>,
    connection: usize,
}

impl Talk {
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut buffer = Vec::new();
        while let Some(mut seen) = self.read_head(&mut stream, &mut buffer).await {
            let limit = (self.breaks)(&seen);
            seen.whole = read_body(&mut stream, &mut buffer, &mut seen, limit).await.is_some();
            self.log.lock().expect("the log").push(seen.clone());
            let reply = (self.handler)(&seen);
            if !seen.whole || !write(&mut stream, &seen, reply).await {
                break;
            }
        }
        let _ = stream.shutdown().await;
    }

    async fn read_head(&self, stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Seen> {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            more(stream, buffer).await?;
            // The beginning of a TLS handshake.
            if buffer.first() == Some(&0x16) {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Seen {
            method,
            target,
            headers,
            body: Vec::new(),
            whole: true,
            connection: self.connection,
        })
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

/// Reads a body by length or in chunks; none where it broke off, or was to be broken.
async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    seen: &mut Seen,
    limit: Option<usize>,
) -> Option<()> {
    let is_chunked = seen.header("transfer-encoding") == Some("chunked");
    let mut left: usize = match seen.header("content-length") {
        Some(length) => length.parse().ok()?,
        None => 0,
    };
    loop {
        if is_chunked {
            let end = loop {
                if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                more(stream, buffer).await?;
            };
            left = usize::from_str_radix(std::str::from_utf8(&buffer[..end]).ok()?, 16).ok()?;
            buffer.drain(..end + 2);
        }
        let is_last = left == 0;
        while left > 0 {
            if buffer.is_empty() {
                more(stream, buffer).await?;
            }
            let room = limit.map_or(usize::MAX, |limit| limit - seen.body.len());
            let taken = left.min(buffer.len()).min(room);
            seen.body.extend(buffer.drain(..taken));
            left -= taken;
            if limit.is_some_and(|limit| seen.body.len() == limit) {
                return None;
            }
        }
        if is_chunked {
            while buffer.len() < 2 {
                more(stream, buffer).await?;
            }
            buffer.drain(..2);
        }
        if !is_chunked || is_last {
            return Some(());
        }
    }
}

/// Answers; whether the connection can go on.
async fn write(stream: &mut (impl AsyncWrite + Unpin), seen: &Seen, reply: Reply) -> bool {
    if let End::Raw = reply.end {
        let _ = stream.write_all(&reply.body).await;
        return false;
    }
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_length = reply
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match reply.end {
        End::Honest if !has_length && reply.status != 204 => {
            head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        }
        End::Says(length) | End::Stalls(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
        End::Endless => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    head.push_str("\r\n");
    let is_head = seen.method == "HEAD";
    let mut bytes = head.into_bytes();
    if !is_head && !matches!(reply.end, End::Endless) {
        bytes.extend_from_slice(&reply.body);
    }
    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    match reply.end {
        End::Honest => true,
        End::Says(_) | End::Raw => is_head,
        End::Stalls(_) => {
            if !is_head {
                std::future::pending::<()>().await;
            }
            true
        }
        End::Endless => {
            let mut chunk = b"10000\r\n".to_vec();
            chunk.extend_from_slice(&[0; 0x10000]);
            chunk.extend_from_slice(b"\r\n");
            while !is_head && stream.write_all(&chunk).await.is_ok() {}
            is_head
        }
    }
}
