//! How do requests come from connections? In HTTP/1.1 and HTTP/2, as many at once as is allowed, until the server is told to stop.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{Registry, connection::Patient, exchange::Peer, settings::Limits};

/// How often uploads are looked at that may have been idle for too long.
const LOOK: Duration = Duration::from_secs(30);
/// How long nothing is accepted where the system refuses to: it has no file handles left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves `registry` on a listening socket until `stop` ends. Then nothing new is accepted, what is under way may end within
/// [`Limits::grace`], and what is not done by then is broken off. What was written of uploads is removed.
///
/// What a broken client does to its own connection ends that alone, and is no error.
pub async fn serve(registry: Arc<Registry>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let limits = registry.settings.limits.clone();
    let builder = builder(&limits);
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
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
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            sleep(BREATH).await;
            continue;
        };
        let registry = Arc::clone(&registry);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let registry = Arc::clone(&registry);
            async move { Ok::<_, Infallible>(registry.answer(request).await) }
        });
        let stream = TokioIo::new(Patient::new(stream, limits.connection_idle));
        let connection = graceful.watch(builder.serve_connection(stream, service).into_owned());
        connections.spawn(async move {
            // An error is the client's: it broke off, or sent what is no HTTP, and was told so where it can be.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    // Where it takes too long, the rest is broken off.
    let _ = timeout(limits.grace, graceful.shutdown()).await;
    connections.shutdown().await;
    registry.close();
}

/// The next connection, when there is room for one; none where the system refuses.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    // Answers go out when they are there; where that cannot be set they are only slower.
    let _ = stream.set_nodelay(true);
    Some((stream, peer, permit))
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_time)
        .keep_alive_timeout(limits.head_time);
    builder
}
