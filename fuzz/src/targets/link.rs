//! `Link` of a registry that nobody vouches for: it never leads to another host.

pub(crate) fn run(header: &str) {
    teu_transport::remote::fuzz::link(header);
}
