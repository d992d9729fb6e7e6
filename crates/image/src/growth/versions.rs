//! What became of each path, layer by layer? [`Versions`] asks the tree that is being built, after each layer, of the paths that it touched.

use std::collections::{HashMap, hash_map};

use teu_store::{Error, ErrorKind, Result};

use super::{Did, State, Version, state};
use crate::{
    room,
    tree::{Builder, Kind, NONE, Paths},
};

/// What became of paths, while that is found out.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) all: Vec<Packed>,
    /// The last one of each path.
    lasts: Vec<u32>,
}

impl Versions {
    pub(super) fn last(&self, path: u32) -> u32 {
        self.lasts.get(path as usize).copied().unwrap_or(NONE)
    }

    /// What a layer made of these paths, of which it did something.
    pub(super) fn layer(&mut self, builder: &Builder, layer: usize, touched: &[u32]) -> Result<()> {
        let paths = builder.paths();
        room::fill(&mut self.lasts, NONE, paths.len());
        room::reserve(&mut self.all, touched.len());
        let holders = holders(builder, layer, touched)?;
        for path in touched {
            let known = self.all.get(self.last(*path) as usize).map(Packed::open);
            let now = builder.at(*path);
            let before = known.filter(Version::is_there);
            let did = match (before, now) {
                // What was there for no layer's end was never there.
                (None, None) => continue,
                (None, Some(_)) => Did::Add,
                (Some(_), None) => Did::Remove,
                (Some(before), Some(now)) => match is_repeated(paths, &before, (now.kind, now.entry))? {
                    true => Did::Repeat,
                    false => Did::Change,
                },
            };
            let size = match now {
                Some(now) if now.kind == Kind::File && paths.layer(now.entry) as usize == layer => {
                    match now.names < 2 || holders.get(&now.entry) == Some(path) {
                        true => paths.with(now.entry, |entry| Ok(entry.size()))?,
                        false => 0,
                    }
                }
                // What a lower layer has counts where it was counted.
                Some(now) if now.entry != NONE => before
                    .filter(|before| before.entry == now.entry)
                    .map_or(0, |before| before.size),
                _ => 0,
            };
            let version = Version {
                layer,
                did,
                size,
                kind: now.map(|now| now.kind),
                entry: now.map_or(NONE, |now| now.entry),
            };
            let packed = Packed::new(version, self.last(*path))?;
            self.lasts[*path as usize] = self.all.len() as u32;
            self.all.push(packed);
        }
        Ok(())
    }
}

/// Of each file of this layer with several names the one that counts for its content: the first in the order of the paths' bytes.
fn holders(builder: &Builder, layer: usize, touched: &[u32]) -> Result<HashMap<u32, u32>> {
    let paths = builder.paths();
    let mut holders = HashMap::new();
    for path in touched {
        let Some(now) = builder.at(*path) else { continue };
        if now.kind != Kind::File || now.names < 2 || paths.layer(now.entry) as usize != layer {
            continue;
        }
        match holders.entry(now.entry) {
            hash_map::Entry::Vacant(free) => drop(free.insert(*path)),
            hash_map::Entry::Occupied(mut holder) => {
                if paths.path(*path)? < paths.path(*holder.get())? {
                    holder.insert(*path);
                }
            }
        }
    }
    Ok(holders)
}

impl Packed {
    fn new(version: Version, before: u32) -> Result<Self> {
        let layer = u32::try_from(version.layer).ok().filter(|layer| *layer < 1 << 27);
        let layer = layer.ok_or_else(|| {
            let message = format!("there are more layers than the {} that can be followed", 1 << 27);
            Error::new(ErrorKind::TooLarge, message)
        })?;
        let did = match version.did {
            Did::Add => 0,
            Did::Change => 1,
            Did::Repeat => 2,
            Did::Remove => 3,
        };
        let kind = match version.kind {
            Some(Kind::Directory) => 0,
            Some(Kind::File) => 1,
            Some(Kind::Symlink) => 2,
            Some(Kind::Other | Kind::Elsewhere) => 3,
            None => 4,
        };
        Ok(Self {
            size: [version.size as u32, (version.size >> 32) as u32],
            entry: version.entry,
            layer: layer << 5 | did << 3 | kind,
            before,
        })
    }

    pub(super) fn open(&self) -> Version {
        let [low, high] = self.size.map(u64::from);
        Version {
            layer: (self.layer >> 5) as usize,
            did: match self.layer >> 3 & 3 {
                0 => Did::Add,
                1 => Did::Change,
                2 => Did::Repeat,
                _ => Did::Remove,
            },
            size: low | high << 32,
            kind: match self.layer & 7 {
                0 => Some(Kind::Directory),
                1 => Some(Kind::File),
                2 => Some(Kind::Symlink),
                3 => Some(Kind::Other),
                _ => None,
            },
            entry: self.entry,
        }
    }
}

/// Whether what is at a path now is as it was before.
fn is_repeated(paths: &Paths, before: &Version, (kind, entry): (Kind, u32)) -> Result<bool> {
    let Some(was) = before.kind.filter(|was| *was == kind) else {
        return Ok(false);
    };
    if kind == Kind::File {
        // One that is written again is another one, whatever is in it.
        return Ok(before.entry == entry);
    }
    let (old, new) = (state(paths, was, before.entry)?, state(paths, kind, entry)?);
    let owner = |state: &State| (state.metadata.mode, state.metadata.uid, state.metadata.gid);
    Ok(old.node == new.node && owner(&old) == owner(&new) && old.metadata.xattrs == new.metadata.xattrs)
}

/// A version, and which was before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    size: [u32; 2],
    entry: u32,
    /// Above five bits for what the layer did and what is there.
    layer: u32,
    pub(super) before: u32,
}
