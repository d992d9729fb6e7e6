//! A file of credentials that anyone wrote.

pub(crate) fn run(raw: &[u8]) {
    teu_transport::remote::fuzz::auth_file(raw);
}
