//! Threats 43 to 50: archives and compression.

use teu_archive::codec::Compression;
use teu_spec::Digest;

use crate::{
    arena::{Arena, GZIP, Layer, ZSTD},
    entries::{file, tar},
    raw::{Raw, block, set},
};

#[test]
fn threat_43_an_entry_has_one_size() {
    let arena = Arena::new();
    // To readers that go by ustar's size `outer` is empty, and the canary is an entry.
    let inner = Raw::new().file(b"../canary", b"evil").0;
    let size = inner.len().to_string();
    let layer = Raw::new()
        .pax(&[("size", size.as_bytes())])
        .bytes(&block(b'0', b"outer", 0))
        .bytes(&inner)
        .file(b"last", b"x")
        .end();
    let outer = format!("outer {}", inner.escape_ascii());
    arena.put(&[Layer::from(layer)]);
    let ran = arena.teu(
        "43",
        &["unpack", "--rootless", "--rootfs-only", "oci:images:evil", "dest"],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(arena.listing("dest"), ["last x", &outer]);
    let ran = arena.teu("43", &["files", "oci:images:evil"]);
    assert_eq!(ran.stdout, "/last\n/outer\n");
    let ran = arena.teu("43", &["cat", "oci:images:evil", "last"]);
    assert_eq!(ran.stdout, "x");
    arena.tidy();
    let twice = Raw::new()
        .pax(&[("size", b"0"), ("size", b"512")])
        .file(b"a", b"")
        .end();
    arena.refused("43 a size said twice", &[twice], "gives size twice, differently", 13);
    let endless = Raw::new()
        .pax(&[("size", b"9223372036854775807")])
        .file(b"a", b"")
        .end();
    arena.refused("43 a size without end", &[endless], "total_bytes", 13);
}

#[test]
fn threat_44_malformed_pax_is_refused() {
    let arena = Arena::new();
    for records in [&b"path=evil\n"[..], b"8 path=a\n", b"1000 path=a\n", b"5 a=b\n garbage"] {
        let layer = Raw::new().entry(b'x', b"x", records).file(b"a", b"x").end();
        arena.refused("44 a record", &[layer], "PAX record is malformed", 13);
    }
    let layer = Raw::new().bytes(&block(b'x', b"x", (8 << 30) - 1)).0;
    arena.refused("44 records without end", &[layer], "metadata_bytes", 13);
}

#[test]
fn threat_45_a_new_line_in_a_value_is_content() {
    let arena = Arena::new();
    let layer = Raw::new()
        .pax(&[("comment", b"a\n17 path=../canary\n"), ("path", b"b")])
        .file(b"a", b"x")
        .end();
    arena.stays("45 a new line", &[layer], &["b x"]);
}

#[test]
fn threat_46_sparse_bombs_are_refused() {
    let arena = Arena::new();
    let sparse = |size: &str, map: &str| {
        let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
        Raw::new().pax(&records).file(b"a", b"").end()
    };
    arena.refused("46 a hole of 8 EiB", &[sparse("9223372036854775807", "")], "bytes", 13);
    let many: Vec<String> = (0..65_537).map(|index| format!("{index},0")).collect();
    arena.refused(
        "46 a map without end",
        &[sparse("70000", &many.join(","))],
        "sparse_segments",
        13,
    );
    // The files themselves would take no room; who hashes or exports them would read all of it.
    let hole = (1_u64 << 42).to_string();
    arena.refused("46 a hole of 4 TiB", &[sparse(&hole, "")], "bytes", 13);
}

#[test]
fn threat_47_what_is_cut_off_is_refused() {
    let arena = Arena::new();
    // Of the padding behind content nothing need be there; of content, and of a header, all.
    let cut = Raw::new().file(b"a", &[b'x'; 600]).file(b"b", b"x").end();
    for length in [100, 512 + 100, 512 + 599, 1536 + 100] {
        arena.refused("47 cut off", &[cut[..length].to_vec()], "the stream ends", 13);
    }
    let whole = tar(&[file("a"), file("b")]);
    let mut broken = whole.clone();
    broken[0] ^= 1;
    arena.refused("47 a checksum", &[broken], "checksum", 13);
    let packed = Layer::packed(&whole, Compression::Gzip);
    let cut = Layer {
        blob: packed.blob[..packed.blob.len() - 12].to_vec(),
        ..packed
    };
    arena.refused("47 gzip cut off", &[cut], "the stream ends", 13);
}

#[test]
fn threat_48_what_is_behind_the_end_is_not_read() {
    let arena = Arena::new();
    let layer = [tar(&[file("a")]), tar(&[file("../canary"), file("evil")])].concat();
    arena.stays("48 a second archive", &[layer], &["a x"]);
}

#[test]
fn threat_49_bombs_are_refused() {
    let arena = Arena::new();
    let bomb = |blob: &[u8]| Layer {
        kind: ZSTD,
        blob: blob.to_vec(),
        diff_id: Digest::of(b"never read"),
    };
    let window = [&b"\x28\xb5\x2f\xfd\0\xff"[..], &[0; 20]].concat();
    arena.refused("49 a window of 3.75 TiB", &[bomb(&window)], "window_bytes", 13);
    let single = [&b"\x28\xb5\x2f\xfd\xe0"[..], &(1_u64 << 62).to_le_bytes(), &[0; 20]].concat();
    arena.refused("49 one segment of 4 EiB", &[bomb(&single)], "window_bytes", 13);
    // 116 bytes are announced, and an empty block is all there is.
    let lies = b"\x28\xb5\x2f\xfd\x30\x74\x01\0\0";
    arena.refused("49 a size that lies", &[bomb(lies)], "zstd at byte 0", 13);
    // A file of zeros; the limits are what is tried, so they are small here.
    let mut header = block(b'0', b"zeros", 64 << 20);
    set(&mut header, 100, b"0000644");
    let tar = Raw::new().bytes(&header).content(&vec![0; 64 << 20]).end();
    for compression in [Compression::Gzip, Compression::Zstd] {
        arena.put(&[Layer::packed(&tar, compression)]);
        for (limits, name) in [
            (["ratio=100", "ratio_from=1000000"], "ratio"),
            (["output_bytes=60000000", "ratio=100000"], "output_bytes"),
            (["bytes=60000000", "ratio=100000"], "bytes"),
        ] {
            let [one, two] = limits;
            let arguments = [
                "unpack",
                "--rootless",
                "--limit",
                one,
                "--limit",
                two,
                "oci:images:evil",
                "dest",
            ];
            let ran = arena.teu("49 zeros", &arguments);
            assert_eq!(ran.code, 1, "{limits:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(name), "{limits:?}: {}", ran.stderr);
            assert!(!arena.room.path("dest").exists());
        }
        arena.tidy();
    }
}

#[test]
fn threat_50_wrong_checksums_are_refused_and_members_are_read() {
    let arena = Arena::new();
    let whole = tar(&[file("a"), file("b")]);
    let gzip = Layer::packed(&whole, Compression::Gzip);
    for (back, words) in [(8, "CRC-32"), (4, "size")] {
        let mut broken = gzip.clone();
        let at = broken.blob.len() - back;
        broken.blob[at] ^= 1;
        arena.refused("50 a checksum", &[broken], words, 13);
    }
    let mut zstd = Layer::packed(&whole, Compression::Zstd);
    *zstd.blob.last_mut().expect("bytes") ^= 1;
    arena.refused("50 zstd's", &[zstd], "checksum", 13);
    let (one, two) = whole.split_at(700);
    let members = [one, two]
        .map(|part| Layer::packed(part, Compression::Gzip).blob)
        .concat();
    let layer = Layer {
        kind: GZIP,
        blob: members,
        diff_id: Digest::of(&whole),
    };
    arena.stays("50 two members", &[layer], &["a x", "b x"]);
}
