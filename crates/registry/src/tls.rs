//! Who do we say we are, and whom do we believe? TLS 1.2 and 1.3 by rustls, HTTP/2 offered first, and certificates that are replaced while
//! connections go on.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use teu_spec::Timestamp;
use teu_store::{Error, ErrorKind, Result};
use tokio::{sync::watch, time::sleep};

use crate::certificate::not_after;

/// Why there is no TLS with a certificate.
const UNUSABLE: &str = "the certificate and its key cannot be used with each other, or the key is none of RSA from 2048 bits, P-256, P-384 \
                        or Ed25519";
/// How often it is looked whether a client's certificate is still good, by which a connection was opened.
const AGAIN: Duration = Duration::from_secs(10);

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
pub struct Tls(watch::Sender<Spoken>);

/// How TLS is spoken at this moment.
struct Spoken {
    config: Arc<ServerConfig>,
    expires: Option<Timestamp>,
    /// What says which clients are believed; none where none are asked.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

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
        Ok(Self(watch::Sender::new(Spoken::new(identity, clients)?)))
    }

    /// Shows another certificate, and asks for others, from the next connection on. Those that are there go on as they began; where a client's
    /// certificate opened one that is not believed any more, nothing new begins there, and what is under way has [`Limits::grace`](crate::Limits::grace) to end.
    ///
    /// # Errors
    /// As [`new`](Self::new); then all stays as it was.
    pub fn replace(&self, identity: Identity, clients: Option<Clients>) -> Result<()> {
        self.0.send_replace(Spoken::new(identity, clients)?);
        Ok(())
    }

    /// When the certificate expires that is shown; none where that cannot be read.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.borrow().expires
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow().config)
    }

    /// Waits until a chain that a client showed is not believed any more: it expired, or its authority is none of ours.
    pub(crate) async fn until_disbelieved(&self, chain: &[CertificateDer<'_>]) {
        let mut replaced = self.0.subscribe();
        while self.0.borrow().believes(chain, UnixTime::now()) {
            tokio::select! {
                // Whoever shows certificates is there as long as one is shown: it does not go away.
                _ = replaced.changed() => {}
                () = sleep(AGAIN) => {}
            }
        }
    }
}

impl Spoken {
    fn new(identity: Identity, clients: Option<Clients>) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| invalid("TLS cannot be set up", error))?;
        let verifier = clients.map(verifier).transpose()?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let expires = identity.chain.first().and_then(not_after);
        let config = builder.with_single_cert(identity.chain, identity.key);
        let mut config = config.map_err(|error| invalid(UNUSABLE, error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if verifier.is_some() {
            // Who goes on with a session shows no certificate again, and would be let in when it has long expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            expires,
            verifier,
        })
    }

    fn believes(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let (Some(verifier), Some((own, others))) = (&self.verifier, chain.split_first()) else {
            return false;
        };
        verifier.verify_client_cert(own, others, now).is_ok()
    }
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
