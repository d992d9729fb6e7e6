use std::{cmp::Ordering, collections::BTreeMap};

use teu_rootfs::{Device, Node, Range, Time};
use teu_spec::Digest;
use teu_store::ErrorKind;

use super::*;

fn entry(path: &str, node: Node) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        node,
        mode: 0o755,
        uid: 7,
        gid: u32::MAX - 1,
        links: 2,
        mtime: Time {
            seconds: -3,
            nanoseconds: 999_999_999,
        },
        xattrs: Some(Fingerprint::default()),
        withheld: BTreeMap::new(),
        mark: Mark::Untouched {
            inode: u64::MAX,
            ctime: Time {
                seconds: i64::MIN,
                nanoseconds: 1,
            },
        },
    }
}

fn entries() -> Vec<Entry> {
    let device = Device {
        major: 8,
        minor: 1 << 20,
    };
    let xattrs = [(b"user.a".to_vec(), vec![0, 255])].into_iter().collect();
    let mut entries = vec![
        entry("", Node::Directory),
        entry("a", Node::Directory),
        entry("a/b", Node::File(1 << 40)),
        entry("a.b", Node::Symlink(b"\xff/../x".to_vec())),
        entry("b", Node::CharDevice(device)),
        entry("c", Node::BlockDevice(device)),
        entry("d\n\u{1b}", Node::Fifo),
        entry("e", Node::Socket),
    ];
    entries[2].xattrs = Some(Fingerprint::of(&xattrs));
    entries[3].xattrs = None;
    entries[3].withheld = xattrs;
    entries[4].withheld = [
        (b"security.ima".to_vec(), Vec::new()),
        (b"trusted.b".to_vec(), vec![0; 300]),
    ]
    .into();
    entries
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut writer = record::Writer::new(Vec::new()).unwrap();
    for entry in entries {
        writer.add(entry).unwrap();
    }
    writer.finish().unwrap()
}

fn read(record: &[u8]) -> teu_store::Result<Vec<Entry>> {
    let mut reader = record::Reader::new(record)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

#[test]
fn a_record_is_read_as_it_was_written() {
    assert_eq!(read(&written(&entries())).unwrap(), entries());
    assert_eq!(read(&written(&[])).unwrap(), []);
    // Several blocks.
    let many: Vec<Entry> = (0..10_000)
        .map(|number| entry(&format!("directory/{number:08}"), Node::File(number)))
        .collect();
    let record = written(&many);
    assert!(record.len() < 60 * many.len(), "{}", record.len());
    assert_eq!(read(&record).unwrap(), many);
}

#[test]
fn a_damaged_record_is_not_believed() {
    let record = written(&entries());
    for place in 0..record.len() {
        let mut damaged = record.clone();
        damaged[place] ^= 1;
        assert!(read(&damaged).is_err(), "byte {place}");
        let error = read(&record[..place]).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Mismatch, "cut at {place}: {error}");
    }
    // A block that is whole, but not in its place.
    let many: Vec<Entry> = (0..4000)
        .map(|number| entry(&format!("{number:060}"), Node::File(number)))
        .collect();
    let record = written(&many);
    let length = u32::from_le_bytes(record[11..15].try_into().unwrap()) as usize;
    let without_the_first = [&record[..11], &record[11 + 20 + length..]].concat();
    assert_eq!(*read(&without_the_first).unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn entries_out_of_order_are_not_written() {
    let mut writer = record::Writer::new(Vec::new()).unwrap();
    writer.add(&entry("a", Node::Fifo)).unwrap();
    for path in ["a", "A", ""] {
        let error = writer.add(&entry(path, Node::Fifo)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{path}");
    }
}

#[test]
fn the_order_is_that_of_a_walk() {
    let sorted = ["", "a", "a/b", "a/b/c", "a/c", "a b", "a.b", "ab", "b", "\u{ff}"];
    for (place, one) in sorted.iter().enumerate() {
        for (other_place, other) in sorted.iter().enumerate() {
            let expected = place.cmp(&other_place);
            assert_eq!(order(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        }
    }
    assert_eq!(order(b"a\x01", b"a/"), Ordering::Greater);
}

fn map(outside: u32, count: u32) -> Ranges {
    let range = Range {
        inside: 0,
        outside,
        count,
    };
    Ranges::new(vec![range]).unwrap()
}

#[test]
fn where_a_bundle_came_from_is_kept() {
    let bundle = Bundle {
        from: serde_json::from_str(&format!(
            r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "{}", "size": 7}}"#,
            Digest::of(b"x")
        ))
        .unwrap(),
        image: Some("oci:/images:app".to_owned()),
        other_record: true,
        rootless: true,
        uid_map: map(1000, 1),
        gid_map: Ranges::default(),
    };
    let json = bundle.to_json().unwrap();
    assert_eq!(Bundle::from_json(&json).unwrap(), bundle);
    let later = String::from_utf8(json)
        .unwrap()
        .replace("\"version\": 1", "\"version\": 2");
    assert_eq!(
        *Bundle::from_json(later.as_bytes()).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(*Bundle::from_json(b"{}").unwrap_err().kind(), ErrorKind::Invalid);
    let twice = String::from_utf8(bundle.to_json().unwrap()).unwrap().replace(
        "\"gidMap\": []",
        r#""gidMap": [{"containerID":0,"hostID":1,"size":2},{"containerID":1,"hostID":7,"size":1}]"#,
    );
    let error = Bundle::from_json(twice.as_bytes()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("0:1:2 and 1:7:1 overlap"), "{error}");
    // Its record is one of two, whatever it says.
    let elsewhere = String::from_utf8(bundle.to_json().unwrap())
        .unwrap()
        .replace("teu.1.tree", "../teu.tree");
    assert_eq!(
        *Bundle::from_json(elsewhere.as_bytes()).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

/// As umoci 0.4.7 wrote it.
const UMOCI: &str = r#"{"umoci_version":"2","from_descriptor_path":{"descriptor_walk":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e6c2e7689a48a6017a42fb598bc0a0ae01aa3d6635e93efad5b8ed1342f8e146","size":345,"annotations":{"org.opencontainers.image.ref.name":"a"}}]},"map_options":{"uid_mappings":null,"gid_mappings":[{"containerID":0,"hostID":5,"size":6}],"rootless":false},"whiteout_mode":0}"#;

#[test]
fn umoci_is_understood() {
    let bundle = Bundle::from_umoci(UMOCI.as_bytes()).unwrap();
    let digest = "sha256:e6c2e7689a48a6017a42fb598bc0a0ae01aa3d6635e93efad5b8ed1342f8e146";
    assert_eq!(bundle.from.digest.to_string(), digest);
    assert_eq!(
        mtree_file(&bundle.from.digest),
        "sha256_e6c2e7689a48a6017a42fb598bc0a0ae01aa3d6635e93efad5b8ed1342f8e146.mtree"
    );
    assert_eq!(
        (bundle.rootless, bundle.uid_map, bundle.gid_map),
        (false, Ranges::default(), map(5, 6))
    );
    for (from, to, kind) in [
        (
            "\"umoci_version\":\"2\"",
            "\"umoci_version\":\"9\"",
            ErrorKind::Unsupported,
        ),
        ("\"whiteout_mode\":0", "\"whiteout_mode\":1", ErrorKind::Unsupported),
        ("sha256:e6", "sha256:../e6", ErrorKind::Invalid),
    ] {
        let error = Bundle::from_umoci(UMOCI.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
    }
}

/// As go-mtree wrote it, but for the attribute.
const MTREE: &str = r"#          user: root
#       machine: vm
#      keywords: size,type,uid,gid,mode,link,nlink,tar_time,sha256digest,xattr

# .
/set type=file nlink=1 mode=0664 uid=0 gid=0
. size=80 type=dir mode=0755 nlink=4 tar_time=1795581224.000000000
    z size=0 mode=0644 tar_time=-5.000000000 sha256digest=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    null size=0 type=char mode=0666 tar_time=0.000000000

# d
/set type=file nlink=1 mode=0664 uid=3 gid=4
d size=80 type=dir nlink=2 mode=01755 tar_time=1795581224.000000000 xattr.user.a\052=AP8=
    a\040b\\\377 size=11 type=link mode=0777 link=/etc/pass\040wd tar_time=1795581224.000000000
..

..
";

#[test]
fn an_mtree_is_read() {
    let found = read_mtree(MTREE.as_bytes(), MtreeLimits::default()).unwrap();
    let time = |seconds| Time {
        seconds,
        nanoseconds: 0,
    };
    let expected = |path: &[u8], node, mode, owner: (u32, u32), links, seconds, xattrs, content| Entry {
        path: path.to_vec(),
        node,
        mode,
        uid: owner.0,
        gid: owner.1,
        links,
        mtime: time(seconds),
        xattrs,
        withheld: BTreeMap::new(),
        mark: Mark::Content(content),
    };
    let none = Some(Fingerprint::default());
    let attribute = [(b"user.a*".to_vec(), vec![0, 255])].into_iter().collect();
    assert_eq!(
        found,
        [
            expected(b"", Node::Directory, 0o755, (0, 0), 4, 1_795_581_224, none, None),
            expected(
                b"d",
                Node::Directory,
                0o1755,
                (3, 4),
                2,
                1_795_581_224,
                Some(Fingerprint::of(&attribute)),
                None
            ),
            expected(
                b"d/a b\\\xff",
                Node::Symlink(b"/etc/pass wd".to_vec()),
                0o777,
                (3, 4),
                1,
                1_795_581_224,
                None,
                None
            ),
            expected(
                b"null",
                Node::CharDevice(Device::default()),
                0o666,
                (0, 0),
                1,
                0,
                None,
                None
            ),
            expected(b"z", Node::File(0), 0o644, (0, 0), 1, -5, none, Some(Digest::of(b""))),
        ]
    );
}

#[test]
fn a_wrong_mtree_is_refused() {
    for (from, to) in [
        ("    z ", "    ../z "),
        ("    z ", "    .. "),
        ("    z ", "    a/z "),
        ("    z ", "    \\057z "),
        ("    z ", "    \\000z "),
        ("    z ", "    \\9z "),
        ("    null ", "    z "),
        (". size=80 type=dir", "x size=80 type=dir"),
        (". size=80 type=dir", ". size=80 type=file"),
        ("type=char", "type=odd"),
        ("sha256digest=e3", "sha256digest=zz"),
        ("sha256digest=e3", "md5digest=e3"),
        ("=AP8=", "=AP8"),
        ("mode=0666", "mode=0999"),
        ("tar_time=0.000000000", "tar_time=nan"),
        ("..\n\n..\n", "..\n..\n..\n"),
    ] {
        let wrong = MTREE.replacen(from, to, 1);
        assert_ne!(wrong, MTREE, "{from}");
        let error = read_mtree(wrong.as_bytes(), MtreeLimits::default()).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{from} {to}: {error}");
    }
    for (limits, words) in [
        (
            MtreeLimits {
                line_bytes: 100,
                ..MtreeLimits::default()
            },
            "line_bytes of 100",
        ),
        (
            MtreeLimits {
                total_bytes: 300,
                ..MtreeLimits::default()
            },
            "total_bytes of 300",
        ),
    ] {
        let error = read_mtree(MTREE.as_bytes(), limits).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains(words), "{error}");
    }
}
