//! The same archives, read by teu, GNU tar and Python's tarfile: all must see the same entries, of the same content.

#[path = "support/run.rs"]
mod run;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use run::available;
use teu_archive::tar::{EntryKind, Header, Index, Limits, Reader, Time, Writer};

#[test]
fn archives_of_gnu_tar() {
    if !available("archives_of_gnu_tar", &["python3", "tar"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("tree");
    python(&["tree", root.to_str().unwrap()]);
    for (format, more, trees) in [
        ("v7", &[][..], &["plain"][..]),
        ("ustar", &[], &["plain", "nodes"]),
        ("oldgnu", &[], &["plain", "nodes", "odd"]),
        ("gnu", &[], &["plain", "nodes", "odd"]),
        ("posix", &[], &["plain", "nodes", "odd"]),
        ("posix", &["--xattrs"], &["plain", "nodes", "odd"]),
        ("oldgnu", &["--sparse"], &["sparse"]),
        ("gnu", &["--sparse"], &["sparse"]),
        ("posix", &["--sparse", "--sparse-version=0.0"], &["sparse"]),
        ("posix", &["--sparse", "--sparse-version=0.1"], &["sparse"]),
        ("posix", &["--sparse", "--sparse-version=1.0"], &["sparse"]),
    ] {
        let archive = directory.path().join("archive.tar");
        let status = Command::new("tar")
            .args(["--create", "--sort=name", "--numeric-owner", "--file"])
            .arg(&archive)
            .arg(format!("--format={format}"))
            .args(more)
            .arg("--directory")
            .arg(&root)
            .args(trees)
            .env("LC_ALL", "C.UTF-8")
            .status();
        assert!(status.unwrap().success(), "{format} {more:?}");
        let entries = all_agree(&archive, &format!("{format} {more:?}"));
        assert!(entries >= 4, "{format} {more:?}");
    }
}

#[test]
fn archives_of_python() {
    if !available("archives_of_python", &["python3", "tar"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    python(&["make", directory.path().to_str().unwrap()]);
    for (format, entries) in [("ustar", 13), ("gnu", 18), ("pax", 22)] {
        assert_eq!(
            all_agree(&directory.path().join(format!("{format}.tar")), format),
            entries
        );
    }
}

#[test]
fn archives_of_teu() {
    if !available("archives_of_teu", &["python3", "tar"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("teu.tar");
    let mut writer = Writer::new(File::create(&archive).unwrap());
    let entries = entries();
    for (index, header) in entries.iter().enumerate() {
        let content = format!("content of {index} ").repeat(index * 5);
        let mut header = header.clone();
        if header.kind == EntryKind::Regular {
            header.size = content.len() as u64;
        }
        writer
            .append_data(&header, &content.as_bytes()[..header.size as usize])
            .unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(all_agree(&archive, "teu"), entries.len());
}

/// Headers that ustar holds and that only PAX does.
fn entries() -> Vec<Header> {
    let with = |path: &[u8], change: &dyn Fn(&mut Header)| {
        let mut header = Header::file(path, 0);
        change(&mut header);
        header
    };
    let device = |kind| {
        let mut header = Header::new(kind, format!("{kind:?}"));
        (header.device_major, header.device_minor) = (8, 1 << 20);
        header
    };
    let long = [&[b'p'; 150][..], b"/", &[b'f'; 90]].concat();
    let longer = [&[b'p'; 150][..], b"/", &[b'f'; 150]].concat();
    vec![
        Header::directory("d/"),
        Header::directory("without-slash"),
        Header::file("d/file", 0),
        Header::hard_link("d/link", "d/file"),
        Header::symlink("d/symlink", "../d/file"),
        Header::new(EntryKind::Fifo, "fifo"),
        device(EntryKind::CharDevice),
        device(EntryKind::BlockDevice),
        Header::file(long.clone(), 0),
        Header::file(longer.clone(), 0),
        Header::directory([&long[..], b"/"].concat()),
        Header::directory([&longer[..], b"/"].concat()),
        Header::symlink("long-symlink", longer.clone()),
        Header::hard_link("long-link", longer),
        Header::file("née-☃", 0),
        Header::symlink("née", "☃"),
        Header::file(b"not-utf-8-\xff", 0),
        Header::file([b'\xff'; 120], 0),
        Header::file("new\nline", 0),
        with(b"owner", &|header| {
            (header.uid, header.gid) = (1000, 2_097_151);
            (header.uname, header.gname) = (b"user".to_vec(), vec![b'g'; 31]);
        }),
        with(b"large-owner", &|header| {
            (header.uid, header.gid) = (u32::MAX - 1, 2_097_152);
            (header.uname, header.gname) = ("ü".into(), vec![b'g'; 32]);
        }),
        with(b"mode", &|header| header.mode = 0o7777),
        with(b"early", &|header| {
            header.mtime = Time {
                seconds: -2,
                nanoseconds: 500_000_000,
            }
        }),
        with(b"late", &|header| header.mtime.seconds = 1 << 35),
        with(b"times", &|header| {
            header.mtime = Time {
                seconds: 1,
                nanoseconds: 1,
            };
            header.atime = Some(Time {
                seconds: 2,
                nanoseconds: 0,
            });
            header.ctime = Some(Time {
                seconds: 3,
                nanoseconds: 999_999_999,
            });
        }),
        with(b"xattrs", &|header| {
            header.xattrs.insert(b"user.a".to_vec(), b"1\n2=\xff".to_vec());
            header
                .xattrs
                .insert(b"security.capability".to_vec(), b"\x01\0\0\x02".to_vec());
        }),
        Header::file("last", 0),
    ]
}

/// Compares what the three read; the number of entries.
#[track_caller]
fn all_agree(archive: &Path, what: &str) -> usize {
    let mut reader = Reader::new(File::open(archive).unwrap());
    let index = Index::read(File::open(archive).unwrap(), Limits::default()).unwrap();
    let (mut for_python, mut for_gnu, mut contents) = (String::new(), Vec::new(), Vec::new());
    let mut entries = 0;
    while let Some(mut entry) = reader.next_entry().unwrap_or_else(|error| panic!("{what}: {error}")) {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let member = &index.members()[entries];
        let mut opened = Vec::new();
        member
            .open(File::open(archive).unwrap())
            .unwrap()
            .read_to_end(&mut opened)
            .unwrap();
        assert!(
            member.header == *header && opened == content,
            "{what}: the index sees another {header:?}"
        );
        for_python.push_str(&line_for_python(header, &content));
        for_gnu.extend(line_for_gnu(header));
        contents.extend(content);
        entries += 1;
    }
    assert_eq!(index.members().len(), entries);
    let theirs = python(&["dump", archive.to_str().unwrap()]);
    for (ours, theirs) in for_python
        .lines()
        .zip(String::from_utf8(theirs.clone()).unwrap().lines())
    {
        assert_eq!(ours, theirs, "{what}: teu, then python");
    }
    assert_eq!(for_python.as_bytes(), theirs, "{what}");

    let list = gnu_tar(
        archive,
        &["--list", "--verbose", "--numeric-owner", "--quoting-style=escape"],
    );
    let theirs: Vec<u8> = list
        .split_inclusive(|&byte| byte == b'\n')
        .flat_map(without_time)
        .collect();
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (ours, theirs) in lines(&for_gnu).lines().zip(lines(&theirs).lines()) {
        assert_eq!(ours, theirs, "{what}: teu, then GNU tar");
    }
    assert_eq!(lines(&for_gnu), lines(&theirs), "{what}");
    assert!(
        gnu_tar(archive, &["--extract", "--to-stdout"]) == contents,
        "{what}: GNU tar reads other contents"
    );
    entries
}

/// As `support/peer.py` prints an entry.
fn line_for_python(header: &Header, content: &[u8]) -> String {
    let kind = match header.kind {
        EntryKind::Regular => "reg",
        EntryKind::HardLink => "lnk",
        EntryKind::Symlink => "sym",
        EntryKind::Directory => "dir",
        EntryKind::CharDevice => "chr",
        EntryKind::BlockDevice => "blk",
        EntryKind::Fifo => "fifo",
    };
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    let time = |time: Time| (i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)).to_string();
    let maybe = |moment: Option<Time>| moment.map_or("-".into(), time);
    let mut path = &header.path[..];
    while let Some((b'/', rest)) = path.split_last() {
        path = rest;
    }
    let mut xattrs: Vec<String> = header
        .xattrs
        .iter()
        .map(|(key, value)| format!("{}={}", hex(key), hex(value)))
        .collect();
    xattrs.sort();
    let mut line = format!("{kind}\t{}\t{}\t{:o}\t", hex(path), hex(&header.link), header.mode);
    write!(
        line,
        "{}\t{}\t{}\t{}\t",
        header.uid,
        header.gid,
        hex(&header.uname),
        hex(&header.gname)
    )
    .unwrap();
    write!(
        line,
        "{}\t{}\t{}\t{}\t",
        header.size,
        time(header.mtime),
        maybe(header.atime),
        maybe(header.ctime)
    )
    .unwrap();
    write!(
        line,
        "{}\t{}\t{}\t",
        header.device_major,
        header.device_minor,
        xattrs.join(",")
    )
    .unwrap();
    writeln!(line, "{}:{:08x}", content.len(), crc32fast::hash(content)).unwrap();
    line
}

/// As `tar --list --verbose` prints an entry, without its time.
fn line_for_gnu(header: &Header) -> Vec<u8> {
    let kind = match header.kind {
        EntryKind::Regular => '-',
        EntryKind::HardLink => 'h',
        EntryKind::Symlink => 'l',
        EntryKind::Directory => 'd',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
        EntryKind::Fifo => 'p',
    };
    let mut mode = String::from(kind);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = header.mode >> shift;
        mode.push(if bits & 4 != 0 { 'r' } else { '-' });
        mode.push(if bits & 2 != 0 { 'w' } else { '-' });
        mode.push(match (header.mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    let size = match header.kind {
        EntryKind::CharDevice | EntryKind::BlockDevice => format!("{},{}", header.device_major, header.device_minor),
        _ => header.size.to_string(),
    };
    let mut line = format!("{mode} {}/{} {size} ", header.uid, header.gid).into_bytes();
    line.extend(escape(&header.path));
    match header.kind {
        EntryKind::HardLink => line.extend([&b" link to "[..], &escape(&header.link)].concat()),
        EntryKind::Symlink => line.extend([&b" -> "[..], &escape(&header.link)].concat()),
        _ => {}
    }
    line.push(b'\n');
    line
}

/// GNU's quoting style "escape" in the C locale.
fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\t' => escaped.extend(b"\\t"),
            b' '..=b'~' => escaped.push(byte),
            _ => write!(escaped, "\\{byte:03o}").unwrap(),
        }
    }
    escaped
}

/// Drops date and time from a line of `tar --list --verbose`, and the blanks that align it.
fn without_time(line: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = line;
    for field in 0..5 {
        let start = rest.iter().position(|&byte| byte != b' ').unwrap();
        let length = rest[start..].iter().position(|&byte| byte == b' ').unwrap();
        if field < 3 {
            kept.extend_from_slice(&rest[start..start + length]);
            kept.push(b' ');
        }
        rest = &rest[start + length..];
    }
    // A year of five digits widens the column for the lines after it.
    kept.extend_from_slice(rest.trim_ascii_start());
    if kept[0] == b'C' {
        // "Contiguous", which is a file to everyone.
        kept[0] = b'-';
    }
    kept
}

#[track_caller]
fn gnu_tar(archive: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .arg("--file")
        .arg(archive)
        .args(arguments)
        .arg("--absolute-names")
        .env("LC_ALL", "C")
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn python(arguments: &[&str]) -> Vec<u8> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/peer.py");
    let output = Command::new("python3")
        .arg(script)
        .args(arguments)
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
