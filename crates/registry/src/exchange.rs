//! What was asked, and what was answered? For an access log: told when the last byte of an answer went out, or when nobody wanted more.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use teu_store::Error;

use crate::{body::Body, problem::Cause, reached};

/// Who asks: an extension of a request, set by [`serve`](crate::serve()).
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Whether it is by TLS.
    pub is_secure: bool,
    /// The common name of the client's certificate, where it showed one that is believed.
    pub common_name: Option<Arc<str>>,
}

/// A request and its answer. The texts are the client's own words, bounded by the limit of a request's head and otherwise as they came.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who asked, where that is known.
    pub peer: Option<SocketAddr>,
    /// For whom they asked, as they say: the first of `Forwarded` (RFC 7239), else of `X-Forwarded-For`, else `X-Real-Ip`. Whoever asks can say anything; it is
    /// at most 64 characters that can be seen, and no quotes.
    pub forwarded: Option<String>,
    /// Who they are, where they said so and were believed.
    pub user: Option<String>,
    /// The method.
    pub method: Method,
    /// Path and query; of parameters that no endpoint has, the names alone.
    pub target: String,
    /// The client's program.
    pub user_agent: Option<String>,
    /// The status; 499 where the client had gone before there was one.
    pub status: StatusCode,
    /// How many bytes of content were sent.
    pub sent: u64,
    /// From the request's head to the answer's end.
    pub elapsed: Duration,
    /// What failed on our side, which the client was not told; or why the answer was cut off.
    pub failure: Option<String>,
    /// Why it was refused before it was understood. Its method and target may not be known then, and are `-`.
    pub refused: Option<String>,
}

impl Default for Exchange {
    /// One of which nothing is known.
    fn default() -> Self {
        Self {
            peer: None,
            forwarded: None,
            user: None,
            method: Method::from_bytes(b"-").unwrap_or_default(),
            target: "-".to_owned(),
            user_agent: None,
            status: StatusCode::OK,
            sent: 0,
            elapsed: Duration::ZERO,
            failure: None,
            refused: None,
        }
    }
}

/// The parameters of all endpoints, and what clients put there that ask a mirror. Nothing of them is a secret.
const PARAMETERS: [&str; 14] = [
    "account",
    "artifactType",
    "client_id",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "ns",
    "offline_token",
    "scope",
    "service",
    "tag",
];

/// Is told of each exchange, on the thread that ended it.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// An exchange under way. One that is dropped before it is answered is told of as that.
pub(crate) struct Begun(Option<UnderWay>);

/// What is told of it, where somebody wants to hear.
struct UnderWay {
    exchange: Exchange,
    since: Instant,
    observer: Observer,
    /// The server breaks off what is under way.
    stopping: Arc<AtomicBool>,
}

impl Begun {
    pub(crate) fn new<B>(request: &Request<B>, observer: Option<&Observer>, stopping: &Arc<AtomicBool>) -> Self {
        let Some(observer) = observer else {
            return Self(None);
        };
        let user_agent = request.headers().get(header::USER_AGENT);
        let exchange = Exchange {
            peer: request.extensions().get::<Peer>().map(|peer| peer.address),
            forwarded: reached::client(request.headers()),
            method: request.method().clone(),
            target: target(request.uri()),
            user_agent: user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            ..Exchange::default()
        };
        Self(Some(UnderWay {
            exchange,
            since: Instant::now(),
            observer: Arc::clone(observer),
            stopping: Arc::clone(stopping),
        }))
    }

    /// Takes down who asks.
    pub(crate) fn is_by(&mut self, user: Option<&str>) {
        if let Some(under_way) = &mut self.0 {
            under_way.exchange.user = user.map(str::to_owned);
        }
    }

    /// The answer, which tells the observer when it ends.
    pub(crate) fn observed(mut self, response: Response<Body>) -> Response<Body> {
        let Some(under_way) = self.0.take() else {
            return response;
        };
        let UnderWay {
            mut exchange,
            since,
            observer,
            ..
        } = under_way;
        exchange.status = response.status();
        exchange.failure = response.extensions().get::<Cause>().map(|cause| cause.text.clone());
        exchange.refused = response.extensions().get::<Why>().map(|why| why.0.clone());
        response.map(|inner| {
            let observed = Observed {
                inner,
                exchange,
                since,
                observer,
            };
            observed.boxed_unsync()
        })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(mut under_way) = self.0.take() else { return };
        let exchange = &mut under_way.exchange;
        exchange.elapsed = under_way.since.elapsed();
        match under_way.stopping.load(Ordering::Relaxed) {
            true => {
                exchange.status = StatusCode::SERVICE_UNAVAILABLE;
                exchange.failure = Some("broken off, as the server stopped".to_owned());
            }
            // nginx's number for it, which nobody is sent.
            false => exchange.status = StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        }
        (under_way.observer)(exchange);
    }
}

/// Why a request was refused before it was understood: an extension of the answer.
#[derive(Clone)]
pub(crate) struct Why(pub(crate) String);

/// What was asked for, without what may be a password or a token: some clients put theirs into a query (RFC 6750, 2.3), where none is read.
fn target(uri: &Uri) -> String {
    let mut target = uri.path().to_owned();
    let pairs = uri.query().into_iter().flat_map(|query| query.split('&'));
    for (at, pair) in pairs.enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if PARAMETERS.contains(&name) => target.push_str(pair),
            Some((name, _)) => target.extend([name, "=***"]),
            None if pair.is_empty() || PARAMETERS.contains(&pair) => target.push_str(pair),
            None => target.push_str("***"),
        }
    }
    target
}

struct Observed {
    inner: Body,
    exchange: Exchange,
    since: Instant,
    observer: Observer,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.exchange.sent += frame.data_ref().map_or(0, Buf::remaining) as u64,
            Some(Err(error)) => self.exchange.failure = Some(error.to_string()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.exchange.elapsed = self.since.elapsed();
        (self.observer)(&self.exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_in_no_line() {
        for (asked, told) in [
            ("/v2/", "/v2/"),
            ("/v2/a/tags/list?n=5&last=b", "/v2/a/tags/list?n=5&last=b"),
            ("/v2/?digest-algorithm=sha512", "/v2/?digest-algorithm=sha512"),
            ("/v2/?access_token=x&n=1", "/v2/?access_token=***&n=1"),
            (
                "/token?service=s&password=a=b&account=c",
                "/token?service=s&password=***&account=c",
            ),
            ("/v2/?secret&&n", "/v2/?***&&n"),
            ("/v2/?", "/v2/?"),
            ("http://user:password@host/v2/?N=1", "/v2/?N=***"),
        ] {
            assert_eq!(target(&asked.parse().expect("a target")), told);
        }
    }

    #[test]
    fn what_ends_without_an_answer_is_told_of() {
        let (told, stopping) = (
            Arc::new(std::sync::Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let all = Arc::clone(&told);
        let observer: Observer =
            Arc::new(move |exchange: &Exchange| all.lock().expect("a list").push(exchange.clone()));
        let request = Request::get("/v2/").body(()).expect("a request");
        drop(Begun::new(&request, Some(&observer), &stopping));
        stopping.store(true, Ordering::Relaxed);
        drop(Begun::new(&request, Some(&observer), &stopping));
        let told = told.lock().expect("a list");
        let words = told
            .iter()
            .map(|told| (told.target.as_str(), told.status.as_u16(), told.failure.as_deref()));
        let broken = "broken off, as the server stopped";
        assert_eq!(
            words.collect::<Vec<_>>(),
            [("/v2/", 499, None), ("/v2/", 503, Some(broken))]
        );
    }
}
