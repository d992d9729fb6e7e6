//! Which certificates does a registry want, and show? What lies in `certs.d/HOST[:PORT]`: `*.crt` are certificate authorities that vouch for
//! the registry, and `NAME.cert` with `NAME.key` is what we show it (docker(1), "verify repository client with certificates";
//! containers-certs.d(5)).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use teu_spec::Repository;
use teu_store::{Error, ErrorKind, Result};

use super::settings::{ClientCertificate, Tls};

/// The largest certificate or key that is read, in bytes; a bundle of all public authorities has 250,000.
const MAX_FILE: u64 = 4 << 20;

/// The certificates for a registry, `host` or `host:port`: those of the first directory among `bases` that has some for it. skopeo's bases
/// are `~/.config/containers/certs.d`, `/etc/containers/certs.d` and `/etc/docker/certs.d`.
///
/// # Errors
/// `Invalid` for what is no name of a registry, and as [`read`].
pub fn look_up(bases: &[PathBuf], registry: &str) -> Result<Tls> {
    // A valid name is no path: it has no slash, and no empty part between dots. Any path would do beside it.
    let name = Repository::new(registry, "check")?;
    for base in bases {
        let directory = base.join(name.registry());
        // What another user's directories hold is not for us, as skopeo has it.
        if directory.is_dir() {
            return read(&directory);
        }
    }
    Ok(Tls::default())
}

/// The certificates of a directory, skopeo's `--cert-dir`. There are none where it is absent or may not be read. Of several pairs to be
/// shown the first by name is taken.
///
/// # Errors
/// `Invalid`, naming the file, where one holds no certificate or no key, or one of a pair is missing.
pub fn read(directory: &Path) -> Result<Tls> {
    let failed =
        |error: io::Error| Error::from(error).within(format!("reading certificates from {}", directory.display()));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(Tls::default());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<_>>()?;
    // Fedora's packages leave links to authorities of packages that are not installed.
    files.retain(|file| file.exists());
    files.sort();
    let mut tls = Tls::default();
    for file in &files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.roots.extend(certificates(file)?),
            Some("cert") => {
                let key = file.with_extension("key");
                if !key.exists() {
                    return Err(invalid(
                        file,
                        format!(
                            "there is no {} to it; a certificate authority is named *.crt",
                            key.display()
                        ),
                    ));
                }
                let client = ClientCertificate {
                    chain: certificates(file)?,
                    key: private_key(&key)?,
                };
                tls.client.get_or_insert_with(|| Arc::new(client));
            }
            Some("key") if !file.with_extension("cert").exists() => {
                return Err(invalid(
                    file,
                    format!("there is no {} to it", file.with_extension("cert").display()),
                ));
            }
            _ => {}
        }
    }
    Ok(tls)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = content(file)?;
    let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| invalid(file, format!("it is no certificate in PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid(file, "it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    // What is wrong with a key is not said in more words than that: they could be the key's.
    PrivateKeyDer::from_pem_slice(&content(file)?)
        .map_err(|_| invalid(file, "it holds no private key in PEM".to_owned()))
}

fn content(file: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    let read = fs::File::open(file).and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut content));
    read.map_err(|error| Error::from(error).within(format!("reading {}", file.display())))?;
    if content.len() as u64 > MAX_FILE {
        let message = format!("{} has more bytes than the limit of {MAX_FILE}", file.display());
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(content)
}

fn invalid(file: &Path, why: String) -> Error {
    Error::new(ErrorKind::Invalid, format!("{}: {why}", file.display()))
}
