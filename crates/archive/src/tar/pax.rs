//! PAX extended headers: records of the form `LENGTH KEY=VALUE\n`.
//!
//! POSIX.1-2017, pax, "pax Extended Header". Read strictly: a record whose length, `=` or newline is not in its place is an
//! error, because readers that skip it, or stop at it, see another archive than the rest (threat 44).

use std::collections::BTreeMap;

use super::sparse;
use super::{Limits, Time, number};
use crate::{Error, Result};

const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";
/// Linux's `XATTR_NAME_MAX`.
const XATTR_NAME: usize = 255;

/// A value that a header gives, takes back (an empty value, which POSIX defines as a deletion), or leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Setting<T> {
    #[default]
    Unset,
    Deleted,
    Set(T),
}

impl<T> Setting<T> {
    /// This header's word if it has one, else the global header's.
    pub(super) fn or<'a>(&'a self, global: &'a Setting<T>) -> Option<&'a T> {
        match (self, global) {
            (Setting::Set(value), _) | (Setting::Unset, Setting::Set(value)) => Some(value),
            _ => None,
        }
    }
}

/// The records of an extended header.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Setting<Vec<u8>>,
    pub(super) link: Setting<Vec<u8>>,
    pub(super) size: Setting<u64>,
    pub(super) uid: Setting<u64>,
    pub(super) gid: Setting<u64>,
    pub(super) uname: Setting<Vec<u8>>,
    pub(super) gname: Setting<Vec<u8>>,
    pub(super) mtime: Setting<Time>,
    pub(super) atime: Setting<Time>,
    pub(super) ctime: Setting<Time>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) extra: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: Option<sparse::Records>,
}

impl Records {
    pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let mut records = Records::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, after) = split(rest)?;
            records.set(key, value, limits)?;
            rest = after;
        }
        Ok(records)
    }

    /// Takes the records of a global header over those of the globals before it.
    ///
    /// What would make one entry out of all that follow (names, sizes, sparse maps, extended attributes) is refused:
    /// engines written in Go ignore global headers and others do not, so such an archive is two archives.
    pub(super) fn merge_global(&mut self, newer: Records) -> Result<()> {
        let Records {
            path,
            link,
            size,
            uid,
            gid,
            uname,
            gname,
            mtime,
            atime,
            ctime,
            xattrs,
            extra,
            sparse,
        } = newer;
        if path != Setting::Unset || link != Setting::Unset || size != Setting::Unset {
            return Err(Error::malformed(
                "tar",
                "a global header sets path, linkpath or size for all entries",
            ));
        }
        if !xattrs.is_empty() || sparse.is_some() {
            return Err(Error::malformed(
                "tar",
                "a global header sets extended attributes or a sparse map",
            ));
        }
        fn merge<T>(old: &mut Setting<T>, new: Setting<T>) {
            if !matches!(new, Setting::Unset) {
                *old = new;
            }
        }
        merge(&mut self.uid, uid);
        merge(&mut self.gid, gid);
        merge(&mut self.uname, uname);
        merge(&mut self.gname, gname);
        merge(&mut self.mtime, mtime);
        merge(&mut self.atime, atime);
        merge(&mut self.ctime, ctime);
        self.extra.extend(extra);
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        let decimal = |name| move |value: &[u8]| number::decimal(value, name);
        let time = |name| move |value: &[u8]| number::time(value, name);
        match key {
            b"path" => once(&mut self.path, "path", value, text),
            b"linkpath" => once(&mut self.link, "linkpath", value, text),
            b"uname" => once(&mut self.uname, "uname", value, text),
            b"gname" => once(&mut self.gname, "gname", value, text),
            b"size" => once(&mut self.size, "size", value, decimal("size")),
            b"uid" => once(&mut self.uid, "uid", value, decimal("uid")),
            b"gid" => once(&mut self.gid, "gid", value, decimal("gid")),
            b"mtime" => once(&mut self.mtime, "mtime", value, time("mtime")),
            b"atime" => once(&mut self.atime, "atime", value, time("atime")),
            b"ctime" => once(&mut self.ctime, "ctime", value, time("ctime")),
            _ => {
                if let Some(key) = key.strip_prefix(SPARSE) {
                    return self.sparse.get_or_insert_default().set(key, value, limits);
                }
                let (map, key) = match key.strip_prefix(XATTR) {
                    Some(name) => (&mut self.xattrs, xattr_name(name)?),
                    None => (&mut self.extra, key),
                };
                match map.insert(key.to_vec(), value.to_vec()) {
                    Some(other) if other != value => Err(twice(&String::from_utf8_lossy(key))),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Splits the first record off: its key, its value and what follows it.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let malformed = |what: &str| Error::malformed("tar", format!("a PAX record is malformed: {what}"));
    // 20 digits hold any length that fits 64 bits.
    let space = bytes.iter().take(21).position(|&byte| byte == b' ');
    let space = space.ok_or_else(|| malformed("no space follows its length"))?;
    let length = number::decimal(&bytes[..space], "its length").map_err(|_| malformed("its length is not a number"))?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| (space + 1..=bytes.len()).contains(length));
    let length = length.ok_or_else(|| malformed("its length is not that of its bytes"))?;
    let Some((b'\n', body)) = bytes[space + 1..length].split_last() else {
        return Err(malformed("it does not end in a newline"));
    };
    let equals = body
        .iter()
        .position(|&byte| byte == b'=')
        .ok_or_else(|| malformed("it has no '='"))?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(malformed("its key is empty or contains a NUL"));
    }
    Ok((key, value, &bytes[length..]))
}

/// Sets a value that one header may give once; twice the same is let pass.
fn once<T: PartialEq>(
    setting: &mut Setting<T>,
    key: &str,
    value: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<()> {
    let new = if value.is_empty() {
        Setting::Deleted
    } else {
        Setting::Set(parse(value)?)
    };
    if *setting != Setting::Unset && *setting != new {
        return Err(twice(key));
    }
    *setting = new;
    Ok(())
}

fn twice(key: &str) -> Error {
    // POSIX lets the last one win; some readers take the first.
    Error::malformed(
        "tar",
        format!("a PAX header gives {} twice, differently", key.escape_debug()),
    )
}

fn text(value: &[u8]) -> Result<Vec<u8>> {
    if value.contains(&0) {
        return Err(Error::malformed("tar", "a PAX name contains a NUL"));
    }
    Ok(value.to_vec())
}

fn xattr_name(name: &[u8]) -> Result<&[u8]> {
    if name.is_empty() || name.len() > XATTR_NAME {
        let what = format!(
            "the name of an extended attribute has {} bytes, not 1 to {XATTR_NAME}",
            name.len()
        );
        return Err(Error::malformed("tar", what));
    }
    Ok(name)
}

/// Whether `key` can be written as an extra record: it has no field of its own in a header, and is read back as it is.
pub(super) fn is_extra(key: &[u8]) -> bool {
    const KEYS: [&[u8]; 10] = [
        b"path",
        b"linkpath",
        b"size",
        b"uid",
        b"gid",
        b"uname",
        b"gname",
        b"mtime",
        b"atime",
        b"ctime",
    ];
    let reserved = KEYS.contains(&key) || key.starts_with(XATTR) || key.starts_with(SPARSE);
    !reserved && !key.is_empty() && !key.contains(&0) && !key.contains(&b'=')
}

/// Checks the name of an extended attribute for the writer, and makes its key.
pub(super) fn xattr_key(name: &[u8]) -> Result<Vec<u8>> {
    // The key ends at the first '=', so a name with one would be read as another name.
    if xattr_name(name).is_err() || name.contains(&0) || name.contains(&b'=') {
        let what = format!("the name of an extended attribute is empty, longer than {XATTR_NAME}, or has a NUL or '='");
        return Err(Error::unsupported("tar", what));
    }
    Ok([XATTR, name].concat())
}

/// Writes one record, whose length counts its own digits.
pub(super) fn put(into: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + digits(body);
    if digits(length) != digits(body) {
        length = body + digits(length);
    }
    into.extend_from_slice(length.to_string().as_bytes());
    into.push(b' ');
    into.extend_from_slice(key);
    into.push(b'=');
    into.extend_from_slice(value);
    into.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in 0..1200 {
            let value = vec![b'v'; length];
            let mut bytes = Vec::new();
            put(&mut bytes, b"k", &value);
            let (key, read, rest) = split(&bytes).unwrap();
            assert_eq!((key, read, rest), (&b"k"[..], &value[..], &b""[..]));
        }
    }

    #[test]
    fn case_44_malformed_records() {
        for record in [
            &b"11 path=foo"[..],
            b"11 path=foo\n",
            b"13 path=foo\n",
            b"10 path=foo\n",
            b"0 path=foo\n",
            b"-1 path=foo\n",
            b"+12 path=foo\n",
            b"99999999999999999999 path=foo\n",
            b"9223372036854775807 path=foo\n",
            b"path=foo\n",
            b"8 pathf\n",
            b"6 =ab\n",
            b"9 p\0th=a\n",
            b"3 \n",
            b"2 \n",
            b" 12 path=foo\n",
            b"13 path=foo\n\0",
            b"\0\0\0\0",
            b"12  path=a\n\0",
        ] {
            assert!(
                Records::parse(record, &Limits::default()).is_err(),
                "{}",
                record.escape_ascii()
            );
        }
    }

    #[test]
    fn case_45_a_newline_inside_a_value_is_content() {
        let mut bytes = Vec::new();
        put(&mut bytes, b"path", b"a\n12 path=b\n=c");
        let records = Records::parse(&bytes, &Limits::default()).unwrap();
        assert_eq!(records.path, Setting::Set(b"a\n12 path=b\n=c".to_vec()));
    }

    #[test]
    fn an_empty_value_takes_a_global_value_back() {
        let global = Setting::Set(1);
        assert_eq!(Setting::Deleted.or(&global), None);
        assert_eq!(Setting::Unset.or(&global), Some(&1));
        assert_eq!(Setting::Set(2).or(&global), Some(&2));
    }
}
