//! Does a person who makes a common mistake read what failed, on which side, why, and what to do?

use std::{io::Write, os::unix::fs::PermissionsExt};

use crate::support::{Asks, Peer, Room, image, layer, small::Small};
use teu_spec::Digest;

/// What is typed, the exit code, and what must be said, all on one line.
type Mistake<'a> = (&'a [&'a str], i32, &'a [&'a str]);

fn check(room: &Room, mistakes: &[Mistake<'_>]) {
    for (typed, code, said) in mistakes {
        let error = room.teu(*typed).fails(*code);
        assert!(
            error.starts_with("teu: ") && error.lines().count() == 1,
            "{typed:?}: {error}"
        );
        for part in *said {
            assert!(error.contains(part), "{typed:?}: {part:?} is not in {error}");
        }
    }
}

/// A room with a layout of one image, one of two, and an index.
fn room() -> Room {
    let room = Room::new();
    room.layout("one").image("app", &image());
    let two = room.layout("two");
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    two.image("app", &image());
    two.image("tool", &other);
    room.layout("all")
        .index("app", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    room.file("file", "not a tar");
    room
}

#[test]
fn places_and_names() {
    let room = room();
    check(
        &room,
        &[
            (
                &["copy", "oci:none:app", "oci:new:app"],
                2,
                &["source: ", "there is no directory none"],
            ),
            (
                &["copy", "oci-archive:none.tar", "oci:new:app"],
                2,
                &["source: ", "none.tar"],
            ),
            (
                &["copy", "docker-archive:none.tar", "oci:new:app"],
                2,
                &["source: ", "none.tar"],
            ),
            (&["copy", "dir:none", "oci:new:app"], 2, &["source: ", "none"]),
            (
                &["inspect", "oci:one:old"],
                2,
                &["there is no image \"old\" in one", "app (@0)"],
            ),
            (
                &["copy", "oci:two", "oci:new"],
                1,
                &["source: ", "several images in two", "app (@0), tool (@1)"],
            ),
            (&["inspect", "./one"], 2, &["./one is a directory", "oci:./one"]),
            (
                &["ls", "./file"],
                2,
                &["./file is a file", "oci-archive:./file or docker-archive:./file"],
            ),
            (
                &["ls", "oci:two:app"],
                2,
                &["oci:two:app names an image; list those of oci:two"],
            ),
            (
                &["ls", "docker://one.example/app:1"],
                2,
                &["names an image; list those of docker://one.example/app"],
            ),
            (&["blob", "put", "oci:one", "two"], 1, &["reading two: Is a directory"]),
            (&["manifest-digest", "two"], 1, &["reading two: Is a directory"]),
            (
                &["ls", "oci:file"],
                2,
                &["file is a file, and a layout is a directory", "oci-archive:file"],
            ),
            (
                &["copy", "oci:one", "oci:file:app"],
                1,
                &["destination: ", "file cannot be a directory"],
            ),
            (
                &["copy", "oci:one", "dir:file"],
                1,
                &["destination: ", "file cannot be a directory"],
            ),
            (
                &["copy", "oci:one", "oci-archive:two:app"],
                1,
                &["destination: ", "two is a directory"],
            ),
            (
                &["copy", "oci:one", "docker-archive:no/app.tar:app:1"],
                1,
                &["destination: ", "no: No such file"],
            ),
            (
                &["copy", "oci:one", "oci:new:@0"],
                1,
                &["destination: ", "names what is there already"],
            ),
            (&["untag", "oci:one"], 2, &["oci:one has no name to take away"]),
            (
                &["tag", "oci-archive:app.tar:app", "new"],
                1,
                &["cannot be changed in place", "oci:"],
            ),
            (
                &["manifest", "put", "oci:one:new", "none.json"],
                2,
                &["reading none.json"],
            ),
            (
                &["manifest", "put", "oci:one:new", "file"],
                1,
                &["reading file", "not a valid JSON document"],
            ),
            (&["referrers", "docker-archive:file"], 1, &["reading file"]),
            (&["gc", "dir:one"], 2, &["dir:one is no layout", "oci:DIRECTORY"]),
            (
                &["catalog", "oci:one"],
                2,
                &["\"oci:one\" is no registry", "HOST or HOST:PORT"],
            ),
        ],
    );
}

#[test]
fn platforms_and_forms() {
    check(
        &room(),
        &[
            (
                &["copy", "--override-arch", "s390x", "oci:all", "oci:new"],
                2,
                &["source: ", "no image for linux/s390x", "linux/amd64, linux/arm64"],
            ),
            (
                &["config", "--platform", "linux/s390x", "oci:all"],
                2,
                &["linux/s390x", "linux/amd64, linux/arm64"],
            ),
            (&["config", "--platform", "s390x", "oci:all"], 2, &["linux/s390x"]),
            (
                &["copy", "--all", "oci:all", "docker-archive:app.tar:app:1"],
                1,
                &["destination: ", "single images", "choose a platform"],
            ),
            (
                &["copy", "--format", "v2s1", "oci:one", "oci:new"],
                2,
                &["schema 1", "v2s2", "oci"],
            ),
            (
                &["copy", "--trust-source", "docker://registry.test/app", "oci:new"],
                2,
                &["--trust-source", "always checked"],
            ),
            (&["inspect", "ostree:image@/repo"], 1, &["ostree:", "retired", "oci:"]),
            (&["inspect", "sif:image.sif"], 1, &["sif:", "apptainer"]),
            (&["inspect", "atomic:server/image"], 1, &["atomic:", "docker://"]),
            (
                &["inspect", "docker-daemon:app:1"],
                1,
                &["not supported yet", "docker save", "docker-archive:"],
            ),
            (
                &["copy", "oci:one", "docker://host/app@sha256:12"],
                1,
                &["docker://host/app@sha256:12"],
            ),
            (
                &["index", "rm", "oci:one", "linux/amd64"],
                1,
                &["is a single image", "index"],
            ),
        ],
    );
}

#[test]
fn what_is_no_verb_or_lacks_something_is_a_usage_error() {
    let room = room();
    let error = room.teu(["cpoy", "a", "b"]).fails(2);
    assert!(error.contains("'copy'"), "{error}");
    let error = room.teu(["copy", "oci:one"]).fails(2);
    assert!(error.contains("<DESTINATION>"), "{error}");
    let error = room
        .teu(["copy", "--all", "--platform", "linux/amd64", "oci:one", "oci:two"])
        .fails(2);
    assert!(error.contains("--all") && error.contains("--platform"), "{error}");
}

#[test]
fn registries() {
    let test = "registries";
    let asks = |password, tls| Asks { password, tls };
    let (Some(open), Some(closed), Some(tls)) = (
        Peer::start(test, Asks::default()),
        Peer::start(test, asks(true, false)),
        Peer::start(test, asks(false, true)),
    ) else {
        return;
    };
    let room = room();
    let image = |peer: &Peer| format!("docker://{}/app:1", peer.host);
    let (open_image, closed_image, tls_image) = (image(&open), image(&closed), image(&tls));
    let login = format!("teu login {}", closed.host);
    check(
        &room,
        &[
            (
                &["inspect", "docker://127.0.0.1:1/app:1", "--retry-times", "0"],
                1,
                &[
                    "talking to 127.0.0.1:1",
                    "Connection refused",
                    "is a registry running there",
                ],
            ),
            (
                &["inspect", &open_image],
                1,
                &["answers without TLS", "--tls-verify=false"],
            ),
            (
                &["copy", "oci:one", &open_image],
                1,
                &[
                    "destination: ",
                    "answers without TLS: --dest-tls-verify=false allows plain HTTP",
                ],
            ),
            (&["inspect", &tls_image], 1, &["UnknownIssuer", ": --cert-dir names"]),
            (
                &["copy", &tls_image, "oci:two"],
                1,
                &[
                    "source: ",
                    "UnknownIssuer",
                    ": --src-cert-dir names",
                    " --src-tls-verify=false takes any",
                ],
            ),
            (
                &["inspect", "--tls-verify=false", &open_image],
                2,
                &["app:1", "no such manifest"],
            ),
            (
                &["list-tags", "--tls-verify=false", &open_image[..open_image.len() - 2]],
                2,
                &["app"],
            ),
            (&["inspect", "--tls-verify=false", &closed_image], 1, &["401", &login]),
            (
                &["copy", "oci:one", &closed_image, "--dest-tls-verify=false"],
                1,
                &["destination: ", "401", &login],
            ),
            (
                &["inspect", "--tls-verify=false", "--creds", "user:wrong", &closed_image],
                1,
                &["401", "check the credentials"],
            ),
        ],
    );
    room.teu([
        "copy",
        "-q",
        "oci:one",
        &closed_image,
        "--dest-tls-verify=false",
        "--dest-creds",
        "user:secret",
    ])
    .succeeds();
}

#[test]
fn a_directory_that_cannot_be_written() {
    let room = room();
    let directory = room.path("locked");
    std::fs::create_dir(&directory).expect("made");
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o500)).expect("locked");
    if std::fs::write(directory.join("probe"), "").is_ok() {
        // Root writes where it likes, but not below what is no directory of a real file system.
        let error = room.teu(["copy", "oci:one", "oci:/proc/locked/app"]).fails(1);
        let is_said = error.starts_with("teu: destination: ") && error.contains(": making /proc/locked");
        assert!(is_said, "{error}");
        return;
    }
    let error = room.teu(["copy", "oci:one", "oci:locked/app"]).fails(1);
    assert!(
        error.starts_with("teu: destination: ")
            && error.contains(": making locked/app")
            && error.contains("Permission denied"),
        "{error}"
    );
}

#[test]
fn a_full_disk() {
    let room = Room::new();
    let mut large = image();
    large.layers[0].1 = layer(&"x".repeat(1 << 20));
    large.config["rootfs"]["diff_ids"][0] = Digest::of(&large.layers[0].1).to_string().into();
    room.layout("large").image("app", &large);
    let Some(small) = Small::mount(room.path("small"), "64k") else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED a_full_disk: a small file system needs root, and mount"
        );
        return;
    };
    let copied = |target| room.teu(["copy", "--progress", "none", "oci:large", target]).fails(1);
    let exported = || {
        let export = ["export", "--progress", "none", "--file", "small/app.tar", "oci:large"];
        room.teu(export).fails(1)
    };
    for (target, place) in [
        ("oci:small/layout:app", "small/layout"),
        ("dir:small/dir", "small/dir"),
        ("oci-archive:small/app.tar:app", "writing small/app.tar: "),
        ("docker-archive:small/app.tar:app:1", "writing small/app.tar: "),
        ("export", "writing small/app.tar: "),
    ] {
        let error = match target {
            "export" => exported(),
            target => copied(target),
        };
        assert!(
            error.contains("destination: ") && error.contains("No space left") && error.contains(place),
            "{target}: {error}"
        );
        let mut left = Vec::new();
        files(&small.0, &mut left);
        left.retain(|file| std::fs::metadata(file).is_ok_and(|file| file.len() > 4096));
        assert!(left.is_empty(), "{target}: {left:?}");
    }
}

fn files(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_copy_of_what_is_not_there_leaves_nothing() {
    let room = room();
    for source in [
        "oci:none:app",
        "oci:one:none",
        "dir:none",
        "oci-archive:none.tar",
        "docker://127.0.0.1:1/none",
    ] {
        for target in [
            "oci:new:app",
            "dir:new",
            "oci-archive:new:app",
            "docker-archive:new:app:1",
        ] {
            let copy = ["copy", "--retry-times=0", "--src-tls-verify=false", source, target];
            let ran = room.teu(copy).ran();
            assert!(
                [1, 2].contains(&ran.code) && ran.stderr.contains("source: "),
                "{source} {target}: {ran:?}"
            );
            assert!(!room.path("new").exists(), "{source} {target}");
            let left = std::fs::read_dir(room.path("")).expect("a directory");
            let left = left.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
            let left: Vec<String> = left.filter(|name| name.starts_with('.')).collect();
            assert_eq!(left, Vec::<String>::new(), "{source} {target}");
        }
    }
}

#[test]
fn a_name_that_is_also_here_gets_a_hint() {
    let room = room();
    room.file("packed", "x");
    room.file("conf", "unqualified-search-registries = [\"127.0.0.1:1\"]");
    let ask = |name: &str| {
        let asked = [
            "digest",
            "--registries-conf=conf",
            "--retry-times=0",
            "--tls-verify=false",
            name,
        ];
        room.teu(asked).fails(1)
    };
    for (name, hint) in [
        ("one", "oci:one"),
        ("packed", "oci-archive:packed or docker-archive:packed"),
    ] {
        let said = ask(name);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].contains("refused"), "{said}");
        assert!(lines[1].starts_with("teu: ") && lines[1].ends_with(hint), "{said}");
    }
    assert_eq!(ask("elsewhere").lines().count(), 1);
    // What was named in full was meant.
    let meant = ["digest", "--retry-times=0", "--tls-verify=false", "127.0.0.1:1/one"];
    assert_eq!(room.teu(meant).fails(1).lines().count(), 1);
}

#[test]
fn what_is_said_is_one_line() {
    let room = room();
    let error = room.teu(["inspect", "oci:none\nall is well"]).fails(2);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("none\\nall is well"), "{error}");
}

/// What cannot be printed is no success, and is said to be what was printed.
#[test]
fn a_full_disk_behind_standard_output_is_said_to_be_there() {
    let room = Room::new();
    room.layout("one").image("app", &image());
    for (verb, place) in [
        ("files", "oci:one:app"),
        ("inspect", "oci:one:app"),
        ("verify", "oci:one:app"),
        ("ls", "oci:one"),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("opened");
        let mut run = room.teu([verb, "--progress=none", place]);
        let ran = run.0.stdout(full).output().expect("it runs");
        let error = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{verb}: {error}");
        let expected = "teu: writing to standard output: No space left on device (os error 28)\n";
        assert_eq!(error, expected, "{verb}");
    }
}
