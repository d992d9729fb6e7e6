//! Which change goes where? What is masked goes nowhere; what is under one of the paths that get a layer of their own, into that; and all else
//! into the lowest of the new layers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::bundle::order;

/// Paths as [`path_in_image`](crate::append::path_in_image) gives them.
#[derive(Debug, Default)]
pub(super) struct Scope {
    masked: Vec<Masked>,
    /// In the order of a walk, so that what is inside of another comes behind it, and its layer on top.
    apart: Vec<Vec<u8>>,
}

impl Scope {
    pub(super) fn new(masked: Vec<Vec<u8>>, mut apart: Vec<Vec<u8>>) -> Self {
        apart.sort_by(|one, other| order(one, other));
        apart.dedup();
        let masked = masked.into_iter().map(|path| Masked {
            path,
            met: AtomicBool::new(false),
        });
        Self {
            masked: masked.collect(),
            apart,
        }
    }

    /// How many layers there can be.
    pub(super) fn layers(&self) -> usize {
        self.apart.len() + 1
    }

    /// Whether nothing is to be said of this path.
    pub(super) fn is_masked(&self, path: &[u8]) -> bool {
        let mut is_masked = false;
        for masked in self.masked.iter().filter(|masked| is_at_or_below(path, &masked.path)) {
            masked.met.store(true, Ordering::Relaxed);
            is_masked = true;
        }
        is_masked
    }

    /// The masked paths that nothing was asked about that is there, in the order in which they were given.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &[u8]> {
        let met = |masked: &Masked| masked.met.load(Ordering::Relaxed);
        // What is in something that is masked is not asked about.
        let is_in_another = move |masked: &Masked| {
            let others = self.masked.iter().filter(move |other| met(other));
            others
                .into_iter()
                .any(|other| is_at_or_below(&masked.path, &other.path))
        };
        let unmet = self.masked.iter().filter(move |masked| !is_in_another(masked));
        unmet.map(|masked| masked.path.as_slice())
    }

    /// The layer that a change at this path goes into, the lowest being 0.
    pub(super) fn layer(&self, path: &[u8]) -> usize {
        let innermost = self.apart.iter().rposition(|top| is_at_or_below(path, top));
        innermost.map_or(0, |place| place + 1)
    }
}

/// A path of which nothing is to be said.
#[derive(Debug)]
struct Masked {
    path: Vec<u8>,
    /// Something was there.
    met: AtomicBool,
}

/// Whether a path is in this directory, at whatever depth, or is it.
pub(super) fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    path == top || is_below(path, top)
}

/// Whether a path is in this directory, at whatever depth; the root's is empty.
pub(super) fn is_below(path: &[u8], top: &[u8]) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => !rest.is_empty() && (top.is_empty() || rest[0] == b'/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_into_the_innermost_layer() {
        let paths = ["var/lib/app", "opt", "var", "opt"];
        let scope = Scope::new(
            vec![b"data".to_vec(), b"opt/cache".to_vec()],
            paths.map(|path| path.as_bytes().to_vec()).to_vec(),
        );
        assert_eq!(scope.layers(), 4);
        for (path, layer, masked) in [
            ("", 0, false),
            ("etc/x", 0, false),
            ("opt", 1, false),
            ("opt/x/y", 1, false),
            ("opt-x", 0, false),
            ("optional", 0, false),
            ("var", 2, false),
            ("var/lib", 2, false),
            ("var/lib/app", 3, false),
            ("var/lib/app/x", 3, false),
            ("var/lib/apples", 2, false),
            ("data", 0, true),
            ("data/x", 0, true),
            ("data.x", 0, false),
            ("opt/cache/x", 1, true),
        ] {
            let path = path.as_bytes();
            assert_eq!((scope.layer(path), scope.is_masked(path)), (layer, masked), "{path:?}");
        }
        assert_eq!(scope.unmet().count(), 0);
        let masked = ["a", "a/b", "*.log", "c/d"].map(|path| path.as_bytes().to_vec());
        let scope = Scope::new(masked.to_vec(), Vec::new());
        assert_eq!(scope.unmet().count(), 4);
        assert!(scope.is_masked(b"a/c") && !scope.is_masked(b"x.log") && !scope.is_masked(b"c"));
        assert_eq!(scope.unmet().collect::<Vec<_>>(), [&b"*.log"[..], b"c/d"]);
        let all = Scope::new(vec![Vec::new()], vec![Vec::new()]);
        assert!(all.is_masked(b"a") && all.is_masked(b""));
        assert_eq!((all.layer(b""), all.layer(b"a")), (1, 1));
    }
}
