//! How is a file of an image told of? Its path, kind, mode, owner and time, as people and as programs read them.

use std::fmt::{Display, Write};

use serde_json::Value;
use teu_archive::Escaped;
use teu_rootfs::{Metadata, Node, Time};
use teu_spec::Timestamp;

use crate::say;

/// A path of the image, safe on a terminal and one line.
pub(crate) fn path(path: &[u8]) -> String {
    format!("/{}", Escaped(path))
}

/// Adds it to a text.
pub(crate) fn put_path(text: &mut String, path: &[u8]) {
    text.push('/');
    put(text, Escaped(path));
}

/// Adds something to a text.
pub(crate) fn put(text: &mut String, what: impl Display) {
    write!(text, "{what}").expect("a text takes all that is written to it");
}

/// A name as JSON has it; where it is no UTF-8, and so cannot be had in JSON, its bytes in hexadecimal too.
pub(crate) fn name(told: &mut Value, key: &str, name: &[u8], before: &str) {
    told[key] = format!("{before}{}", String::from_utf8_lossy(name)).into();
    if str::from_utf8(name).is_err() {
        told[format!("{key}Hex")] = hex(name).into();
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of a file, safe on a terminal: control characters are escaped but for tabs, and what is no UTF-8.
pub(crate) fn text_line(line: &[u8]) -> String {
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        for (place, part) in chunk.valid().split('\t').enumerate() {
            if place > 0 {
                text.push('\t');
            }
            text.push_str(&say::plain(part));
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// What it is, as JSON has it.
pub(crate) fn word(node: &Node) -> &'static str {
    match node {
        Node::File(_) => "file",
        Node::Directory => "directory",
        Node::Symlink(_) => "symlink",
        Node::Fifo => "fifo",
        Node::CharDevice(_) => "char-device",
        Node::BlockDevice(_) => "block-device",
        Node::Socket => "socket",
    }
}

/// The letter that `ls` has for it.
pub(crate) fn letter(node: &Node) -> char {
    match node {
        Node::File(_) => '-',
        Node::Directory => 'd',
        Node::Symlink(_) => 'l',
        Node::Fifo => 'p',
        Node::CharDevice(_) => 'c',
        Node::BlockDevice(_) => 'b',
        Node::Socket => 's',
    }
}

/// Permission, set-id and sticky bits as `ls` shows them: `rwsr-xr-x`.
pub(crate) fn permissions(mode: u32) -> String {
    let mut text = String::new();
    put_permissions(&mut text, mode);
    text
}

/// Adds them to a text.
pub(crate) fn put_permissions(text: &mut String, mode: u32) {
    for (shift, special, set) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => set.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
}

/// RFC 3339, or what is beyond its years in seconds: `@253402300800`.
pub(crate) fn time(time: Time) -> String {
    let mut text = String::new();
    put_time(&mut text, time);
    text
}

/// Adds it to a text.
pub(crate) fn put_time(text: &mut String, time: Time) {
    match Timestamp::from_unix(time.seconds, time.nanoseconds) {
        Some(timestamp) => put(text, timestamp),
        None => put(text, format_args!("@{}", time.seconds)),
    }
}

/// Puts into `told` what JSON has of mode, owner and time.
pub(crate) fn metadata(told: &mut Value, metadata: &Metadata) {
    told["mode"] = format!("{:04o}", metadata.mode).into();
    told["uid"] = metadata.uid.into();
    told["gid"] = metadata.gid.into();
    told["mtime"] = time(metadata.mtime).into();
}

/// Puts into `told` what JSON has of a node beside its type: size, number of a device, where a link leads.
pub(crate) fn node(told: &mut Value, node: &Node) {
    match node {
        Node::File(size) => told["size"] = (*size).into(),
        Node::CharDevice(device) | Node::BlockDevice(device) => {
            told["device"] = serde_json::json!({"major": device.major, "minor": device.minor});
        }
        Node::Symlink(target) => name(told, "target", target, ""),
        Node::Directory | Node::Fifo | Node::Socket => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_times_are_as_they_are_elsewhere() {
        for (mode, shown) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            assert_eq!(permissions(mode), shown);
        }
        for (seconds, shown) in [(0, "1970-01-01T00:00:00Z"), (253_402_300_800, "@253402300800")] {
            let nanoseconds = 0;
            assert_eq!(time(Time { seconds, nanoseconds }), shown);
        }
    }
}
