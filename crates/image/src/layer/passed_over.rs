//! What did a tree have that its layer has not? Counted, with a few names to tell.

use teu_archive::Escaped;

/// How many are told of by name.
const NAMED: usize = 10;

/// Why sockets are left out.
pub(crate) const NO_SOCKETS: &str = "as no layer can hold a socket";

/// Files that were passed over.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassedOver {
    count: u64,
    named: Vec<String>,
}

impl PassedOver {
    pub(crate) fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(Escaped(path).to_string());
        }
    }

    /// What a person is told; none where there are none.
    pub(crate) fn message(&self, why: &str) -> Option<String> {
        let more = self.count - self.named.len() as u64;
        let named = self.named.join(", ");
        match (self.count, more) {
            (0, _) => None,
            (_, 0) => Some(format!("left out, {why}: {named}")),
            _ => Some(format!("left out, {why}: {named} and {more} more")),
        }
    }
}
