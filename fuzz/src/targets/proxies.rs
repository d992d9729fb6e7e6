//! Variables that say which proxy is used, and for what none is.

pub(crate) fn run(text: &str) {
    teu_transport::remote::fuzz::proxies(text);
}
