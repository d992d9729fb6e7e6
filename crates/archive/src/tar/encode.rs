//! What stands before an entry's content? Its header blocks: one of ustar, and before that a PAX header with just the records that ustar
//! cannot hold.

use super::block::{self, Block};
use super::number::{format_time, put_octal};
use super::{BLOCK, EntryKind, Header, Time, pax};
use crate::{Error, Result};

/// Makes the header blocks of an entry: one of ustar, before it those of a PAX header where ustar cannot hold it all.
pub(super) fn encode(header: &Header, into: &mut Vec<u8>) -> Result<()> {
    check(header)?;
    let mut records = Vec::new();
    let mut block = Block([0; BLOCK]);
    name(&header.path, &mut block, &mut records);
    if !put_text(&mut block, block::LINK, &header.link) {
        pax::put(&mut records, b"linkpath", &header.link);
    }
    put_number(&mut block, block::MODE, header.mode.into());
    for (range, key, value) in [(block::UID, "uid", header.uid), (block::GID, "gid", header.gid)] {
        if !put_number(&mut block, range, value.into()) {
            pax::put(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    if !put_number(&mut block, block::SIZE, header.size) {
        pax::put(&mut records, b"size", header.size.to_string().as_bytes());
    }
    let whole = u64::try_from(header.mtime.seconds).unwrap_or(0);
    if !put_number(&mut block, block::MTIME, whole) || !is_whole(header.mtime) {
        pax::put(&mut records, b"mtime", format_time(header.mtime).as_bytes());
    }
    for (key, time) in [("atime", header.atime), ("ctime", header.ctime)] {
        if let Some(time) = time {
            pax::put(&mut records, key.as_bytes(), format_time(time).as_bytes());
        }
    }
    for (range, key, value) in [
        (block::UNAME, "uname", &header.uname),
        (block::GNAME, "gname", &header.gname),
    ] {
        // POSIX wants these, unlike names and targets, to end in a NUL.
        let most = range.len() - 1;
        if value.len() > most || !put_text(&mut block, range, value) {
            pax::put(&mut records, key.as_bytes(), value);
        }
    }
    put_number(&mut block, block::MAJOR, header.device_major.into());
    put_number(&mut block, block::MINOR, header.device_minor.into());
    for (name, value) in &header.xattrs {
        pax::put(&mut records, &pax::xattr_key(name)?, value);
    }
    for (key, value) in &header.extra {
        pax::put(&mut records, key, value);
    }
    if !records.is_empty() {
        extension(&header.path, &records, into)?;
    }
    block.0[block::TYPE] = match header.kind {
        EntryKind::Regular => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    put_block(block, into);
    Ok(())
}

/// Refuses what could not be read back as it is.
fn check(header: &Header) -> Result<()> {
    let refuse = |what: &str| Err(Error::unsupported("tar", what.to_owned()));
    let link = matches!(header.kind, EntryKind::HardLink | EntryKind::Symlink);
    let device = matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let texts = [&header.path, &header.link, &header.uname, &header.gname];
    match header {
        _ if texts.iter().any(|text| text.contains(&0)) => refuse("a name contains a NUL"),
        _ if header.path.is_empty() => refuse("the name is empty"),
        _ if link == header.link.is_empty() => refuse("links have a target, and nothing else has one"),
        _ if header.kind == EntryKind::Regular && header.path.ends_with(b"/") => {
            refuse("the name of a file ends in a slash, which makes it a directory to its readers")
        }
        _ if header.kind != EntryKind::Regular && header.size != 0 => refuse("only regular files have content"),
        _ if i64::try_from(header.size).is_err() => refuse("the size is beyond 2^63 - 1"),
        _ if header.mode > 0o7777 => refuse("the mode has bits beyond 07777"),
        _ if header.uid == u32::MAX || header.gid == u32::MAX => refuse("uid or gid is 4294967295, which is nobody's"),
        _ if !device && (header.device_major, header.device_minor) != (0, 0) => refuse("only devices have numbers"),
        _ if header.device_major.max(header.device_minor) >= 1 << 21 => refuse("a device number is beyond 2097151"),
        _ => {
            let times = [Some(header.mtime), header.atime, header.ctime];
            if times
                .into_iter()
                .flatten()
                .any(|time| time.nanoseconds >= 1_000_000_000 || time.seconds == i64::MIN)
            {
                return refuse("a time has too many nanoseconds, or lies too far back");
            }
            match header.extra.keys().find(|key| !pax::is_extra(key)) {
                Some(key) => {
                    let what = format!(
                        "the PAX record \"{}\" cannot stand among the extra ones",
                        crate::Escaped(key)
                    );
                    Err(Error::unsupported("tar", what))
                }
                None => Ok(()),
            }
        }
    }
}

/// Writes the name into the block, split at a slash where it is long; else as a record, with what ASCII its beginning has in
/// the block, for readers that know no PAX.
fn name(path: &[u8], block: &mut Block, records: &mut Vec<u8>) {
    if put_text(block, block::NAME, path) {
        return;
    }
    let (prefix, rest) = split(path);
    if !prefix.is_empty() && is_plain(prefix) && put_text(block, block::NAME, rest) {
        put_text(block, block::PREFIX, prefix);
        return;
    }
    pax::put(records, b"path", path);
    let mut stand_in: Vec<u8> = path
        .iter()
        .copied()
        .filter(u8::is_ascii)
        .take(block::NAME.len())
        .collect();
    while stand_in.last() == Some(&b'/') {
        stand_in.pop();
    }
    put_text(block, block::NAME, &stand_in);
}

/// Splits a long name at the last slash that leaves a prefix which fits.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    // A slash at the very end stays with the name.
    let most = (path.len() - 1).min(block::PREFIX.len() + 1);
    match path[..most].iter().rposition(|&byte| byte == b'/') {
        // An empty prefix would be no prefix, and its slash lost.
        Some(at) if at != 0 => (&path[..at], &path[at + 1..]),
        _ => (&[], path),
    }
}

/// Whether ustar's fields may hold a text. POSIX has them in ASCII; valid UTF-8 beyond it goes into PAX, which says that it
/// is UTF-8. Bytes that are neither stay in the field where they fit, since all readers keep them there.
fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_err()
}

/// Writes a text into its field if it can be said there.
fn put_text(block: &mut Block, range: std::ops::Range<usize>, text: &[u8]) -> bool {
    let fits = text.len() <= range.len() && is_plain(text);
    if fits {
        block.0[range.start..range.start + text.len()].copy_from_slice(text);
    }
    fits
}

/// Writes a number in octal; if it does not fit, 0, and the record that then must be there counts.
fn put_number(block: &mut Block, range: std::ops::Range<usize>, value: u64) -> bool {
    let fits = put_octal(&mut block.0[range.clone()], value);
    if !fits {
        put_octal(&mut block.0[range], 0);
    }
    fits
}

fn is_whole(time: Time) -> bool {
    time.seconds >= 0 && time.nanoseconds == 0
}

/// Writes a PAX extended header with its records. Its own name is for readers that know no PAX and unpack it as a file.
fn extension(path: &[u8], records: &[u8], into: &mut Vec<u8>) -> Result<()> {
    let mut block = Block([0; BLOCK]);
    let base = path
        .split(|&byte| byte == b'/')
        .rfind(|part| !part.is_empty())
        .unwrap_or(b"root");
    let base: Vec<u8> = base.iter().copied().filter(u8::is_ascii_graphic).collect();
    let name = [&b"PaxHeaders.0/"[..], &base[..base.len().min(80)]].concat();
    put_text(&mut block, block::NAME, &name);
    put_number(&mut block, block::MODE, 0o644);
    for range in [block::UID, block::GID, block::MTIME, block::MAJOR, block::MINOR] {
        put_number(&mut block, range, 0);
    }
    if !put_number(&mut block, block::SIZE, records.len() as u64) {
        return Err(Error::unsupported(
            "tar",
            "the extended attributes and other records are too large",
        ));
    }
    block.0[block::TYPE] = b'x';
    put_block(block, into);
    into.extend_from_slice(records);
    into.resize(into.len() + padding(records.len() as u64), 0);
    Ok(())
}

fn put_block(mut block: Block, into: &mut Vec<u8>) {
    block.0[block::MAGIC].copy_from_slice(block::POSIX_MAGIC);
    block.seal();
    into.extend_from_slice(&block.0);
}

/// The zeros behind content of this size.
pub(super) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}
