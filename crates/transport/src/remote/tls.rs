//! Whose certificate is trusted, and what is shown? rustls's settings, made of [`Tls`] and [`Roots`].

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use teu_store::{Error, ErrorKind, Result, blocking};

use super::settings::{Roots, Tls};

/// Where Linux distributions keep the certificate authorities, in one file: Debian and Alpine, Fedora, openSUSE, older Fedora.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Reads the trusted certificate authorities. Where a system has none the list is empty, which is no error before one is needed.
pub(super) async fn roots(roots: &Roots) -> Result<Arc<RootCertStore>> {
    let roots = roots.clone();
    blocking::run(move || {
        let mut store = RootCertStore::empty();
        match roots {
            Roots::System => {
                if let Some(file) = SYSTEM.iter().map(Path::new).find(|file| file.exists()) {
                    add_file(&mut store, file)?;
                }
            }
            Roots::Paths { files, directories } => {
                for file in &files {
                    add_file(&mut store, file)?;
                }
                for directory in &directories {
                    for entry in std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
                        let path = entry?.path();
                        // OpenSSL's directories hold links by hash, and notes that are no certificates.
                        if path.is_file() {
                            add_file(&mut store, &path)?;
                        }
                    }
                }
            }
            Roots::Given(certificates) => {
                store.add_parsable_certificates(certificates);
            }
        }
        Ok(Arc::new(store))
    })
    .await
}

fn add_file(store: &mut RootCertStore, file: &Path) -> Result<()> {
    let pem = std::fs::read(file).map_err(|error| unreadable(file, error))?;
    // A bundle may hold certificates of algorithms that we do not speak: they vouch for nobody here, and the others count.
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(std::result::Result::ok));
    Ok(())
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::from(error).within(format!("reading the certificate authorities of {}", path.display()))
}

/// The settings for one registry, or without its client certificate for the hosts that it sends us to.
pub(super) fn config(tls: &Tls, roots: &Arc<RootCertStore>, show_certificate: bool) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |error: rustls::Error| Error::new(ErrorKind::Invalid, "TLS cannot be set up").with_cause(error);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = if tls.skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let mut roots = roots.clone();
        if !tls.roots.is_empty() {
            let all = Arc::make_mut(&mut roots);
            let (_, ignored) = all.add_parsable_certificates(tls.roots.iter().cloned());
            if ignored > 0 {
                let message =
                    format!("{ignored} of the registry's certificate authorities cannot be read as certificates");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        if roots.is_empty() {
            // Nobody is trusted, which is no error before somebody must be.
            builder.with_root_certificates(roots)
        } else {
            let by_chain = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).build();
            let by_chain =
                by_chain.map_err(|error| Error::new(ErrorKind::Invalid, "TLS cannot be set up").with_cause(error))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Trusted { by_chain, roots }))
        }
    };
    let mut config = match tls.client.as_deref().filter(|_| show_certificate) {
        Some(client) => builder
            .with_client_auth_cert(client.chain.clone(), client.key.clone_key())
            .map_err(|error| {
                Error::new(ErrorKind::Invalid, "the client certificate cannot be used").with_cause(error)
            })?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes what an authority vouches for, and the certificate of a trusted authority that the registry shows as its own.
///
/// `openssl req -x509` makes such a certificate, and people put it into certs.d as it is; every other client takes it there. webpki refuses it
/// (`CaUsedAsEndEntity`), once its dates are found right. Whoever has the key of a trusted authority, as the signature of the handshake shows,
/// could as well sign another certificate with it, so that the name is all that is left to check.
#[derive(Debug)]
struct Trusted {
    by_chain: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

impl Trusted {
    /// Whether a certificate has the name and the key of a trusted authority, which is trusted for all names.
    fn is_authority(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut shown = RootCertStore::empty();
        shown.add(certificate.clone().into_owned()).is_ok()
            && shown.roots[0].name_constraints.is_none()
            && self.roots.roots.contains(&shown.roots[0])
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .by_chain
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // webpki's own type is not rustls's to show. Were it to say it in other words, the certificate would be refused.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(why)))
                if why.to_string() == "CaUsedAsEndEntity" =>
            {
                if !self.is_authority(certificate) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.by_chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.by_chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

/// Takes any certificate, as the user asked by name. The signatures of the handshake are still checked: they keep it one conversation.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
