//! What is done to a tree, and what of it is in the layer.

use super::*;

/// What is done to a tree, and the entries of the layer that comes of it.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "content of the same size",
        |root| fs::write(root.join("etc/a"), "CONTENT\n").expect("written"),
        &["etc/", "etc/a"],
    ),
    (
        "content of the same size and time",
        |root| {
            fs::write(root.join("etc/a"), "CONTENT\n").expect("written");
            set_time(&root.join("etc/a"), 1_600_000_000);
        },
        &["etc/", "etc/a"],
    ),
    (
        "another mode",
        |root| fs::set_permissions(root.join("etc/a"), PermissionsExt::from_mode(0o4711)).expect("a mode"),
        &["etc/", "etc/a"],
    ),
    (
        "another owner",
        |root| chown(root.join("etc/deep"), Some(1000), Some(100)).expect("an owner"),
        &["etc/", "etc/deep/"],
    ),
    (
        "an attribute",
        |root| setxattr(root.join("etc/b"), "user.note", b"x", XattrFlags::empty()).expect("an attribute"),
        &["etc/", "etc/b"],
    ),
    (
        "the time alone",
        |root| set_time(&root.join("usr"), 1_500_000_000),
        &["usr/"],
    ),
    (
        "the time of a link",
        |root| set_time(&root.join("link"), 1_500_000_000),
        &["link"],
    ),
    (
        "a new file",
        |root| fs::write(root.join("etc/new"), "new").expect("written"),
        &["etc/", "etc/new"],
    ),
    (
        "a new tree",
        |root| {
            fs::create_dir_all(root.join("etc/new/er/est")).expect("directories");
            fs::write(root.join("etc/new/er/a"), "").expect("written");
            fs::hard_link(root.join("etc/new/er/a"), root.join("etc/new/er/est/b")).expect("a link");
        },
        &[
            "etc/",
            "etc/new/",
            "etc/new/er/",
            "etc/new/er/a",
            "etc/new/er/est/",
            "etc/new/er/est/b => etc/new/er/a",
        ],
    ),
    (
        "a file removed",
        |root| fs::remove_file(root.join("etc/deep/x")).expect("removed"),
        &["etc/", "etc/deep/", "etc/deep/.wh.x"],
    ),
    (
        "a directory removed, and a file beside it changed",
        |root| {
            fs::remove_dir_all(root.join("etc/deep")).expect("removed");
            fs::write(root.join("etc/a"), "").expect("written");
        },
        &["etc/", "etc/.wh.deep", "etc/a"],
    ),
    (
        "a file at the top removed",
        |root| fs::remove_file(root.join("pipe")).expect("removed"),
        &["./", ".wh.pipe"],
    ),
    (
        "a directory becomes a file",
        |root| {
            fs::remove_dir_all(root.join("etc/deep")).expect("removed");
            fs::write(root.join("etc/deep"), "a file").expect("written");
        },
        &["etc/", "etc/deep"],
    ),
    (
        "a file becomes a link",
        |root| {
            fs::remove_file(root.join("etc/a")).expect("removed");
            symlink("/usr/../b", root.join("etc/a")).expect("a link");
        },
        &["etc/", "etc/a"],
    ),
    (
        "a file becomes a directory",
        |root| {
            fs::remove_file(root.join("etc/a")).expect("removed");
            fs::create_dir(root.join("etc/a")).expect("made");
            fs::write(root.join("etc/a/b"), "b").expect("written");
        },
        &["etc/", "etc/a/", "etc/a/b"],
    ),
    (
        "a link to a directory becomes one",
        |root| {
            fs::remove_file(root.join("link")).expect("removed");
            fs::create_dir(root.join("link")).expect("made");
            fs::write(root.join("link/a"), "other").expect("written");
        },
        &["./", "link/", "link/a"],
    ),
    (
        "another name of a file",
        |root| fs::hard_link(root.join("usr/bin/sudo"), root.join("etc/c")).expect("a link"),
        &[
            "etc/",
            "etc/c",
            "usr/",
            "usr/bin/",
            "usr/bin/su => etc/c",
            "usr/bin/sudo => etc/c",
        ],
    ),
    (
        "a name of a file removed",
        |root| fs::remove_file(root.join("usr/bin/su")).expect("removed"),
        &["usr/", "usr/bin/", "usr/bin/.wh.su", "usr/bin/sudo"],
    ),
    (
        "a directory with names of a file renamed",
        |root| fs::rename(root.join("usr/bin"), root.join("usr/lib")).expect("renamed"),
        &[
            "usr/",
            "usr/.wh.bin",
            "usr/lib/",
            "usr/lib/su",
            "usr/lib/sudo => usr/lib/su",
        ],
    ),
    (
        "a pipe",
        |root| mknodat(CWD, root.join("full/p"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe"),
        &["full/", "full/p"],
    ),
    (
        "a directory emptied and filled",
        |root| {
            fs::remove_dir_all(root.join("full")).expect("removed");
            fs::create_dir(root.join("full")).expect("made");
            fs::write(root.join("full/three"), "3").expect("written");
        },
        &["./", "full/", "full/.wh.one", "full/.wh.two", "full/three"],
    ),
    (
        "a file with holes",
        |root| {
            let mut file = fs::File::create(root.join("etc/sparse")).expect("a file");
            file.seek(SeekFrom::Start(1 << 20)).expect("sought");
            file.write_all(b"behind").expect("written");
            file.set_len(3 << 20).expect("a size");
        },
        &["etc/", "etc/sparse"],
    ),
    (
        "a name that is no text",
        |root| fs::write(root.join(OsStr::from_bytes(b"etc/caf\xe9\n")), "x").expect("written"),
        &["etc/", r"etc/caf\xe9\n"],
    ),
    (
        "what is in a volume",
        |root| {
            fs::write(root.join("data/new"), "x").expect("written");
            fs::remove_file(root.join("data/kept")).expect("removed");
            fs::remove_file(root.join("etc/a")).expect("removed");
        },
        &["etc/", "etc/.wh.a"],
    ),
];

#[test]
fn what_has_changed_is_in_the_layer_and_nothing_else() {
    if !is_root("what_has_changed_is_in_the_layer_and_nothing_else") {
        return;
    }
    let room = Room::new();
    let before = put(&room);
    for (number, (what, change, entries)) in CASES.iter().enumerate() {
        let (bundle, again, image) = (
            format!("bundle{number}"),
            format!("again{number}"),
            format!("oci:images:c{number}"),
        );
        let root = room.path(&bundle).join("rootfs");
        room.teu(["unpack", "oci:images:app", &bundle]).succeeds();
        change(&root);
        let packed = room.teu(["-o", "json", "repack", &bundle, &image]).succeeds();
        let packed: Value = serde_json::from_str(&packed.stdout).expect("a report");
        assert_eq!(packed["before"], before.to_string(), "{what}");
        assert_eq!(layer(&room, &image, 1), *entries, "{what}");
        room.teu(["unpack", &image, &again]).succeeds();
        let volume = |line: &String| !line.starts_with("data/");
        let mut expected = seen(&root);
        let mut there = seen(&room.path(&again).join("rootfs"));
        if *what == "what is in a volume" {
            let in_volume: Vec<_> = there
                .iter()
                .filter(|line| !volume(line))
                .map(|line| &line[..9])
                .collect();
            assert_eq!(in_volume, ["data/kept"]);
            let is_data = |line: &String| line.starts_with("data");
            expected.retain(|line| !is_data(line));
            there.retain(|line| !is_data(line));
        }
        assert_eq!(there, expected, "{what}");
        // The same again, whenever and on however many threads.
        let other = format!("oci:images:again{number}");
        room.teu(["repack", "--threads", "1", &bundle, &other]).succeeds();
        assert_eq!(manifest(&room, &image), manifest(&room, &other), "{what}");
        for path in [bundle, again] {
            fs::remove_dir_all(room.path(path)).expect("removed");
        }
    }
    room.teu(["verify", "oci:images:c0"]).succeeds();
}
