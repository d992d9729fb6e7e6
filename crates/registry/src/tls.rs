//! Who do we say we are, and whom do we believe? TLS 1.2 and 1.3 by rustls, HTTP/2 offered first, and certificates that are replaced while
//! connections go on.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use teu_store::{Error, ErrorKind, Result};

/// What a server shows.
pub struct Identity {
    /// Its certificate first, then those that lead to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

/// What a server asks its clients to show.
pub struct Clients {
    /// The authorities whose certificates are believed.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether nobody is let in without one. Else who shows none is nobody in particular.
    pub required: bool,
}

/// How a server speaks TLS.
pub struct Tls(RwLock<Arc<ServerConfig>>);

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

impl Tls {
    /// TLS with this certificate.
    ///
    /// # Errors
    /// `Invalid` where the key is not the certificate's, or one of them cannot be used.
    pub fn new(identity: Identity, clients: Option<Clients>) -> Result<Self> {
        Ok(Self(RwLock::new(config(identity, clients)?)))
    }

    /// Shows another certificate, and asks for others, from the next connection on. Those that are there go on as they began.
    ///
    /// # Errors
    /// As [`new`](Self::new); then all stays as it was.
    pub fn replace(&self, identity: Identity, clients: Option<Clients>) -> Result<()> {
        let config = config(identity, clients)?;
        // It is replaced as a whole, so what a panic elsewhere left is whole.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(identity: Identity, clients: Option<Clients>) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| invalid("TLS cannot be set up", error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
    };
    let config = builder.with_single_cert(identity.chain, identity.key);
    let mut config =
        config.map_err(|error| invalid("the certificate and its key cannot be used with each other", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn verifier(clients: Clients) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in clients.authorities {
        let added = roots.add(authority);
        added.map_err(|error| invalid("an authority of clients' certificates cannot be used", error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match clients.required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier.map_err(|error| invalid("clients' certificates cannot be checked; name an authority", error))
}

fn invalid(message: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, message).with_cause(error)
}
