//! What does `teu serve` take?

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// Serve layouts as a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Each layout is one repository, called as its directory is unless a name and = stand before it; its names are the
tags. Every client of registries can pull from it, and push to it too with --writable. Nobody is asked who they are:
whoever reaches the address may do it, so it is this machine's own unless --listen says otherwise. Port 0 takes a
free one.

With a certificate and its key TLS is spoken, HTTP/2 first. Both files are read again when they change, or by HUP;
connections that are there go on. Where they do not fit each other all stays as it was, with a warning. --tls-clients
names the authorities of certificates that clients may show, and must with --tls-clients-required.

The address is printed when it can be asked, and then on standard error a line for each request. INT or TERM stop it:
what is under way may end within 10 seconds, or is broken off by a second signal; what was written of uploads that
are not done is removed. teu gc may run meanwhile: what was pushed and has no name yet is too new for it.

Examples:
  teu serve oci:images
  teu serve --writable --listen 127.0.0.1:0 team/app=oci:images base=oci:base
  teu serve --listen 0.0.0.0:443 --tls-certificate server.pem --tls-key server.key oci:images
  teu copy --src-tls-verify=false docker://127.0.0.1:5000/images:app oci:copy:app")]
pub(crate) struct Serve {
    /// The layouts, and how their repositories are called
    #[arg(required = true, value_name = "[NAME=]oci:DIRECTORY")]
    pub(crate) layouts: Vec<String>,
    /// At which address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// Let clients push
    #[arg(long)]
    pub(crate) writable: bool,
    /// Let clients delete what was pushed
    #[arg(long, requires = "writable")]
    pub(crate) deletes: bool,
    #[command(flatten)]
    pub(crate) tls: Tls,
}

/// How TLS is spoken.
#[derive(Debug, Args)]
pub(crate) struct Tls {
    /// Speak TLS, and show this certificate: in PEM, with those behind it that lead to its authority
    #[arg(
        long = "tls-certificate",
        value_name = "FILE",
        requires = "key",
        env = "TEU_SERVE_TLS_CERTIFICATE"
    )]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(
        long = "tls-key",
        value_name = "FILE",
        requires = "certificate",
        env = "TEU_SERVE_TLS_KEY"
    )]
    pub(crate) key: Option<PathBuf>,
    /// Take certificates of clients that these authorities vouch for, in PEM
    #[arg(
        long = "tls-clients",
        value_name = "FILE",
        requires = "certificate",
        env = "TEU_SERVE_TLS_CLIENTS"
    )]
    pub(crate) clients: Option<PathBuf>,
    /// Let nobody in who shows none
    #[arg(long = "tls-clients-required", requires = "clients")]
    pub(crate) clients_required: bool,
}
