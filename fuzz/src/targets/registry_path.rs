//! Paths and queries of a registry's clients: what leads somewhere leads there again when it is written as we would, and nothing leads out.

use teu_registry::fuzz::{encoded, query, route};

pub(crate) fn run(text: &str) {
    let (path, rest) = text.split_once('?').unwrap_or((text, ""));
    if let Some(written) = route(path) {
        assert_eq!(route(&written).as_deref(), Some(written.as_str()), "{path:?}");
        let leads_out = written.split('/').any(|segment| segment == ".." || segment == ".");
        assert!(!leads_out || is_word_for_nothing(&written), "{path:?}: {written:?}");
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
    }
    if let Some(found) = query(rest) {
        let written: Vec<String> = found
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        assert_eq!(query(&written.join("&")), Some(found), "{rest:?}");
    }
}

/// What can be no tag, and what can be no upload, is told from those that are there by nothing but what it is not.
fn is_word_for_nothing(written: &str) -> bool {
    let (before, _) = written.rsplit_once('/').expect("it begins with a slash");
    (before.ends_with("/manifests") || before.ends_with("/uploads"))
        && !before.split('/').any(|segment| segment == ".." || segment == ".")
}
