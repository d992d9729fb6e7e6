//! How long does a connection last? As long as there is something to do on it: a client that asks nothing holds no place that others wait for.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Frame, SizeHint};
use hyper::{Request, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use teu_store::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until},
};

use crate::{
    Body, Registry, connection::Patient, direct::Open, exchange::Peer, outgoing::Outgoing, refused::Refused,
    settings::Limits, strict::Strict,
};

/// Serves one connection to its end: the client's, or that of its patience or ours. When `stop` ends, what is under way ends, and nothing new
/// begins. `outgoing` sends files, where the stream can.
pub(crate) async fn attend<S>(
    registry: Arc<Registry>,
    builder: &Builder<TokioExecutor>,
    stream: S,
    peer: Peer,
    outgoing: Option<Outgoing>,
    direct: Option<Open>,
    stop: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = registry.settings.limits.clone();
    let work = Arc::new(Work::new());
    let large = direct.as_ref().map(Open::direct);
    let requests = AtomicU64::new(0);
    let (refused, address) = (Refused::default(), peer.address);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let large = large.clone().filter(|_| request.version() <= Version::HTTP_11);
        let ordinal = requests.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((length, rest)) = large.as_ref().and_then(|large| large.rest(ordinal)) {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            request.extensions_mut().insert(rest);
        }
        // HTTP/2 wraps content into frames.
        if let Some(outgoing) = outgoing.clone().filter(|_| request.version() <= Version::HTTP_11) {
            request.extensions_mut().insert(outgoing);
        }
        let (registry, running) = (Arc::clone(&registry), Work::begin(&work));
        let reason = refused.of(ordinal).filter(|_| request.version() <= Version::HTTP_11);
        async move {
            let mut answer = match reason {
                Some(reason) => registry.refuse(&request, reason),
                None => registry.answer(request).await,
            };
            if large.is_some_and(|large| large.is_left()) {
                answer
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| Held {
                body,
                _running: running,
            }))
        }
    });
    let stream = Strict::new(Patient::new(stream, limits.connection_idle), &limits);
    let stream = TokioIo::new(stream.beside(direct).telling(refused.clone()));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let mut stop = std::pin::pin!(stop);
    let mut is_ending = false;
    loop {
        let end = work.end(&limits);
        tokio::select! {
            // An error is the client's: it broke off, or sent what is no HTTP, and was told so where it can be.
            outcome = connection.as_mut() => {
                let error = outcome.err().and_then(|error| error.downcast::<hyper::Error>().ok());
                if let Some(error) = error.filter(|error| error.is_parse()) {
                    registry.refused(address, refused.parsed(error.is_parse_too_large()));
                }
                return;
            }
            () = stop.as_mut(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(end) => match work.idle(&limits) {
                None => {}
                // It was told to end, or never said which version it speaks.
                Some(_) if is_ending => return,
                Some(Idle::Unbegun) => return,
                Some(Idle::Done) => {
                    is_ending = true;
                    work.rest();
                    connection.as_mut().graceful_shutdown();
                }
            },
        }
    }
}

/// What is under way on a connection.
struct Work(Mutex<State>);

struct State {
    running: usize,
    has_begun: bool,
    since: Instant,
}

/// Why a connection is idle for too long.
enum Idle {
    /// It never asked for anything.
    Unbegun,
    /// All that it asked for was answered.
    Done,
}

impl Work {
    fn new() -> Self {
        Self(Mutex::new(State {
            running: 0,
            has_begun: false,
            since: Instant::now(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed, so what a panic elsewhere left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(work: &Arc<Self>) -> Running {
        let mut state = work.state();
        state.running += 1;
        state.has_begun = true;
        Running(Arc::clone(work))
    }

    /// When to look next whether it was idle for too long.
    fn end(&self, limits: &Limits) -> Instant {
        let state = self.state();
        match state.running {
            0 => state.since + state.patience(limits),
            _ => Instant::now() + state.patience(limits),
        }
    }

    /// Gives it time anew, to say goodbye.
    fn rest(&self) {
        self.state().since = Instant::now();
    }

    fn idle(&self, limits: &Limits) -> Option<Idle> {
        let state = self.state();
        match state.running == 0 && state.since.elapsed() >= state.patience(limits) {
            false => None,
            true if state.has_begun => Some(Idle::Done),
            true => Some(Idle::Unbegun),
        }
    }
}

impl State {
    fn patience(&self, limits: &Limits) -> Duration {
        match self.has_begun {
            true => limits.connection_idle,
            false => limits.head_time,
        }
    }
}

/// A request that is under way until this is dropped.
struct Running(Arc<Work>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        state.since = Instant::now();
    }
}

/// The content of an answer, which is under way until its last byte is sent.
struct Held {
    body: Body,
    _running: Running,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
