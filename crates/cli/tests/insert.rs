//! Does `teu insert` put things where links of the image lead, as a container would see it?

use crate::support::{Layout, Room, archive, bare, directory, file, of, peers};
use serde_json::Value;
use teu_archive::tar::Header;

/// `bin` leads to `usr/bin`, and `etc/app` to a directory that an upper layer has.
fn made(room: &Room) -> Layout {
    let lower = archive(&[
        directory("usr/"),
        directory("usr/bin/"),
        file("usr/bin/old", "old"),
        bare(Header::symlink("bin", "usr/bin")),
        bare(Header::symlink("file", "usr/bin/old")),
        directory("etc/"),
        bare(Header::symlink("etc/app", "/opt/app")),
    ]);
    let upper = archive(&[directory("opt/"), directory("opt/app/"), file("opt/app/x", "x")]);
    let layout = room.layout("images");
    layout.image("app", &of(&[lower, upper]));
    layout
}

/// The paths of the third layer.
fn paths(room: &Room, image: &str) -> Vec<String> {
    let asked = ["-o", "json", "files", "--layer", "2", image];
    let told: Value = serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON");
    let files = told["files"].as_array().expect("a list");
    let mut paths: Vec<String> = files
        .iter()
        .map(|file| file["path"].as_str().expect("a path").to_owned())
        .collect();
    paths.sort();
    paths
}

#[test]
fn paths_lead_where_links_of_the_image_do() {
    let room = Room::new();
    made(&room);
    room.file("tool", "tool");
    room.file("tools/one", "one");
    for (number, (arguments, expected)) in [
        (&["tool", "/bin/tool"][..], &["/usr", "/usr/bin", "/usr/bin/tool"][..]),
        (&["tool", "bin/"], &["/usr", "/usr/bin", "/usr/bin/tool"]),
        (&["tools", "/bin"], &["/usr", "/usr/bin", "/usr/bin/one"]),
        (
            &["--opaque", "tools", "/etc/app"],
            &["/opt", "/opt/app", "/opt/app/.wh..wh..opq", "/opt/app/one"],
        ),
        (
            &["tool", "etc/app/new/deep/tool"],
            &["/opt", "/opt/app", "/opt/app/new/deep/tool"],
        ),
        // A file takes the place of a link, and a whiteout hides the link.
        (&["tool", "/file"], &["/file"]),
        (
            &["--whiteout", "/bin/old", "--whiteout", "/file"],
            &["/.wh.file", "/usr", "/usr/bin", "/usr/bin/.wh.old"],
        ),
        // Of what is hidden nothing is left that could stay as it is.
        (
            &["--whiteout", "/usr", "tool", "/usr/bin/tool"],
            &["/.wh.usr", "/usr/bin/tool"],
        ),
        (
            &["--whiteout", "/usr/bin/old", "tools", "/usr"],
            &["/usr", "/usr/bin/.wh.old", "/usr/one"],
        ),
        (&["--as-is", "tool", "/bin/tool"], &["/bin/tool"]),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("oci:images:new{number}");
        let asked = ["insert", "--to", &to, "oci:images:app"].into_iter();
        room.teu(asked.chain(arguments.iter().copied())).succeeds();
        assert_eq!(paths(&room, &to), expected, "{arguments:?}");
    }
    let read = room
        .teu(["cat", "oci:images:new0", "bin/tool", "bin/old"])
        .succeeds()
        .stdout;
    assert_eq!(read, "toolold");
}

#[test]
fn nothing_is_put_into_what_is_no_directory() {
    let room = Room::new();
    made(&room);
    room.file("tool", "tool");
    room.file("tools/one", "one");
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    for (source, at, put) in [
        ("tool", "/usr/bin/old/tool", "usr/bin/old/tool"),
        ("tool", "/usr/bin/old/deeper/tool", "usr/bin/old/deeper/tool"),
        ("tool", "/usr/bin/old/", "usr/bin/old/tool"),
        // By links.
        ("tool", "/file/tool", "file/tool"),
        ("tools", "/bin/old/tools", "bin/old/tools"),
    ] {
        let error = room.teu(["insert", "oci:images:app", source, at]).fails(1);
        let said = format!("/{put}: the image has /usr/bin/old, which is no directory");
        assert!(error.contains(&said), "{at}: {error}");
    }
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
    // A directory takes the place of a file, or of a link to one; and where nothing is put, nothing is in the way.
    for arguments in [
        &["tools", "/usr/bin/old"][..],
        &["tools", "/file"],
        &["--opaque", "tools", "/usr/bin/old"],
        &["--as-is", "--whiteout", "/usr/bin/old/none"],
    ] {
        let asked = ["insert", "--to", "oci:images:new", "oci:images:app"].into_iter();
        room.teu(asked.chain(arguments.iter().copied())).succeeds();
        room.teu(["verify", "oci:images:new"]).succeeds();
    }
}

/// And of one that it takes verify finds nothing wrong.
#[test]
fn an_archive_that_nobody_could_unpack_above_the_image_is_not_appended() {
    let room = Room::new();
    made(&room);
    let link = |at: &str, to: &str| bare(Header::hard_link(at, to));
    let whiteout = || file("usr/bin/.wh.old", "");
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let cases = [
        (vec![file("usr/bin/old/in", "x")], Some("usr/bin/old/in")),
        (vec![file("./usr/bin/old/deep/in", "x")], Some("./usr/bin/old/deep/in")),
        (vec![file("bin/old/in", "x")], Some("bin/old/in")),
        (vec![file("file/in", "x")], Some("file/in")),
        (vec![link("name", "nowhere")], Some("name")),
        (vec![link("name", "usr/bin")], Some("name")),
        (vec![whiteout(), link("name", "usr/bin/old")], Some("name")),
        (vec![file("a", "x"), link("b", "a"), link("c", "d")], Some("c")),
        (vec![link("name", "usr/bin/old")], None),
        (vec![link("name", "opt/app/x")], None),
        (vec![link("name", "bin/old")], None),
        (vec![file("a", "x"), link("b", "a")], None),
        (vec![file("usr/bin/new", "x"), file("bin/newer", "x")], None),
        (vec![file("new/deep/in", "x"), file("etc/app/in", "x")], None),
        (vec![directory("usr/bin/old/"), file("usr/bin/old/in", "x")], None),
        (vec![whiteout(), file("usr/bin/old/in", "x")], None),
        (vec![file("usr/bin/old", "x"), directory("usr/bin/")], None),
    ];
    for (number, (entries, refused)) in cases.iter().enumerate() {
        room.file("layer.tar", archive(entries));
        let (to, as_is) = (format!("oci:images:new{number}"), format!("oci:images:asis{number}"));
        room.teu(["append", "--as-is", "--to", &as_is, "oci:images:app", "layer.tar"])
            .succeeds();
        let verified = room.teu(["verify", &as_is]).ran();
        let append = room.teu(["append", "--to", &to, "oci:images:app", "layer.tar"]);
        match refused {
            None => {
                append.succeeds();
                assert_eq!(verified.code, 0, "{number}: {}", verified.stdout);
            }
            Some(entry) => {
                let error = append.fails(1);
                let said = format!(
                    "reading layer.tar: above the layers that the image has nobody could unpack it: \"{entry}\""
                );
                assert!(error.contains(&said), "{number}: {error}");
                assert_eq!(verified.code, 14, "{number}: {}", verified.stdout);
            }
        }
    }
    // Of several the one is told that it is of; and what was wrong before is not its fault.
    room.file("good.tar", archive(&[file("usr/bin/old", "x")]));
    room.file("layer.tar", archive(&[file("usr/bin/old/in", "x")]));
    let error = room.teu(["append", "oci:images:app", "good.tar", "layer.tar"]).fails(1);
    assert!(error.contains("reading layer.tar: above the layers"), "{error}");
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
    room.file("link.tar", archive(&[link("name", "usr/bin/old")]));
    let ran = room
        .teu(["append", "--to", "oci:images:broken", "oci:images:asis0", "link.tar"])
        .succeeds();
    assert!(
        ran.stderr.is_empty() || ran.stderr.contains("nobody knows whether"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_file_takes_no_place_by_accident_and_a_whiteout_hides_something() {
    let room = Room::new();
    made(&room);
    room.file("tool", "tool");
    for (arguments, code, said) in [
        (
            &["tool", "/etc"][..],
            1,
            "/etc is a directory in the image: write /etc/ to put the file into it, or say --whiteout /etc too to have the file in its place",
        ),
        (
            &["tool", "bin"],
            1,
            "/bin is a link to a directory in the image: write /bin/",
        ),
        (
            &["tool", "etc/app"],
            1,
            "/etc/app is a link to a directory in the image",
        ),
        (
            &["--whiteout", "/etc/nope"],
            2,
            "/etc/nope: nothing is there in the image that could be hidden; with --as-is it is hidden all the same",
        ),
        (&["--whiteout", "/usr/bin/old/none"], 2, "nothing is there"),
    ] {
        let asked = ["insert", "oci:images:app"].into_iter();
        let error = room.teu(asked.chain(arguments.iter().copied())).fails(code);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    for (arguments, expected) in [
        (&["--whiteout", "/etc", "tool", "/etc"][..], &["/.wh.etc", "/etc"][..]),
        (&["--as-is", "tool", "/bin"], &["/bin"]),
        (&["--as-is", "--whiteout", "/nope"], &["/.wh.nope"]),
    ] {
        let asked = ["insert", "--to", "oci:images:new", "oci:images:app"].into_iter();
        room.teu(asked.chain(arguments.iter().copied())).succeeds();
        assert_eq!(paths(&room, "oci:images:new"), expected, "{arguments:?}");
        room.teu(["verify", "oci:images:new"]).succeeds();
    }
}

#[test]
fn what_one_image_of_an_index_has_is_hidden_in_it() {
    let room = Room::new();
    let layout = room.layout("images");
    let (amd, arm) = (
        of(&[archive(&[file("lib64", "x")])]),
        of(&[archive(&[file("lib", "x")])]),
    );
    layout.index("app", &[("linux/amd64", &amd), ("linux/arm64", &arm)]);
    let hide = |flags: &[&str]| room.teu([&["insert"], flags, &["--to", "oci:images:new", "oci:images:app"]].concat());
    hide(&["--whiteout", "/lib64"]).succeeds();
    for (platform, left) in [("linux/amd64", ""), ("linux/arm64", "/lib\n")] {
        let files = room.teu(["files", "--platform", platform, "oci:images:new"]);
        assert_eq!(files.succeeds().stdout, left, "{platform}");
    }
    for flags in [
        &["--whiteout", "/lib64", "--whiteout", "/nope"][..],
        &["--platform", "linux/arm64", "--whiteout", "/lib64"],
    ] {
        let error = hide(flags).fails(2);
        let path = flags[3];
        assert!(
            error.contains(&format!("{path}: nothing is there in the image")),
            "{error}"
        );
    }
}

#[test]
fn a_rehearsal_does_not_say_that_anything_was_written() {
    let room = Room::new();
    made(&room);
    room.file("tool", "tool");
    let ran = room
        .teu(["insert", "--dry-run", "oci:images:app", "tool", "/bin/tool"])
        .succeeds();
    assert!(
        !ran.stderr.contains("written") && !ran.stderr.contains("copied"),
        "{}",
        ran.stderr
    );
    let ran = room.teu(["insert", "oci:images:app", "tool", "/bin/tool"]).succeeds();
    assert!(ran.stderr.contains("written"), "{}", ran.stderr);
}

#[test]
fn a_rehearsal_sees_what_comes_of_layers_that_it_looks_into() {
    let room = Room::new();
    made(&room);
    room.file("link.tar", archive(&[bare(Header::hard_link("name", "usr/bin/old"))]));
    room.file("nowhere.tar", archive(&[bare(Header::hard_link("name", "nowhere"))]));
    for (verb, more) in [
        (&["append"][..], &["link.tar"][..]),
        (&["edit", "--remove-file", "usr/bin/old"], &[]),
        (&["edit", "--clamp-times", "0", "--compress", "zstd"], &[]),
    ] {
        let run = |flags: &[&str]| {
            // What was read once is known, and would not be read.
            drop(std::fs::remove_dir_all(room.home(".cache")));
            room.teu([verb, flags, &["oci:images:app"], more].concat())
        };
        let rehearsed = run(&["-o", "json", "--dry-run"]).succeeds().stdout;
        let rehearsed: Value = serde_json::from_str(&rehearsed).expect("JSON");
        let done = run(&["--to", "oci:images:new"]).succeeds().stdout;
        assert_eq!(rehearsed["digest"], done.trim(), "{verb:?}");
    }
    let error = room
        .teu(["append", "--dry-run", "oci:images:app", "nowhere.tar"])
        .fails(1);
    assert!(error.contains("nobody could unpack it"), "{error}");
}

/// What an image says of a file: its mode, owner and time.
fn described(room: &Room, image: &str, path: &str) -> (String, u64, u64, String) {
    let told: Value =
        serde_json::from_str(&room.teu(["-o", "json", "files", image, path]).succeeds().stdout).expect("JSON");
    let file = &told["files"][0];
    let text = |key: &str| file[key].as_str().expect("a text").to_owned();
    let number = |key: &str| file[key].as_u64().expect("a number");
    (text("mode"), number("uid"), number("gid"), text("mtime"))
}

#[test]
fn a_directory_that_the_image_has_stays_what_it_is() {
    let room = Room::new();
    let closed = |path: &str, mode, uid| {
        let (mut header, content) = directory(path);
        (header.mode, header.uid) = (mode, uid);
        header.xattrs.insert(b"user.note".to_vec(), b"kept".to_vec());
        (header, content)
    };
    let lower = archive(&[
        closed("root/", 0o700, 7),
        closed("tmp/", 0o1777, 0),
        bare(Header::symlink("home", "root")),
        closed("root/sub/", 0o700, 7),
    ]);
    let upper = archive(&[file("tmp/there", "x")]);
    room.layout("images").image("app", &of(&[lower, upper]));
    room.file("tree/sub/new", "new");
    for (destination, path) in [("/root", "root"), ("/home", "root"), ("tmp/", "tmp")] {
        let put = [
            "insert",
            "--to",
            "oci:images:new",
            "oci:images:app",
            "tree",
            destination,
        ];
        room.teu(put).succeeds();
        let new = described(&room, "oci:images:new", path);
        assert_eq!(new, described(&room, "oci:images:app", path), "{destination}");
        let ran = room.teu(["diff", "--files", "oci:images:app", "oci:images:new"]).ran();
        let told = |line: &str| ran.stdout.lines().any(|told| told.contains(line));
        assert!(told(&format!("/{path}/sub/new")), "{}", ran.stdout);
        assert!(!told(&format!("~ /{path}  ")), "{}", ran.stdout);
    }
    // Its layer says so, as do those above it, and nothing else: who puts layers over one another makes up what a layer does not say.
    room.file("tool", "tool");
    for (flags, source, above) in [
        (
            &["tool", "/root/sub/tool"][..],
            "/root/sub/tool",
            &["/root", "/root/sub"][..],
        ),
        (&["tree", "home/sub"], "/root/sub/sub/new", &["/root", "/root/sub"]),
        (&["--whiteout=/home/sub"], "/root/.wh.sub", &["/root"]),
        (&["tool", "tmp/"], "/tmp/tool", &["/tmp"]),
    ] {
        let put = ["insert", "--to", "oci:images:new", "oci:images:app"];
        room.teu([&put, flags].concat()).succeeds();
        let told = |more: &[&str]| {
            let asked = [&["-o", "json", "files"], more].concat();
            let told: Value = serde_json::from_str(&room.teu(asked).succeeds().stdout).expect("JSON");
            told["files"].as_array().cloned().expect("a list")
        };
        let layer = told(&["--layer", "2", "oci:images:new"]);
        assert!(layer.iter().any(|file| file["path"] == source), "{layer:?}");
        for path in above {
            let before = told(&["oci:images:app", path]).swap_remove(0);
            let now = layer.iter().find(|file| file["path"] == **path).expect(path);
            for key in ["type", "mode", "uid", "gid", "mtime"] {
                assert_eq!(now[key], before[key], "{flags:?} {path} {key}");
            }
        }
    }
    // What is in it is as in the source, and so is what nothing is seen of any more.
    let put = ["insert", "--to", "oci:images:new", "oci:images:app", "tree", "root"];
    room.teu(put).succeeds();
    assert_ne!(described(&room, "oci:images:new", "root/sub").0, "0700");
    let opaque = [
        "insert",
        "--opaque",
        "--to",
        "oci:images:new",
        "oci:images:app",
        "tree",
        "root",
    ];
    room.teu(opaque).succeeds();
    assert_ne!(described(&room, "oci:images:new", "root").0, "0700");
    let as_is = [
        "insert",
        "--as-is",
        "--to",
        "oci:images:new",
        "oci:images:app",
        "tree",
        "tmp",
    ];
    room.teu(as_is).succeeds();
    assert_ne!(described(&room, "oci:images:new", "tmp").0, "1777");
}

/// What an overlay file system noted of a directory of one layer hides in another what is below.
#[test]
fn no_directory_is_said_to_hide_what_is_below() {
    let room = Room::new();
    let (mut usr, nothing) = directory("usr/");
    let names = ["trusted.overlay.opaque", "user.overlay.opaque", "user.note"];
    usr.xattrs = names.map(|name| (name.as_bytes().to_vec(), b"y".to_vec())).into();
    let lower = archive(&[(usr, nothing), file("usr/old", "old")]);
    room.layout("images").image("app", &of(&[lower]));
    room.file("tree/new", "new");
    for put in [&["tree/new", "usr/"], &["tree", "/usr"]] {
        let asked = ["insert", "--to", "oci:images:new", "oci:images:app"];
        room.teu([&asked[..], put].concat()).succeeds();
        let differs = ["-o", "json", "diff", "--files", "oci:images:app", "oci:images:new"];
        let told: Value = serde_json::from_str(&room.teu(differs).ran().stdout).expect("JSON");
        let usr = told["files"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|file| file["path"] == "/usr");
        let gone = |name: &str| serde_json::json!({"name": name, "beforeHex": "79", "afterHex": null});
        let gone = ["trusted.overlay.opaque", "user.overlay.opaque"].map(gone);
        assert_eq!(usr.expect("it differs")["xattrs"], serde_json::json!(gone));
    }
}

#[test]
fn a_place_that_nobody_could_unpack_to_is_refused() {
    let room = Room::new();
    made(&room);
    room.file("tool", "tool");
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let name = format!("/{}", "n".repeat(300));
    let deep = "/dd".repeat(1400);
    let whiteout = format!("--whiteout={name}");
    for (arguments, said) in [
        (&["tool", &name][..], "the limit name_bytes is 255"),
        (&["tool", &deep], "the limit path_bytes is 4095"),
        (&[&whiteout], "the limit name_bytes is 255"),
    ] {
        let asked = ["insert", "oci:images:app"]
            .into_iter()
            .chain(arguments.iter().copied());
        let error = room.teu(asked).fails(1);
        assert!(error.contains(said), "{error}");
    }
    for arguments in [&["tool", ""][..], &["--opaque", "tools", ""]] {
        let asked = ["insert", "oci:images:app"]
            .into_iter()
            .chain(arguments.iter().copied());
        let error = room.teu(asked).fails(2);
        assert!(error.contains("DESTINATION is empty"), "{error}");
    }
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
}

#[test]
fn no_layer_is_made_that_nobody_could_unpack() {
    let room = Room::new();
    made(&room);
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    // Each path by itself is none too many.
    let (top, below) = ("/dd".repeat(800), "/bb".repeat(800));
    room.file(format!("tree{below}/file"), "content");
    for flags in [&[][..], &["--as-is"]] {
        let put = |limit: &[&str]| {
            let words = ["insert", "--to", "oci:images:new", "oci:images:app", "tree", &top];
            room.teu(words.iter().chain(flags).chain(limit))
        };
        let error = put(&[]).fails(1);
        for said in [
            "/bb/bb",
            "the limit path_bytes is 4095",
            "rename that file, or leave it out",
        ] {
            assert!(error.contains(said), "{error}");
        }
        put(&["--limit", "path_bytes=4900"]).succeeds();
    }
    let error = room.teu(["files", "oci:images:new", "x"]).fails(1);
    assert!(error.contains("the limit name_bytes is 4096"), "{error}");
    let less = ["insert", "--limit", "depth=5", "oci:images:app", "tree/bb/bb", "/a/b/c"];
    let error = room.teu(less).fails(1);
    assert!(error.contains("the limit depth is 5"), "{error}");
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
}

#[test]
fn what_umoci_inserted_is_read() {
    if !peers("what_umoci_inserted_is_read", &["umoci"]) {
        return;
    }
    let room = Room::new();
    made(&room);
    room.file("tree/f", "two");
    let insert = ["insert", "--image", "images:app", "--tag", "by-umoci", "tree", "/srv"];
    room.run("umoci", insert).succeeds();
    let image = "oci:images:by-umoci";
    assert_eq!(room.teu(["cat", image, "/srv/f"]).succeeds().stdout, "two");
    assert_eq!(room.teu(["files", image, "srv"]).succeeds().stdout, "/srv\n/srv/f\n");
    let verified = room.teu(["verify", image]).succeeds().stdout;
    assert!(
        verified.contains("archive ends within the padding of its last file"),
        "{verified}"
    );
    room.teu(["unpack", "--rootless", "--rootfs-only", image, "files"])
        .succeeds();
    assert_eq!(std::fs::read(room.path("files/srv/f")).expect("unpacked"), b"two");
    room.teu(["export", image, "--file", "all.tar"]).succeeds();
    room.teu(["extract", image, "srv", "taken"]).succeeds();
    assert!(room.path("taken/f").exists());
    // What is made of it is whole.
    room.teu(["squash", "--to", "oci:images:one", image]).succeeds();
    let verified = room.teu(["verify", "oci:images:one"]).succeeds().stdout;
    assert!(!verified.contains("padding"), "{verified}");
}
