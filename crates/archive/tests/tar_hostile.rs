//! Archives that an enemy made, each named for its attack and its number in the list of threats that teu is held to.
//!
//! Every one is read by the streaming reader; that the index agrees is what the fuzz target `tar_reader` holds.

mod support;

use std::io::{Cursor, Read};

use support::{Raw, block, end_of, names, read, read_under, record, refused, set};
use teu_archive::ErrorKind::{Malformed, Truncated, Unsupported};
use teu_archive::tar::{End, EntryKind, Index, Limits, Reader};
use teu_archive::{Error, ErrorKind};

/// The error's text holds `words`, and its kind is as said.
#[track_caller]
fn assert_refused(archive: &[u8], kind: ErrorKind, words: &str) {
    let error = refused(archive);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[track_caller]
fn assert_limit(result: Result<Vec<(teu_archive::tar::Header, Vec<u8>)>, Error>, limit: &str) {
    let error = result.unwrap_err();
    let ErrorKind::Limit { name, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(name, limit, "{error}");
}

#[test]
fn case_08_names_by_pax_and_by_gnu_that_disagree() {
    let both = |gnu: &[u8], pax: &[u8]| {
        Raw::new()
            .entry(b'L', b"././@LongLink", gnu)
            .pax(&[("path", pax)])
            .file(b"c", b"")
            .end()
    };
    assert_refused(
        &both(b"a\0", b"b"),
        Malformed,
        "GNU's long name and the PAX record path disagree",
    );
    assert_eq!(names(&both(b"a\0", b"a")).unwrap(), ["a"]);
    let links = Raw::new()
        .entry(b'K', b"././@LongLink", b"a\0")
        .pax(&[("linkpath", b"b")])
        .link(b'2', b"c", b"d");
    assert_refused(
        &links.end(),
        Malformed,
        "GNU's long name and the PAX record linkpath disagree",
    );
}

#[test]
fn case_08_names_given_twice() {
    let pax = Raw::new().pax(&[("path", b"a"), ("path", b"b")]).file(b"c", b"").end();
    assert_refused(&pax, Malformed, "gives path twice, differently");
    let headers = Raw::new()
        .pax(&[("path", b"a")])
        .pax(&[("path", b"b")])
        .file(b"c", b"")
        .end();
    assert_refused(&headers, Malformed, "two PAX headers");
    let gnu = Raw::new()
        .entry(b'L', b"l", b"a\0")
        .entry(b'L', b"l", b"b\0")
        .file(b"c", b"")
        .end();
    assert_refused(&gnu, Malformed, "two GNU long names");
}

#[test]
fn case_09_nul_in_names() {
    let mut hidden = block(b'0', b"etc/passwd\0.txt", 0);
    assert_refused(
        &Raw::new().bytes(&hidden).end(),
        Malformed,
        "the field name contains a NUL",
    );
    hidden = block(b'0', b"a", 0);
    set(&mut hidden, 345, b"prefix\0x");
    assert_refused(
        &Raw::new().bytes(&hidden).end(),
        Malformed,
        "the field prefix contains a NUL",
    );
    let link = Raw::new().link(b'2', b"a", b"b\0c").end();
    assert_refused(&link, Malformed, "the field linkname contains a NUL");
    for key in ["path", "linkpath", "uname", "gname"] {
        let pax = Raw::new().pax(&[(key, b"a\0b")]).link(b'2', b"c", b"d").end();
        assert_refused(&pax, Malformed, "a PAX name contains a NUL");
    }
    let gnu = Raw::new().entry(b'L', b"l", b"a\0b\0").file(b"c", b"").end();
    assert_refused(&gnu, Malformed, "GNU's long name contains a NUL");
    let sparse = [("GNU.sparse.size", &b"0"[..]), ("GNU.sparse.name", b"a\0b")];
    assert_refused(
        &Raw::new().pax(&sparse).file(b"c", b"").end(),
        Malformed,
        "the name contains a NUL",
    );
}

#[test]
fn case_10_a_global_path() {
    for (key, value) in [
        ("path", &b"a"[..]),
        ("linkpath", b"a"),
        ("size", b"1"),
        ("GNU.sparse.size", b"1"),
    ] {
        let archive = Raw::new().entry(b'g', b"g", &record(key, value)).file(b"b", b"").end();
        assert_refused(&archive, Malformed, "a global header sets");
    }
    let named = Raw::new()
        .entry(b'g', b"g", &record("uname", b"root"))
        .file(b"b", b"")
        .end();
    assert_eq!(read(&named).unwrap()[0].0.uname, b"root");
}

#[test]
fn case_13_control_characters_are_escaped_in_errors() {
    let archive = Raw::new().entry(b'5', b"\x1b[2Ja\n", b"data").end();
    let text = refused(&archive).to_string();
    assert!(text.starts_with(r#"tar entry "\u{1b}[2Ja\n" at byte 0: "#), "{text}");
}

#[test]
fn case_14_names_that_are_not_utf_8_keep_their_bytes() {
    let archive = Raw::new()
        .file(b"\xff\xfe", b"")
        .pax(&[("path", b"\x80\x81")])
        .file(b"a", b"")
        .end();
    let entries = read(&archive).unwrap();
    assert_eq!(
        (&entries[0].0.path[..], &entries[1].0.path[..]),
        (&b"\xff\xfe"[..], &b"\x80\x81"[..])
    );
}

#[test]
fn case_15_long_names() {
    // A component that no file system takes is not the reader's concern; a name beyond PATH_MAX is.
    let archive = |length| Raw::new().pax(&[("path", &vec![b'n'; length])]).file(b"a", b"").end();
    assert_eq!(read(&archive(300)).unwrap()[0].0.path.len(), 300);
    assert_eq!(read(&archive(4096)).unwrap()[0].0.path.len(), 4096);
    assert_limit(read(&archive(4097)), "name_bytes");
    let target = Raw::new().entry(b'K', b"l", &[b't'; 4097]).link(b'2', b"a", b"b").end();
    assert_limit(read(&target), "name_bytes");
}

#[test]
fn empty_names() {
    assert_refused(&Raw::new().file(b"", b"").end(), Malformed, "the name is empty");
    assert_refused(
        &Raw::new().link(b'2', b"a", b"").end(),
        Malformed,
        "the target of the link is empty",
    );
}

#[test]
fn case_27_data_behind_what_has_none() {
    for flag in *b"123456" {
        let mut block = block(flag, b"a", 512);
        set(&mut block, 157, b"t");
        let archive = Raw::new().bytes(&block).content(&[0; 512]).end();
        assert_refused(&archive, Malformed, "entries have no content, but this one has");
    }
    // The size may come by PAX as well, and an old directory is a file whose name ends in a slash.
    let pax = Raw::new()
        .pax(&[("size", b"512")])
        .link(b'1', b"a", b"b")
        .content(&[0; 512])
        .end();
    assert_refused(&pax, Malformed, "HardLink entries have no content");
    assert_refused(
        &Raw::new().file(b"a/", b"x").end(),
        Malformed,
        "Directory entries have no content",
    );
}

#[test]
fn case_39_uid_minus_1() {
    for (field, key) in [(108, "uid"), (116, "gid")] {
        for bytes in [
            *b"\xff\xff\xff\xff\xff\xff\xff\xff",
            *b"\x80\0\0\0\xff\xff\xff\xff",
            *b"\x80\0\0\x01\0\0\0\0",
        ] {
            let mut block = block(b'0', b"a", 0);
            set(&mut block, field, &bytes);
            assert_eq!(refused(&Raw::new().bytes(&block).end()).kind(), Malformed);
        }
        for value in ["4294967295", "4294967296", "-1", "18446744073709551615"] {
            let archive = Raw::new().pax(&[(key, value.as_bytes())]).file(b"a", b"").end();
            assert_eq!(refused(&archive).kind(), Malformed);
        }
    }
    let most = Raw::new().pax(&[("uid", b"4294967294")]).file(b"a", b"").end();
    assert_eq!(read(&most).unwrap()[0].0.uid, u32::MAX - 1);
}

#[test]
fn case_40_times_that_are_none() {
    for value in ["nan", "inf", "9223372036854775808", "1e10", "0x1", "1.5.5", "-"] {
        for key in ["mtime", "atime", "ctime"] {
            let archive = Raw::new().pax(&[(key, value.as_bytes())]).file(b"a", b"").end();
            assert_refused(&archive, Malformed, "is not a time");
        }
    }
}

#[test]
fn case_42_names_of_extended_attributes() {
    let long = format!("SCHILY.xattr.{}", "x".repeat(256));
    for key in ["SCHILY.xattr.", "SCHILY.xattr.user.a\0b", &long] {
        assert_eq!(
            refused(&Raw::new().pax(&[(key, b"v")]).file(b"a", b"").end()).kind(),
            Malformed,
            "{key:?}"
        );
    }
    let bytes = Raw::new()
        .pax(&[("SCHILY.xattr.user.a", b"\0\n=\xff")])
        .file(b"a", b"")
        .end();
    assert_eq!(read(&bytes).unwrap()[0].0.xattrs[&b"user.a"[..]], b"\0\n=\xff");
}

#[test]
fn case_43_a_size_by_pax_that_hides_an_entry() {
    // To readers that go by ustar's size the file is empty and `smuggled` is an entry.
    let inner = Raw::new().file(b"smuggled", b"evil").0;
    let size = inner.len().to_string();
    let mut outer = block(b'0', b"outer", 0);
    let archive = Raw::new()
        .pax(&[("size", size.as_bytes())])
        .bytes(&outer)
        .bytes(&inner)
        .file(b"last", b"")
        .end();
    let entries = read(&archive).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].0.size, &entries[0].1), (inner.len() as u64, &inner));
    assert_eq!(entries[1].0.path, b"last");
    // The other way round, PAX counts too.
    outer = block(b'0', b"outer", 1024);
    let archive = Raw::new()
        .pax(&[("size", b"0")])
        .bytes(&outer)
        .file(b"seen", b"good")
        .end();
    assert_eq!(names(&archive).unwrap(), ["outer", "seen"]);
}

#[test]
fn case_43_a_size_that_is_said_twice_or_is_none() {
    let archive = |records: &[(&str, &[u8])]| Raw::new().pax(records).file(b"a", b"").end();
    assert_refused(
        &archive(&[("size", b"0"), ("size", b"512")]),
        Malformed,
        "gives size twice, differently",
    );
    for value in [
        "-1",
        "9223372036854775808",
        "18446744073709551616",
        "1.0",
        " 1",
        "0x10",
        "1e3",
    ] {
        assert_refused(&archive(&[("size", value.as_bytes())]), Malformed, "size");
    }
    for bytes in [
        *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        *b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        *b"-0000000001\0",
    ] {
        let mut negative = block(b'0', b"a", 0);
        set(&mut negative, 124, &bytes);
        assert_refused(&Raw::new().bytes(&negative).end(), Malformed, "the field size");
    }
    assert_limit(read(&archive(&[("size", b"9223372036854775807")])), "total_bytes");
}

#[test]
fn case_43_the_size_of_an_extension_header_is_its_own() {
    // A size by PAX is for the entry, not for a long name between them.
    let archive = Raw::new()
        .pax(&[("size", b"3")])
        .entry(b'L', b"l", b"name\0")
        .bytes(&block(b'0', b"a", 0))
        .content(b"abc");
    let entries = read(&archive.end()).unwrap();
    assert_eq!((&entries[0].0.path[..], &entries[0].1[..]), (&b"name"[..], &b"abc"[..]));
}

#[test]
fn case_44_malformed_pax_is_not_passed_over() {
    for records in [
        &b"path=evil\n"[..],
        b"8 path=a\n",
        b"12 path=abcd\n",
        b"1000 path=a\n",
        b"\0\0\0",
        b"5 a=b\n garbage",
    ] {
        let archive = Raw::new().entry(b'x', b"x", records).file(b"a", b"").end();
        assert_refused(&archive, Malformed, "PAX record is malformed");
    }
}

#[test]
fn case_44_metadata_without_end() {
    for flag in *b"xgLK" {
        // Nothing is allocated for what the header announces: the stream holds none of it.
        let archive = Raw::new().bytes(&block(flag, b"x", (8 << 30) - 1)).0;
        assert_limit(read(&archive), "metadata_bytes");
    }
    let mut flood = Raw::new();
    for _ in 0..3000 {
        flood = flood.entry(b'g', b"g", b"");
    }
    assert_limit(read(&flood.file(b"a", b"").end()), "metadata_bytes");
    let mut globals = Raw::new();
    for index in 0..200 {
        let value = vec![b'v'; 10_000];
        globals = globals
            .entry(b'g', b"g", &record(&format!("key{index}"), &value))
            .file(b"a", b"");
    }
    assert_limit(read(&globals.end()), "metadata_bytes");
}

#[test]
fn case_44_an_extension_header_without_its_entry() {
    assert_refused(&Raw::new().pax(&[("path", b"a")]).end(), Malformed, "without its entry");
    assert_refused(
        &Raw::new().pax(&[("path", b"a")]).0,
        Truncated,
        "only extension headers are there",
    );
    // `git archive` of an empty tree.
    assert_eq!(
        end_of(
            &Raw::new()
                .entry(b'g', b"pax_global_header", &record("comment", b"c"))
                .end()
        ),
        End::Marker
    );
}

#[test]
fn case_45_a_newline_inside_a_value_is_content() {
    let archive = Raw::new()
        .pax(&[("comment", b"a\n12 path=evil\n"), ("path", b"b\nc")])
        .file(b"a", b"")
        .end();
    let entries = read(&archive).unwrap();
    assert_eq!(entries[0].0.path, b"b\nc");
    assert_eq!(entries[0].0.extra[&b"comment"[..]], b"a\n12 path=evil\n");
}

/// A sparse file by PAX 0.1.
fn sparse(size: &str, map: &str, stored: &[u8]) -> Vec<u8> {
    let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
    Raw::new().pax(&records).file(b"a", stored).end()
}

#[test]
fn case_46_sparse_bombs() {
    assert_limit(read(&sparse("9223372036854775807", "", b"")), "total_bytes");
    let many: Vec<String> = (0..65_537).map(|index| format!("{index},0")).collect();
    assert_limit(read(&sparse("70000", &many.join(","), b"")), "sparse_segments");
    // A map of 1.0 in the data, of as many lines as a number can say.
    let inline = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"1"),
    ];
    let endless = [b"9223372036854775807\n".to_vec(), b"0\n0\n".repeat(1 << 20)].concat();
    let limits = Limits {
        metadata_bytes: u64::MAX,
        ..Limits::default()
    };
    let archive = Raw::new().pax(&inline).file(b"a", &endless).end();
    assert_limit(read_under(&archive, limits), "sparse_segments");
    assert_limit(read(&archive), "sparse_segments");
    // Blocks of an old map without end, all of them empty.
    let mut old = block(b'S', b"a", 0);
    set(&mut old, 257, b"ustar  \0");
    set(&mut old, 482, b"\x01");
    let mut more = [0; 512];
    more[504] = 1;
    let mut archive = Raw::new().bytes(&old);
    for _ in 0..3000 {
        archive = archive.bytes(&more);
    }
    assert_limit(read(&archive.end()), "metadata_bytes");
}

#[test]
fn case_46_holes_have_a_budget_of_their_own() {
    let limits = Limits {
        hole_bytes: 1 << 20,
        ..Limits::default()
    };
    // Two files with holes, each within the budget, and what is stored does not count.
    let half = |name: &str| {
        let size = ((1 << 19) + 512).to_string();
        let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", &b"0,512"[..])];
        Raw::new().pax(&records).file(name.as_bytes(), &[1; 512]).0
    };
    let two = [half("a"), half("b")].concat();
    let whole = Raw::new().bytes(&two).end();
    assert_eq!(read_under(&whole, limits.clone()).unwrap().len(), 2);
    let three = Raw::new().bytes(&two).bytes(&half("c")).end();
    assert_limit(read_under(&three, limits), "hole_bytes");
}

#[test]
fn case_46_sparse_maps_that_lie() {
    for (size, map, stored, words) in [
        ("8", "0,4,2,4", &b"12345678"[..], "overlap or are out of order"),
        ("8", "4,4,0,4", b"12345678", "overlap or are out of order"),
        ("4", "0,8", b"12345678", "beyond the file's real size"),
        ("8", "0,4", b"12345678", "segments hold 4 bytes, but 8 are stored"),
        ("8", "0,8", b"1234", "segments hold 8 bytes, but 4 are stored"),
        ("8", "0", b"", "an offset has no length"),
        ("8", "0,-1", b"", "not a decimal number"),
        ("8", "9223372036854775807,1", b"", "beyond 2^63 - 1"),
    ] {
        assert_refused(&sparse(size, map, stored), Malformed, words);
    }
    let inline = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"4"),
    ];
    for (map, words) in [
        (&b"1\n0\n4\n"[..], "segments hold 4 bytes, but 0 are stored"),
        (b"x\n", "not a decimal number"),
        (b"111111111111111111111\n", "a number is too long"),
        (b"", "longer than the entry"),
    ] {
        let mut map = map.to_vec();
        map.resize(map.len().next_multiple_of(512), 0);
        assert_refused(&Raw::new().pax(&inline).file(b"a", &map).end(), Malformed, words);
    }
    assert_refused(
        &Raw::new().pax(&[("GNU.sparse.map", b"0,1")]).file(b"a", b"x").end(),
        Malformed,
        "real size is missing",
    );
    let newer = [
        ("GNU.sparse.major", &b"2"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"0"),
    ];
    assert_refused(
        &Raw::new().pax(&newer).file(b"a", b"").end(),
        Unsupported,
        "newer than 1.0",
    );
    let linked = Raw::new()
        .pax(&[("GNU.sparse.size", b"1")])
        .link(b'1', b"a", b"b")
        .end();
    assert_refused(&linked, Malformed, "not a file");
}

#[test]
fn case_47_truncation_anywhere() {
    let archive = Raw::new()
        .pax(&[("path", b"long")])
        .file(b"a", &[b'x'; 700])
        .file(b"b", b"")
        .end();
    let content_end = 1024 + 512 + 700;
    for end in 0..archive.len() {
        let cut = &archive[..end];
        match end {
            // Between entries a stream may end; how it did is told.
            0 => assert_eq!(end_of(cut), End::NoMarker),
            2560 | 3072 => assert_eq!(end_of(cut), End::NoMarker, "{end}"),
            3584 => assert_eq!(end_of(cut), End::LoneZeroBlock),
            // What is missing is padding, and all content is there.
            _ if (content_end..2560).contains(&end) => assert_eq!(end_of(cut), End::NoPadding, "{end}"),
            _ => {
                let error = refused(cut);
                assert_eq!(error.kind(), Truncated, "{end}: {error}");
                if (1537..content_end).contains(&end) {
                    assert_eq!(error.entry(), Some(&b"long"[..]), "{end}: {error}");
                }
            }
        }
    }
    assert_eq!(end_of(&archive), End::Marker);
}

#[test]
fn case_47_truncation_is_seen_though_content_is_not_read() {
    let archive = Raw::new().file(b"a", &[b'x'; 200_000]).0;
    let cut = &archive[..150_000];
    let mut reader = Reader::new(cut);
    assert!(reader.next_entry().unwrap().is_some());
    assert_eq!(reader.next_entry().err().map(|error| error.kind()), Some(Truncated));
    assert_eq!(
        Index::read(Cursor::new(cut), Limits::default()).unwrap_err().kind(),
        Truncated
    );
    // And it stays an error.
    assert_eq!(reader.next_entry().err().map(|error| error.kind()), Some(Malformed));
}

#[test]
fn case_47_a_reader_that_failed_gives_no_more_content() {
    let archive = Raw::new().file(b"a", &[b'x'; 2000]).0;
    let mut reader = Reader::new(&archive[..1000]);
    let mut entry = reader.next_entry().unwrap().unwrap();
    let mut content = Vec::new();
    assert!(entry.read_to_end(&mut content).is_err());
    assert_eq!(content.len(), 488);
    assert!(entry.read(&mut [0]).is_err());
    assert!(entry.next_chunk().is_err());
}

#[test]
fn case_47_checksums() {
    let archive = Raw::new().file(b"a", b"content").end();
    // The last byte of the checksum is behind its terminator.
    for at in (0..512).filter(|&at| at != 155) {
        let mut broken = archive.clone();
        broken[at] ^= 1;
        assert!(read(&broken).is_err(), "byte {at}");
    }
    // Some old writers add up signed bytes.
    let mut signed = block(b'0', b"\xff", 0);
    let sum: i64 = signed
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                i64::from(byte as i8)
            }
        })
        .sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(&Raw::new().bytes(&signed).end()).unwrap()[0].0.path, b"\xff");
}

#[test]
fn case_48_a_second_archive_behind_the_end_is_ignored() {
    let archive = [Raw::new().file(b"a", b"").end(), Raw::new().file(b"evil", b"").end()].concat();
    assert_eq!(names(&archive).unwrap(), ["a"]);
    let (rest, end) = Reader::new(&archive[..]).finish().unwrap();
    assert_eq!((rest, end), (&b""[..], End::Marker));
}

#[test]
fn a_lone_block_of_zeros_between_entries() {
    let archive = Raw::new().file(b"a", b"").bytes(&[0; 512]).file(b"evil", b"").end();
    assert_refused(&archive, Malformed, "a lone block of zeros stands between entries");
}

#[test]
fn entries_and_bytes_without_end() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(0);
            Ok(into.len())
        }
    }
    let limits = Limits {
        entries: 3,
        total_bytes: 1 << 20,
        index_bytes: 4000,
        ..Limits::default()
    };
    let many = (0..4).fold(Raw::new(), |archive, _| archive.file(b"a", b"")).end();
    assert_limit(read_under(&many, limits.clone()), "entries");
    let large = Raw::new().bytes(&block(b'0', b"a", 1 << 20)).0;
    assert_limit(read_under(&large, limits.clone()), "total_bytes");
    let endless = Reader::with_limits(Endless, limits.clone())
        .finish()
        .map(drop)
        .unwrap_err();
    assert_eq!(
        endless.kind(),
        ErrorKind::Limit {
            name: "total_bytes",
            limit: 1 << 20
        }
    );
    let named = Raw::new()
        .pax(&[("comment", &[b'c'; 3000])])
        .file(b"a", b"")
        .file(b"b", b"")
        .end();
    let error = Index::read(Cursor::new(named), limits).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Limit {
            name: "index_bytes",
            limit: 4000
        }
    );
}

#[test]
fn types_that_are_no_files() {
    for flag in *b"VMDNAz" {
        assert_refused(
            &Raw::new().entry(flag, b"a", b"").end(),
            Unsupported,
            "which is not a file of any kind",
        );
    }
    for (flag, kind) in [
        (b'7', EntryKind::Regular),
        (0, EntryKind::Regular),
        (b'6', EntryKind::Fifo),
    ] {
        assert_eq!(read(&Raw::new().entry(flag, b"a", b"").end()).unwrap()[0].0.kind, kind);
    }
    assert_refused(
        b"not a tar archive at all",
        Truncated,
        "a block of which 24 of 512 bytes are there",
    );
    assert_refused(&[b'x'; 512], Malformed, "it is no tar archive");
    // What begins as one is one, and is damaged.
    let mut damaged = Raw::new().file(b"a", b"").file(b"b", b"").end();
    damaged[512] ^= 1;
    assert_refused(&damaged, Malformed, "checksum");
    damaged[0] ^= 1;
    assert_refused(&damaged, Malformed, "checksum");
}
