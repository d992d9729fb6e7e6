//! Does `teu unpack` make the files that others make of the same image, does a runtime run them, and is nothing there where it fails?

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Room, image, peers, seen};
use serde_json::{Value, json};
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{EntryKind, Header, Time, Writer},
};
use teu_spec::Digest;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A tar of these entries with these contents.
fn tar(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        writer.append_data(header, content).expect("written");
    }
    writer.finish().expect("whole")
}

fn owned(mut header: Header, mode: u32, owner: u32) -> Header {
    header.mode = mode;
    (header.uid, header.gid) = (owner, owner + 1);
    header.mtime = Time {
        seconds: 1_600_000_000 + i64::from(mode),
        nanoseconds: 0,
    };
    header
}

fn directory(path: &str) -> (Header, &'static [u8]) {
    (owned(Header::directory(path), 0o755, 0), b"")
}

fn file(path: &str) -> (Header, &'static [u8]) {
    (owned(Header::file(path, 8), 0o640, 7), b"content\n")
}

fn marker(path: &str) -> (Header, &'static [u8]) {
    (owned(Header::file(path, 0), 0o644, 0), b"")
}

/// Puts an image of these layers, each compressed in its way, into the layout `images`.
fn put(room: &Room, name: &str, layers: &[Vec<u8>]) -> Digest {
    let kinds = [
        (TAR, Compression::None),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
    ];
    let mut made = image();
    made.config["rootfs"]["diff_ids"] = layers
        .iter()
        .map(|layer| json!(Digest::of(layer).to_string()))
        .collect();
    made.config["history"] = json!([]);
    let packed = layers.iter().enumerate().map(|(place, layer)| {
        let (kind, compression) = kinds[place % kinds.len()];
        let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
        std::io::Write::write_all(&mut encoder, layer).expect("written");
        (kind.to_owned(), encoder.finish().expect("whole"))
    });
    made.layers = packed.collect();
    room.layout("images").image(name, &made)
}

/// Two layers on a third, with all that whiteouts, links and replaced files can do to one another.
fn layers() -> Vec<Vec<u8>> {
    let mut attributed = file("etc/attributed");
    attributed.0.xattrs.insert(b"user.note".to_vec(), b"kept".to_vec());
    let lowest = tar(&[
        (owned(Header::directory("./"), 0o751, 0), b""),
        directory("etc/"),
        file("etc/hidden"),
        file("etc/changed"),
        attributed,
        (owned(Header::new(EntryKind::Fifo, "etc/pipe"), 0o600, 9), b""),
        directory("usr/"),
        directory("usr/bin/"),
        (owned(Header::file("usr/bin/su", 8), 0o4755, 0), b"content\n"),
        (owned(Header::hard_link("usr/bin/sudo", "usr/bin/su"), 0o4755, 0), b""),
        (owned(Header::symlink("bin", "usr/bin"), 0o777, 0), b""),
        (owned(Header::symlink("run", "/var/run"), 0o777, 3), b""),
        directory("cache/"),
        file("cache/old"),
        directory("cache/deep/"),
        file("cache/deep/old"),
        directory("becomes-file/"),
        file("becomes-file/a"),
        file("becomes-directory"),
    ]);
    let middle = tar(&[
        (owned(Header::directory("etc/"), 0o700, 4), b""),
        marker("etc/.wh.hidden"),
        marker("etc/.wh.was-never-there"),
        (owned(Header::file("etc/changed", 4), 0o604, 8), b"new\n"),
        file("cache/new"),
        marker("cache/.wh..wh..opq"),
        (owned(Header::directory("cache/"), 0o711, 2), b""),
        file("becomes-file"),
        directory("becomes-directory/"),
        file("becomes-directory/a"),
        (
            owned(Header::hard_link("etc/linked-across", "usr/bin/su"), 0o4755, 0),
            b"",
        ),
        // Through the link of the layer below.
        file("bin/tool"),
    ]);
    let latin: Vec<u8> = b"etc/caf\xe9".to_vec();
    let highest = tar(&[
        marker(".wh.becomes-file"),
        (owned(Header::file(latin, 8), 0o644, 0), b"content\n"),
        marker("bin/.wh.sudo"),
        (owned(Header::directory("etc/"), 0o755, 0), b""),
        (owned(Header::directory("usr/bin/"), 0o755, 0), b""),
    ]);
    vec![lowest, middle, highest]
}

#[test]
fn the_files_are_those_that_umoci_makes() {
    let test = "the_files_are_those_that_umoci_makes";
    if !is_root() {
        eprintln!("SKIPPED {test}: only root gives files to others");
        return;
    }
    let room = Room::new();
    put(&room, "app", &layers());
    room.teu(["unpack", "oci:images:app", "by-us"]).succeeds();
    let ours = seen(&room.path("by-us/rootfs"));
    let names: Vec<&str> = ours.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        names,
        [
            "",
            "becomes-directory",
            "becomes-directory/a",
            "bin",
            "cache",
            "cache/new",
            "etc",
            "etc/attributed",
            r"etc/caf\xe9",
            "etc/changed",
            "etc/linked-across",
            "etc/pipe",
            "run",
            "usr",
            "usr/bin",
            "usr/bin/su",
            "usr/bin/tool",
            "one:"
        ]
    );
    assert_eq!(
        ours.last().expect("a line"),
        r#"one: ["etc/linked-across", "usr/bin/su"]"#
    );
    assert!(
        ours.iter().any(|line| line.starts_with("usr/bin/su 104755 0:1 ")),
        "{ours:#?}"
    );
    if peers(test, &["umoci"]) {
        room.run("umoci", ["unpack", "--image", "images:app", "by-umoci"])
            .succeeds();
        assert_eq!(ours, seen(&room.path("by-umoci/rootfs")));
    }
    // The files alone are the same, and so they are from an archive.
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "alone"])
        .succeeds();
    assert_eq!(seen(&room.path("alone")), ours);
    room.teu(["copy", "oci:images:app", "docker-archive:app.tar:app:1"])
        .succeeds();
    room.teu(["unpack", "--rootfs-only", "docker-archive:app.tar", "archived"])
        .succeeds();
    assert_eq!(seen(&room.path("archived")), ours);
}

#[test]
fn an_image_without_whiteouts_is_what_tar_makes_of_it() {
    if !is_root() {
        eprintln!("SKIPPED an_image_without_whiteouts_is_what_tar_makes_of_it: only root gives files to others");
        return;
    }
    let room = Room::new();
    let lowest = layers().swap_remove(0);
    room.file("layer.tar", &lowest);
    put(&room, "app", &[lowest]);
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "by-us"])
        .succeeds();
    fs::create_dir(room.path("by-tar")).expect("a directory");
    let flags = [
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-C",
        "by-tar",
        "-xpf",
        "layer.tar",
    ];
    room.run("tar", flags).succeeds();
    assert_eq!(seen(&room.path("by-us")), seen(&room.path("by-tar")));
}

#[test]
fn a_runtime_runs_the_bundle() {
    let test = "a_runtime_runs_the_bundle";
    if !is_root() || !peers(test, &["runc", "ldd"]) {
        return;
    }
    let room = Room::new();
    let libraries = Command::new("ldd").arg("/bin/sh").output().expect("it runs").stdout;
    let libraries = String::from_utf8(libraries).expect("text");
    let mut entries = vec![
        (
            owned(Header::file("etc/passwd", 33), 0o644, 0),
            b"it:x:1234:99::/home/it:/bin/sh\n\n\n".to_vec(),
        ),
        (owned(Header::directory("proc/"), 0o755, 0), Vec::new()),
        (owned(Header::directory("dev/"), 0o755, 0), Vec::new()),
        (owned(Header::directory("sys/"), 0o755, 0), Vec::new()),
    ];
    for path in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .chain(["/bin/sh"])
    {
        let content = fs::read(path).expect("read");
        entries.push((owned(Header::file(&path[1..], content.len() as u64), 0o755, 0), content));
    }
    let entries: Vec<(Header, &[u8])> = entries
        .iter()
        .map(|(header, content)| (header.clone(), &content[..]))
        .collect();
    let layer = tar(&entries);
    let mut made = image();
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
    made.config["config"] = json!({
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $WHAT in $PWD"], "Env": ["WHAT=runs"], "WorkingDir": "/proc",
        "User": "it",
    });
    made.layers = vec![(TAR.to_owned(), layer)];
    room.layout("images").image("app", &made);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let raw = fs::read(room.path("bundle/config.json")).expect("a config");
    let config: Value = serde_json::from_slice(&raw).expect("JSON");
    assert_eq!(
        config["process"]["args"],
        json!(["/bin/sh", "-c", "echo $WHAT in $PWD"])
    );
    assert_eq!(config["process"]["cwd"], "/proc");
    // The name is looked up in the image.
    assert_eq!(
        (&config["process"]["user"]["uid"], &config["process"]["user"]["gid"]),
        (&json!(1234), &json!(99))
    );
    let state = room.path("state");
    let name = format!("teu-unpack-{}", std::process::id());
    let arguments = [
        "--root".as_ref(),
        state.as_os_str(),
        "run".as_ref(),
        "--bundle".as_ref(),
        "bundle".as_ref(),
        name.as_ref(),
    ];
    let ran = room.run("runc", arguments).ran();
    if ran.code != 0 && ran.stdout.is_empty() {
        eprintln!("SKIPPED {test}: runc cannot run here: {}", ran.stderr);
        return;
    }
    assert_eq!(ran.stdout, "runs in /proc\n");
}

#[test]
fn a_terminal_is_asked_for_where_it_is_said() {
    let room = Room::new();
    put(&room, "app", &[tar(&[file("a")])]);
    let flag = if is_root() { "--devices" } else { "--rootless" };
    let config = |more: &[&str], to: &str| -> Value {
        let arguments = [&["unpack", flag, "oci:images:app", to], more].concat();
        room.teu(arguments).succeeds();
        let raw = fs::read(room.path(to).join("config.json")).expect("a config");
        serde_json::from_slice(&raw).expect("JSON")
    };
    let (mut without, with) = (config(&[], "without"), config(&["--terminal"], "with"));
    assert_eq!(without["process"]["terminal"], json!(false));
    without["process"]["terminal"] = json!(true);
    assert_eq!(with, without, "nothing else differs");
    let both = ["unpack", flag, "--terminal", "--rootfs-only", "oci:images:app", "alone"];
    assert!(room.teu(both).fails(2).contains("--rootfs-only"));
    assert!(!room.path("alone").exists());
}

#[test]
fn content_that_is_not_what_it_is_called_leaves_nothing() {
    let room = Room::new();
    let layer = tar(&[file("a")]);
    put(&room, "app", std::slice::from_ref(&layer));
    let flag = if is_root() { "--sync" } else { "--rootless" };
    // Another DiffID than the layer's.
    let mut made = image();
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(b"another").to_string()]);
    made.layers = vec![(TAR.to_owned(), layer.clone())];
    let layout = room.layout("images");
    layout.image("lies", &made);
    let error = room.teu(["unpack", flag, "oci:images:lies", "dest"]).fails(1);
    assert!(error.contains("DiffID"), "{error}");
    // Other content than the digest's, and as long.
    let mut spoiled = layer.clone();
    spoiled[512] ^= 1;
    fs::write(layout.blob_path(&Digest::of(&layer)), spoiled).expect("written");
    let error = room.teu(["unpack", flag, "oci:images:app", "dest"]).fails(1);
    assert!(error.contains(&Digest::of(&layer).to_string()), "{error}");
    assert!(!room.path("dest").exists());
    // What is there already stays, an empty directory too where there is no image to put in its place.
    fs::create_dir(room.path("dest")).expect("a directory");
    let error = room.teu(["unpack", flag, "oci:images:app", "dest"]).fails(1);
    assert!(error.contains(&Digest::of(&layer).to_string()), "{error}");
    assert_eq!(fs::read_dir(room.path("dest")).expect("there").count(), 0);
    fs::write(room.path("dest/file"), "").expect("written");
    let error = room.teu(["unpack", flag, "oci:images:app", "dest"]).fails(1);
    assert!(error.contains("dest is there already"), "{error}");
    fs::remove_file(room.path("dest/file")).expect("removed");
    fs::write(layout.blob_path(&Digest::of(&layer)), &layer).expect("written");
    room.teu(["unpack", flag, "oci:images:app", "dest"]).succeeds();
    assert!(room.path("dest/rootfs").is_dir());
    assert_eq!(left_over(&room), Vec::<PathBuf>::new(), "nothing is left beside it");
}

#[test]
fn every_limit_is_named_and_can_be_raised() {
    let room = Room::new();
    let sparse = sparse(8 << 20);
    put(
        &room,
        "app",
        &[tar(&[directory("a/"), directory("a/b/"), file("a/b/c")])],
    );
    put(&room, "sparse", &[sparse]);
    let flag = if is_root() { "--sync" } else { "--rootless" };
    for (image, limit) in [
        ("app", "entries=2"),
        ("app", "bytes=7"),
        ("app", "file_bytes=7"),
        ("app", "depth=2"),
        ("app", "path_bytes=4"),
        ("app", "total_bytes=600"),
        ("app", "output_bytes=600"),
        ("sparse", "hole_bytes=1000000"),
        ("sparse", "sparse_segments=0"),
    ] {
        let from = format!("oci:images:{image}");
        let error = room.teu(["unpack", flag, "--limit", limit, &from, "dest"]).fails(1);
        let name = limit.split('=').next().expect("a name");
        assert!(error.contains(name), "{limit}: {error}");
        assert!(!room.path("dest").exists(), "{limit}");
        // As it is asked for by the error, it is done.
        room.teu(["unpack", flag, "--limit", &format!("{name}=99999999"), &from, "dest"])
            .succeeds();
        fs::remove_dir_all(room.path("dest")).expect("it is there");
    }
    let error = room
        .teu(["unpack", "--limit", "courage=1", "oci:images:app", "dest"])
        .fails(2);
    assert!(error.contains("hole_bytes"), "{error}");
}

/// A file of GNU's sparse form with nothing but a hole and one byte behind it.
fn sparse(size: u64) -> Vec<u8> {
    let room = Room::new();
    let mut file = fs::File::create(room.path("hole")).expect("a file");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(size - 1)).expect("there");
    std::io::Write::write_all(&mut file, b"x").expect("written");
    drop(file);
    room.run("tar", ["--sparse", "--format=gnu", "-cf", "hole.tar", "hole"])
        .succeeds();
    fs::read(room.path("hole.tar")).expect("an archive")
}

/// What was begun beside a destination and never got its name.
fn left_over(room: &Room) -> Vec<PathBuf> {
    let entries = fs::read_dir(room.path("")).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")))
        .collect()
}

#[test]
fn killed_or_stopped_it_leaves_no_destination() {
    let room = Room::new();
    let flag = if is_root() { "--sync" } else { "--rootless" };
    let entries: Vec<(Header, &[u8])> = (0..60_000).map(|number| file(&format!("f{number}"))).collect();
    put(&room, "app", &[tar(&entries)]);
    let beside = || left_over(&room).len();
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let mut run = room.teu(["unpack", flag, "oci:images:app", "dest"]);
        let mut child = run
            .0
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let begun = Instant::now();
        while beside() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it begins");
            std::thread::sleep(Duration::from_millis(1));
        }
        let killed = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(killed.is_ok_and(|killed| killed.success()));
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), code, "{signal}");
        assert!(!room.path("dest").exists(), "{signal}");
        // Threat 38: nobody else can enter what is half made.
        for left in left_over(&room) {
            assert_eq!(
                left.metadata().expect("it is there").permissions().mode() & 0o7777,
                0o700
            );
        }
        // What is told to stop removes what it made; what is killed cannot.
        assert_eq!(beside(), usize::from(signal == "KILL"), "{signal}");
    }
    room.teu(["unpack", flag, "oci:images:app", "dest"]).succeeds();
    assert_eq!(fs::read_dir(room.path("dest/rootfs")).expect("files").count(), 60_000);
    assert_eq!(beside(), 0, "the next one removes what the killed one left");
}
