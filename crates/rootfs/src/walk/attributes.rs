//! Which extended attributes has a file? Through its handle, or, where it cannot be opened without harm (a link, a pipe, a device), through
//! that of its directory.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs,
    io::{Errno, Result},
};

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the kernel holds at most of all names of a file, and of a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 64 << 10;

pub(super) fn of_handle(handle: BorrowedFd<'_>, wanted: fn(&[u8]) -> bool) -> Result<Attributes> {
    read(
        |buffer| fs::flistxattr(handle, buffer),
        |name, buffer| fs::fgetxattr(handle, name, buffer),
        wanted,
    )
}

/// Of a name in a directory, which is not followed.
pub(super) fn of_name(directory: BorrowedFd<'_>, name: &CStr, wanted: fn(&[u8]) -> bool) -> Result<Attributes> {
    // There is no such call for a handle and a name before Linux 6.13. The kernel takes this one straight to the handle.
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let listed = read(
        |buffer| fs::llistxattr(&path[..], buffer),
        |name, buffer| fs::lgetxattr(&path[..], name, buffer),
        wanted,
    );
    match listed {
        // Without /proc, as in some sandboxes: links and devices then have none, as nearly always.
        Err(Errno::NOENT) if fs::statat(directory, name, fs::AtFlags::SYMLINK_NOFOLLOW).is_ok() => {
            Ok(Attributes::new())
        }
        listed => listed,
    }
}

fn read(
    list: impl Fn(&mut [u8]) -> Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> Result<usize>,
    wanted: fn(&[u8]) -> bool,
) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    let names = match filled(&list) {
        Err(Errno::OPNOTSUPP) => return Ok(attributes),
        names => names?,
    };
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if !wanted(name.to_bytes()) {
            continue;
        }
        match filled(|buffer| get(name, buffer)) {
            Ok(value) => {
                attributes.insert(name.to_bytes().to_vec(), value);
            }
            // It was removed since.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(attributes)
}

/// What a call gives, in a small buffer where that is enough, as nearly always.
fn filled(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(count) => Ok(small[..count].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MOST];
            let count = call(&mut large)?;
            large.truncate(count);
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}
