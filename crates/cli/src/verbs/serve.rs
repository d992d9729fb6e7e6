//! `teu serve`: what is pushed to it, or layouts, as a registry.

mod access;
mod carry;
pub(crate) mod config;
mod files;
mod fsck;
mod issuer;
mod log;
mod tend;
mod tls;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use teu_depot::Depot;
use teu_registry::{
    Base, Children, Limits, Listening, Locations, Metrics, Prefix, Reached, Registry, Settings as Rules,
    http::{HeaderMap, HeaderName, HeaderValue},
    is_own, serve, serve_metrics,
};
use teu_spec::{Pick, Reference, Repository};
use teu_store::{Error, ErrorKind, Given, Repositories, Store};
use teu_transport::layout::Layout;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};

use crate::{
    arguments::{self, Serve},
    failure::Failure,
    output,
    places::reference,
    settings::Settings,
    stopped,
};

/// What is served.
struct Place {
    repositories: Arc<dyn Repositories>,
    rules: Rules,
    /// What is said of it beside the address.
    said: (&'static str, Value),
    /// What is tended meanwhile.
    depot: Option<Depot>,
}

pub(super) async fn run(arguments: &Serve, settings: Arc<Settings>) -> Result<(), Failure> {
    if let Some(tend) = &arguments.tend {
        return tend::run(tend, &settings).await;
    }
    check(arguments)?;
    if arguments.print_config {
        return config::show(&arguments.effective, &settings);
    }
    let limits = limits(&arguments.limits)?;
    // Whoever is told the address may end it in the same moment.
    let ended = stopped();
    let Place {
        repositories,
        mut rules,
        said,
        depot,
    } = place(arguments, &settings).await?;
    let reached = &arguments.reached;
    rules.http2 = reached.http2;
    (rules.reached, rules.headers) = told(reached)?;
    rules.limits = limits.within_files(files::raise_limit());
    let mut followed = files::Followed::begin(&settings);
    let tls = tls::read(&arguments.tls, &settings, &mut followed)?;
    let shows_certificates = !arguments.tls.clients.is_empty() && !arguments.tls.clients_unnamed;
    let (gate, refresh) = access::read(&arguments.access, shows_certificates, &settings, &mut followed)?;
    let listener = listen(arguments.listen.0, "--listen")?;
    let measured = arguments
        .reached
        .metrics
        .map(|address| listen(address.0, "--metrics"))
        .transpose()?;
    let metrics = measured.as_ref().map(|_| Arc::new(Metrics::new()));
    let address = listener.local_addr().map_err(Error::from)?;
    let (log, observer) = log::Log::begin(&arguments.log, &settings, metrics.clone());
    let mut registry = Registry::new(repositories, rules, observer);
    if let Some(gate) = gate {
        registry = registry.behind(gate);
    }
    if let Some(handshakes) = log.handshakes() {
        registry = registry.telling(handshakes);
    }
    let registry = Arc::new(registry);
    if let Some(metrics) = &metrics {
        metrics.watch(&registry);
    }
    let counted = metrics.clone();
    let metrics_address = measured.as_ref().and_then(|socket| socket.local_addr().ok());
    match settings.json {
        true => output::json(&json!({"address": address, "metrics": metrics_address, said.0: said.1}))?,
        false => output::line(&address.to_string())?,
    }
    let (stop, told) = oneshot::channel::<()>();
    let told = async {
        // It is told, or nobody is left who could tell.
        let _ = told.await;
    };
    let listening = Listening { socket: listener, tls };
    let serving = serve(registry, listening, told);
    tokio::pin!(serving);
    let measuring = async {
        match (metrics, measured) {
            (Some(metrics), Some(socket)) => serve_metrics(metrics, socket, &arguments.reached.metrics_path).await,
            _ => std::future::pending().await,
        }
    };
    let refreshing = async {
        match refresh {
            Some(refresh) => refresh.run().await,
            None => std::future::pending().await,
        }
    };
    let tending = async {
        match &depot {
            Some(depot) => tend::keep(depot, &arguments.depot, &settings, counted.as_deref()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = &mut serving => {
            log.end();
            return Ok(());
        }
        () = followed.follow() => {}
        () = tending => {}
        () = measuring => {}
        () = refreshing => {}
        _ = ended => drop(stop),
    }
    let outcome = tokio::select! {
        uploads = serving => {
            log.note(&stopped_words(uploads, depot.is_some()));
            Ok(())
        }
        signal = stopped() => Err(Failure::Stopped { signal }),
    };
    log.end();
    outcome
}

/// That it stopped, and what becomes of uploads that were not done.
fn stopped_words(uploads: usize, keeps: bool) -> String {
    match (uploads, keeps) {
        (0, _) => "stopped; no upload was under way".to_owned(),
        (uploads, true) => format!("stopped; uploads that are kept for who goes on with them: {uploads}"),
        (uploads, false) => format!("stopped; uploads that were not done, and are gone: {uploads}"),
    }
}

/// Refuses settings that mean nothing together, or nothing at all.
fn check(arguments: &Serve) -> Result<(), Failure> {
    let kept = &arguments.depot;
    let serves_layouts = layouts(arguments).next().is_some();
    let depots = [
        ("--data", kept.data.directory.is_some()),
        ("--sparse", kept.sparse),
        ("--sparse-indexes", kept.sparse_indexes),
        ("--gc-untagged", kept.gc_untagged.is_some()),
        ("--immutable", !kept.immutable.patterns.is_empty()),
    ];
    let depots = depots.into_iter().find(|(_, is_said)| *is_said && serves_layouts);
    let message = match depots {
        Some((flag, _)) => format!("{flag} cannot be used with layouts"),
        None if kept.read_only && arguments.deletes => "--read-only cannot be used with --deletes".to_owned(),
        None if kept.read_only && arguments.writable => "--read-only cannot be used with --writable".to_owned(),
        None if arguments.writable && !serves_layouts => {
            "--writable is for layouts; what is pushed elsewhere is kept without it".to_owned()
        }
        None if serves_layouts && arguments.deletes && !arguments.writable => {
            "what is deleted from layouts is written to them: --deletes wants --writable".to_owned()
        }
        None if arguments.limits.max_uploads_kept == 0 => "--max-uploads-kept is 0, which lets nobody push".to_owned(),
        None if arguments.limits.idle_upload_kept.0.is_zero() => {
            "--idle-upload-kept is 0, which lets nobody push; a day is usual".to_owned()
        }
        None if kept.gc_interval.0 < Duration::from_secs(1) => "--gc-interval is at least a second".to_owned(),
        None if kept.gc_untagged.is_some_and(|stays| stays.0 < least_untagged(kept)) => {
            "--gc-untagged is at least an hour, or --gc-lease where that is shorter: the images of an index have no tag while the rest of it is pushed".to_owned()
        }
        None => return Ok(()),
    };
    Err(Failure::Usage(message))
}

/// How long what no tag leads to stays at least: as long as a push may take, which what is pushed before has to last for. That it does is what a lease is for too.
fn least_untagged(kept: &arguments::ServeDepot) -> Duration {
    const PUSH: Duration = Duration::from_secs(3600);
    kept.gc_lease.0.min(PUSH)
}

/// How clients reach it, and what every answer has.
fn told(said: &arguments::ServeReached) -> Result<(Reached, HeaderMap), Failure> {
    let usage = |error: Error| Failure::Usage(error.to_string());
    let reached = Reached {
        prefix: Prefix::parse(&said.prefix).map_err(usage)?,
        locations: match said.location.as_str() {
            "relative" => Locations::Relative,
            "absolute" => Locations::Absolute,
            url => Locations::At(Base::parse(url).map_err(usage)?),
        },
    };
    let mut headers = HeaderMap::new();
    // A variable of several lines may end with an empty one.
    for header in said.header.iter().filter(|header| !header.is_empty()) {
        let pair = header.split_once(':');
        let read = pair.and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = read.ok_or_else(|| {
            let message = format!("{header:?} is no header; --header and each line of TEU_SERVE_HEADER is NAME: VALUE");
            Failure::Usage(message)
        })?;
        if is_own(&name) {
            let message = format!("--header cannot be {name}, which answers have of their own");
            return Err(Failure::Usage(message));
        }
        headers.append(name, value);
    }
    match said.metrics_path.starts_with('/') {
        true => Ok((reached, headers)),
        false => Err(Failure::Usage("--metrics-path begins with a slash".to_owned())),
    }
}

/// How much a client may ask for.
fn limits(said: &arguments::ServeLimits) -> Result<Limits, Failure> {
    let limits = Limits {
        manifest: said.max_manifest.0,
        gathered: Limits::default().gathered,
        tags: said.max_tags,
        page: said.max_page,
        listed: said.max_listed,
        uploads: said.max_uploads,
        upload_idle: said.idle_upload.0,
        body_idle: said.idle_body.0,
        connections: said.max_connections,
        connection_idle: said.idle_connection.0,
        head_time: said.time_head.0,
        head: usize::try_from(said.max_head.0).unwrap_or(usize::MAX),
        headers: said.max_headers,
        streams: said.max_streams,
        grace: said.time_stop.0,
    };
    limits
        .check()
        .map_err(|unfit| Failure::Usage(format!("{} {}", flag(unfit.limit), unfit.why)))?;
    Ok(limits)
}

/// The flag that sets a limit.
fn flag(limit: &str) -> String {
    match limit.rsplit_once('_') {
        Some((what, kind)) => format!("--{kind}-{what}"),
        None => format!("--max-{limit}"),
    }
}

/// Listens at an address, so that as many clients as can be accepted in a moment may come in it.
fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Error> {
    /// The system holds it to its own limit.
    const WAITING: u32 = 4096;
    let listening = |address: SocketAddr| {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if is_every(&address) {
            // Whatever net.ipv6.bindv6only says.
            rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
        }
        // A port that was listened at before is free again, whatever connections still end there.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(WAITING)
    };
    let listened = listening(address).or_else(|error: std::io::Error| match instead(&address, &error) {
        Some(other) => listening(other),
        None => Err(error),
    });
    listened.map_err(|error: std::io::Error| {
        let message = format!("{address} cannot be listened at; {flag} takes another address");
        Error::from(error).within(message)
    })
}

/// Whether it stands for all addresses of this machine, of either kind.
fn is_every(address: &SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// What stands for all addresses of a machine that has no IPv6.
fn instead(address: &SocketAddr, error: &std::io::Error) -> Option<SocketAddr> {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    let has_none = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .into_iter()
        .any(|errno| code == Some(errno.raw_os_error()));
    (has_none && is_every(address)).then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
}

/// The depot, or the layouts that were named.
async fn place(arguments: &Serve, settings: &Settings) -> Result<Place, Failure> {
    if layouts(arguments).next().is_none() {
        let (depot, directory) = tend::open(arguments, settings).await?;
        return Ok(Place {
            repositories: Arc::new(depot.clone()),
            rules: Rules {
                writable: !arguments.depot.read_only,
                deletes: arguments.deletes,
                // It asks itself, in the transaction that puts the manifest.
                children: Children::AsTheStoreSays,
                ..Rules::default()
            },
            said: ("data", json!(directory)),
            depot: Some(depot),
        });
    }
    let mut given = Given::new();
    let mut names = Vec::new();
    for layout in layouts(arguments) {
        let (name, store) = repository(layout)?;
        given.give(&name, store)?;
        names.push(name);
    }
    Ok(Place {
        repositories: Arc::new(given),
        rules: Rules {
            writable: arguments.writable,
            deletes: arguments.deletes,
            ..Rules::default()
        },
        said: ("repositories", json!(names)),
        depot: None,
    })
}

/// The layouts that were named. A variable of several lines may end with an empty one.
fn layouts(arguments: &Serve) -> impl Iterator<Item = &String> {
    arguments.layouts.iter().filter(|layout| !layout.is_empty())
}

/// A layout, and what its repository is called.
fn repository(argument: &str) -> Result<(String, Arc<dyn Store>), Failure> {
    let (name, place) = match argument.split_once('=') {
        // What has an = may be a directory's name as well.
        Some((name, place)) if !name.contains(':') => (Some(name), place),
        _ => (None, argument),
    };
    let path = match reference(place)? {
        Reference::Layout { path, pick: Pick::Only } => path,
        Reference::Layout { .. } => {
            let message = format!("{place} is one image, and a layout is served as a whole: write oci:DIRECTORY");
            return Err(Failure::Usage(message));
        }
        other => return Err(Failure::Usage(format!("{other} is no layout; write oci:DIRECTORY"))),
    };
    let name = match name {
        Some(name) => name.to_owned(),
        None => directory_name(&path, place)?,
    };
    let layout = Layout::open(path, None).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let message = format!("{error}; teu init makes an empty layout");
            Error::new(ErrorKind::NotFound, message)
        }
        _ => error,
    })?;
    Ok((name, Arc::new(layout)))
}

/// What the repository of a layout is called that was given no name: as the directory is.
fn directory_name(path: &Path, place: &str) -> Result<String, Failure> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let last = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if Repository::check_path(&last).is_err() {
        let message = format!("{last:?} is no name for a repository; write NAME={place}");
        return Err(Failure::Usage(message));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn without_the_newer_addresses_the_older_ones_are_all() {
        for (address, errno, expected) in [
            ("[::]:5000", Errno::AFNOSUPPORT, Some("0.0.0.0:5000")),
            ("[::]:5000", Errno::ADDRNOTAVAIL, Some("0.0.0.0:5000")),
            ("[::]:5000", Errno::ADDRINUSE, None),
            ("[::1]:5000", Errno::AFNOSUPPORT, None),
            ("0.0.0.0:5000", Errno::ADDRNOTAVAIL, None),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            let error = std::io::Error::from(errno);
            let found = instead(&address, &error).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{address} {errno:?}");
        }
    }
}
