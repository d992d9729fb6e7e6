//! Is a file still what it was? By the kernel's word where that is known (the inode, and the time of its last change, which nobody can set), then
//! without reading anything; else by all that is remembered of it.

use std::io::{self, Read};

use teu_rootfs::{Node, walk::Found};
use teu_store::Result;

use crate::{
    bundle::{Entry, Fingerprint, Mark},
    failure::{of_files, of_reading},
    unpack::Stop,
};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody touched it.
    Untouched,
    /// It was touched, and is what it was.
    Same,
    /// It was touched and looks as it did, but nobody can say whether its content is what it was.
    Doubtful,
    /// It is another.
    Changed {
        /// Whether its time is what it was.
        same_time: bool,
        /// Whether all else is.
        only_time: bool,
    },
}

/// Compares. Where it was touched its extended attributes are read.
pub(super) fn compare(old: &Entry, found: &mut Found<'_>, stop: &Stop) -> Result<Verdict> {
    let by_digest = matches!(old.mark, Mark::Content(_));
    let same_node = match (&old.node, &found.node) {
        // umoci does not say which device.
        (Node::CharDevice(_), Node::CharDevice(_)) | (Node::BlockDevice(_), Node::BlockDevice(_)) if by_digest => true,
        (old, new) => old == new,
    };
    let is_link = matches!(found.node, Node::Symlink(_));
    // The mode of a link means nothing, and differs from one file system to the other.
    let same_mode = is_link || old.mode == found.metadata.mode;
    if let Mark::Untouched { inode, ctime } = old.mark
        && (inode, ctime) == (found.stat.inode, found.stat.ctime)
        && same_node
        && same_mode
    {
        return Ok(Verdict::Untouched);
    }
    found.read_xattrs().map_err(of_files)?;
    let metadata = &found.metadata;
    let same_time = match by_digest {
        true => old.mtime.seconds == metadata.mtime.seconds,
        false => old.mtime == metadata.mtime,
    };
    let same_xattrs = old.xattrs.is_none_or(|old| old == Fingerprint::of(&metadata.xattrs));
    let same_owner = (old.uid, old.gid) == (metadata.uid, metadata.gid);
    let same_else = same_node && same_mode && same_owner && same_xattrs;
    if !(same_else && same_time) {
        return Ok(Verdict::Changed {
            same_time,
            only_time: same_else,
        });
    }
    let same = match (&found.node, old.mark) {
        (Node::File(0), _) => true,
        (Node::File(_), Mark::Content(Some(digest))) => {
            let mut hasher = digest.algorithm().hasher();
            read(found, stop, |bytes| hasher.update(bytes))?;
            hasher.finish() == digest
        }
        (Node::File(_), _) => return Ok(Verdict::Doubtful),
        _ => true,
    };
    Ok(match same {
        true => Verdict::Same,
        false => Verdict::Changed {
            same_time,
            only_time: false,
        },
    })
}

fn read(found: &mut Found<'_>, stop: &Stop, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut content = found.open().map_err(of_files)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(of_reading(error)),
        }
        stop.check()?;
    }
}
