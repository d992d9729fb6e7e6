//! Which change goes where? What is masked goes nowhere; what is under one of the paths that get a layer of their own, into that; and all else
//! into the lowest of the new layers.

use crate::bundle::order;

/// Paths as [`path_in_image`](crate::append::path_in_image) gives them.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    masked: Vec<Vec<u8>>,
    /// In the order of a walk, so that what is inside of another comes behind it, and its layer on top.
    apart: Vec<Vec<u8>>,
}

impl Scope {
    pub(super) fn new(masked: Vec<Vec<u8>>, mut apart: Vec<Vec<u8>>) -> Self {
        apart.sort_by(|one, other| order(one, other));
        apart.dedup();
        Self { masked, apart }
    }

    /// How many layers there can be.
    pub(super) fn layers(&self) -> usize {
        self.apart.len() + 1
    }

    /// Whether nothing is to be said of this path.
    pub(super) fn is_masked(&self, path: &[u8]) -> bool {
        self.masked.iter().any(|top| is_at_or_below(path, top))
    }

    /// The layer that a change at this path goes into, the lowest being 0.
    pub(super) fn layer(&self, path: &[u8]) -> usize {
        let innermost = self.apart.iter().rposition(|top| is_at_or_below(path, top));
        innermost.map_or(0, |place| place + 1)
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
        let all = Scope::new(vec![Vec::new()], vec![Vec::new()]);
        assert!(all.is_masked(b"a") && all.is_masked(b""));
        assert_eq!((all.layer(b""), all.layer(b"a")), (1, 1));
    }
}
