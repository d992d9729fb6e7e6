//! Certificates for 127.0.0.1 that vouch for themselves, made by openssl; for 0.0.0.0 too, by which Linux reaches the same, and clients trust it no more than
//! others.

use std::{fs, path::Path, process::Command};

use teu_registry::{
    Clients, Identity, Tls,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: CertificateDer<'static>,
    /// Both in PEM: `cert.pem` and `key.pem`.
    pub(crate) directory: tempfile::TempDir,
}

impl Pair {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            chain: vec![self.certificate.clone()],
            key: PrivateKeyDer::from_pem_file(self.directory.path().join("key.pem")).expect("a key"),
        }
    }

    /// TLS of a server that shows it, and wants of its clients what these say.
    pub(crate) fn tls(&self, clients: Option<Clients>) -> Tls {
        Tls::new(self.identity(), clients).expect("a certificate")
    }
}

/// One that may vouch for nobody else. Says loudly why there is none.
pub(crate) fn pair(test: &str) -> Option<Pair> {
    made(test, "test", &["-addext", "basicConstraints=critical,CA:FALSE"])
}

/// One whose subject has this common name.
pub(crate) fn named(test: &str, name: &str) -> Option<Pair> {
    made(test, name, &["-addext", "basicConstraints=critical,CA:FALSE"])
}

/// One that is an authority's too, as other programs want it of one that vouches for itself.
pub(crate) fn authority(test: &str) -> Option<Pair> {
    made(test, "test", &[])
}

/// One that is good for so many seconds from now on.
pub(crate) fn good_for(test: &str, seconds: u32) -> Option<Pair> {
    let Pair { directory, .. } = pair(test)?;
    let path = |name: &str| directory.path().join(name);
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&directory)
            .output()
            .expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let settings = "[ca]\ndefault_ca=a\n[a]\ndatabase=all\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n\
                    policy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\n";
    for (name, content) in [("settings", settings), ("all", ""), ("serial", "01")] {
        fs::write(path(name), content).expect("written");
    }
    run(
        "openssl",
        &["req", "-new", "-key", "key.pem", "-subj", "/CN=test", "-out", "request"],
    );
    let moment = format!("+{seconds} seconds");
    let end = run("date", &["-u", "-d", &moment, "+%Y%m%d%H%M%SZ"]);
    let sign = [
        "ca",
        "-batch",
        "-selfsign",
        "-notext",
        "-config",
        "settings",
        "-keyfile",
        "key.pem",
    ];
    let what = ["-in", "request", "-out", "cert.pem", "-enddate", end.trim()];
    run("openssl", &[&sign[..], &what].concat());
    let certificate = read(&path("cert.pem"));
    Some(Pair { certificate, directory })
}

#[expect(clippy::print_stderr, reason = "a test that is passed over says so")]
fn made(test: &str, name: &str, more: &[&str]) -> Option<Pair> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let curve = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ];
    let output = Command::new("openssl")
        .args(curve)
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,IP:0.0.0.0"])
        .args(more)
        .args(["-keyout".as_ref(), path("key.pem").as_os_str()])
        .args(["-out".as_ref(), path("cert.pem").as_os_str()])
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED {test}: openssl is missing");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = read(&path("cert.pem"));
    Some(Pair { certificate, directory })
}

fn read(path: &Path) -> CertificateDer<'static> {
    let pem = fs::read(path).expect("a file");
    CertificateDer::from_pem_slice(&pem).expect("a certificate")
}
