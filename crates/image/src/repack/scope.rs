//! Which change goes where? What is masked goes nowhere; what is under one of the paths that get a layer of their own, into that; and all else
//! into the lowest of the new layers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::bundle::order;

/// Paths as [`path_in_image`](crate::glob::path_in_image) gives them.
#[derive(Debug, Default)]
pub(super) struct Scope {
    masked: Vec<Known>,
    /// In the order of a walk, so that what is inside of another comes behind it, and its layer on top.
    apart: Vec<Known>,
}

impl Scope {
    pub(super) fn new(masked: Vec<Vec<u8>>, mut apart: Vec<Vec<u8>>) -> Self {
        apart.sort_by(|one, other| order(one, other));
        apart.dedup();
        Self {
            masked: masked.into_iter().map(Known::new).collect(),
            apart: apart.into_iter().map(Known::new).collect(),
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
            masked.meet();
            is_masked = true;
        }
        is_masked
    }

    /// The masked paths that nothing was asked about that is there, in the order in which they were given.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &[u8]> {
        // What is in something that is masked is not asked about.
        let is_in_another = move |masked: &Known| {
            let mut met = self.masked.iter().filter(|other| other.is_met());
            met.any(|other| is_at_or_below(&masked.path, &other.path))
        };
        let unmet = self.masked.iter().filter(move |masked| !is_in_another(masked));
        unmet.map(|masked| masked.path.as_slice())
    }

    /// The layer that a change at this path goes into, the lowest being 0.
    pub(super) fn layer(&self, path: &[u8]) -> usize {
        let innermost = self.apart.iter().rposition(|top| is_at_or_below(path, &top.path));
        innermost.map_or(0, |place| place + 1)
    }

    /// Notes that something is at this path, or was when the bundle was unpacked.
    pub(super) fn see(&self, path: &[u8]) {
        for top in self.apart.iter().filter(|top| is_at_or_below(path, &top.path)) {
            top.meet();
        }
    }

    /// The paths that were to get a layer of their own, and where nothing is nor was, in the order of a walk.
    pub(super) fn apart_unmet(&self) -> impl Iterator<Item = &[u8]> {
        let unmet = self.apart.iter().filter(|top| !top.is_met());
        // What is masked is not looked at.
        let unmet = unmet.filter(|top| !self.masked.iter().any(|masked| is_at_or_below(&top.path, &masked.path)));
        unmet.map(|top| top.path.as_slice())
    }
}

/// A path that somebody named.
#[derive(Debug)]
struct Known {
    path: Vec<u8>,
    /// Something was there.
    met: AtomicBool,
}

impl Known {
    fn new(path: Vec<u8>) -> Self {
        Self {
            path,
            met: AtomicBool::new(false),
        }
    }

    fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }
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
        let apart = ["x/y", "x", "masked/in", "gone"].map(|path| path.as_bytes().to_vec());
        let scope = Scope::new(vec![b"masked".to_vec()], apart.to_vec());
        assert_eq!(scope.apart_unmet().collect::<Vec<_>>(), [&b"gone"[..], b"x", b"x/y"]);
        scope.see(b"x/z");
        scope.see(b"gone-not");
        assert_eq!(scope.apart_unmet().collect::<Vec<_>>(), [&b"gone"[..], b"x/y"]);
        let all = Scope::new(vec![Vec::new()], vec![Vec::new()]);
        assert!(all.is_masked(b"a") && all.is_masked(b""));
        assert_eq!((all.layer(b""), all.layer(b"a")), (1, 1));
    }
}
