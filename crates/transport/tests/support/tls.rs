//! Certificates for scripted servers, made by openssl.

use std::{path::Path, sync::Arc};

use teu_transport::remote::{
    Access, Tls,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use super::peer;

/// A server's settings, and what a client needs to trust it. Says loudly why there are none.
pub(crate) fn settings(test: &str) -> Option<(Arc<ServerConfig>, Access)> {
    if !peer::has("openssl") {
        eprintln!("SKIPPED {test}: openssl is missing");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    peer::certificate(directory.path(), false);
    let certificate = read(&directory.path().join("cert.pem"));
    let key = PrivateKeyDer::from_pem_file(directory.path().join("key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate");
    let access = Access {
        tls: Tls {
            roots: vec![certificate],
            ..Tls::default()
        },
        ..Access::default()
    };
    Some((Arc::new(config), access))
}

fn read(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}
