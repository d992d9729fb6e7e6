//! Which extended attributes may an untrusted tree set? Those that mean something to the tree's own programs, and none that this machine's kernel,
//! its security modules or its overlay file system would obey.

use std::{collections::BTreeMap, os::fd::BorrowedFd};

use rustix::{
    fs::{self, XattrFlags},
    io::Errno,
};

use crate::{Error, Result, name::Shown, owners::RECORD};

/// The longest name of an attribute that Linux takes.
const LONGEST_NAME: usize = 255;
/// The longest value.
const LONGEST_VALUE: usize = 64 << 10;

/// The attribute that holds a program's capabilities.
const CAPABILITY: &[u8] = b"security.capability";
/// Access rules that go beyond the mode.
const ACCESS: &[u8] = b"system.posix_acl_access";

/// May an entry set this attribute? What is passed over is reported by the caller.
///
/// - `user.*`: yes, but for overlayfs's and for the record of owners, which is ours to write.
/// - `security.capability`: yes, where owners are kept. Other `security.*` are labels of another machine's policy.
/// - `system.posix_acl_access`: yes, where owners are kept, because it has owners' numbers in it.
/// - `trusted.*`: no. Nobody but root reads them, and those who do are overlayfs, Gluster and Lustre: an image's program has no use for them where
///   this machine's file system may have one.
/// - `system.posix_acl_default`: no. It would give each file that comes to be in the directory rights that its own entry does not say, those that
///   follow in the archive among them. Docker and containerd write neither into layers, nor set them.
/// - All others: no.
pub(crate) fn is_let_pass(name: &[u8], owners_are_kept: bool) -> bool {
    if name.starts_with(b"user.") {
        return !is_of_overlayfs(name) && name != RECORD.as_bytes();
    }
    owners_are_kept && (name == CAPABILITY || name == ACCESS)
}

/// Whether overlayfs keeps for itself what this attribute says: where a file stands in its layers, and nothing of the file. In another layer it would mean
/// another thing, such as that nothing is seen of those below.
#[must_use]
pub fn is_of_overlayfs(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

/// Refuses what no file system could have had.
pub(crate) fn check(path: &[u8], xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
    for (name, value) in xattrs {
        let why = if name.is_empty() {
            "the name of an extended attribute is empty".to_owned()
        } else if name.contains(&0) {
            format!(
                "the name of its extended attribute {} has a NUL byte in it",
                Shown(name)
            )
        } else if name.len() > LONGEST_NAME {
            format!(
                "the name of an extended attribute has {} bytes; {LONGEST_NAME} are possible",
                name.len()
            )
        } else if value.len() > LONGEST_VALUE {
            format!(
                "the extended attribute {} has {} bytes; {LONGEST_VALUE} are possible",
                Shown(name),
                value.len()
            )
        } else {
            continue;
        };
        return Err(Error::refused(path, &why));
    }
    Ok(())
}

/// Sets an attribute; `false` where this file system or this user cannot have it.
pub(crate) fn set(file: BorrowedFd<'_>, path: &[u8], name: &[u8], value: &[u8]) -> Result<bool> {
    match fs::fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => Ok(false),
        // The bytes of this one mean nothing to the kernel, which holds capabilities and access rules to their form.
        Err(Errno::INVAL) if name == CAPABILITY || name == ACCESS => Err(Error::refused(
            path,
            &format!("the value of its extended attribute {} is malformed", Shown(name)),
        )),
        Err(errno) => Err(Error::system(
            path,
            &format!("set the extended attribute {}", Shown(name)),
            errno,
        )),
    }
}

/// Removes from a directory that is there what an entry would have set, so that only what a new entry says is left.
pub(crate) fn clear(directory: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
    let failed = |errno| Error::system(path, "remove its extended attributes", errno);
    let mut names = Vec::new();
    for _ in 0..8 {
        let size = match fs::flistxattr_query(directory) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(size) => size,
            Err(errno) => return Err(failed(errno)),
        };
        names.resize(size, 0_u8);
        match fs::flistxattr(directory, &mut names[..]) {
            Ok(read) => {
                names.truncate(read);
                break;
            }
            // It grew meanwhile.
            Err(Errno::RANGE) => names.clear(),
            Err(errno) => return Err(failed(errno)),
        }
    }
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if is_let_pass(name, true) || name == RECORD.as_bytes() {
            match fs::fremovexattr(directory, name) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_obeys_no_attribute_of_a_tree() {
        for (name, kept, mine) in [
            ("user.mime_type", true, true),
            ("user.", true, true),
            ("user.overlay.opaque", false, false),
            ("user.overlay.redirect", false, false),
            ("user.rootlesscontainers", false, false),
            ("security.capability", true, false),
            ("security.capability2", false, false),
            ("security.selinux", false, false),
            ("security.ima", false, false),
            ("security.apparmor", false, false),
            ("trusted.overlay.opaque", false, false),
            ("trusted.overlay.overlay.opaque", false, false),
            ("trusted.md5sum", false, false),
            ("system.posix_acl_access", true, false),
            ("system.posix_acl_default", false, false),
            ("system.nfs4_acl", false, false),
            ("btrfs.compression", false, false),
            ("users.a", false, false),
        ] {
            assert_eq!(is_let_pass(name.as_bytes(), true), kept, "{name}");
            assert_eq!(is_let_pass(name.as_bytes(), false), mine, "{name}");
        }
    }
}
