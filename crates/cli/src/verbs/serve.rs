//! `teu serve`: what is pushed to it, or layouts, as a registry.

mod access;
mod files;
mod fsck;
mod log;
mod tend;
mod tls;

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};
use teu_depot::Depot;
use teu_registry::{Children, Limits, Listening, Metrics, Registry, Settings as Rules, serve, serve_metrics};
use teu_spec::{Pick, Reference, Repository};
use teu_store::{Error, ErrorKind, Given, Repositories, Store};
use teu_transport::layout::Layout;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
};

use crate::{arguments::Serve, failure::Failure, output, places::reference, settings::Settings, stopped};

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
    let Place {
        repositories,
        mut rules,
        said,
        depot,
    } = place(arguments, &settings).await?;
    rules.limits = Limits::default().within_files(files::raise_limit());
    let mut followed = files::Followed::default();
    let tls = tls::read(&arguments.tls, &settings, &mut followed)?;
    let shows_certificates = arguments.tls.clients.is_some();
    let gate = access::read(&arguments.access, shows_certificates, &settings, &mut followed)?;
    let listener = listen(arguments.listen, "--listen")?;
    let measured = arguments
        .metrics
        .map(|address| listen(address, "--metrics"))
        .transpose()?;
    let metrics = measured.as_ref().map(|_| Arc::new(Metrics::new()));
    let address = listener.local_addr().map_err(Error::from)?;
    let (log, observer) = log::Log::begin(&settings, metrics.clone());
    let mut registry = Registry::new(repositories, rules, observer);
    if let Some(gate) = gate {
        registry = registry.behind(gate);
    }
    let registry = Arc::new(registry);
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
            (Some(metrics), Some(socket)) => serve_metrics(metrics, socket).await,
            _ => std::future::pending().await,
        }
    };
    let tending = async {
        match &depot {
            Some(depot) => tend::keep(depot, &settings).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = &mut serving => {
            log.end();
            return Ok(());
        }
        () = followed.follow() => {}
        () = tending => {}
        () = measuring => {}
        _ = stopped() => drop(stop),
    }
    let outcome = tokio::select! {
        () = serving => Ok(()),
        signal = stopped() => Err(Failure::Stopped { signal }),
    };
    log.end();
    outcome
}

/// Listens at an address, so that as many clients as can be accepted in a moment may come in it.
fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Error> {
    /// The system holds it to its own limit.
    const WAITING: u32 = 4096;
    let listening = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A port that was listened at before is free again, whatever connections still end there.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(WAITING)
    };
    listening().map_err(|error: std::io::Error| {
        let message = format!("{address} cannot be listened at; {flag} takes another address");
        Error::from(error).within(message)
    })
}

/// The depot, or the layouts that were named.
async fn place(arguments: &Serve, settings: &Settings) -> Result<Place, Failure> {
    if arguments.layouts.is_empty() {
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
    if arguments.deletes && !arguments.writable {
        let message = "what is deleted from layouts is written to them: --deletes wants --writable";
        return Err(Failure::Usage(message.to_owned()));
    }
    let mut given = Given::new();
    let mut names = Vec::new();
    for layout in &arguments.layouts {
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
