//! What does an entry say, once its header block and its extension headers are put together?

use std::ops::Range;

use super::block::{self, Block, Dialect};
use super::pax::Records;
use super::{EntryKind, Header, Limits, Time};
use crate::{Error, Result};

/// Names that extension headers gave an entry.
pub(super) struct Names<'a> {
    /// GNU's long name.
    pub(super) path: Option<Vec<u8>>,
    /// GNU's long link.
    pub(super) link: Option<Vec<u8>>,
    /// Of a sparse file in GNU's PAX formats.
    pub(super) sparse: Option<&'a Vec<u8>>,
}

/// Fills an empty header, all but its size.
pub(super) fn describe(
    header: &mut Header,
    block: &Block,
    names: Names<'_>,
    records: Records,
    globals: &Records,
    limits: &Limits,
) -> Result<()> {
    let dialect = block.dialect();

    let pax_path = records.path.or(&globals.path);
    name(&mut header.path, names.path, pax_path, "path", |into| {
        if dialect == Dialect::Posix && block.0[block::PREFIX.start] != 0 {
            into.extend_from_slice(block.text(block::PREFIX, "prefix")?);
            into.push(b'/');
        }
        into.extend_from_slice(block.text(block::NAME, "name")?);
        Ok(())
    })?;
    // Under GNU's PAX formats `path` is a stand-in for readers that do not know sparse files.
    if let Some(real) = names.sparse {
        header.path.clone_from(real);
    }
    check_name(&header.path, "the name", limits)?;

    let flag = block.0[block::TYPE];
    header.kind = kind(flag, &header.path)?;
    if matches!(header.kind, EntryKind::HardLink | EntryKind::Symlink) {
        let pax_link = records.link.or(&globals.link);
        name(&mut header.link, names.link, pax_link, "linkpath", |into| {
            into.extend_from_slice(block.text(block::LINK, "linkname")?);
            Ok(())
        })?;
        check_name(&header.link, "the target of the link", limits)?;
    }

    header.mode = (block.size(block::MODE, "mode")? & 0o7777) as u32;
    header.uid = id(records.uid.or(&globals.uid), block, block::UID, "uid")?;
    header.gid = id(records.gid.or(&globals.gid), block, block::GID, "gid")?;
    header.mtime = match records.mtime.or(&globals.mtime) {
        Some(time) => *time,
        None => Time {
            seconds: block.number(block::MTIME, "mtime")?,
            nanoseconds: 0,
        },
    };
    header.atime = records.atime.or(&globals.atime).copied();
    header.ctime = records.ctime.or(&globals.ctime).copied();
    if dialect != Dialect::V7 {
        match records.uname.or(&globals.uname) {
            Some(uname) => header.uname.extend_from_slice(uname),
            None => header.uname.extend_from_slice(block.text(block::UNAME, "uname")?),
        }
        match records.gname.or(&globals.gname) {
            Some(gname) => header.gname.extend_from_slice(gname),
            None => header.gname.extend_from_slice(block.text(block::GNAME, "gname")?),
        }
        if matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            header.device_major = device(block, block::MAJOR, "devmajor")?;
            header.device_minor = device(block, block::MINOR, "devminor")?;
        }
    }
    if dialect == Dialect::Gnu {
        // Only incremental dumps fill these.
        let time = |range: Range<usize>, name| -> Result<Option<Time>> {
            if block.0[range.start] == 0 {
                return Ok(None);
            }
            Ok(Some(Time {
                seconds: block.number(range, name)?,
                nanoseconds: 0,
            }))
        };
        header.atime = header.atime.or(time(block::ATIME, "atime")?);
        header.ctime = header.ctime.or(time(block::CTIME, "ctime")?);
    }
    header.xattrs = records.xattrs;
    header.extra = records.extra;
    Ok(())
}

/// Fills `into` with the entry's name: from GNU's long name or the PAX record, which must agree where both are there, or
/// from the header block.
fn name(
    into: &mut Vec<u8>,
    gnu: Option<Vec<u8>>,
    pax: Option<&Vec<u8>>,
    key: &str,
    from_block: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != *pax => Err(Error::malformed(
            "tar",
            format!("GNU's long name and the PAX record {key} disagree"),
        )),
        (Some(gnu), _) => {
            *into = gnu;
            Ok(())
        }
        (None, Some(pax)) => {
            into.extend_from_slice(pax);
            Ok(())
        }
        (None, None) => from_block(into),
    }
}

fn check_name(name: &[u8], what: &str, limits: &Limits) -> Result<()> {
    if name.is_empty() {
        return Err(Error::malformed("tar", format!("{what} is empty")));
    }
    if name.len() as u64 > limits.name_bytes {
        let what = format!("{what} has {} bytes", name.len());
        return Err(Error::limit("tar", "name_bytes", limits.name_bytes, what));
    }
    if name.contains(&0) {
        return Err(Error::malformed("tar", format!("{what} contains a NUL")));
    }
    Ok(())
}

fn kind(flag: u8, path: &[u8]) -> Result<EntryKind> {
    Ok(match flag {
        // Before POSIX a directory was a file whose name ends in a slash; GNU tar and libarchive still read it so.
        b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
        b'0' | 0 | b'7' | b'S' => EntryKind::Regular,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            // Volume labels, multi-volume parts, dump directories, Solaris's own headers: nothing an image holds.
            let what = format!(
                "the entry has the type '{}', which is not a file of any kind",
                other.escape_ascii()
            );
            return Err(Error::unsupported("tar", what));
        }
    })
}

/// A user's or group's number as Linux has them. The last one means "leave unchanged" to chown(2): threat 39.
fn id(pax: Option<&u64>, block: &Block, range: Range<usize>, name: &'static str) -> Result<u32> {
    let value = match pax {
        Some(value) => *value,
        None => block.size(range, name)?,
    };
    let id = u32::try_from(value).ok().filter(|&id| id != u32::MAX);
    id.ok_or_else(|| Error::malformed("tar", format!("{name} {value} is beyond 4294967294")))
}

/// A device number, which no system makes larger than ustar's field holds.
fn device(block: &Block, range: Range<usize>, name: &'static str) -> Result<u32> {
    let value = block.size(range, name)?;
    let number = u32::try_from(value).ok().filter(|&number| number < 1 << 21);
    number.ok_or_else(|| Error::malformed("tar", format!("{name} {value} is beyond 2097151")))
}

/// The text of a GNU long name: everything before the NULs at its end.
pub(super) fn long_name(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    if bytes.contains(&0) {
        return Err(Error::malformed("tar", "GNU's long name contains a NUL"));
    }
    Ok(bytes)
}
