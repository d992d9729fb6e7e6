//! Which certificates are shown and believed? Files in PEM, read again when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use teu_registry::{
    Clients, Identity, Tls,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use teu_store::{Error, ErrorKind, Result};

use tokio::time::sleep;

use super::files::{Followed, warn};
use crate::{arguments, failure::Failure, settings::Settings};

/// When it is soon that a certificate expires, and how often that is looked at, in seconds.
const SOON: i64 = 24 * 3600;

/// The files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Vec<PathBuf>,
    clients_required: bool,
}

/// How TLS is spoken, where it is; from now on as the files say.
pub(super) fn read(
    arguments: &arguments::ServeTls,
    settings: &Arc<Settings>,
    followed: &mut Followed,
) -> std::result::Result<Option<Arc<Tls>>, Failure> {
    let without = |flag: &str, other: &str| Err(Failure::Usage(format!("{flag} means nothing without {other}")));
    let (certificate, key) = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return without("--tls-certificate", "--tls-key"),
        (None, Some(_)) => return without("--tls-key", "--tls-certificate"),
        (None, None) if !arguments.clients.is_empty() => return without("--tls-clients", "--tls-certificate"),
        (None, None) if arguments.clients_required => return without("--tls-clients-required", "--tls-clients"),
        (None, None) => return Ok(None),
    };
    if arguments.clients_required && arguments.clients.is_empty() {
        return without("--tls-clients-required", "--tls-clients");
    }
    let files = Files {
        certificate: certificate.clone(),
        key: key.clone(),
        clients: arguments.clients.clone(),
        clients_required: arguments.clients_required,
    };
    let paths = [certificate, key].into_iter().chain(&arguments.clients);
    let paths = paths.cloned().collect();
    let (identity, clients) = files.read()?;
    let tls = Arc::new(Tls::new(identity, clients).map_err(|error| files.within(error))?);
    tell_end(&tls, certificate, settings);
    tokio::spawn(look_each_day(
        Arc::clone(&tls),
        certificate.clone(),
        Arc::clone(settings),
    ));
    let (shown, settings) = (Arc::clone(&tls), Arc::clone(settings));
    followed.add(paths, move |_| {
        let replaced = files
            .read()
            .and_then(|(identity, clients)| shown.replace(identity, clients));
        if replaced.is_ok() {
            tell_end(&shown, &files.certificate, &settings);
        }
        replaced.map_err(|error| format!("{}; what was shown before is shown on", files.within(error)))
    });
    Ok(Some(tls))
}

impl Files {
    fn read(&self) -> Result<(Identity, Option<Clients>)> {
        let identity = Identity {
            chain: certificates(&self.certificate)?,
            key: key(&self.key)?,
        };
        let mut authorities = Vec::new();
        for path in &self.clients {
            authorities.extend(certificates(path)?);
        }
        let clients = (!authorities.is_empty()).then_some(Clients {
            authorities,
            required: self.clients_required,
        });
        Ok((identity, clients))
    }

    fn within(&self, error: Error) -> Error {
        error.within(format!("the certificate {}", self.certificate.display()))
    }
}

/// Warns of the end of a certificate that nobody puts a new one for: then no file changes.
async fn look_each_day(tls: Arc<Tls>, path: PathBuf, settings: Arc<Settings>) {
    loop {
        sleep(Duration::from_secs(SOON.unsigned_abs())).await;
        tell_end(&tls, &path, &settings);
    }
}

/// Warns of a certificate that clients refuse, or soon will.
fn tell_end(tls: &Tls, path: &Path, settings: &Arc<Settings>) {
    let Some(end) = tls.expires() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = end.unix() - i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let path = path.display();
    let what = match left {
        ..=0 => format!("{path} expired at {end}, and clients refuse it"),
        1..SOON => format!("{path} expires at {end}, in less than a day"),
        _ => return,
    };
    warn(settings, format!("{what}; put a new one there"));
}

/// The key of a file.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = fs::read(path).map_err(|error| unreadable(path, "key", pem::Error::Io(error)))?;
    let has = |what: &str| text.windows(what.len()).any(|part| part == what.as_bytes());
    if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        let path = path.display();
        let message = format!(
            "{path} is encrypted, and nobody is here to be asked; openssl pkey -in {path} -out FILE decrypts it"
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(path, "key", error))
}

/// All certificates of a file; there must be one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(path, "certificate", error))?;
    match found.is_empty() {
        true => Err(unreadable(path, "certificate", pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn unreadable(path: &Path, what: &str, error: pem::Error) -> Error {
    let path = path.display();
    match error {
        pem::Error::Io(error) => Error::new(ErrorKind::Invalid, format!("{path} cannot be read: {error}")),
        pem::Error::NoItemsFound => Error::new(ErrorKind::Invalid, format!("there is no {what} in PEM in {path}")),
        error => Error::new(ErrorKind::Invalid, format!("{path} is no PEM: {error}")),
    }
}
