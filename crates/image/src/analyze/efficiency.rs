//! How well are an image's layers used, by dive's measure? So that the thresholds which were set for it hold here too.
//!
//! It goes by paths as layers write them. In each layer those count in which nothing else of the layer stands: files, links, empty directories and
//! whiteouts. A path's size in a layer is that of the regular file there; a whiteout of a directory has the size of all that lower layers left in it,
//! and any other whiteout none. Then
//!
//! - the efficiency is the sum of each path's smallest size, divided by the sum of all sizes;
//! - wasted is all that is said of a path that stands in several layers, its first copy included;
//! - the user's share is what is wasted, divided by the bytes of files above the lowest layer.

use teu_store::Result;

use crate::{
    contents::{Contents, Does, Raw},
    glob::clean,
    room,
    tree::{Limits, Paths, ROOT, reached, split},
    whiteout::Meaning,
};

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

impl Efficiency {
    /// That of these layers, the lowest first.
    ///
    /// # Errors
    /// `TooLarge` where that takes more memory than a tree may; that of the file in which a table of contents lies.
    pub fn of(layers: &[Contents], limits: &Limits) -> Result<Self> {
        let mut counter = Counter::new(limits.tree_bytes);
        for contents in layers {
            counter.table(contents)?;
        }
        Ok(counter.finish())
    }
}

/// What an entry of a layer counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
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

    /// It as a number; 0 is nothing.
    fn packed(self) -> u64 {
        match self {
            Self::Directory => 1,
            Self::Other | Self::Whiteout => 2,
            Self::File(size) => size.saturating_add(3),
        }
    }
}

/// The bytes of what was packed.
fn size_of(packed: u64) -> u64 {
    packed.saturating_sub(3)
}

/// Counts layer upon layer. All that is known of a path is at its number.
#[derive(Debug)]
struct Counter {
    paths: Paths,
    /// What of all layers so far is to be seen.
    seen: Vec<u64>,
    counts: Vec<Count>,
    /// In which layer there was something in it last, and in which it was made last.
    filled: Vec<u32>,
    made: Vec<u32>,
    layers: u32,
    bytes: u64,
    user_bytes: u64,
    /// How much memory all of it takes, and may take.
    held: usize,
    limit: usize,
}

/// What is said of a path takes so many bytes, beside its name.
const OF_A_PATH: usize = std::mem::size_of::<(u64, Count, u32, u32)>();

/// What is said of a path in all layers, of which one bit more says whether they are several.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// One more than the smallest size, 0 where it stands in none, and a bit below it.
    smallest: u64,
    sum: u64,
}

impl Counter {
    /// Of no layer yet, in so many bytes of memory at most.
    fn new(limit: usize) -> Self {
        Self {
            paths: Paths::new(),
            seen: Vec::new(),
            counts: Vec::new(),
            filled: Vec::new(),
            made: Vec::new(),
            layers: 0,
            bytes: 0,
            user_bytes: 0,
            held: 0,
            limit,
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.held += bytes;
        match self.held > self.limit {
            true => Err(reached(
                "tree_bytes",
                self.limit,
                "what is counted of the image's paths takes more memory",
            )),
            false => Ok(()),
        }
    }

    /// Counts the next layer.
    fn table(&mut self, contents: &Contents) -> Result<()> {
        let first = self.paths.add(self.layers, contents)?;
        let mut layer = Layer::default();
        let room = usize::try_from(contents.count()).unwrap_or(0);
        self.paths.reserve(room);
        room::reserve(&mut layer.made, room);
        let mut reader = contents.reader();
        while let Some(entry) = reader.next()? {
            if let Some((path, counted)) = counted(&entry) {
                // Its name need not be held where it is the one that the entry ends with.
                let last = path.rsplit(|byte| *byte == b'/').next();
                let is_named = last == Some(split(entry.path).1) && counted != Counted::Whiteout;
                let number = is_named.then_some(first + entry.number);
                self.entry(&mut layer, &path, counted, number)?;
            }
        }
        self.layer(layer);
        Ok(())
    }

    /// Takes in what a layer says of a path, without a slash at either end.
    fn entry(&mut self, layer: &mut Layer, path: &[u8], counted: Counted, number: Option<u32>) -> Result<()> {
        let mut names = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .peekable();
        let mut at = ROOT;
        while let Some(name) = names.next() {
            let number = number.filter(|_| names.peek().is_none());
            let taken;
            (at, taken) = self.paths.intern(at, name, number)?;
            if taken > 0 {
                self.spend(taken + OF_A_PATH)?;
            }
        }
        self.bytes += counted.size();
        if self.layers > 0 {
            self.user_bytes += counted.size();
        }
        match counted {
            Counted::Whiteout => layer.hidden.push(at),
            counted => layer.made.push((at, counted.packed())),
        }
        Ok(())
    }

    /// Counts what was taken in. Of several entries for one path the last is the one that counts.
    fn layer(&mut self, layer: Layer) {
        let Layer { mut made, mut hidden } = layer;
        self.layers += 1;
        let count = self.paths.len();
        room::fill(&mut self.seen, 0, count);
        room::fill(&mut self.counts, Count::default(), count);
        room::fill(&mut self.filled, 0, count);
        room::fill(&mut self.made, 0, count);
        made.reverse();
        made.retain(|(path, _)| std::mem::replace(&mut self.made[*path as usize], self.layers) != self.layers);
        hidden.sort_unstable();
        hidden.dedup();
        for path in made.iter().map(|(path, _)| path).chain(&hidden) {
            self.fill(*path);
        }
        if !hidden.is_empty() {
            self.hide(&hidden);
        }
        for (path, packed) in &made {
            if self.filled[*path as usize] != self.layers {
                self.count(*path, size_of(*packed));
            }
        }
        for (path, packed) in made {
            self.seen[path as usize] = packed;
        }
    }

    /// Notes of the directories above a path that something is in them.
    fn fill(&mut self, mut path: u32) {
        while path != ROOT {
            path = self.paths.parent(path);
            if std::mem::replace(&mut self.filled[path as usize], self.layers) == self.layers {
                return;
            }
        }
    }

    /// Counts what is hidden, and takes it away with all that is in it. A directory has a lower number than what is in it.
    fn hide(&mut self, hidden: &[u32]) {
        let mut below = room::filled(0_u64, self.seen.len());
        for path in (1..self.seen.len()).rev() {
            let parent = self.paths.parent(path as u32) as usize;
            below[parent] += below[path] + size_of(self.seen[path]);
        }
        for path in hidden {
            let place = *path as usize;
            let is_directory = self.seen[place] <= Counted::Directory.packed();
            self.count(*path, if is_directory { below[place] } else { 0 });
        }
        drop(below);
        let mut gone = vec![false; self.seen.len()];
        for path in hidden {
            gone[*path as usize] = true;
        }
        for path in 0..self.seen.len() {
            let parent = self.paths.parent(path as u32) as usize;
            gone[path] |= gone[parent];
            if gone[path] {
                self.seen[path] = 0;
            }
        }
    }

    fn count(&mut self, path: u32, size: u64) {
        let count = &mut self.counts[path as usize];
        let size_and_one = size.saturating_add(1).min(u64::MAX >> 1);
        count.smallest = match count.smallest {
            0 => size_and_one << 1,
            known => (known >> 1).min(size_and_one) << 1 | 1,
        };
        count.sum += size;
    }

    fn finish(self) -> Efficiency {
        let (mut smallest, mut sum, mut wasted) = (0, 0, 0);
        for count in self.counts.iter().filter(|count| count.smallest > 0) {
            smallest += (count.smallest >> 1) - 1;
            sum += count.sum;
            if count.smallest & 1 == 1 {
                wasted += count.sum;
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

/// What a layer says of paths.
#[derive(Debug, Default)]
struct Layer {
    made: Vec<(u32, u64)>,
    hidden: Vec<u32>,
}

fn counted(entry: &Raw<'_>) -> Option<(Vec<u8>, Counted)> {
    let counted = match entry.does() {
        Does::File => Counted::File(entry.size()),
        Does::Directory => Counted::Directory,
        Does::Symlink(_) | Does::Node | Does::HardLink(_) => Counted::Other,
        Does::Whiteout(Meaning::Hide { directory, name }) => {
            return Some((clean(&[directory, b"/", name].concat()), Counted::Whiteout));
        }
        // dive passes over what clears a directory.
        Does::Whiteout(_) => return None,
    };
    Some((clean(entry.path), counted))
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::{Counted::*, *};

    fn counted(layers: &[&[(&str, Counted)]]) -> Efficiency {
        let mut counter = Counter::new(usize::MAX);
        for entries in layers {
            let mut layer = Layer::default();
            for (path, counted) in *entries {
                let taken = counter.entry(&mut layer, path.as_bytes(), *counted, None);
                taken.expect("room");
            }
            counter.layer(layer);
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
