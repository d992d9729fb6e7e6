//! How do requests come from connections? In HTTP/1.1 and HTTP/2, as many at once as is allowed, until the server is told to stop.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use rustls::pki_types::CertificateDer;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    Registry, Tls,
    attend::attend,
    certificate::common_name,
    direct::{Open, UnderWay},
    exchange::Peer,
    handshakes::{FailedHandshake, NO_TLS, reason},
    outgoing::Sending,
    settings::Settings,
    unsecured,
};

/// How often uploads are looked at that may have been idle for too long, and whether there is memory that nobody wants any more.
const LOOK: Duration = Duration::from_secs(30);
/// How long nothing is accepted where the system refuses to: it has no file handles left.
const BREATH: Duration = Duration::from_millis(100);
/// How much of a request's content is read at once, at most, on some connections. Heads have a limit of their own ([`Strict`](crate::strict::Strict)).
const AT_ONCE: usize = 256 << 10;
/// On how many: others read no more at once than a head may have, so that the memory of all has a limit.
const LARGE: usize = 64;
/// How much of content waits to be taken, at most, on a connection of HTTP/2: so many times as much as is read at once.
const WINDOWS: usize = 4;
/// Of no less than this.
const LEAST: usize = 64 << 10;
/// How much of an answer waits to be sent by HTTP/2 before more of it is read.
const SENT: usize = 64 << 10;

/// Where clients are waited for.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: TcpListener,
    /// How TLS is spoken; none where it is not.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listening {
    /// Without TLS.
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// Serves `registry` on a listening socket until `stop` ends. Then nothing new is accepted, what is under way may end within
/// [`Limits::grace`](crate::Limits::grace), and what is not done by then is broken off. What was written of uploads is removed, unless the place keeps
/// it for who goes on with them later; it says how many those were.
///
/// What a broken client does to its own connection ends that alone, and is no error.
pub async fn serve(registry: Arc<Registry>, listening: impl Into<Listening>, stop: impl Future<Output = ()>) -> usize {
    let Listening { socket, tls } = listening.into();
    let limits = registry.settings.limits.clone();
    let large = large(&registry.settings);
    let room = Arc::new(Semaphore::new(limits.connections));
    let under_way = UnderWay::default();
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut look = interval(LOOK.min(limits.upload_idle.max(BREATH)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = look.tick() => {
                registry.expire();
                continue;
            }
            Some(_) = connections.join_next() => continue,
            accepted = accept(&socket, &room) => accepted,
        };
        let (stream, address, permit) = match accepted {
            Ok(accepted) => accepted,
            // A client that went away while it waited is no reason to keep others waiting.
            Err(error) if is_the_clients(&error) => continue,
            Err(_) => {
                sleep(BREATH).await;
                continue;
            }
        };
        let (registry, stopped) = (Arc::clone(&registry), stopped.clone());
        let grace = limits.grace;
        let (at_once, large) = at_once(limits.head, &large);
        let under_way = Arc::clone(&under_way);
        // Each connection shows the certificate that there is when it begins.
        let tls = tls.clone();
        connections.spawn(async move {
            let _connected = registry.connected();
            let builder = builder(&registry.settings, at_once);
            let mut peer = Peer {
                address,
                is_secure: tls.is_some(),
                common_name: None,
            };
            match tls {
                None => {
                    let stream = Sending::new(stream);
                    let outgoing = Some(stream.outgoing());
                    let direct = registry
                        .settings
                        .writable
                        .then(|| Open::new(stream.socket(), at_once, under_way));
                    let stop = until_stopped(stopped);
                    attend(registry, &builder, stream, peer, outgoing, direct, stop).await;
                }
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.config());
                    if let Some(stream) = shake_hands(acceptor, stream, address, &registry, stopped.clone()).await {
                        let shown = stream.get_ref().1.peer_certificates();
                        let shown = shown.map(|chain| chain.iter().map(|der| der.clone().into_owned()).collect());
                        let shown: Vec<CertificateDer<'static>> = shown.unwrap_or_default();
                        peer.common_name = shown.first().and_then(common_name).map(Arc::from);
                        let (tell, told) = oneshot::channel::<()>();
                        let cut = async move {
                            match shown.is_empty() {
                                true => pending().await,
                                false => tls.until_disbelieved(&shown).await,
                            }
                            drop(tell);
                            sleep(grace).await;
                        };
                        let stop = async {
                            tokio::select! {
                                () = until_stopped(stopped) => {}
                                // The sender says nothing, and is dropped.
                                _ = told => {}
                            }
                        };
                        tokio::select! {
                            () = attend(registry, &builder, stream, peer, None, None, stop) => {}
                            // What is under way has as long to end as when the server stops.
                            () = cut => {}
                        }
                    }
                }
            }
            drop((permit, large));
        });
    }
    drop(socket);
    drop(stopping);
    // Where it takes too long, the rest is broken off.
    let _ = timeout(limits.grace, async { while connections.join_next().await.is_some() {} }).await;
    registry.breaks_off();
    connections.shutdown().await;
    registry.close().await
}

/// Waits until the server is told to stop.
async fn until_stopped(mut stopped: watch::Receiver<()>) {
    // The sender says nothing, and is dropped.
    let _ = stopped.changed().await;
}

/// Agrees on TLS; none where the client does not, or takes longer than for a head. Who speaks plain HTTP is answered in it.
async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    registry: &Registry,
    mut stopped: watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    // Whom it is not agreed with was told. Who runs the server may look for it.
    let failed = |reason| registry.failed_handshake(&FailedHandshake { peer, reason });
    let agree = async {
        if unsecured::is_plain(&stream).await? {
            failed(NO_TLS.to_owned());
            unsecured::answer(stream).await;
            return Ok(None);
        }
        acceptor.accept(stream).await.map(Some)
    };
    let agreed = tokio::select! {
        agreed = timeout(registry.settings.limits.head_time, agree) => agreed.ok()?,
        _ = stopped.changed() => return None,
    };
    agreed.unwrap_or_else(|error: io::Error| {
        if let Some(reason) = reason(&error) {
            failed(reason);
        }
        None
    })
}

/// The next connection, when there is room for one.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers go out when they are there; where that cannot be set they are only slower.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, permit))
}

/// Whether a connection could not be accepted for what its client did, and not for what the system lacks.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Room for connections that read much at once; none where nothing is pushed.
fn large(settings: &Settings) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(if settings.writable { LARGE } else { 0 }))
}

/// How much a connection reads at once, at most, where a head may have so many bytes; and its permit to read so much.
fn at_once(head: usize, large: &Arc<Semaphore>) -> (usize, Option<OwnedSemaphorePermit>) {
    match Arc::clone(large).try_acquire_owned() {
        Ok(permit) => (head.max(AT_ONCE), Some(permit)),
        Err(_) => (head, None),
    }
}

fn builder(settings: &Settings, at_once: usize) -> Builder<TokioExecutor> {
    let limits = &settings.limits;
    let window = window(at_once);
    let mut builder = Builder::new(TokioExecutor::new());
    if !settings.http2 {
        builder = builder.http1_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would hold a client to it that only asks nothing: heads are timed where they are read (`Strict`), silence by `attend`.
        .header_read_timeout(None)
        // As registry:2 has them: what is looked for in a head by hand is often looked for in these letters.
        .title_case_headers(true)
        // One more ends a head that has too many (`Strict`).
        .max_headers(limits.headers.saturating_add(1))
        .max_buf_size(at_once);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        // Of answers that a client asks for and does not take, each has no more than this, and what of a blob came with it.
        .max_send_buf_size(SENT)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_time)
        .keep_alive_timeout(limits.head_time);
    builder
}

/// How much a client of HTTP/2 may send that nobody has taken yet: 1 MiB where much is read at once, and 256 KiB elsewhere, so that a disk that is slow lets it
/// not become 1 MiB of each of all connections.
fn window(at_once: usize) -> u32 {
    let window = at_once.clamp(LEAST, AT_ONCE) * WINDOWS;
    u32::try_from(window).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_and_not_taken_is_bounded_by_what_is_read_at_once() {
        for (at_once, expected) in [
            (8 << 10, 256 << 10),
            (64 << 10, 256 << 10),
            (AT_ONCE, 1 << 20),
            (4 << 20, 1 << 20),
        ] {
            assert_eq!(window(at_once), expected, "{at_once}");
        }
    }

    #[test]
    fn few_connections_read_much_at_once_and_those_that_only_pull_do_not() {
        let mut settings = Settings::default();
        let head = settings.limits.head;
        let size = |settings: &Settings, head| at_once(head, &large(settings)).0;
        assert_eq!(size(&settings, head), 64 << 10);
        settings.writable = true;
        assert_eq!(size(&settings, head), 256 << 10);
        assert_eq!(size(&settings, 1 << 20), 1 << 20);
        let room = large(&settings);
        let mut connections: Vec<_> = (0..1000).map(|_| at_once(8 << 10, &room)).collect();
        let sum: usize = connections.iter().map(|(size, _)| size).sum();
        assert_eq!(sum, 64 * (256 << 10) + 936 * (8 << 10));
        // What one had that is gone another has.
        connections.remove(0);
        assert_eq!(at_once(8 << 10, &room).0, 256 << 10);
    }
}
