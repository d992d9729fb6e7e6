//! Do `teu new`, `append` and `insert` make images of files: the right ones, the same everywhere, as others read them?

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use crate::support::{Asks, Peer, Room, archive, file, image, layer, peers};
use serde_json::Value;
use teu_spec::Digest;

const EPOCH: &str = "1700000000";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A tree with all that a layer holds and anyone can make.
fn tree(at: &Path, names: &[&str]) {
    fs::create_dir_all(at).expect("a directory");
    for name in names {
        let path = at.join(name);
        match *name {
            "etc" | "etc/empty" | "bin" => fs::create_dir_all(&path).expect("a directory"),
            "bin/link" => symlink("../etc/motd", &path).expect("a link"),
            "etc/pipe" => {
                let handle = fs::File::open(at.join("etc")).expect("a directory");
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(&handle, "pipe", rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
            }
            "etc/same" => fs::hard_link(at.join("etc/motd"), &path).expect("a link"),
            "etc/sparse" => {
                let file = fs::File::create(&path).expect("a file");
                file.set_len(3 << 20).expect("a hole");
            }
            name => fs::write(&path, name.repeat(40_000)).expect("a file"),
        }
    }
    for name in names.iter().filter(|name| **name != "bin/link") {
        let mode = match *name {
            "bin/tool" => 0o4755,
            "etc/motd" | "etc/same" => 0o640,
            name if at.join(name).is_dir() => 0o750,
            _ => 0o644,
        };
        fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

const NAMES: [&str; 10] = [
    "etc",
    "etc/motd",
    "etc/same",
    "bin",
    "bin/tool",
    "bin/link",
    "etc/empty",
    "etc/pipe",
    "etc/sparse",
    "zz",
];

/// What `find` says of a tree, without what is in its top's own line.
fn listing(at: &Path) -> Vec<String> {
    let format = r"%P %y %m %U:%G %s %Ts %n -> %l\n";
    let found = Command::new("find")
        .arg(at)
        .args(["-mindepth", "1", "(", "-type", "d", "-printf", r"%P %y %m %U:%G %Ts\n"])
        .args([")", "-o", "-printf", format])
        .output()
        .expect("find");
    let text = String::from_utf8(found.stdout).expect("names of ours");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The layers that the manifest of an image names.
fn layers(room: &Room, image: &str) -> Vec<Value> {
    let raw = room.teu(["manifest", "get", image]).succeeds().stdout;
    let manifest: Value = serde_json::from_str(&raw).expect("JSON");
    manifest["layers"].as_array().expect("layers").clone()
}

/// The names in a layer, as GNU tar lists them.
fn names(room: &Room, layout: &str, layer: &Value) -> Vec<String> {
    let digest: Digest = layer["digest"].as_str().expect("a digest").parse().expect("a digest");
    let path = room.path(layout).join("blobs/sha256").join(digest.hex());
    let listed = room.run("tar", ["-tf", path.to_str().expect("a path")]).succeeds();
    listed.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_new_image_is_the_same_everywhere_and_takes_no_name_unasked() {
    let room = Room::new();
    let new = ["new", "--platform", "linux/arm/v6"];
    let digest = room.teu(new.iter().chain(&["oci:images:app"])).succeeds().stdout;
    let config =
        r#"{"architecture":"arm","os":"linux","variant":"v6","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    assert_eq!(room.teu(["config", "oci:images:app"]).succeeds().stdout, config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        Digest::of(config.as_bytes()),
        config.len()
    );
    assert_eq!(digest, format!("{}\n", Digest::of(manifest.as_bytes())));
    room.teu(["verify", "oci:images:app"]).succeeds();

    let other = ["--author", "The team", "oci:images:app"];
    let refused = room.teu(new.iter().chain(&other)).fails(1);
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, digest);
    let forced = room
        .teu(new.iter().chain(&other).chain(&["--force"]))
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .succeeds()
        .stdout;
    assert_ne!(forced, digest);
    let config = room.teu(["config", "oci:images:app"]).succeeds().stdout;
    assert!(
        config.starts_with(r#"{"created":"2023-11-14T22:13:20Z","author":"The team","architecture":"arm","#),
        "{config}"
    );

    // Where only Docker's form is kept, it is made in that.
    room.teu(["new", "docker-archive:app.tar:app:1"]).succeeds();
    room.teu(["verify", "docker-archive:app.tar"]).succeeds();
    let wrong = room.teu(["new", "--created", "yesterday", "oci:images:other"]).fails(2);
    assert!(wrong.contains("2026-01-31T12:00:00Z"), "{wrong}");
    let wrong = room.teu(["new", "--platform", "foo", "oci:images:other"]).fails(1);
    assert!(wrong.contains("write os/architecture[/variant]"), "{wrong}");
}

#[test]
fn the_same_files_make_the_same_image_whoever_has_them_in_whatever_order() {
    let room = Room::new();
    let mut digests = Vec::new();
    for (number, threads) in [(0, "1"), (1, "2"), (2, "5")] {
        let mut names = NAMES;
        // Directories, and what others are links to, must be there first.
        match number {
            1 => names[3..].sort_unstable(),
            2 => names[6..].reverse(),
            _ => {}
        }
        let at = room.path(format!("some/where-{number}"));
        tree(&at, &names);
        if is_root() {
            for name in NAMES {
                std::os::unix::fs::lchown(at.join(name), Some(1000 + number), Some(100)).expect("an owner");
            }
            fs::set_permissions(at.join("bin/tool"), fs::Permissions::from_mode(0o4755)).expect("a mode");
        }
        let later = rustix::fs::Timespec {
            tv_sec: 1_750_000_000 + i64::from(number),
            tv_nsec: 5,
        };
        let times = rustix::fs::Timestamps {
            last_access: later,
            last_modification: later,
        };
        let handle = fs::File::open(&at).expect("a directory");
        rustix::fs::utimensat(&handle, "zz", &times, rustix::fs::AtFlags::empty()).expect("a time");

        let layout = format!("oci:images-{number}:app");
        room.teu(["new", "--platform", "linux/amd64", &layout])
            .env("SOURCE_DATE_EPOCH", EPOCH)
            .succeeds();
        let path = at.to_str().expect("a path");
        let append = ["append", "--owner", "0:0", "--threads", threads, &layout, path];
        let appended = room.teu(append).env("SOURCE_DATE_EPOCH", EPOCH).succeeds();
        digests.push(appended.stdout);
        room.teu(["verify", &layout]).succeeds();
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);

    // And what is not the same does not come out the same.
    let at = room.path("some/where-0");
    fs::set_permissions(at.join("zz"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let path = at.to_str().expect("a path");
    room.teu(["new", "--platform", "linux/amd64", "--force", "oci:images-0:app"])
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .succeeds();
    let other = room
        .teu(["append", "--owner", "0:0", "oci:images-0:app", path])
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .succeeds();
    assert_ne!(other.stdout, digests[1]);
}

#[test]
fn the_files_of_a_directory_are_those_that_umoci_and_tar_unpack() {
    let test = "the_files_of_a_directory_are_those_that_umoci_and_tar_unpack";
    if !is_root() || !peers(test, &["umoci", "tar", "find"]) {
        return;
    }
    let room = Room::new();
    let at = room.path("tree");
    tree(&at, &NAMES);
    chown(at.join("etc/motd"), Some(12), Some(34)).expect("an owner");
    fs::set_permissions(at.join("etc/motd"), fs::Permissions::from_mode(0o640)).expect("a mode");
    let capability = *b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tool = at.join("zz");
    let flags = rustix::fs::XattrFlags::empty();
    let has_capability = rustix::fs::lsetxattr(&tool, "security.capability", &capability, flags).is_ok();
    let handle = fs::File::open(&at).expect("a directory");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let device = rustix::fs::makedev(1, 3);
    let has_device = rustix::fs::mknodat(&handle, "null", rustix::fs::FileType::CharacterDevice, mode, device).is_ok();
    // Longer than ustar's header holds.
    let long = at.join("n".repeat(200));
    fs::create_dir(&long).expect("a directory");
    fs::write(long.join("\u{e9}\n".repeat(60)), "odd").expect("a file");
    let _socket = UnixListener::bind(at.join("socket")).expect("a socket");

    room.teu(["new", "oci:images:app"]).succeeds();
    let appended = room.teu(["append", "oci:images:app", "tree"]).ran();
    assert_eq!(appended.code, 0, "{}", appended.stderr);
    assert!(appended.stderr.contains("socket"), "{}", appended.stderr);
    fs::remove_file(at.join("socket")).expect("removed");
    let expected = listing(&at);
    assert!(expected.len() > 12);
    room.run("umoci", ["unpack", "--image", "images:app", "bundle"])
        .succeeds();
    let rootfs = room.path("bundle/rootfs");
    assert_eq!(listing(&rootfs), expected, "by umoci");

    // The entries alone, without what is in them, as GNU tar has it.
    let layer = &layers(&room, "oci:images:app")[0];
    let digest: Digest = layer["digest"].as_str().expect("a digest").parse().expect("a digest");
    let blob = room.path("images/blobs/sha256").join(digest.hex());
    fs::create_dir(room.path("by-tar")).expect("a directory");
    let (blob, into) = (blob.to_str().expect("a path"), room.path("by-tar"));
    let extract = ["--xattrs", "--xattrs-include=*", "--same-owner", "-xpzf", blob, "-C"];
    room.run("tar", extract.iter().copied().chain([into.to_str().expect("a path")]))
        .succeeds();
    assert_eq!(listing(&into), expected, "by tar");
    for unpacked in [&rootfs, &into] {
        assert_eq!(
            fs::read(unpacked.join("etc/motd")).expect("the file"),
            fs::read(at.join("etc/motd")).expect("the file")
        );
        assert_eq!(
            fs::read(unpacked.join("etc/sparse")).expect("the file"),
            vec![0; 3 << 20]
        );
        if has_capability {
            let mut value = [0; 64];
            let length = rustix::fs::lgetxattr(unpacked.join("zz"), "security.capability", &mut value);
            assert_eq!(length.map(|length| value[..length].to_vec()), Ok(capability.to_vec()));
        }
    }
    assert_eq!(has_device, expected.iter().any(|line| line.starts_with("null c 600 ")));

    // Our own.
    room.teu(["unpack", "--rootfs-only", "--devices", "oci:images:app", "ours"])
        .succeeds();
    assert_eq!(listing(&room.path("ours")), expected, "by ourselves");
}

#[test]
fn podman_loads_and_mounts_what_was_made_of_files() {
    let test = "podman_loads_and_mounts_what_was_made_of_files";
    if !is_root() || !peers(test, &["podman", "find"]) {
        return;
    }
    let room = Room::new();
    let at = room.path("tree");
    tree(&at, &NAMES);
    room.teu(["new", "oci:images:app"]).succeeds();
    room.teu(["append", "--to", "oci-archive:app.tar:app", "oci:images:app", "tree"])
        .succeeds();
    let (root, runroot) = (room.path("storage"), room.path("run"));
    let podman = |arguments: &[&str]| {
        let store = [
            "--root",
            root.to_str().expect("a path"),
            "--runroot",
            runroot.to_str().expect("a path"),
        ];
        let all = store.iter().chain(&["--storage-driver", "vfs"]).chain(arguments);
        room.run("podman", all.copied().collect::<Vec<_>>()).succeeds().stdout
    };
    podman(&["load", "-q", "-i", "app.tar"]);
    let id = podman(&["images", "-q", "--no-trunc"]);
    let mounted = podman(&["image", "mount", id.trim()]);
    assert_eq!(listing(Path::new(mounted.trim())), listing(&at));
    podman(&["image", "unmount", id.trim()]);
}

#[test]
fn an_archive_keeps_its_bytes_and_what_is_none_changes_nothing() {
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    let plain = layer("content\n");
    let tar = room.file("layer.tar", &plain);
    room.run("gzip", ["-1", "-k", tar.to_str().expect("a path")]).succeeds();
    room.teu(["append", "oci:images:app", "layer.tar.gz", "layer.tar"])
        .succeeds();
    let found = layers(&room, "oci:images:app");
    let kept = fs::read(room.path("layer.tar.gz")).expect("the archive");
    assert_eq!(found[0]["digest"], Digest::of(&kept).to_string());
    for layer in &found {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    }
    let config = room.teu(["config", "oci:images:app"]).succeeds().stdout;
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let diff_id = Digest::of(&plain).to_string();
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!([diff_id, diff_id]));
    assert_eq!(
        config["history"],
        serde_json::json!([
            {"created": "1970-01-01T00:00:00Z", "created_by": "teu append"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "teu append"},
        ])
    );
    let silent = [
        "append",
        "--no-history",
        "--to",
        "oci:images:silent",
        "oci:images:app",
        "layer.tar",
    ];
    room.teu(silent).succeeds();
    assert_eq!(layers(&room, "oci:images:silent").len(), 3);
    let said = room.teu(["config", "oci:images:silent"]).succeeds().stdout;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["history"], config["history"]);

    // From standard input, and compressed anew.
    let other = [
        "append",
        "--compress",
        "zstd",
        "--recompress",
        "--to",
        "oci:images:zstd",
        "oci:images:app",
        "-",
    ];
    let ran = room.teu(other).ran_with(&kept);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let found = layers(&room, "oci:images:zstd");
    assert_eq!(found[2]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    room.teu(["verify", "oci:images:zstd"]).succeeds();
    let plain = [
        "append",
        "--compress",
        "none",
        "--to",
        "oci:images:none",
        "oci:images:app",
        "layer.tar.gz",
    ];
    room.teu(plain).succeeds();
    assert_eq!(layers(&room, "oci:images:none")[2]["digest"], diff_id);

    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    room.file("text", "no archive");
    room.file("nameless.tar", archive(&[file("etc/.wh..", "")]));
    room.file("cut.tar.gz", &kept[..kept.len() - 9]);
    room.file("big.xz", b"\xfd7zXZ\0 and so on");
    for (arguments, code, said) in [
        (&["text"][..], 1, "text"),
        (&["layer.tar", "cut.tar.gz"], 1, "cut.tar.gz"),
        (&["nameless.tar"], 1, "a whiteout of nothing that has a name"),
        (&["big.xz"], 1, "decompress it first"),
        (&["missing.tar"], 2, "missing.tar"),
        (&["-", "-"], 2, "once"),
        (&["--compress-level", "30", "layer.tar"], 1, "level"),
        (&["--owner", "root", "layer.tar"], 2, "0:0"),
    ] {
        let all = ["append", "oci:images:app"].iter().chain(arguments);
        let error = room.teu(all).fails(code);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
    room.teu(["gc", "--grace", "0", "oci:images"]).succeeds();
    room.teu(["verify", "oci:images:app"]).succeeds();
}

#[test]
fn what_is_for_directories_is_not_taken_for_archives() {
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    room.file("layer.tar", layer("new\n"));
    room.file("tree/a", "a");
    for flag in ["--owner=1:2", "--one-file-system"] {
        let name = flag.split('=').next().unwrap_or_default();
        let error = room.teu(["append", flag, "oci:images:app", "layer.tar"]).fails(2);
        assert!(error.starts_with(&format!("teu: {name} is for directories")), "{error}");
        room.teu(["append", flag, "oci:images:app", "layer.tar", "tree"])
            .succeeds();
    }
    for (content, limit, has) in [
        ("layer.tar", "memory_bytes", "hole_bytes"),
        ("tree", "hole_bytes", "memory_bytes"),
    ] {
        let limit = format!("{limit}=7");
        let error = room
            .teu(["append", "--limit", &limit, "oci:images:app", content])
            .fails(2);
        assert!(error.contains("there is no limit") && error.contains(has), "{error}");
    }
}

#[test]
fn what_cannot_change_in_place_is_not_rehearsed_there() {
    let room = Room::new();
    room.teu(["new", "oci-archive:app.tar:app"]).succeeds();
    let edit = ["edit", "--user", "7", "oci-archive:app.tar:app"];
    let refused = room.teu(edit).fails(1);
    let rehearsed = room.teu(edit.into_iter().chain(["--dry-run"])).fails(1);
    assert_eq!(
        (rehearsed, refused.contains("cannot be changed in place")),
        (refused.clone(), true)
    );
    room.teu(edit.into_iter().chain(["--dry-run", "--to", "oci:images:app"]))
        .succeeds();
}

#[test]
fn files_are_put_at_paths_and_hidden_at_others() {
    let room = Room::new();
    let at = room.path("tree");
    tree(&at, &NAMES);
    room.teu(["new", "oci:images:app"]).succeeds();
    room.teu(["append", "oci:images:app", "tree"]).succeeds();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["tree/zz", "/usr/bin/zz"], &["usr/bin/zz"]),
        (&["tree/zz", "/usr/bin/"], &["usr/bin/zz"]),
        (&["tree/zz", "usr//./bin/other"], &["usr/bin/other"]),
        (&["tree/bin/link", "/link"], &["link"]),
        (
            &["tree/bin", "/opt/bin/"],
            &["opt/bin/", "opt/bin/link", "opt/bin/tool"],
        ),
        (
            &["--opaque", "tree/bin", "/etc"],
            &["etc/.wh..wh..opq", "etc/", "etc/link", "etc/tool"],
        ),
        (
            &["--whiteout", "/etc/motd", "--whiteout", "bin"],
            &["etc/", "etc/.wh.motd", ".wh.bin"],
        ),
        (&["--whiteout", "zz", "tree/bin/tool", "/"], &[".wh.zz", "tool"]),
    ];
    for (number, (arguments, expected)) in cases.into_iter().enumerate() {
        let to = format!("oci:images:{number}");
        let (flags, paths): (Vec<&str>, Vec<&str>) = match arguments {
            ["--whiteout", _, "--whiteout", _] => (arguments.to_vec(), Vec::new()),
            ["--whiteout", _, ..] => (arguments[..2].to_vec(), arguments[2..].to_vec()),
            ["--opaque", ..] => (arguments[..1].to_vec(), arguments[1..].to_vec()),
            _ => (Vec::new(), arguments.to_vec()),
        };
        let mut all = vec!["insert", "--to", &to];
        all.extend(flags);
        all.push("oci:images:app");
        all.extend(paths);
        room.teu(all).succeeds();
        let found = layers(&room, &to);
        assert_eq!(names(&room, "images", &found[1]), expected, "{arguments:?}");
    }
    let made_by = room.teu(["history", "oci:images:5"]).succeeds().stdout;
    assert!(made_by.contains("teu insert --opaque /etc"), "{made_by}");

    for (arguments, code, said) in [
        (&["tree/zz", "/usr/../bin"][..], 1, "without .."),
        (&["tree/zz", "/.wh.bin"], 1, ".wh."),
        (&["tree/zz", "/.wh.bin/zz"], 1, ".wh."),
        (&["tree/missing", "/zz"], 2, "missing"),
        (&["--opaque", "tree/zz", "/zz"], 2, "--opaque"),
        (&["--whiteout", "/"], 2, "root"),
        (&["tree/zz"], 2, ""),
        (&[], 2, ""),
    ] {
        let (flags, paths): (Vec<&str>, Vec<&str>) = match arguments {
            ["--whiteout", _] => (arguments.to_vec(), Vec::new()),
            ["--opaque", ..] => (arguments[..1].to_vec(), arguments[1..].to_vec()),
            _ => (Vec::new(), arguments.to_vec()),
        };
        let all = ["insert"]
            .into_iter()
            .chain(flags)
            .chain(["oci:images:app"])
            .chain(paths);
        let error = room.teu(all).fails(code);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn what_was_put_and_hidden_is_what_umoci_unpacks() {
    let test = "what_was_put_and_hidden_is_what_umoci_unpacks";
    if !is_root() || !peers(test, &["umoci"]) {
        return;
    }
    let room = Room::new();
    tree(&room.path("tree"), &NAMES);
    // Of half a second umoci makes a whole one, and we none.
    let whole = [
        "tree",
        "-exec",
        "touch",
        "--no-dereference",
        "--date=@1700000000",
        "{}",
        "+",
    ];
    room.run("find", whole).succeeds();
    room.teu(["new", "oci:images:app"]).succeeds();
    room.teu(["append", "oci:images:app", "tree"]).succeeds();
    room.teu(["insert", "--opaque", "oci:images:app", "tree/bin", "/etc"])
        .succeeds();
    room.teu([
        "insert",
        "--whiteout",
        "bin/tool",
        "oci:images:app",
        "tree/zz",
        "/srv/a/b",
    ])
    .succeeds();
    room.run("umoci", ["unpack", "--image", "images:app", "bundle"])
        .succeeds();
    let rootfs = room.path("bundle/rootfs");
    let lines = listing(&rootfs);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        paths,
        [
            "bin", "bin/link", "etc", "etc/link", "etc/tool", "srv", "srv/a", "srv/a/b", "zz"
        ]
    );
    // The same by umoci's own hand, on the same base.
    for arguments in [
        &[
            "insert",
            "--image",
            "images:app",
            "--tag",
            "by-umoci",
            "--opaque",
            "tree/etc",
            "/bin",
        ][..],
        &["unpack", "--image", "images:by-umoci", "by-umoci"],
    ] {
        room.run("umoci", arguments).succeeds();
    }
    room.teu(["insert", "--opaque", "oci:images:app", "tree/etc", "/bin"])
        .succeeds();
    room.run("umoci", ["unpack", "--image", "images:app", "by-us"])
        .succeeds();
    // The directories that no layer tells of are made at the time of unpacking.
    let told = |name: &str| {
        let mut lines = listing(&room.path(name));
        lines.retain(|line| !line.starts_with("srv d ") && !line.starts_with("srv/a d "));
        lines
    };
    assert_eq!(told("by-us/rootfs"), told("by-umoci/rootfs"));
}

#[test]
fn all_images_of_an_index_get_the_layer_or_those_that_are_chosen() {
    let room = Room::new();
    let layout = room.layout("images");
    let (first, mut second) = (image(), image());
    second.config["architecture"] = "arm64".into();
    layout.index("all", &[("linux/amd64", &first), ("linux/arm64", &second)]);
    room.file("layer.tar", layer("new\n"));
    let count = |name: &str, platform: &str| {
        let get = ["manifest", "get", "--platform", platform, name];
        let manifest: Value = serde_json::from_str(&room.teu(get).succeeds().stdout).expect("JSON");
        manifest["layers"].as_array().expect("layers").clone()
    };
    room.teu(["append", "--to", "oci:images:both", "oci:images:all", "layer.tar"])
        .succeeds();
    let (amd, arm) = (
        count("oci:images:both", "linux/amd64"),
        count("oci:images:both", "linux/arm64"),
    );
    assert_eq!((amd.len(), arm.len()), (2, 2));
    // Like the layers that are there, it is not compressed.
    assert_eq!(amd[1], arm[1]);
    assert_eq!(amd[1]["digest"], Digest::of(&layer("new\n")).to_string());
    let one = ["append", "--platform", "linux/arm64", "oci:images:all", "layer.tar"];
    room.teu(one).succeeds();
    assert_eq!(count("oci:images:all", "linux/amd64").len(), 1);
    assert_eq!(count("oci:images:all", "linux/arm64").len(), 2);
    room.teu(["verify", "oci:images:all"]).succeeds();
    // From standard input, which can be read once, for two images.
    let ran = room.teu(["append", "oci:images:both", "-"]).ran_with(&layer("newer\n"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(count("oci:images:both", "linux/amd64").len(), 3);
}

#[test]
fn an_image_in_a_registry_gets_a_layer() {
    let Some(registry) = Peer::start("an_image_in_a_registry_gets_a_layer", Asks::default()) else {
        return;
    };
    let room = Room::new();
    tree(&room.path("tree"), &NAMES);
    let place = format!("docker://{}/app:1", registry.host);
    room.teu(["new", "--tls-verify=false", &place]).succeeds();
    let refused = room.teu(["new", "--tls-verify=false", &place]).ran();
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let appended = room
        .teu(["append", "--tls-verify=false", "--owner", "7", &place, "tree"])
        .succeeds();
    let digest = room.teu(["digest", "--tls-verify=false", &place]).succeeds();
    assert_eq!(appended.stdout, digest.stdout);
    room.teu(["verify", "--tls-verify=false", &place]).succeeds();
    let to = [
        "insert",
        "--tls-verify=false",
        "--to",
        "oci:images:app",
        &place,
        "tree/zz",
        "/zy",
    ];
    room.teu(to).succeeds();
    let found = layers(&room, "oci:images:app");
    assert_eq!(names(&room, "images", &found[1]), ["zy"]);
}

#[test]
fn a_tree_that_hides_or_goes_too_deep_is_refused_and_nothing_is_left() {
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    room.file("hiding/.wh.etc", "");
    let error = room.teu(["append", "oci:images:app", "hiding"]).fails(1);
    assert!(
        error.contains(".wh.etc") && error.contains("pack the tree with tar"),
        "{error}"
    );
    let deep = format!("deep/{}", ["d"; 2500].join("/"));
    let made = fs::create_dir_all(room.path("deep/a"));
    made.expect("a directory");
    let mut at = fs::File::open(room.path("deep")).expect("a directory");
    for name in deep.split('/').skip(1) {
        rustix::fs::mkdirat(&at, name, rustix::fs::Mode::RWXU).expect("a directory");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, name, flags, rustix::fs::Mode::empty())
            .expect("a directory")
            .into();
    }
    let error = room.teu(["append", "oci:images:app", "deep"]).fails(1);
    assert!(error.contains("path_bytes"), "{error}");
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
    let blobs = fs::read_dir(room.path("images/blobs/sha256")).expect("blobs").count();
    assert_eq!(blobs, 2, "a manifest and a config");
    room.run("rm", ["-rf", "deep"]).succeeds();
}
