//! Header fields of a registry's clients, and of the proxies between: conditions, where the registry is, and who asks.

pub(crate) fn run(text: &str) {
    teu_registry::fuzz::headers(text);
}
