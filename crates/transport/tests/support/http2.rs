//! A server of HTTP/2 alone, over TLS.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::scripted::{Reply, Seen};

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct Http2 {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    log: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Http2 {
    pub(crate) async fn start(config: &ServerConfig, handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let seen = log.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    break;
                };
                let (acceptor, handler, log) = (acceptor.clone(), handler.clone(), seen.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, connection, handler, log).await;
                    }
                });
            }
        });
        Self { host, log, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().expect("the log").clone()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TlsStream<TcpStream>, connection: usize, handler: Arc<Handler>, log: Arc<Mutex<Vec<Seen>>>) {
    let Ok(mut accepted) = h2::server::handshake(stream).await else {
        return;
    };
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = accepted.accept().await {
        let (handler, log) = (handler.clone(), log.clone());
        requests.spawn(async move {
            // A client that goes away is not the server's concern.
            let _ = answer(request, respond, connection, &*handler, &log).await;
        });
    }
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    connection: usize,
    handler: &Handler,
    log: &Mutex<Vec<Seen>>,
) -> Result<(), h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        body.extend_from_slice(&bytes);
        stream.flow_control().release_capacity(bytes.len())?;
    }
    let authority = head
        .uri
        .authority()
        .map(|authority| ("host".to_owned(), authority.to_string()));
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let seen = Seen {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers.chain(authority).collect(),
        body,
        whole: true,
        connection,
    };
    log.lock().expect("the log").push(seen.clone());
    let reply = handler(&seen);
    let mut response = http::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let is_empty = seen.method == "HEAD" || reply.body.is_empty();
    let mut sender = respond.send_response(response.body(()).expect("a head"), is_empty)?;
    let mut rest = Bytes::from(reply.body);
    while !is_empty && !rest.is_empty() {
        sender.reserve_capacity(rest.len());
        let Some(room) = std::future::poll_fn(|context| sender.poll_capacity(context)).await else {
            break;
        };
        let piece = rest.split_to(room?.min(rest.len()));
        sender.send_data(piece, rest.is_empty())?;
    }
    Ok(())
}
