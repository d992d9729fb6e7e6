//! Whom do the files belong to? As root, to whom the tree says, or to whom a map makes of them. Who is not root cannot give files away: then the
//! owner is written down in an extended attribute, as umoci, PRoot and others read it, or let go.

use crate::{Error, ErrorKind, Metadata, Ranges, Result};

/// The attribute in which an owner is written down that cannot be set.
pub const RECORD: &str = "user.rootlesscontainers";

/// Whom files are given to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// As the tree says: for root.
    #[default]
    Kept,
    /// As these maps make of what the tree says; an owner that is in no range is an error. For root, and for a range of numbers that a user
    /// namespace gives.
    Mapped {
        /// Users.
        users: Ranges,
        /// Groups.
        groups: Ranges,
    },
    /// All files are the caller's own, and an owner other than root is written down in the attribute [`RECORD`].
    Recorded,
    /// All files are the caller's own, and who owned them is forgotten.
    Forgotten,
}

/// What is to be done for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is to belong to this user and this group.
    Is(u32, u32),
    /// It stays the caller's.
    Mine,
    /// It stays the caller's, and this is written down.
    Recorded(u32, u32),
}

impl Owners {
    /// What is to be done for a file of this owner.
    pub(crate) fn of(&self, path: &[u8], metadata: &Metadata) -> Result<Owner> {
        check(path, metadata)?;
        let (user, group) = (metadata.uid, metadata.gid);
        Ok(match self {
            Self::Kept => Owner::Is(user, group),
            Self::Mapped { users, groups } => Owner::Is(
                users.map(user).ok_or_else(|| unmapped(path, "user", user, TO_MAP))?,
                groups
                    .map(group)
                    .ok_or_else(|| unmapped(path, "group", group, TO_MAP))?,
            ),
            Self::Recorded if (user, group) != (0, 0) => Owner::Recorded(user, group),
            Self::Recorded | Self::Forgotten => Owner::Mine,
        })
    }
}

impl Owners {
    /// Undoes it: gives a file that was made with these owners, or put beside such files, the owner that it has in the tree. What was written down
    /// in [`RECORD`] counts, and is taken away. `own` are the caller's own user and group, which stand for root where nothing could be given away.
    ///
    /// # Errors
    /// `Unsupported` where the owner is in no range of the map.
    pub fn undo(&self, path: &[u8], metadata: &mut Metadata, own: (u32, u32)) -> Result<()> {
        let record = metadata.xattrs.remove(RECORD.as_bytes());
        match self {
            Self::Kept => {}
            Self::Mapped { users, groups } => {
                let of = |ranges: &Ranges, what, number| {
                    ranges
                        .unmap(number)
                        .ok_or_else(|| unmapped(path, what, number, &to_give(ranges)))
                };
                metadata.uid = of(users, "user", metadata.uid)?;
                metadata.gid = of(groups, "group", metadata.gid)?;
            }
            Self::Recorded => {
                let (user, group) = record.as_deref().and_then(recorded).unwrap_or_default();
                let or_own =
                    |recorded: Option<u32>, number, own| recorded.unwrap_or(if number == own { 0 } else { number });
                metadata.uid = or_own(user, metadata.uid, own.0);
                metadata.gid = or_own(group, metadata.gid, own.1);
            }
            Self::Forgotten => (metadata.uid, metadata.gid) = (0, 0),
        }
        Ok(())
    }
}

/// Refuses owners that nobody is.
pub(crate) fn check(path: &[u8], metadata: &Metadata) -> Result<()> {
    // To chown, this number means: as it is.
    match metadata.uid == u32::MAX || metadata.gid == u32::MAX {
        true => Err(Error::refused(path, "4294967295 (-1) is nobody's number")),
        false => Ok(()),
    }
}

/// What to do about an owner in a tree.
const TO_MAP: &str = "map it too, or have all files be your own and owners written down (--rootless)";

/// What to do about an owner of a file on the disk.
fn to_give(ranges: &Ranges) -> String {
    let root = ranges
        .map(0)
        .map_or(String::new(), |root| format!(": {root} is root in there"));
    format!("chown the file to a number that the map gives{root}")
}

fn unmapped(path: &[u8], what: &str, number: u32, advice: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "{}: its {what} {number} is in no range of the map; {advice}",
            crate::name::Shown(path)
        ),
    )
}

/// An owner as [`RECORD`] has it: the protobuf message `Resource` of rootless-containers, in which root is left out as "no change" (-1).
#[must_use]
pub fn record(user: u32, group: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    for (field, number) in [(1, user), (2, group)] {
        bytes.push(field << 3);
        let mut rest = if number == 0 { u32::MAX } else { number };
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

/// Reads what [`record`] wrote, or another tool: the user and the group, `None` for one that is not recorded. `None` for bytes that are no such
/// record.
#[must_use]
pub fn recorded(bytes: &[u8]) -> Option<(Option<u32>, Option<u32>)> {
    let (mut user, mut group) = (Some(0), Some(0));
    let mut rest = bytes;
    while let [key, more @ ..] = rest {
        let mut value = 0_u64;
        let mut length = 0;
        loop {
            let byte = *more.get(length)?;
            value |= u64::from(byte & 0x7f).checked_shl(7 * length as u32)?;
            length += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if length == 10 {
                return None;
            }
        }
        let number = Some(u32::try_from(value).ok()?).filter(|number| *number != u32::MAX);
        match key {
            0x08 => user = number,
            0x10 => group = number,
            _ => return None,
        }
        rest = &more[length..];
    }
    Some((user, group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Range;

    fn ranges<const N: usize>(all: [(u32, u32, u32); N]) -> Ranges {
        let range = |(inside, outside, count)| Range { inside, outside, count };
        Ranges::new(all.map(range).to_vec()).expect("they do not overlap")
    }

    #[test]
    fn owners_are_written_down_as_umoci_does_it() {
        for (user, group, bytes) in [
            (1000, 100, &b"\x08\xe8\x07\x10\x64"[..]),
            (0, 5, b"\x08\xff\xff\xff\xff\x0f\x10\x05"),
            (u32::MAX - 1, 0, b"\x08\xfe\xff\xff\xff\x0f\x10\xff\xff\xff\xff\x0f"),
        ] {
            assert_eq!(record(user, group), bytes);
            let back = |number| Some(number).filter(|number| *number != 0);
            assert_eq!(recorded(bytes), Some((back(user), back(group))));
        }
        // proto3 leaves out what is zero.
        assert_eq!(recorded(b"\x10\x05"), Some((Some(0), Some(5))));
        assert_eq!(recorded(b""), Some((Some(0), Some(0))));
        for broken in [
            &b"\x08"[..],
            b"\x08\xff",
            b"\x1a\x00",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\x7f",
        ] {
            assert_eq!(recorded(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn what_was_done_for_an_owner_is_undone() {
        let mapped = Owners::Mapped {
            users: ranges([(0, 1000, 1), (1, 100_000, 65_535)]),
            groups: ranges([(5, 7, 1)]),
        };
        let back = |owners: &Owners, uid, gid, written: Option<&[u8]>| {
            let mut metadata = Metadata {
                uid,
                gid,
                ..Metadata::default()
            };
            if let Some(written) = written {
                metadata.xattrs.insert(RECORD.into(), written.to_vec());
            }
            owners
                .undo(b"a", &mut metadata, (1000, 1001))
                .map_err(|error| error.kind())?;
            assert!(metadata.xattrs.is_empty());
            Ok((metadata.uid, metadata.gid))
        };
        let ours = record(33, 0);
        for (owners, uid, gid, written, expected) in [
            (&mapped, 1000, 7, None, Ok((0, 5))),
            (&mapped, 100_032, 7, None, Ok((33, 5))),
            (&mapped, 0, 7, None, Err(ErrorKind::Unsupported)),
            (&mapped, 1000, 8, None, Err(ErrorKind::Unsupported)),
            (&Owners::Kept, 1000, 7, Some(&ours[..]), Ok((1000, 7))),
            (&Owners::Recorded, 1000, 1001, Some(&ours), Ok((33, 0))),
            (&Owners::Recorded, 1000, 1001, None, Ok((0, 0))),
            (&Owners::Recorded, 1000, 4, None, Ok((0, 4))),
            (&Owners::Recorded, 1001, 1000, None, Ok((1001, 1000))),
            (&Owners::Recorded, 1000, 1001, Some(b"no record"), Ok((0, 0))),
            (&Owners::Forgotten, 3, 4, Some(&ours), Ok((0, 0))),
        ] {
            assert_eq!(back(owners, uid, gid, written), expected, "{owners:?} of {uid}:{gid}");
        }
    }

    #[test]
    fn a_map_has_ranges_and_no_number_wraps() {
        let owners = Owners::Mapped {
            users: ranges([(0, 1000, 1), (1, 100_000, 65_535)]),
            groups: ranges([(0, u32::MAX - 1, 1)]),
        };
        let of = |uid, gid| {
            owners.of(
                b"a",
                &Metadata {
                    uid,
                    gid,
                    ..Metadata::default()
                },
            )
        };
        assert_eq!(of(0, 0).unwrap(), Owner::Is(1000, u32::MAX - 1));
        assert_eq!(of(65_535, 0).unwrap(), Owner::Is(165_534, u32::MAX - 1));
        for (uid, gid) in [(65_536, 0), (0, 1), (0, 2), (0, 10)] {
            assert_eq!(of(uid, gid).unwrap_err().kind(), ErrorKind::Unsupported, "{uid}:{gid}");
        }
        for owners in [&owners, &Owners::Kept, &Owners::Recorded, &Owners::Forgotten] {
            for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
                let metadata = Metadata {
                    uid,
                    gid,
                    ..Metadata::default()
                };
                assert_eq!(owners.of(b"a", &metadata).unwrap_err().kind(), ErrorKind::Refused);
            }
        }
    }
}
