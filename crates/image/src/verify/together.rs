//! Would the layers of an image be unpacked one upon the other? What no entry says by itself: a hard link to nothing, a file below a file, a way through
//! links that goes in circles, and what all layers together may ask for.

use teu_rootfs::Budget;
use teu_store::{
    ErrorKind, Result, blocking,
    verify::{Found, Kind, Severity},
};

use crate::{
    contents::Contents,
    tree::{self, Tree},
};

/// A layer as far as it matters to those above.
pub(super) struct Below {
    pub(super) table: Contents,
    /// Of content, holes left out.
    pub(super) bytes: u64,
}

/// What is wrong with these layers, the lowest first: the first entry that would be refused, or why nobody knows whether there is one.
///
/// # Errors
/// Those of the files in which tables lie.
pub(super) async fn judge(layers: Vec<Below>, budget: &Budget, limits: &tree::Limits) -> Result<Vec<Found>> {
    if let Some(message) = past_budget(&layers, budget) {
        return Ok(vec![refused(message)]);
    }
    let options = tree::Options {
        limits: limits.clone(),
        hidden: false,
    };
    blocking::run(move || {
        let tables: Vec<Contents> = layers.into_iter().map(|layer| layer.table).collect();
        let tree = Tree::of(&tables, &options).map(drop);
        tables.iter().for_each(Contents::rest);
        match tree {
            Ok(()) => Ok(Vec::new()),
            Err(error) => match error.kind() {
                ErrorKind::Invalid => Ok(vec![refused(format!("entry {error}"))]),
                // Unpacking makes no tree in memory, and so has none of these limits.
                ErrorKind::TooLarge => Ok(vec![unknown(format!(
                    "its layers were not held against one another to their end: {error}"
                ))]),
                _ => Err(error),
            },
        }
    })
    .await
}

/// Which limit all of them together are past.
fn past_budget(layers: &[Below], budget: &Budget) -> Option<String> {
    let sum = |of: fn(&Below) -> u64| layers.iter().map(of).fold(0, u64::saturating_add);
    let entries = sum(|layer| layer.table.count());
    let bytes = sum(|layer| layer.bytes);
    let (limit, value, what) = if entries > budget.entries {
        ("entries", budget.entries, "its layers have more entries")
    } else if bytes > budget.bytes {
        ("bytes", budget.bytes, "its layers have more bytes of content")
    } else {
        return None;
    };
    let value = usize::try_from(value).unwrap_or(usize::MAX);
    Some(tree::past(limit, value, what))
}

fn refused(message: String) -> Found {
    Found {
        severity: Severity::Wrong,
        kind: Kind::Entry,
        message,
    }
}

/// What a limit of ours keeps from being known.
pub(super) fn unknown(message: String) -> Found {
    Found {
        severity: Severity::Unknown,
        kind: Kind::Limit,
        message,
    }
}
