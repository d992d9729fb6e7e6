//! What is remembered of one file? All by which a change of it is seen later without reading it.

use std::{cmp::Ordering, collections::BTreeMap};

use teu_rootfs::{Node, Time, walk::Found};
use teu_spec::Digest;

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the root, without slashes at either end; empty for the root.
    pub path: Vec<u8>,
    /// What it is. Of a device umoci does not say the number: it is zero then, and not compared.
    pub node: Node,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// The owner, as the tree's files have it: mapped.
    pub uid: u32,
    /// The group, likewise.
    pub gid: u32,
    /// How many names it has; of a directory not compared.
    pub links: u64,
    /// When its content was changed last; umoci says seconds alone.
    pub mtime: Time,
    /// Its extended attributes; none where they are not known.
    pub xattrs: Option<Fingerprint>,
    /// Those that it has in the image and did not get, with their values.
    pub withheld: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By what it is seen that nobody touched it.
    pub mark: Mark,
}

impl Entry {
    /// As it is now, but for what it did not get. Its extended attributes must have been read.
    #[must_use]
    pub fn found(found: &Found<'_>) -> Self {
        Self {
            path: found.path.to_vec(),
            node: found.node.clone(),
            mode: found.metadata.mode,
            uid: found.metadata.uid,
            gid: found.metadata.gid,
            links: found.stat.links,
            mtime: found.metadata.mtime,
            xattrs: Some(Fingerprint::of(&found.metadata.xattrs)),
            withheld: BTreeMap::new(),
            mark: Mark::Untouched {
                inode: found.stat.inode,
                ctime: found.stat.ctime,
            },
        }
    }
}

/// By what it is seen that the content of a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The kernel's own word: the inode, and when anything of it was changed last. Nobody can set that time.
    Untouched {
        /// The inode's number.
        inode: u64,
        /// When the inode was changed last.
        ctime: Time,
    },
    /// The digest of the content: it must be read again. What is no file has none.
    Content(Option<Digest>),
}

/// Extended attributes, told apart by a few bytes. The same ones have the same fingerprint; none have zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of these attributes.
    #[must_use]
    pub fn of(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        if xattrs.is_empty() {
            return Self::default();
        }
        let mut text = Vec::new();
        for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&Digest::of(&text).bytes()[..16]);
        Self(fingerprint)
    }
}

/// The order of a walk: a directory, then what is in it, names by their bytes.
#[must_use]
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    // No name has a NUL, so that the slash, which ends one, sorts before all.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    match differ {
        Some((one, other)) => rank(one).cmp(&rank(other)),
        None => one.len().cmp(&other.len()),
    }
}
