//! How does a tar archive say what a file is?

use teu_archive::tar::{EntryKind, Header, Time};
use teu_rootfs::{Metadata, Node};

/// The header of a file; none for a socket, which no archive can hold. A directory's name ends in a slash, as tar has it.
///
/// Names of owners are left out: the numbers are what counts in an image, and this machine's names mean nothing there.
#[must_use]
pub fn header(path: &[u8], node: &Node, metadata: &Metadata) -> Option<Header> {
    let mut header = match node {
        Node::File(size) => Header::file(path, *size),
        Node::Directory => Header::directory(slashed(path)),
        Node::Symlink(target) => Header::symlink(path, target.as_slice()),
        Node::Fifo => Header::new(EntryKind::Fifo, path),
        Node::CharDevice(device) | Node::BlockDevice(device) => {
            let kind = match node {
                Node::CharDevice(_) => EntryKind::CharDevice,
                _ => EntryKind::BlockDevice,
            };
            let mut header = Header::new(kind, path);
            (header.device_major, header.device_minor) = (device.major, device.minor);
            header
        }
        Node::Socket => return None,
    };
    describe(&mut header, metadata);
    Some(header)
}

/// The header of another name for a file that stands before it. It says all that the file's own header says, but for its size: those who unpack
/// give it to the file once more (containers/storage, `createTarFile`), and to change an owner takes a file's capabilities away.
#[must_use]
pub fn hard_link(path: &[u8], target: &[u8], metadata: &Metadata) -> Header {
    let mut header = Header::hard_link(path, target);
    describe(&mut header, metadata);
    header
}

fn describe(header: &mut Header, metadata: &Metadata) {
    header.mode = metadata.mode;
    (header.uid, header.gid) = (metadata.uid, metadata.gid);
    header.mtime = time(metadata.mtime);
    header.xattrs = metadata.xattrs.clone();
}

/// A time of a file as an archive has it.
#[must_use]
pub fn time(time: teu_rootfs::Time) -> Time {
    Time {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

fn slashed(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path
}
