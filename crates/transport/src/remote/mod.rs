//! `docker://`: how are images pulled from and pushed to registries? By OCI's distribution-spec 1.1.
//!
//! A [`Client`] holds what is common to all registries ([`Settings`]); a [`Registry`] is one of them, by name and with what holds for it
//! alone ([`Access`]: TLS, plain HTTP, credentials); a [`Repository`] is the store: a `Source` and a `Target`, with the powers to browse,
//! mount and delete. [`Reach`] makes them of what files say (`registries.conf`, `auth.json`, `certs.d`) and of what a person gave by hand.
//!
//! ```no_run
//! use teu_spec::Pick;
//! use teu_store::{Role, Source, SourceExt};
//! use teu_transport::remote::{Access, Client, Settings};
//!
//! # async fn example() -> teu_store::Result<()> {
//! let client = Client::new(Settings::default());
//! let registry = client.registry("docker.io", Access::default())?;
//! let alpine = registry.repository("library/alpine")?;
//! let descriptor = alpine.resolve(&Pick::Name("3.19".to_owned())).await?;
//! let document = alpine.document(&descriptor).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Repositories that come from one [`Registry`] share its connections, its tokens and its limits, so a program makes one of each registry
//! that it talks to as one user, and keeps it. All of it is cheap to clone.
//!
//! No request is made before it is needed: not to learn how a registry wants to be authenticated to (its first 401 says that), nor whether
//! it speaks TLS. A copy that is up to date costs one HEAD.
//!
//! What a registry says is taken for an enemy's word: see [`challenge`] and the rules of `origin` for where credentials go; every body has
//! a limit; a digest that a registry states is checked as soon as there are bytes to check it against.

mod answer;
mod auth;
mod auth_file;
mod broken;
mod browse;
mod call;
pub mod certificates;
pub mod challenge;
mod client;
pub mod credential_helper;
pub mod credentials;
mod download;
mod failure;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod link;
mod mirrors;
mod origin;
mod proxy;
mod pull;
mod push;
mod reach;
mod referrers;
pub mod registries;
mod registries_file;
mod resolve;
mod retry;
mod scheme;
mod secrets;
mod settings;
mod tls;
mod upload;

/// Certificates and keys, as [`Tls`] takes them, and how they are read from PEM.
pub use rustls::pki_types;

pub use client::{Client, Registry, Repository};
pub use reach::{Files, Given, Reach};
pub use settings::{
    Access, ClientCertificate, Credential, CredentialSource, PlainHttp, Proxies, Retry, Roots, Settings, Timeouts, Tls,
};
