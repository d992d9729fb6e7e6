//! How well are an image's layers used, by dive's measure? So that the thresholds which were set for it hold here too.
//!
//! It goes by paths as layers write them. In each layer those count in which nothing else of the layer stands: files, links, empty directories and
//! whiteouts. A path's size in a layer is that of the regular file there; a whiteout of a directory has the size of all that lower layers left in it,
//! and any other whiteout none. Then
//!
//! - the efficiency is the sum of each path's smallest size, divided by the sum of all sizes;
//! - wasted is all that is said of a path that stands in several layers, its first copy included;
//! - the user's share is what is wasted, divided by the bytes of files above the lowest layer.

use std::collections::{BTreeMap, HashMap};

/// The measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Efficiency {
    /// From 0, where nothing that is stored is needed, to 1.
    pub score: f64,
    /// Bytes of files in all layers.
    pub bytes: u64,
    /// Bytes of files in all layers but the lowest.
    pub user_bytes: u64,
    /// Bytes of paths that stand in several layers.
    pub wasted_bytes: u64,
    /// What is wasted as a share of `user_bytes`; 0 where there are none.
    pub user_wasted: f64,
}

/// What an entry of a layer counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// A regular file of this size.
    File(u64),
    /// A directory.
    Directory,
    /// Anything else that is there.
    Other,
    /// What lower layers have there is hidden.
    Whiteout,
}

impl Counted {
    fn size(self) -> u64 {
        match self {
            Self::File(size) => size,
            _ => 0,
        }
    }
}

/// Counts layer upon layer.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// What of all layers so far is to be seen, by path.
    seen: BTreeMap<Box<[u8]>, Counted>,
    paths: HashMap<Box<[u8]>, Path>,
    layers: u64,
    bytes: u64,
    user_bytes: u64,
}

#[derive(Debug)]
struct Path {
    layers: u64,
    smallest: u64,
    sum: u64,
}

impl Counter {
    /// Counts the next layer: its paths, without a slash at either end. Of several entries for one path the last is the one that counts.
    pub(super) fn layer(&mut self, entries: impl Iterator<Item = (Vec<u8>, Counted)>) {
        let mut made: BTreeMap<Box<[u8]>, Counted> = BTreeMap::new();
        let mut hidden: Vec<Vec<u8>> = Vec::new();
        for (path, counted) in entries {
            self.bytes += counted.size();
            if self.layers > 0 {
                self.user_bytes += counted.size();
            }
            match counted {
                Counted::Whiteout => hidden.push(path),
                counted => drop(made.insert(path.into(), counted)),
            }
        }
        self.layers += 1;
        hidden.sort_unstable();
        hidden.dedup();
        for path in &hidden {
            let size = match self.seen.get(&path[..]) {
                Some(Counted::Directory) | None => below(&self.seen, path).map(|(_, counted)| counted.size()).sum(),
                Some(_) => 0,
            };
            self.count(path, size);
        }
        for (path, counted) in &made {
            if below(&made, path).next().is_none() && !is_above(path, &hidden) {
                self.count(path, counted.size());
            }
        }
        for path in &hidden {
            let gone: Vec<Box<[u8]>> = below(&self.seen, path).map(|(path, _)| path.clone()).collect();
            for path in gone {
                self.seen.remove(&path);
            }
            self.seen.remove(&path[..]);
        }
        self.seen.extend(made);
    }

    fn count(&mut self, path: &[u8], size: u64) {
        match self.paths.get_mut(path) {
            Some(known) => {
                known.layers += 1;
                known.smallest = known.smallest.min(size);
                known.sum += size;
            }
            None => {
                let first = Path {
                    layers: 1,
                    smallest: size,
                    sum: size,
                };
                self.paths.insert(path.into(), first);
            }
        }
    }

    pub(super) fn finish(self) -> Efficiency {
        let (mut smallest, mut sum, mut wasted) = (0, 0, 0);
        for path in self.paths.values() {
            smallest += path.smallest;
            sum += path.sum;
            if path.layers > 1 {
                wasted += path.sum;
            }
        }
        Efficiency {
            score: share(smallest, sum).unwrap_or(1.0),
            bytes: self.bytes,
            user_bytes: self.user_bytes,
            wasted_bytes: wasted,
            user_wasted: share(wasted, self.user_bytes).unwrap_or(0.0),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What stands in the directory `path`, however deep.
fn below<'a>(
    tree: &'a BTreeMap<Box<[u8]>, Counted>,
    path: &[u8],
) -> impl Iterator<Item = (&'a Box<[u8]>, &'a Counted)> + use<'a> {
    let begin: Box<[u8]> = [path, b"/"].concat().into();
    let first = begin.clone();
    tree.range(first..)
        .take_while(move |(path, _)| path.starts_with(&begin))
}

/// Whether one of these paths, which are sorted, stands in the directory `path`.
fn is_above(path: &[u8], sorted: &[Vec<u8>]) -> bool {
    let begin = [path, b"/"].concat();
    let place = sorted.partition_point(|other| other < &begin);
    sorted.get(place).is_some_and(|other| other.starts_with(&begin))
}

#[cfg(test)]
mod tests {
    use super::{Counted::*, *};

    fn counted(layers: &[&[(&str, Counted)]]) -> Efficiency {
        let mut counter = Counter::default();
        for layer in layers {
            counter.layer(layer.iter().map(|(path, counted)| (path.as_bytes().to_vec(), *counted)));
        }
        counter.finish()
    }

    /// The image that dive's own tests take, by the sizes of its files, and the figures that these tests expect.
    #[test]
    fn the_figures_are_those_of_dive() {
        const README: Counted = File(6405);
        let found = counted(&[
            &[
                ("bin", Directory),
                ("bin/busybox", File(1_154_361)),
                ("root", Directory),
            ],
            &[("somefile.txt", README)],
            &[
                ("root", Directory),
                ("root/example", Directory),
                ("root/example/really/nested", Directory),
            ],
            &[("root/example", Directory), ("root/example/somefile1.txt", README)],
            &[("root/example", Directory), ("root/example/somefile1.txt", README)],
            &[("root/example", Directory), ("root/example/somefile2.txt", README)],
            &[("root/example", Directory), ("root/example/somefile3.txt", README)],
            &[
                ("root/example", Directory),
                ("root/example/somefile3.txt", Whiteout),
                ("root/saved.txt", README),
            ],
            &[("root/.saved.txt", README)],
            &[("root", Directory), ("root/example", Whiteout)],
            &[("root/.data", Directory), ("root/.data/all", File(2187))],
            &[("tmp/saved.again1.txt", README)],
            &[("root/.data/saved.again2.txt", README)],
            &[("root/saved.txt", README)],
        ]);
        assert_eq!(
            found,
            Efficiency {
                score: 0.984_421_213_418_430_9,
                bytes: 1_220_598,
                user_bytes: 66_237,
                wasted_bytes: 32_025,
                user_wasted: 0.483_491_100_140_404_9,
            }
        );
    }

    #[test]
    fn what_is_nothing_wastes_nothing() {
        let perfect = Efficiency {
            score: 1.0,
            ..Efficiency::default()
        };
        assert_eq!(counted(&[]), perfect);
        assert_eq!(counted(&[&[]]), perfect);
        // A whiteout of what is not there, and a directory that is named twice.
        assert_eq!(
            counted(&[&[("a", Directory)], &[("a", Directory), ("b", Whiteout)]]),
            perfect
        );
    }

    #[test]
    fn a_directory_that_is_removed_counts_with_all_that_was_in_it() {
        // Names that differ from the directory's by a byte below the slash are no part of it.
        let base: &[_] = &[
            ("a", Directory),
            ("a-b", File(1)),
            ("a/b", File(10)),
            ("a/c/d", File(20)),
            ("a0", File(2)),
        ];
        let found = counted(&[base, &[("a", Whiteout)], &[("a", File(5))]]);
        // `a` stands twice: as the whiteout of 30 bytes, and as a file of 5.
        assert_eq!((found.wasted_bytes, found.user_bytes), (35, 5));
        // A directory in which a layer removes something stands in it for that alone.
        let removed: &[_] = &[("a", Directory), ("a/b", Whiteout)];
        assert_eq!(counted(&[base, removed, &[("a", Whiteout)]]).wasted_bytes, 10);
        assert!((found.score - 38.0 / 68.0).abs() < 1e-12, "{}", found.score);
    }
}
