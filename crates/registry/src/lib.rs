//! What does a registry say over HTTP? The API of distribution-spec 1.1 and what is being added to it, over any
//! [`Repositories`](teu_store::Repositories): a layout, a store in memory, a depot.
//!
//! [`Registry`] answers requests, and [`serve()`] reads them from connections, in HTTP/1.1 and HTTP/2. What may grow by what a client does has a
//! limit with a name ([`Limits`]). Blobs are streamed both ways, and checked as they come; only manifests, which are small, are held whole.
//!
//! # An acknowledgement
//!
//! is given when the store says that what was put lasts: [`Target::finish`](teu_store::Target::finish) comes before each 201. A blob is visible
//! when its digest was found right, and never in part. An upload is a session: it outlives the connection that it began on, and what came
//! before a connection broke need not be sent again, until it was idle for too long or the process ends; where the place keeps sessions
//! ([`Sessions`](teu_store::Sessions)), no restart ends it either.
//!
//! # What clients rely on
//!
//! Beside what is specified: `Range: 0-N` on every answer to a chunk; a `Location` without a host, so that it holds behind any proxy; `Content-Length`
//! and `Docker-Content-Digest` on every HEAD; `Docker-Distribution-API-Version` on all that is below `/v2/`; 202 and an upload where a mount
//! could not be made; a Content-Type for manifests as it was pushed.
//!
//! # What it does not do
//!
//! Without a [gate](auth::Gate) it asks nobody who they are: whoever reaches it may read, and write where [`Settings::writable`] says so.
//!
//! The example `registry` keeps what is pushed in memory.

mod attend;
pub mod auth;
mod blobs;
mod body;
mod budget;
mod certificate;
mod condition;
mod connection;
mod direct;
mod exchange;
mod framing;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod handshakes;
mod health;
mod lists;
mod manifests;
mod metrics;
mod named;
mod outgoing;
mod parts;
mod problem;
mod pushes;
mod range;
mod reached;
mod referrers;
mod refused;
mod registry;
mod route;
mod serve;
mod settings;
mod socket;
mod strict;
mod tls;
mod unsecured;
mod uploads;

pub use body::Body;
pub use exchange::{Exchange, Observer, Peer};
pub use handshakes::{FailedHandshake, HandshakeObserver};
pub use metrics::{Metrics, Swept, serve_metrics};
pub use reached::{Base, Locations, Prefix, Reached};
pub use registry::{Gauges, Registry};
pub use serve::{Listening, serve};
pub use settings::{Children, Limits, Settings, Unfit, is_own};
pub use tls::{Clients, Identity, Tls};

/// Headers, as [`Settings::headers`] has them.
pub use http;

/// Certificates and keys, as [`Identity`] has them, and how they are read from PEM.
pub use rustls::pki_types;
