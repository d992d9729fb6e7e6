//! What holds for every archive: what is written is read, and whatever bytes come, the reader ends without a panic.

mod support;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use support::{read, read_under};
use teu_archive::tar::{EntryKind, Header, Index, Limits, Time, Writer};

/// Names of every length that makes a difference, with bytes of every sort.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'a'), 2 => Just(b'/'), 1 => 1u8..=255];
    let length = prop_oneof![1..20usize, 95..105usize, 150..160usize, 250..262usize, Just(1000usize)];
    length.prop_flat_map(move |length| {
        prop_oneof![
            3 => vec(byte.clone(), length),
            1 => "[é-ÿ/a]{1,120}".prop_map(String::into_bytes),
        ]
    })
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0..70_000u32, 2_097_150..2_097_155u32, Just(u32::MAX - 1)]
}

fn time() -> impl Strategy<Value = Time> {
    let seconds = prop_oneof![0..=0x2_0000_0000i64, -5..5i64, -i64::MAX..=i64::MAX];
    let nanoseconds = prop_oneof![2 => Just(0), 1 => 0..1_000_000_000u32];
    (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
}

fn bytes_map() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let key = "[a-z]{1,8}(\\.[a-zé]{1,8}){0,2}".prop_map(String::into_bytes);
    btree_map(key, vec(any::<u8>(), 0..40), 0..3)
}

fn entry() -> impl Strategy<Value = (Header, Vec<u8>)> {
    let kind = prop_oneof![
        4 => Just(EntryKind::Regular),
        1 => Just(EntryKind::HardLink),
        1 => Just(EntryKind::Symlink),
        1 => Just(EntryKind::Directory),
        1 => Just(EntryKind::CharDevice),
        1 => Just(EntryKind::BlockDevice),
        1 => Just(EntryKind::Fifo),
    ];
    let owner = (id(), id(), name(), name(), 0..0o10000u32);
    let times = (time(), option::of(time()), option::of(time()));
    let content = prop_oneof![vec(any::<u8>(), 0..3), vec(any::<u8>(), 510..514)];
    let more = (bytes_map(), bytes_map(), 0..1u32 << 21, content);
    (kind, name(), name(), owner, times, more).prop_map(|(kind, mut path, link, owner, times, more)| {
        let (xattrs, extra, device, content) = more;
        let mut header = Header::new(kind, Vec::new());
        (header.uid, header.gid, header.uname, header.gname, header.mode) = owner;
        (header.mtime, header.atime, header.ctime) = times;
        header.xattrs = xattrs;
        header.extra = extra
            .into_iter()
            .filter(|(key, _)| !matches!(&key[..], b"size" | b"path" | b"uid"))
            .collect();
        match kind {
            EntryKind::Regular => {
                while path.last() == Some(&b'/') {
                    path.pop();
                }
                path.push(b'f');
                header.size = content.len() as u64;
            }
            EntryKind::HardLink | EntryKind::Symlink => header.link = link,
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                (header.device_major, header.device_minor) = (device, device / 3);
            }
            EntryKind::Directory | EntryKind::Fifo => {}
        }
        header.path = path;
        let content = if kind == EntryKind::Regular {
            content
        } else {
            Vec::new()
        };
        (header, content)
    })
}

fn write(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        writer.append_data(header, content).unwrap();
    }
    writer.finish().unwrap()
}

/// Without effect but a panic, if there is one: reads all, by both ways.
fn try_all(archive: &[u8]) {
    let limits = Limits {
        total_bytes: 1 << 24,
        ..Limits::default()
    };
    let read = read_under(archive, limits.clone());
    let index = Index::read(Cursor::new(archive), limits);
    assert_eq!(read.is_ok(), index.is_ok());
    if let (Ok(read), Ok(index)) = (read, index) {
        for ((header, content), member) in read.iter().zip(index.members()) {
            assert_eq!(*header, member.header);
            let mut opened = Vec::new();
            member
                .open(Cursor::new(archive))
                .unwrap()
                .read_to_end(&mut opened)
                .unwrap();
            assert_eq!(*content, opened);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(entries in vec(entry(), 0..6)) {
        let archive = write(&entries);
        prop_assert_eq!(archive.len() % 512, 0);
        prop_assert_eq!(read(&archive).unwrap(), entries.clone());
        prop_assert_eq!(write(&entries), archive);
    }

    #[test]
    fn a_mutation_never_panics(
        entries in vec(entry(), 1..4),
        at in any::<proptest::sample::Index>(),
        byte: u8,
        reseal: bool,
    ) {
        let mut archive = write(&entries);
        let at = at.index(archive.len());
        archive[at] = byte;
        if reseal {
            // Past the checksum, into what it protects.
            let start = at / 512 * 512;
            let block: &mut [u8; 512] = (&mut archive[start..start + 512]).try_into().unwrap();
            support::seal(block);
        }
        try_all(&archive);
    }

    #[test]
    fn a_cut_never_panics(entries in vec(entry(), 1..4), at in any::<proptest::sample::Index>()) {
        let archive = write(&entries);
        try_all(&archive[..at.index(archive.len())]);
    }
}
