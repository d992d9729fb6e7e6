//! What does `teu serve` take?

use std::net::SocketAddr;

use clap::Args;

/// Serve layouts as a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Each layout is one repository, called as its directory is unless a name and = stand before it; its names are the
tags. Every client of registries can pull from it, and push to it too with --writable. Nobody is asked who they are,
and nothing is encrypted: whoever reaches the address may do it, so it is this machine's own unless --listen says
otherwise. Port 0 takes a free one.

The address is printed when it can be asked, and then on standard error a line for each request. INT or TERM stop it:
what is under way may end within 10 seconds, or is broken off by a second signal; what was written of uploads that
are not done is removed. teu gc may run meanwhile: what was pushed and has no name yet is too new for it.

Examples:
  teu serve oci:images
  teu serve --writable --listen 127.0.0.1:0 team/app=oci:images base=oci:base
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
}
