//! What has changed in a bundle since it was unpacked? The walk through its tree and what is remembered of it go side by side in the same order,
//! so that neither is held in memory; what differs is collected.

use std::io::Write as _;

use teu_rootfs::{
    Node, Time,
    walk::{Found, Limits, Walk},
};
use teu_store::{Error, ErrorKind, Result};

use super::{
    changes::{Layer, Write, parent},
    differ::{self, Verdict},
    groups::Groups,
    old::{self, Old},
    scope::{Scope, is_at_or_below, is_below},
};
use crate::{
    bundle::{self, Entry, Mark, MtreeLimits, Opened, record},
    failure::of_files,
    layer::PassedOver,
    unpack::{self, Stop},
};

/// How it is compared.
pub(super) struct Comparison<'a> {
    pub(super) scope: &'a Scope,
    /// Whether a file that was touched and looks as it did is what it was.
    pub(super) trust_times: bool,
    pub(super) limits: &'a Limits,
    pub(super) mtree: MtreeLimits,
    pub(super) stop: &'a Stop,
}

/// What differs.
pub(super) struct Changes {
    /// Layer by layer, the lowest first; those of which nothing changed are empty.
    pub(super) layers: Vec<Layer>,
    pub(super) counts: Counts,
    /// The user and the group that the tree's root had when it was unpacked.
    pub(super) own: (u32, u32),
    /// Sockets, and what other file systems have in the tree.
    pub(super) sockets: PassedOver,
    pub(super) mounts: PassedOver,
    /// Some file did not get all extended attributes that it has in the image.
    pub(super) withheld: bool,
}

/// How many files differ, by how. What is in a directory that is new or gone is counted with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that were not there.
    pub added: u64,
    /// Files that are others.
    pub changed: u64,
    /// Files that are gone.
    pub removed: u64,
    /// Files among the changed that look as they did, but were touched, so that nobody can say whether their content is what it was.
    pub doubtful: u64,
}

/// Compares all. What every file is like now goes into `record`, but for what is masked, of which what was remembered is remembered on.
pub(super) fn compare(bundle: &Opened, how: &Comparison<'_>, record: Option<std::fs::File>) -> Result<Changes> {
    let mut old = Old::begin(bundle.record(how.mtree)?)?;
    let own = old.next.as_ref().filter(|first| first.path.is_empty());
    let own = own.map_or((0, 0), |root| (root.uid, root.gid));
    let options = teu_rootfs::walk::Options {
        limits: how.limits.clone(),
        one_file_system: true,
        ..bundle::walk_options()
    };
    let mut walk = Walk::of(&bundle.rootfs, options).map_err(of_files)?;
    let mut work = Work {
        how,
        withheld: false,
        layers: (0..how.scope.layers()).map(|_| Layer::default()).collect(),
        groups: Groups::default(),
        counts: Counts::default(),
        trees: Vec::new(),
        touched: Vec::new(),
        lost: None,
        kept: None,
        device: None,
        latest: Time::default(),
        sockets: PassedOver::default(),
        mounts: PassedOver::default(),
        record: record
            .map(|file| record::Writer::new(std::io::BufWriter::with_capacity(256 << 10, file)))
            .transpose()?,
    };
    while let Some(mut found) = walk.next_file().map_err(of_files)? {
        how.stop.check()?;
        while let Some(gone) = old.before(found.path)? {
            work.gone(gone)?;
        }
        let before = old.at(found.path)?;
        let go_on = work.found(before, &mut found)?;
        if !go_on {
            walk.skip();
        }
        work.check_memory()?;
    }
    while let Some(gone) = old.take()? {
        work.gone(gone)?;
        work.check_memory()?;
    }
    work.leave(None);
    work.groups.finish(how.scope, &mut work.layers);
    work.layers.iter_mut().for_each(Layer::sort);
    if let Some(record) = work.record {
        record.finish()?.flush()?;
        unpack::wait_out(work.latest);
    }
    Ok(Changes {
        layers: work.layers,
        counts: work.counts,
        own,
        sockets: work.sockets,
        mounts: work.mounts,
        withheld: work.withheld,
    })
}

struct Work<'a> {
    how: &'a Comparison<'a>,
    withheld: bool,
    layers: Vec<Layer>,
    groups: Groups,
    counts: Counts,
    /// New directories that the walk is in, from the outermost, each with the layer that it is in.
    trees: Vec<(Vec<u8>, usize)>,
    /// Directories that the walk is in, from the outermost, of which nothing but the time is another.
    touched: Vec<Touched>,
    /// What is gone with all that was in it.
    lost: Option<Vec<u8>>,
    /// On what another file system is mounted: what was in it is not gone.
    kept: Option<Vec<u8>>,
    device: Option<u64>,
    latest: Time,
    sockets: PassedOver,
    mounts: PassedOver,
    record: Option<record::Writer<std::io::BufWriter<std::fs::File>>>,
}

/// A directory whose time is another, noted to be written.
struct Touched {
    path: Vec<u8>,
    /// Something that is masked came into it, or went: that is why, unless something else did.
    by_masked: bool,
    by_others: bool,
}

impl Work<'_> {
    /// Comes out of touched directories that `path` is not in; out of all without one. Who only looks at what is not masked sees no change of one in which
    /// nothing but masked names came and went.
    fn leave(&mut self, path: Option<&[u8]>) {
        while let Some(left) = self
            .touched
            .pop_if(|top| !path.is_some_and(|path| is_at_or_below(path, &top.path)))
        {
            if left.by_masked && !left.by_others {
                self.counts.changed -= 1;
                let layer = self.how.scope.layer(&left.path);
                self.layers[layer].take_back(left.path);
            }
        }
    }

    /// The touched directory that something is in, if it is one.
    fn touched_above(&mut self, path: &[u8]) -> Option<&mut Touched> {
        self.leave(Some(path));
        let top = self.touched.last_mut()?;
        (!path.is_empty() && parent(path) == top.path).then_some(top)
    }

    /// A masked name came or went.
    fn masked_moved(&mut self, path: &[u8]) {
        if let Some(above) = self.touched_above(path) {
            above.by_masked = true;
        }
    }

    /// Another one did, or may have.
    fn other_moved(&mut self, path: &[u8]) {
        if let Some(above) = self.touched_above(path) {
            above.by_others = true;
        }
    }

    /// A file that was there, and is not.
    fn gone(&mut self, old: Entry) -> Result<()> {
        self.how.scope.see(&old.path);
        if self.lost.as_ref().is_some_and(|lost| is_below(&old.path, lost)) {
            return Ok(());
        }
        let kept = self.kept.as_ref().is_some_and(|kept| is_below(&old.path, kept));
        if kept || self.how.scope.is_masked(&old.path) {
            self.masked_moved(&old.path);
            return self.remember(&old);
        }
        self.remove(&old.path);
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) {
        self.other_moved(path);
        self.counts.removed += 1;
        self.layers[self.how.scope.layer(path)].remove(path.to_vec());
        self.lost = Some(path.to_vec());
    }

    /// A file that is there, and may have been. Answers whether to go into it.
    fn found(&mut self, old: Option<Entry>, found: &mut Found<'_>) -> Result<bool> {
        let path = found.path;
        self.withheld |= old.as_ref().is_some_and(|old| !old.withheld.is_empty());
        self.how.scope.see(path);
        let device = *self.device.get_or_insert(found.stat.device);
        if self.how.scope.is_masked(path) || found.stat.device != device {
            if found.stat.device != device {
                self.mounts.add(path);
                self.kept = Some(path.to_vec());
            } else if !matches!(found.node, Node::Directory | Node::Socket) {
                self.groups.see(&found.stat, None, self.how.scope, &mut self.layers);
            }
            match &old {
                Some(old) => self.remember(old)?,
                None => self.masked_moved(path),
            }
            return Ok(false);
        }
        if found.node == Node::Socket {
            match old {
                Some(old) if old.node == Node::Socket => self.remember(&old)?,
                Some(old) => self.remove(&old.path),
                None => self.sockets.add(path),
            }
            return Ok(false);
        }
        let verdict = match &old {
            Some(old) => Some(differ::compare(old, found, self.how.stop)?),
            None => None,
        };
        let was_directory = old.as_ref().is_some_and(|old| old.node == Node::Directory);
        let is_directory = found.node == Node::Directory;
        if was_directory && !is_directory {
            self.lost = Some(path.to_vec());
        }
        let how = match verdict {
            None => Some(Write::File { exact: false }),
            Some(Verdict::Untouched | Verdict::Same) => None,
            Some(Verdict::Doubtful) if self.how.trust_times => None,
            Some(Verdict::Doubtful) => {
                // Of a file that got another name, or lost one, all know why it was touched.
                let renamed = old.as_ref().is_some_and(|old| old.links != found.stat.links);
                self.counts.doubtful += u64::from(!renamed);
                Some(Write::File { exact: true })
            }
            Some(Verdict::Changed { same_time, .. }) => Some(Write::File { exact: same_time }),
        };
        if let Some(how) = how {
            let how = if is_directory && !was_directory {
                Write::Tree
            } else {
                how
            };
            // A file that is another may have come in the place of the old one.
            if !(was_directory && is_directory) {
                self.other_moved(path);
            }
            let is_noted = self.note(path, how, old.is_some());
            if is_noted && matches!(verdict, Some(Verdict::Changed { only_time: true, .. })) && is_directory {
                self.leave(Some(path));
                self.touched.push(Touched {
                    path: path.to_vec(),
                    by_masked: false,
                    by_others: false,
                });
            }
        }
        if !is_directory {
            let name = Some((path, how.is_some()));
            self.groups.see(&found.stat, name, self.how.scope, &mut self.layers);
        }
        if self.record.is_some() {
            match (verdict, &old) {
                (Some(Verdict::Untouched), Some(old)) => self.remember(old)?,
                (Some(_), Some(old)) => {
                    let withheld = old::kept(old, found);
                    self.remember(&Entry {
                        withheld,
                        ..Entry::found(found)
                    })?;
                }
                _ => {
                    found.read_xattrs().map_err(of_files)?;
                    self.remember(&Entry::found(found))?;
                }
            }
        }
        Ok(true)
    }

    /// Has a file be written, unless it is in a new directory that is written whole; whether it is noted.
    fn note(&mut self, path: &[u8], how: Write, was_there: bool) -> bool {
        let layer = self.how.scope.layer(path);
        while self.trees.last().is_some_and(|(top, _)| !is_at_or_below(path, top)) {
            self.trees.pop();
        }
        if self.trees.iter().any(|(_, other)| *other == layer) {
            return false;
        }
        match was_there {
            true => self.counts.changed += 1,
            false => self.counts.added += 1,
        }
        self.layers[layer].write(path, how);
        if how == Write::Tree {
            self.trees.push((path.to_vec(), layer));
        }
        true
    }

    fn remember(&mut self, entry: &Entry) -> Result<()> {
        let Some(record) = &mut self.record else {
            return Ok(());
        };
        let Mark::Untouched { ctime, .. } = entry.mark else {
            // umoci's own record does not say so: whoever compares with this looks closer.
            let mut entry = entry.clone();
            entry.mark = Mark::Untouched {
                inode: 0,
                ctime: Time::default(),
            };
            return record.add(&entry);
        };
        self.latest = self.latest.max(ctime);
        record.add(entry)
    }

    fn check_memory(&self) -> Result<()> {
        let most = self.how.limits.memory_bytes;
        let taken = self.groups.memory() + self.layers.iter().map(Layer::memory).sum::<usize>();
        if taken <= most {
            return Ok(());
        }
        let message = format!(
            "more files have changed, or have several names, than are kept in mind: they take more than the limit memory_bytes of {most}; \
             raise it only for files that are meant"
        );
        Err(Error::new(ErrorKind::TooLarge, message))
    }
}
