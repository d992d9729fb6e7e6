//! Is every limit of who reads layers named when it is reached, is nothing left then, and does the flag that the error asks for raise it?

use std::{fs, io::Write};

use crate::{
    explore::Terminal,
    support::{Room, archive, directory, file, of, peers, tree::content},
};
use serde_json::json;
use teu_archive::codec::{Compression, Encoder};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A file of GNU's sparse form: a hole, and one byte behind it.
fn sparse(room: &Room) -> Vec<u8> {
    let file = fs::File::create(room.path("hole")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 4 << 20).expect("written");
    room.run("tar", ["--sparse", "--format=gnu", "-cf", "hole.tar", "hole"])
        .succeeds();
    fs::read(room.path("hole.tar")).expect("an archive")
}

/// What layers ask for that a limit may forbid.
fn asking(room: &Room) -> Vec<Vec<u8>> {
    let mut noted = file("a/noted", "noted");
    noted.0.xattrs.insert(b"user.note".to_vec(), vec![b'x'; 2000]);
    let long = "long/".to_owned() + &"n".repeat(150);
    let first = archive(&[
        directory("a/"),
        directory("a/b/"),
        file("a/b/c", "c"),
        noted,
        file(&long, "l"),
    ]);
    vec![first, sparse(room)]
}

fn gzipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, None).expect("an encoder");
    encoder.write_all(tar).expect("compressed");
    encoder.finish().expect("compressed")
}

/// A room with the image `app`, that asks for much, an archive that asks for the same, and files to be put into it.
fn room() -> Room {
    let room = Room::new();
    let layers = asking(&room);
    let layout = room.layout("images");
    let mut app = of(&layers);
    // The first is compressed, so that it has a ratio.
    app.layers[0] = (GZIP.to_owned(), gzipped(&layers[0]));
    layout.image("app", &app);
    layout.image("base", &of(&[archive(&[file("base", "base")])]));
    let [first, second] = [0, 1].map(|layer| &layers[layer]);
    room.file("first.tar.gz", gzipped(first));
    room.file("second.tar", second);
    room.file("tree/some/deep/file", "x");
    room
}

/// Runs it with these limits, sees that it fails and changes nothing, and that it works once the one that is named is raised.
#[track_caller]
fn reached(room: &Room, verb: &[&str], limits: &[&str], named: &str) {
    let images = room.path("images");
    let before = content(&images);
    let run = |limits: &[String]| {
        // What was read before is known, and asked for no more than is allowed all the same.
        let flags = limits.iter().flat_map(|limit| ["--limit", limit.as_str()]);
        let arguments = [verb[0], "--progress=none"].into_iter().chain(flags);
        room.teu(arguments.chain(verb[1..].iter().copied())).ran()
    };
    let given: Vec<String> = limits.iter().map(|limit| (*limit).to_owned()).collect();
    let failed = run(&given);
    let (code, error) = (failed.code, &failed.stderr);
    assert!(matches!(code, 1 | 2), "{verb:?} {limits:?}: {code} {error}");
    assert_eq!(failed.stdout, "", "{verb:?} {limits:?}");
    let says = error.contains(&format!("limit {named}")) && error.contains("raise it only for");
    assert!(says, "{verb:?} {limits:?}: {error}");
    // No name has moved, and what a new image was to be made of is what gc takes away.
    assert_eq!(
        content(&images)["index.json"],
        before["index.json"],
        "{verb:?} {limits:?}"
    );
    room.teu(["gc", "--grace=0s", "oci:images"]).succeeds();
    assert_eq!(content(&images), before, "{verb:?} {limits:?}");
    assert_eq!(content(&room.path("../tmp")).len(), 0, "{verb:?} {limits:?}");
    assert!(!room.path("out").exists(), "{verb:?} {limits:?}");
    let raised = raised(limits, named);
    let worked = run(&raised);
    // Those that tell of differences say so by 1.
    assert!(
        worked.code == 0 || (verb[0] == "diff" && worked.code == 1),
        "{verb:?} {raised:?}: {}",
        worked.stderr
    );
    let _ = fs::remove_dir_all(room.path("out"));
}

/// What an archive may ask for.
const OF_ARCHIVES: [(&[&str], &str); 7] = [
    (&["entries=2"], "entries"),
    (&["metadata_bytes=1000"], "metadata_bytes"),
    (&["total_bytes=700"], "total_bytes"),
    (&["sparse_segments=0"], "sparse_segments"),
    (&["hole_bytes=1000000"], "hole_bytes"),
    (&["output_bytes=700"], "output_bytes"),
    (&["ratio=1", "ratio_from=100"], "ratio"),
];

/// What an entry may ask for.
const OF_ENTRIES: [(&[&str], &str); 3] = [
    (&["name_bytes=100"], "name_bytes"),
    (&["path_bytes=100"], "path_bytes"),
    (&["file_bytes=1000"], "file_bytes"),
];

/// What may be made of layers.
const OF_TREES: [(&[&str], &str); 2] = [
    (&["contents_bytes=10"], "contents_bytes"),
    (&["tree_bytes=100"], "tree_bytes"),
];

/// The same limits, the one with this name raised.
fn raised(limits: &[&str], named: &str) -> Vec<String> {
    let raised = limits.iter().map(|limit| match limit.split_once('=') {
        Some((name, _)) if name == named => format!("{name}=99999999"),
        _ => (*limit).to_owned(),
    });
    raised.collect()
}

/// A flag for each.
fn flags<'l>(limits: &[&'l str]) -> Vec<&'l str> {
    limits.iter().flat_map(|limit| ["--limit", *limit]).collect()
}

#[test]
fn who_changes_layers_leaves_the_image_as_it_is() {
    let room = room();
    for (limits, named) in OF_ARCHIVES {
        for verb in [
            &[
                "edit",
                "--remove-file",
                "a/b/c",
                "--to",
                "oci:images:new",
                "oci:images:app",
            ][..],
            &["edit", "--set-times", "0", "--to", "oci:images:new", "oci:images:app"],
            &["squash", "--to", "oci:images:new", "oci:images:app"],
            &[
                "append",
                "--to",
                "oci:images:new",
                "oci:images:base",
                "first.tar.gz",
                "second.tar",
            ],
            &["insert", "--to", "oci:images:new", "oci:images:app", "tree", "/long/at"],
        ] {
            reached(&room, verb, limits, named);
            room.teu(["untag", "oci:images:new"]).succeeds();
            room.teu(["gc", "--grace=0s", "oci:images"]).succeeds();
        }
    }
}

#[test]
fn who_looks_into_layers_prints_nothing() {
    let room = room();
    for (limits, named) in OF_ARCHIVES.iter().chain(&OF_ENTRIES).chain(&OF_TREES) {
        for verb in [
            &["files", "oci:images:app"][..],
            &["export", "oci:images:app"],
            &["analyze", "oci:images:app"],
            &["diff", "oci:images:base", "oci:images:app"],
            &["cat", "oci:images:app", "a/b/c"],
            &["extract", "oci:images:app", "long/*", "out/"],
        ] {
            reached(&room, verb, limits, named);
        }
    }
}

#[test]
fn who_draws_has_drawn_nothing() {
    if !peers("who_draws_has_drawn_nothing", &["script", "stty"]) {
        return;
    }
    let room = room();
    for (limits, named) in OF_ARCHIVES.iter().chain(&OF_ENTRIES).chain(&OF_TREES) {
        // What was read before is known, and would be asked for nothing.
        let _ = fs::remove_dir_all(room.home(".cache"));
        let said = Terminal::start(&room, &flags(limits)).says();
        let says = said.starts_with("teu: ") && said.ends_with("code=1\r\n");
        let is_named = said.contains(&format!("limit {named}")) && said.contains("raise it only for");
        assert!(says && is_named, "{limits:?}: {said}");
        let raised = raised(limits, named);
        let raised: Vec<&str> = raised.iter().map(String::as_str).collect();
        let mut terminal = Terminal::start(&room, &flags(&raised));
        terminal.shows("Files up to layer 0");
        terminal.types("q");
        terminal.ends(&room, 0);
    }
}

/// What is past a limit is found, as all that is wrong with an image: a layer that cannot be read, or an entry that would be refused. Past a limit that
/// unpacking has not, nobody knows whether something is.
#[test]
fn who_verifies_finds_what_is_past_a_limit() {
    let room = room();
    for ((limits, named), code) in OF_ARCHIVES
        .iter()
        .zip(std::iter::repeat(13))
        .chain(OF_ENTRIES.iter().zip(std::iter::repeat(14)))
        .chain(OF_TREES.iter().zip(std::iter::repeat(15)))
    {
        let run = |limits: &[&str]| {
            let flags = flags(limits);
            room.teu([&["verify", "oci:images:app"][..], &flags].concat()).ran()
        };
        let found = run(limits);
        let (wrong, said) = (found.code, &found.stdout);
        let is_named = said.contains(&format!("limit {named}")) && said.contains("raise it only for");
        assert!(wrong == code && is_named, "{limits:?}: {wrong} {said}");
        let verdict = if code == 15 {
            "\nUNKNOWN: sha256:"
        } else {
            "\nWRONG: sha256:"
        };
        assert!(said.contains(verdict), "{limits:?}: {said}");
        let raised = raised(limits, named);
        let raised: Vec<&str> = raised.iter().map(String::as_str).collect();
        let good = run(&raised);
        assert!(
            good.code == 0 && good.stdout.contains("good: "),
            "{raised:?}: {}",
            good.stdout
        );
    }
}

/// A bundle as umoci would have made it of the image `base`.
fn of_umoci(room: &Room) {
    let digest = room.teu(["digest", "oci:images:base"]).succeeds().stdout;
    let hex = digest.trim().trim_start_matches("sha256:");
    let size = fs::metadata(room.path("images/blobs/sha256").join(hex))
        .expect("a blob")
        .len();
    let from =
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.trim(), "size": size});
    let told = json!({
        "umoci_version": "2",
        "from_descriptor_path": {"descriptor_walk": [from]},
        "map_options": {"uid_mappings": null, "gid_mappings": null, "rootless": true},
        "whiteout_mode": 0,
    });
    fs::create_dir_all(room.path("umoci/rootfs/some")).expect("made");
    room.file("umoci/rootfs/some/file", "x");
    room.file("umoci/umoci.json", told.to_string());
    let record = "#mtree v2.0\n/set type=file nlink=1 mode=0664 uid=0 gid=0\n. size=80 type=dir mode=0755 nlink=4 tar_time=0.000000000\n..\n";
    room.file(format!("umoci/sha256_{hex}.mtree"), record);
}

/// A bundle is a directory, and umoci's has a record that is read into memory.
#[test]
fn who_packs_a_bundle_again_leaves_the_image_as_it_is() {
    let room = room();
    let unpack = ["unpack", "--rootless", "oci:images:base", "bundle"];
    room.teu(unpack).succeeds();
    fs::create_dir_all(room.path("bundle/rootfs/some/deep")).expect("made");
    fs::write(room.path("bundle/rootfs/some/deep/file"), "x").expect("written");
    of_umoci(&room);
    for (bundle, limit, named) in [
        ("bundle", "entries=1", "entries"),
        ("bundle", "path_bytes=5", "path_bytes"),
        ("bundle", "memory_bytes=1", "memory_bytes"),
        ("umoci", "line_bytes=20", "line_bytes"),
        ("umoci", "total_bytes=50", "total_bytes"),
    ] {
        reached(&room, &["repack", bundle, "oci:images:new"], &[limit], named);
        room.teu(["untag", "oci:images:new"]).succeeds();
        room.teu(["gc", "--grace=0s", "oci:images"]).succeeds();
    }
}

#[test]
fn who_reads_a_directory_has_limits_too() {
    let room = room();
    for (limit, named) in [
        ("entries=1", "entries"),
        ("path_bytes=5", "path_bytes"),
        ("memory_bytes=1", "memory_bytes"),
    ] {
        for verb in [
            &["append", "--to", "oci:images:new", "oci:images:base", "tree"][..],
            &[
                "insert",
                "--as-is",
                "--to",
                "oci:images:new",
                "oci:images:base",
                "tree",
                "/x",
            ],
        ] {
            reached(&room, verb, &[limit], named);
            room.teu(["untag", "oci:images:new"]).succeeds();
            room.teu(["gc", "--grace=0s", "oci:images"]).succeeds();
        }
    }
}

#[test]
fn a_name_that_is_no_limit_is_answered_with_those_that_there_are() {
    let room = room();
    of_umoci(&room);
    for (verb, has) in [
        (&["files", "oci:images:app"][..], "contents_bytes"),
        (&["squash", "oci:images:app"], "tree_bytes"),
        (&["append", "oci:images:app", "tree"], "memory_bytes"),
        (&["insert", "oci:images:app", "tree", "/x"], "memory_bytes"),
        (&["cat", "oci:images:app", "a/b/c"], "content_bytes"),
        (&["diff", "oci:images:base", "oci:images:app"], "text_file_bytes"),
        (&["edit", "--set-times", "0", "oci:images:app"], "hole_bytes"),
        (&["verify", "oci:images:app"], "sparse_segments"),
        (&["repack", "umoci", "oci:images:app"], "line_bytes"),
    ] {
        let arguments = [&[verb[0], "--limit", "courage=1"], &verb[1..]].concat();
        let error = room.teu(arguments).fails(2);
        let has = format!("{has} (");
        let says = error.starts_with("teu: there is no limit \"courage\"; there are ") && error.contains(&has);
        assert!(says, "{verb:?}: {error}");
    }
    let error = room.teu(["files", "--limit", "entries", "oci:images:app"]).fails(2);
    assert!(error.contains("NAME=NUMBER, such as entries=20000000"), "{error}");
}
