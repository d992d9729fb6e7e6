//! What happened? A line for each request on standard error, written by a thread of its own: a log that nobody takes stops no one.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use teu_registry::{Exchange, FailedHandshake, HandshakeObserver, Metrics, Observer};

use crate::{
    arguments::{self, LogFormat, LogRequests, Progress},
    output, say,
    settings::Settings,
};

/// How many lines wait to be taken. Those that come when so many do are left out.
const WAITING: usize = 10_000;
/// How long the last lines may take.
const LAST: Duration = Duration::from_millis(500);

/// How often a connection has a line on which TLS was not agreed on for the same reason: who asks for nothing is to fill no disk.
const HANDSHAKES: Duration = Duration::from_secs(1);
/// How many reasons have lines of their own. What a client says last is one, so that it could make up more; those share a line.
const REASONS: usize = 16;

/// The log.
pub(super) struct Log(Option<Lines>);

/// Where lines go.
#[derive(Clone)]
struct Lines {
    entries: SyncSender<Entry>,
    format: LogFormat,
    /// How many were left out, as nobody took them.
    left_out: Arc<AtomicU64>,
}

enum Entry {
    Line(String),
    /// Tells when all before it is written.
    Flush(Sender<()>),
}

impl Log {
    /// Begins to write, unless nobody wants to read; and counts, where that is wanted.
    pub(super) fn begin(
        wanted: &arguments::Log,
        settings: &Settings,
        metrics: Option<Arc<Metrics>>,
    ) -> (Self, Option<Observer>) {
        let requests = wanted.requests.unwrap_or(match settings.progress {
            Progress::None => LogRequests::None,
            _ => LogRequests::All,
        });
        let format = wanted.format.unwrap_or(match settings.progress {
            Progress::Json => LogFormat::Json,
            _ => LogFormat::Text,
        });
        if requests == LogRequests::None {
            let counts = metrics.map(|metrics| {
                let counts: Observer = Arc::new(move |exchange: &Exchange| metrics.count(exchange));
                counts
            });
            return (Self(None), counts);
        }
        let (sender, receiver) = sync_channel(WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        thread::spawn(move || write(&receiver, &counted));
        let lines = Lines {
            entries: sender,
            format,
            left_out,
        };
        let log = Self(Some(lines.clone()));
        let observer: Observer = Arc::new(move |exchange: &Exchange| {
            if let Some(metrics) = &metrics {
                metrics.count(exchange);
            }
            if requests == LogRequests::Failures && exchange.failure.is_none() && !exchange.status.is_server_error() {
                return;
            }
            lines.put(match format {
                LogFormat::Json => in_json(exchange),
                LogFormat::Text => in_words(exchange),
            });
        });
        (log, Some(observer))
    }

    /// Writes lines of connections on which TLS was not agreed on, where there are lines: now and then one for each reason, which tells how many others
    /// there were of that.
    pub(super) fn handshakes(&self) -> Option<HandshakeObserver> {
        let lines = self.0.clone()?;
        let paces = Mutex::new(Paces::default());
        Some(Arc::new(move |failed: &FailedHandshake| {
            let mut paces = paces.lock().unwrap_or_else(PoisonError::into_inner);
            let next = paces.next(&failed.reason, Instant::now());
            drop(paces);
            if let Some(others) = next {
                lines.put(handshake(failed, others, lines.format));
            }
        }))
    }

    /// Says what is no request's, where there are lines.
    pub(super) fn note(&self, message: &str) {
        if let Some(lines) = &self.0 {
            lines.put(match lines.format {
                LogFormat::Json => json!({"time": say::now(), "message": message}).to_string(),
                LogFormat::Text => format!("teu: {message}"),
            });
        }
    }

    /// Waits until all is written, or a while where nobody takes it.
    pub(super) fn end(self) {
        let (told, written) = channel();
        if let Some(lines) = self.0
            && lines.entries.try_send(Entry::Flush(told)).is_ok()
        {
            // Where nobody takes it, there is nobody to miss it.
            let _ = written.recv_timeout(LAST);
        }
    }
}

impl Lines {
    fn put(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.entries.try_send(Entry::Line(line)) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The pace of each reason, and of all for which there is no room.
#[derive(Default)]
struct Paces {
    known: HashMap<String, Pace>,
    rest: Pace,
}

impl Paces {
    /// How many others there were for the same reason since it was said last, where this one is to be said.
    fn next(&mut self, reason: &str, now: Instant) -> Option<u64> {
        if !self.known.contains_key(reason) && self.known.len() >= REASONS {
            self.known.retain(|_, pace| !pace.is_over(now));
            if self.known.len() >= REASONS {
                return self.rest.next(now);
            }
        }
        self.known.entry(reason.to_owned()).or_default().next(now)
    }
}

/// How often something is said that may happen much more often.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    others: u64,
}

impl Pace {
    /// How many others there were since one was said last, where this one is to be said.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.is_at_rest(now) {
            self.others += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.others))
    }

    fn is_at_rest(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last + HANDSHAKES)
    }

    /// Whether nothing is lost with it.
    fn is_over(&self, now: Instant) -> bool {
        self.others == 0 && !self.is_at_rest(now)
    }
}

fn handshake(failed: &FailedHandshake, others: u64, format: LogFormat) -> String {
    let FailedHandshake { peer, reason } = failed;
    match format {
        LogFormat::Json => json!({
            "time": say::now(),
            "peer": peer,
            "handshake": reason,
            "others": others,
        })
        .to_string(),
        LogFormat::Text => {
            let others = match others {
                0 => String::new(),
                others => format!("; {others} others for this reason since its last line"),
            };
            say::plain(&format!(
                "{} {peer} - TLS is not agreed on: {reason}{others}",
                say::now()
            ))
        }
    }
}

fn write(entries: &Receiver<Entry>, left_out: &AtomicU64) {
    for entry in entries {
        match entry {
            Entry::Line(mut line) => {
                let missing = left_out.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    line = format!(
                        "{} {missing} lines are left out here, which nobody took\n{line}",
                        say::now()
                    );
                }
                line.push('\n');
                // Where it cannot be said, there is nowhere to say so.
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
            Entry::Flush(told) => {
                let _ = told.send(());
            }
        }
    }
}

fn in_json(exchange: &Exchange) -> String {
    json!({
        "time": say::now(),
        "peer": exchange.peer,
        "forwarded": exchange.forwarded,
        "user": exchange.user,
        "method": exchange.method.as_str(),
        "target": exchange.target,
        "status": exchange.status.as_u16(),
        "sent": exchange.sent,
        "milliseconds": exchange.elapsed.as_millis() as u64,
        "userAgent": exchange.user_agent,
        "failure": exchange.failure,
        "refused": exchange.refused,
    })
    .to_string()
}

fn in_words(exchange: &Exchange) -> String {
    let peer = exchange.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let line = format!(
        "{} {peer} {} {} {} {} {} {} ms",
        say::now(),
        exchange.user.as_deref().map_or(Cow::Borrowed("-"), word),
        exchange.method,
        exchange.target,
        exchange.status.as_u16(),
        output::size(exchange.sent),
        exchange.elapsed.as_millis(),
    );
    // Last, so that the others stand where they always do.
    let forwarded = exchange.forwarded.as_ref().map(|client| format!(" for {client}"));
    let line = line + &forwarded.unwrap_or_default();
    let why = exchange.failure.as_ref().or(exchange.refused.as_ref());
    let why = why.map(|why| format!(" ({why})"));
    say::plain(&(line + &why.unwrap_or_default()))
}

/// A name as one word of a line.
fn word(name: &str) -> Cow<'_, str> {
    let is_one = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    match is_one {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("{name:?}").replace(' ', "\\u{20}")),
    }
}

#[cfg(test)]
mod tests {
    use teu_registry::http::Method;

    use super::*;

    /// However many come there is a line in a second, and none is uncounted.
    #[test]
    fn who_asks_for_nothing_fills_no_disk() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let said: Vec<_> = [0, 1, 999, 1000, 1001, 5000, 5001, 6000]
            .into_iter()
            .map(|milliseconds| pace.next(begun + Duration::from_millis(milliseconds)))
            .collect();
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1), None, Some(1)]);
        let failed = FailedHandshake {
            peer: ([127, 0, 0, 1], 4711).into(),
            reason: "no\nTLS".to_owned(),
        };
        for (others, end) in [
            (0, " 127.0.0.1:4711 - TLS is not agreed on: no\\nTLS"),
            (2, " no\\nTLS; 2 others for this reason since its last line"),
        ] {
            let line = handshake(&failed, others, LogFormat::Text);
            assert!(line.ends_with(end), "{line}");
            let line = handshake(&failed, others, LogFormat::Json);
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(
                (&line["handshake"], &line["others"]),
                (&json!("no\nTLS"), &json!(others))
            );
        }
    }

    /// Who looks every moment whether a port is open hides no client whose certificate expired; nor is anybody let to make up reasons for more lines.
    #[test]
    fn each_reason_has_a_line_and_not_more_than_a_few_have() {
        let (mut paces, now) = (Paces::default(), Instant::now());
        let said = ["no TLS", "no TLS", "expired", "expired", "no TLS"].map(|reason| paces.next(reason, now));
        assert_eq!(said, [Some(0), None, Some(0), None, None]);
        let later = now + HANDSHAKES;
        assert_eq!(paces.next("no TLS", later), Some(2));
        let made_up = |paces: &mut Paces, moment| {
            let said = (0..100).filter_map(|number| paces.next(&number.to_string(), moment));
            said.collect::<Vec<_>>()
        };
        // One for each that there is room for, and one for all others.
        assert_eq!(made_up(&mut paces, later), [0; REASONS - 2 + 1]);
        assert_eq!(paces.next("expired", later), Some(1));
        let at_last = later + HANDSHAKES;
        // What has nothing more to tell makes room.
        assert_eq!(made_up(&mut paces, at_last).len(), REASONS + 1);
        assert_eq!(paces.known.len(), REASONS);
    }

    #[test]
    fn whom_a_proxy_asks_for_is_told_beside_it() {
        let exchange = |forwarded: Option<&str>| Exchange {
            peer: Some(([127, 0, 0, 1], 4711).into()),
            forwarded: forwarded.map(str::to_owned),
            method: Method::GET,
            target: "/v2/".to_owned(),
            sent: 2,
            elapsed: Duration::from_millis(3),
            ..Exchange::default()
        };
        for (forwarded, end) in [
            (None, " GET /v2/ 200 2 B 3 ms"),
            (Some("10.0.0.1"), " GET /v2/ 200 2 B 3 ms for 10.0.0.1"),
        ] {
            let line = in_words(&exchange(forwarded));
            assert!(line.ends_with(end) && line.contains(" 127.0.0.1:4711 - "), "{line}");
            let line: serde_json::Value = serde_json::from_str(&in_json(&exchange(forwarded))).expect("JSON");
            assert_eq!(
                (&line["peer"], &line["forwarded"]),
                (&json!("127.0.0.1:4711"), &json!(forwarded))
            );
        }
    }
}
