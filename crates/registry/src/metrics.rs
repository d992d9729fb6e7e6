//! How much is asked, and how fast is it answered? Counts of all exchanges, in the text that Prometheus reads (its format 0.0.4).
//!
//! What can be told apart is bounded, whatever clients send: methods, endpoints and statuses that are known, and no names of what is there.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};

use crate::{Exchange, Registry, connection::Patient, registry::Gauges};

/// Up to how many seconds an answer took: from what is in memory to a large layer over a slow line.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0];
/// Where registry:2 tells at its own second address whether it can work.
const HEALTH: &str = "/debug/health";
/// How many may read at once.
const READERS: usize = 16;
/// How long a reader may take to ask, and be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is accepted where the system refuses to.
const BREATH: Duration = Duration::from_millis(100);

/// What was counted.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
    is_damaged: AtomicBool,
    /// What is asked how much is under way.
    watched: OnceLock<Weak<Registry>>,
}

#[derive(Debug, Default)]
struct Counts {
    answers: BTreeMap<(&'static str, &'static str, u16), u64>,
    times: BTreeMap<(&'static str, &'static str), Times>,
    sent: BTreeMap<&'static str, u64>,
    failures: u64,
    swept: Swept,
    failed_sweeps: u64,
    /// When one went well last, in seconds since 1970.
    last_sweep: Option<u64>,
}

/// What a collection of garbage took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many blobs that nothing references.
    pub blobs: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many manifests that no tag leads to.
    pub manifests: u64,
}

#[derive(Debug, Default)]
struct Times {
    /// Those of each bucket alone; what is longer than all is in none.
    within: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has this registry be asked how much is under way, the first that is given, and as long as it is there.
    pub fn watch(&self, registry: &Arc<Registry>) {
        // Of a second one nothing is told.
        let _ = self.watched.set(Arc::downgrade(registry));
    }

    /// The database was found to be damaged.
    pub fn found_damaged(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }

    /// Counts what a collection of garbage took away that ended just now.
    pub fn swept(&self, swept: Swept) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut counts = self.counts();
        counts.swept.blobs += swept.blobs;
        counts.swept.bytes += swept.bytes;
        counts.swept.manifests += swept.manifests;
        counts.last_sweep = now.ok().map(|since| since.as_secs());
    }

    /// Counts one that failed.
    pub fn failed_to_sweep(&self) {
        self.counts().failed_sweeps += 1;
    }

    /// Counts an exchange. An observer calls this.
    pub fn count(&self, exchange: &Exchange) {
        let (method, endpoint) = (method(&exchange.method), endpoint(&exchange.target));
        let seconds = exchange.elapsed.as_secs_f64();
        let mut counts = self.counts();
        let status = exchange.status.as_u16();
        *counts.answers.entry((method, endpoint, status)).or_default() += 1;
        *counts.sent.entry(endpoint).or_default() += exchange.sent;
        counts.failures += u64::from(exchange.failure.is_some());
        let times = counts.times.entry((method, endpoint)).or_default();
        times.count += 1;
        times.seconds += seconds;
        if let Some(place) = BUCKETS.iter().position(|most| seconds <= *most) {
            times.within[place] += 1;
        }
    }

    /// All of it as Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let counts = self.counts();
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            // Writing to a text does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        };
        let name = "teu_registry_requests_total";
        head(&mut out, name, "counter", "Requests that were answered.");
        for ((method, endpoint, status), count) in &counts.answers {
            let labels = format!("method=\"{method}\",endpoint=\"{endpoint}\",status=\"{status}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
        let name = "teu_registry_request_duration_seconds";
        head(
            &mut out,
            name,
            "histogram",
            "From a request's head to its answer's end.",
        );
        for ((method, endpoint), times) in &counts.times {
            let labels = format!("method=\"{method}\",endpoint=\"{endpoint}\"");
            let mut so_far = 0;
            for (most, count) in BUCKETS.iter().zip(times.within) {
                so_far += count;
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{most}\"}} {so_far}");
            }
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", times.count);
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", times.seconds);
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", times.count);
        }
        let name = "teu_registry_sent_bytes_total";
        head(&mut out, name, "counter", "Bytes of content that were sent.");
        for (endpoint, bytes) in &counts.sent {
            let _ = writeln!(out, "{name}{{endpoint=\"{endpoint}\"}} {bytes}");
        }
        let name = "teu_registry_failures_total";
        head(
            &mut out,
            name,
            "counter",
            "Answers that failed on the registry's side, or were cut off.",
        );
        let _ = writeln!(out, "{name} {}", counts.failures);
        let name = "teu_registry_damaged";
        head(&mut out, name, "gauge", "1 where the database was found to be damaged.");
        let _ = writeln!(out, "{name} {}", u8::from(self.is_damaged.load(Ordering::Relaxed)));
        let Swept {
            blobs,
            bytes,
            manifests,
        } = counts.swept;
        for (name, help, count) in [
            ("teu_registry_gc_blobs_total", "Blobs that were collected.", blobs),
            (
                "teu_registry_gc_bytes_total",
                "Bytes of blobs that were collected.",
                bytes,
            ),
            (
                "teu_registry_gc_manifests_total",
                "Manifests that were removed as no tag led to them.",
                manifests,
            ),
            (
                "teu_registry_gc_failures_total",
                "Collections that failed.",
                counts.failed_sweeps,
            ),
        ] {
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {count}");
        }
        if let Some(last) = counts.last_sweep {
            let name = "teu_registry_gc_last_success_timestamp_seconds";
            head(&mut out, name, "gauge", "When a collection went well last.");
            let _ = writeln!(out, "{name} {last}");
        }
        if let Some(registry) = self.watched.get().and_then(Weak::upgrade) {
            let Gauges {
                connections,
                gathered,
                uploads,
            } = registry.gauges();
            let name = "teu_registry_connections";
            head(&mut out, name, "gauge", "Connections of clients.");
            let _ = writeln!(out, "{name} {connections}");
            let name = "teu_registry_gathered_bytes";
            let help = "Bytes of manifests, forms and lists that are under way in memory.";
            head(&mut out, name, "gauge", help);
            let _ = writeln!(out, "{name} {gathered}");
            let name = "teu_registry_uploads";
            head(&mut out, name, "gauge", "Uploads that are neither done nor forgotten.");
            let _ = writeln!(out, "{name} {uploads}");
            let name = "teu_registry_losses_total";
            let help =
                "Times that something was not there for a client as its bytes are lost; a push of it heals that.";
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", registry.losses());
            let name = "teu_registry_failed_logins_total";
            head(&mut out, name, "counter", "Times that a user or a password was wrong.");
            let _ = writeln!(out, "{name} {}", registry.failed_logins());
            let name = "teu_registry_unchecked_logins_total";
            let help = "Times that a password was not checked, as too many waited to be.";
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", registry.unchecked_logins());
            let name = "teu_registry_failed_handshakes_total";
            let help = "Connections on which TLS was not agreed on, as one side refused what the other said.";
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", registry.failed_handshakes());
        }
        out
    }

    /// As registry:2 says it: what fails by its name, and nothing where all is well.
    async fn health(&self) -> (StatusCode, String) {
        let registry = self.watched.get().and_then(Weak::upgrade);
        let failure = match registry {
            Some(registry) => registry.cannot_work().await,
            None => None,
        };
        match failure {
            None => (StatusCode::OK, "{}\n".to_owned()),
            Some(_) => {
                let text = "{\"storage\":\"what is kept cannot be reached; the server's log says more\"}\n";
                (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A count that a panic elsewhere left is no worse than one less.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whoever asks at a path, such as `/metrics`, of a socket, for as long as it is polled; and at `/debug/health`, where registry:2 does, whether the
/// registry that it [watches](Metrics::watch) can work. Nobody is asked who they are: the socket is one that only those reach who may know.
pub async fn serve_metrics(metrics: Arc<Metrics>, socket: TcpListener, path: &str) {
    let path: Arc<str> = Arc::from(path);
    let room = Arc::new(Semaphore::new(READERS));
    // Nobody closes it.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = socket.accept().await else {
            sleep(BREATH).await;
            continue;
        };
        let (metrics, path) = (Arc::clone(&metrics), Arc::clone(&path));
        let service = service_fn(move |request: Request<Incoming>| {
            let (metrics, path) = (Arc::clone(&metrics), Arc::clone(&path));
            async move {
                let response = told(&metrics, request.method(), &path, request.uri().path()).await;
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), service);
        tokio::spawn(async move {
            // An error is the reader's.
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn told(metrics: &Metrics, method: &Method, at: &str, path: &str) -> Response<Full<Bytes>> {
    let is_health = path == HEALTH && path != at;
    let (status, text) = match (path == at || is_health, method == Method::GET || method == Method::HEAD) {
        (true, true) if is_health => metrics.health().await,
        (true, true) => (StatusCode::OK, metrics.text()),
        (true, false) => (StatusCode::METHOD_NOT_ALLOWED, "this is only asked for\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, format!("there is only {at} and {HEALTH}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = match is_health {
        true => "application/json; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    known
        .into_iter()
        .find(|name| *name == method.as_str())
        .unwrap_or("other")
}

/// What kind of thing a request was about.
fn endpoint(target: &str) -> &'static str {
    let path = target.split('?').next().unwrap_or_default();
    // Before it may stand what the registry has before all its paths.
    let Some((_, rest)) = path.split_once("/v2") else {
        return match path {
            "/" | "/livez" | "/readyz" => "health",
            path if path.ends_with("/token") => "token",
            _ => "other",
        };
    };
    let segments: Vec<&str> = rest.split('/').collect();
    match segments[..] {
        [] | [""] | ["", ""] => "base",
        ["", "_catalog"] => "catalog",
        [.., "blobs", "uploads"] | [.., "blobs", "uploads", _] => "upload",
        [.., "blobs", _] => "blob",
        [.., "manifests", _] => "manifest",
        [.., "tags", "list"] => "tags",
        [.., "referrers", _] => "referrers",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(method: &str, target: &str, status: u16, sent: u64, milliseconds: u64) -> Exchange {
        Exchange {
            method: method.parse().expect("a method"),
            target: target.to_owned(),
            status: StatusCode::from_u16(status).expect("a status"),
            sent,
            elapsed: Duration::from_millis(milliseconds),
            failure: (status == 500).then(|| "the disk".to_owned()),
            ..Exchange::default()
        }
    }

    #[test]
    fn exchanges_are_counted_by_what_they_are_about() {
        let metrics = Metrics::new();
        for exchange in [
            exchange("GET", "/v2/a/b/manifests/1", 200, 10, 3),
            exchange("GET", "/v2/c/manifests/sha256:x?ns=y", 200, 20, 30),
            exchange("GET", "/v2/a/manifests/1", 500, 1, 400_000),
            exchange("BREW", "/\"}\n", 404, 5, 0),
        ] {
            metrics.count(&exchange);
        }
        let text = metrics.text();
        for line in [
            "# TYPE teu_registry_requests_total counter",
            "teu_registry_requests_total{method=\"GET\",endpoint=\"manifest\",status=\"200\"} 2",
            "teu_registry_requests_total{method=\"GET\",endpoint=\"manifest\",status=\"500\"} 1",
            "teu_registry_requests_total{method=\"other\",endpoint=\"other\",status=\"404\"} 1",
            "teu_registry_request_duration_seconds_bucket{method=\"GET\",endpoint=\"manifest\",le=\"0.001\"} 0",
            "teu_registry_request_duration_seconds_bucket{method=\"GET\",endpoint=\"manifest\",le=\"0.005\"} 1",
            "teu_registry_request_duration_seconds_bucket{method=\"GET\",endpoint=\"manifest\",le=\"300\"} 2",
            "teu_registry_request_duration_seconds_bucket{method=\"GET\",endpoint=\"manifest\",le=\"+Inf\"} 3",
            "teu_registry_request_duration_seconds_sum{method=\"GET\",endpoint=\"manifest\"} 400.033",
            "teu_registry_request_duration_seconds_count{method=\"GET\",endpoint=\"manifest\"} 3",
            "teu_registry_sent_bytes_total{endpoint=\"manifest\"} 31",
            "teu_registry_failures_total 1",
            "teu_registry_damaged 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
        metrics.found_damaged();
        assert!(metrics.text().lines().any(|found| found == "teu_registry_damaged 1"));
    }

    #[test]
    fn collections_are_counted() {
        let metrics = Metrics::new();
        let has = |line: &str| metrics.text().lines().any(|found| found == line);
        assert!(!metrics.text().contains("gc_last_success"));
        metrics.failed_to_sweep();
        for blobs in [2, 3] {
            metrics.swept(Swept {
                blobs,
                bytes: 100,
                manifests: 1,
            });
        }
        for line in [
            "teu_registry_gc_blobs_total 5",
            "teu_registry_gc_bytes_total 200",
            "teu_registry_gc_manifests_total 2",
            "teu_registry_gc_failures_total 1",
        ] {
            assert!(has(line), "no {line} in {}", metrics.text());
        }
        let text = metrics.text();
        let last = text
            .lines()
            .find_map(|line| line.strip_prefix("teu_registry_gc_last_success_timestamp_seconds "));
        // Later than this was written.
        assert!(last.and_then(|last| last.parse::<u64>().ok()) > Some(1_700_000_000));
    }

    /// An operator finds each in the book.
    #[test]
    fn all_that_is_told_is_documented() {
        const BEGINS: &str = "teu_registry_";
        let repositories = Arc::new(teu_store::ManyInMemory::new());
        let registry = Arc::new(Registry::new(repositories, crate::Settings::default(), None));
        let metrics = Metrics::new();
        metrics.watch(&registry);
        metrics.swept(Swept::default());
        let text = metrics.text();
        let told = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
        let told: Vec<(&str, &str)> = told.filter_map(|line| line.split_once(' ')).collect();
        let book = include_str!("../../../docs/serve.md");
        let rows = book
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let rows = rows.filter(|(name, _)| name.starts_with(BEGINS));
        let rows: Vec<(&str, &str)> = rows.map(|(name, help)| (name, help.trim_end_matches(" |"))).collect();
        assert_eq!(told, rows);
    }

    #[test]
    fn endpoints_are_told_apart() {
        for (target, expected) in [
            ("/v2/", "base"),
            ("/v2", "base"),
            ("/v2/_catalog?n=1", "catalog"),
            ("/v2/a/blobs/uploads/", "upload"),
            ("/v2/a/blobs/uploads/x", "upload"),
            ("/v2/a/blobs/sha256:x", "blob"),
            ("/v2/a/b/tags/list", "tags"),
            ("/v2/a/referrers/sha256:x", "referrers"),
            ("/token?scope=x", "token"),
            ("/x/token", "token"),
            ("/x/v2/a/manifests/1", "manifest"),
            ("/livez", "health"),
            ("/", "health"),
            ("/v2/a", "other"),
            ("", "other"),
        ] {
            assert_eq!(endpoint(target), expected, "{target}");
        }
    }

    #[tokio::test]
    async fn only_metrics_and_health_are_told() {
        let metrics = Metrics::new();
        for (method, path, status) in [
            (Method::GET, "/metrics", 200),
            (Method::HEAD, "/metrics", 200),
            (Method::POST, "/metrics", 405),
            (Method::GET, "/debug/health", 200),
            (Method::POST, "/debug/health", 405),
            (Method::GET, "/", 404),
        ] {
            assert_eq!(
                told(&metrics, &method, "/metrics", path).await.status(),
                status,
                "{method} {path}"
            );
        }
    }
}
