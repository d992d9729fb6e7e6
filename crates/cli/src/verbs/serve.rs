//! `teu serve`: layouts as a registry.

mod files;
mod tls;

use std::{io::Write, net::SocketAddr, sync::Arc};

use serde_json::json;
use teu_registry::{Exchange, Limits, Listening, Observer, Registry, Settings as Rules, serve};
use teu_spec::{Pick, Reference, Repository};
use teu_store::{Error, ErrorKind, Given, Store};
use teu_transport::layout::Layout;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};

use crate::{
    arguments::{Progress, Serve},
    failure::Failure,
    output,
    places::reference,
    say,
    settings::Settings,
    stopped,
};

pub(super) async fn run(arguments: &Serve, settings: Arc<Settings>) -> Result<(), Failure> {
    let mut given = Given::new();
    let mut names = Vec::new();
    for layout in &arguments.layouts {
        let (name, store) = repository(layout)?;
        given.give(&name, store)?;
        names.push(name);
    }
    let rules = Rules {
        writable: arguments.writable,
        deletes: arguments.deletes,
        limits: Limits::default().within_files(files::raise_limit()),
        ..Rules::default()
    };
    let mut followed = files::Followed::default();
    let tls = tls::read(&arguments.tls, &settings, &mut followed)?;
    let listener = listen(arguments.listen).map_err(|error| {
        let message = format!(
            "{} cannot be listened at; --listen takes another address",
            arguments.listen
        );
        Error::from(error).within(message)
    })?;
    let address = listener.local_addr().map_err(Error::from)?;
    let registry = Arc::new(Registry::new(Arc::new(given), rules, observer(&settings)));
    match settings.json {
        true => output::json(&json!({"address": address, "repositories": names}))?,
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
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = followed.follow() => {}
        _ = stopped() => drop(stop),
    }
    tokio::select! {
        () = serving => Ok(()),
        signal = stopped() => Err(Failure::Stopped { signal }),
    }
}

/// Listens at an address, so that as many clients as can be accepted in a moment may come in it.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    /// The system holds it to its own limit.
    const WAITING: u32 = 4096;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port that was listened at before is free again, whatever connections still end there.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
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
        None => {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let last = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if Repository::check_path(&last).is_err() {
                let message = format!("{last:?} is no name for a repository; write NAME={place}");
                return Err(Failure::Usage(message));
            }
            last
        }
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

/// Says a line for each request, or an object in JSON, or nothing.
fn observer(settings: &Settings) -> Option<Observer> {
    let progress = settings.progress;
    if progress == Progress::None {
        return None;
    }
    Some(Arc::new(move |exchange: &Exchange| {
        let line = match progress {
            Progress::Json => in_json(exchange),
            _ => in_words(exchange),
        };
        // A log that nobody takes stops no one.
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }))
}

fn in_json(exchange: &Exchange) -> String {
    json!({
        "time": say::now(),
        "peer": exchange.peer,
        "method": exchange.method.as_str(),
        "target": exchange.target,
        "status": exchange.status.as_u16(),
        "sent": exchange.sent,
        "milliseconds": exchange.elapsed.as_millis() as u64,
        "userAgent": exchange.user_agent,
        "failure": exchange.failure,
    })
    .to_string()
}

fn in_words(exchange: &Exchange) -> String {
    let peer = exchange.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let line = format!(
        "{} {peer} {} {} {} {} {} ms",
        say::now(),
        exchange.method,
        exchange.target,
        exchange.status.as_u16(),
        output::size(exchange.sent),
        exchange.elapsed.as_millis(),
    );
    let failure = exchange.failure.as_ref().map(|failure| format!(" ({failure})"));
    say::plain(&(line + &failure.unwrap_or_default()))
}
