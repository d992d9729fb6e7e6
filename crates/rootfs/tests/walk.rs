//! A walk gives what is in a tree, in one order, and nothing that is not in it, whoever changes the tree meanwhile.
#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt, symlink},
            net::UnixListener,
        },
    },
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use tempfile::TempDir;
use teu_rootfs::{
    Error, ErrorKind, Node,
    walk::{Limits, Options, Stat, Walk},
};

/// A directory in memory where there is one, since some disks are slow to forget many files.
fn directory() -> TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm"),
        false => tempfile::tempdir(),
    }
    .expect("a directory")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// All that a walk says of a file, in words.
fn described(walk: &mut Walk) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    while let Some(found) = walk.next_file()? {
        let path = found.path.escape_ascii();
        let kind = match &found.node {
            Node::File(size) => format!("file {size}"),
            Node::Directory => "directory".to_owned(),
            Node::Symlink(target) => format!("symlink {}", target.escape_ascii()),
            Node::Fifo => "fifo".to_owned(),
            Node::CharDevice(device) => format!("char {}:{}", device.major, device.minor),
            Node::BlockDevice(device) => format!("block {}:{}", device.major, device.minor),
            Node::Socket => "socket".to_owned(),
        };
        let link = found.link.map(|link| format!(" = {}", link.escape_ascii()));
        all.push(format!("{path}: {kind}{}", link.unwrap_or_default()));
    }
    Ok(all)
}

fn walk(path: &Path) -> Walk {
    Walk::open(path, Options::default()).expect("a walk")
}

#[test]
fn every_kind_of_file_is_found_in_the_order_of_names() {
    let tree = directory();
    let at = |name: &str| tree.path().join(name);
    // Made in no order.
    for name in ["b", "a", "a.d", "B", "a/z", "a/empty"] {
        fs::create_dir_all(at(name)).expect("a directory");
    }
    fs::write(at("a/z/file"), "content").expect("a file");
    fs::write(tree.path().join(OsStr::from_bytes(b"a/\xff\n")), "").expect("a file");
    symlink("../nowhere", at("a/link")).expect("a link");
    fs::hard_link(at("a/z/file"), at("b/same")).expect("a link");
    fs::hard_link(at("a/z/file"), at("b/too")).expect("a link");
    fs::hard_link(at("a/link"), at("b/link")).expect("a link");
    let _socket = UnixListener::bind(at("b/socket")).expect("a socket");
    let handle = File::open(tree.path()).expect("the directory");
    rustix::fs::mknodat(&handle, "b/pipe", FileType::Fifo, Mode::RUSR, 0).expect("a pipe");

    let expected = [
        ": directory",
        "B: directory",
        "a: directory",
        "a/empty: directory",
        "a/link: symlink ../nowhere",
        "a/z: directory",
        "a/z/file: file 7",
        r"a/\xff\n: file 0",
        "a.d: directory",
        "b: directory",
        "b/link: symlink ../nowhere = a/link",
        "b/pipe: fifo",
        "b/same: file 7 = a/z/file",
        "b/socket: socket",
        "b/too: file 7 = a/z/file",
    ];
    assert_eq!(described(&mut walk(tree.path())).expect("a walk"), expected);
    // The same by a handle, be it one that only names the directory.
    let named = rustix::fs::open(tree.path(), OFlags::PATH, Mode::empty()).expect("a handle");
    let mut by_handle = Walk::of(&named, Options::default()).expect("a walk");
    assert_eq!(described(&mut by_handle).expect("a walk"), expected);
    assert_eq!(described(&mut by_handle).expect("an end"), [""; 0]);
}

#[test]
fn a_walk_can_begin_anywhere() {
    let tree = directory();
    let at = |name: &str| tree.path().join(name);
    for name in ["a/b/c", "a.d", "a/b.c/d", "b", "empty"] {
        fs::create_dir_all(at(name)).expect("a directory");
    }
    for name in ["a/b/c/1", "a/b/c/2", "a/b.c/d/file", "a.d/in", "a/z", "b/1"] {
        fs::write(at(name), "content").expect("a file");
    }
    symlink("a", at("link")).expect("a link");
    fs::hard_link(at("a/z"), at("b/same")).expect("a link");
    let handle = File::open(tree.path()).expect("the directory");
    let paths = |mut walk: Walk| {
        let mut paths = Vec::new();
        while let Some(found) = walk.next_file().expect("a file") {
            assert_eq!(found.link, None);
            paths.push(found.path.to_vec());
        }
        paths
    };
    let options = || Options {
        links: false,
        ..Options::default()
    };
    let all = paths(Walk::of(&handle, options()).expect("a walk"));
    assert_eq!(all.len(), 17);
    let missing = [
        "a/a",
        "a/b/",
        "a//b",
        "./a",
        "a/../b",
        "a/b/c/1/no/directory",
        "a/b/c/10",
        "a/b!",
        "b/2",
        "link/b",
        "zz",
        "/",
        "\0",
    ];
    let names = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    for first in all.iter().cloned().chain(missing.map(Vec::from)) {
        let is_behind = |path: &&Vec<u8>| first.is_empty() || (!path.is_empty() && names(path) >= names(&first));
        let expected: Vec<_> = all.iter().filter(is_behind).cloned().collect();
        let behind = paths(Walk::behind(&handle, &first, options()).expect("a walk"));
        assert_eq!(behind, expected, "{}", first.escape_ascii());
    }
}

#[test]
fn devices_owners_modes_and_times_are_read() {
    if !is_root() {
        return eprintln!("SKIPPED devices_owners_modes_and_times_are_read: only root makes devices");
    }
    let tree = directory();
    let handle = File::open(tree.path()).expect("the directory");
    let device = rustix::fs::makedev(259, 70_000);
    for (name, kind) in [("block", FileType::BlockDevice), ("char", FileType::CharacterDevice)] {
        let made = rustix::fs::mknodat(&handle, name, kind, Mode::RUSR, device);
        if let Err(errno) = made {
            return eprintln!("SKIPPED devices_owners_modes_and_times_are_read: mknod: {errno}");
        }
    }
    rustix::fs::chownat(
        &handle,
        "char",
        Some(rustix::fs::Uid::from_raw(4_000_000_000)),
        Some(rustix::fs::Gid::from_raw(7)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .expect("an owner");
    fs::set_permissions(tree.path().join("char"), fs::Permissions::from_mode(0o6751)).expect("a mode");
    let time = rustix::fs::Timespec {
        tv_sec: -2,
        tv_nsec: 750_000_000,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(&handle, "char", &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");

    let mut walk = walk(tree.path());
    walk.next_file().expect("sound").expect("the top");
    walk.next_file().expect("sound").expect("the block device");
    let found = walk.next_file().expect("sound").expect("the other device");
    let Node::CharDevice(device) = found.node else {
        panic!("{:?}", found.node);
    };
    assert_eq!((device.major, device.minor), (259, 70_000));
    let metadata = found.metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o6751, 4_000_000_000, 7));
    assert_eq!((metadata.mtime.seconds, metadata.mtime.nanoseconds), (-2, 750_000_000));
}

#[test]
fn find_sees_the_same() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join("crates");
    let found = Command::new("find")
        .arg(&tree)
        .args(["-printf", r"%P\0%y\0%m\0%U\0%G\0%s\0%i\0%n\0%l\n"])
        .output();
    let found = match found {
        Ok(found) => String::from_utf8(found.stdout).expect("names of ours"),
        Err(error) => return eprintln!("SKIPPED find_sees_the_same: find: {error}"),
    };
    let mut expected: Vec<&str> = found.lines().collect();
    expected.sort_by_key(|line| {
        let path = line.split('\0').next().expect("a path");
        path.split('/').collect::<Vec<_>>()
    });
    let mut walk = walk(&tree);
    let mut seen = Vec::new();
    while let Some(found) = walk.next_file().expect("a walk") {
        let (kind, target) = match &found.node {
            Node::File(size) => {
                assert_eq!(*size, found.stat.size);
                ('f', "")
            }
            Node::Directory => ('d', ""),
            Node::Symlink(target) => ('l', str::from_utf8(target).expect("a target of ours")),
            other => panic!("{other:?}"),
        };
        let (metadata, stat) = (&found.metadata, &found.stat);
        let fields = [
            str::from_utf8(found.path).expect("a name of ours").to_owned(),
            kind.to_string(),
            format!("{:o}", metadata.mode),
            metadata.uid.to_string(),
            metadata.gid.to_string(),
            stat.size.to_string(),
            stat.inode.to_string(),
            stat.links.to_string(),
            target.to_owned(),
        ];
        seen.push(fields.join("\0"));
    }
    assert!(seen.len() > 200);
    assert_eq!(seen, expected);
}

#[test]
fn extended_attributes_are_read_of_every_kind_of_file() {
    let tree = directory();
    let at = |name: &str| tree.path().join(name);
    fs::write(at("file"), "").expect("a file");
    fs::create_dir(at("dir")).expect("a directory");
    symlink("/etc/passwd", at("link")).expect("a link");
    let long = vec![7; 5000];
    let mut expected: BTreeMap<&str, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
    let mut set = |name: &'static str, key: &str, value: &[u8]| {
        let done = rustix::fs::lsetxattr(at(name), key, value, XattrFlags::empty());
        if done.is_ok() {
            let of = expected.entry(name).or_default();
            of.insert(key.as_bytes().to_vec(), value.to_vec());
        }
        done
    };
    let capability = *b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let done = [
        set("file", "user.long", &long[..3000]),
        set("file", "user.empty", b""),
        set("file", "user.left", b"out"),
        set("dir", "user.dir", b"a\0b"),
        set("file", "security.capability", &capability),
        set("link", "trusted.link", b"of the link"),
        set("dir", "trusted.dir", b"1"),
    ];
    if done.iter().all(Result::is_err) {
        return eprintln!("SKIPPED extended_attributes_are_read_of_every_kind_of_file: none can be set here");
    }
    if let Some(of) = expected.get_mut("file") {
        of.remove(&b"user.left"[..]);
    }
    let options = Options {
        xattrs: |name| name != b"user.left" && name != b"security.selinux",
        ..Options::default()
    };
    let mut walk = Walk::open(tree.path(), options).expect("a walk");
    let mut seen = 0;
    while let Some(mut found) = walk.next_file().expect("a walk") {
        assert!(found.metadata.xattrs.is_empty(), "they are read when asked for");
        found.read_xattrs().expect("attributes");
        let name = str::from_utf8(found.path).expect("a name of ours");
        let expected = expected.get(name).cloned().unwrap_or_default();
        assert_eq!(found.metadata.xattrs, expected, "{name:?}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn one_file_is_a_tree_too_and_a_link_is_not_followed() {
    let tree = directory();
    fs::write(tree.path().join("file"), "content").expect("a file");
    symlink("file", tree.path().join("link")).expect("a link");
    let mut of_file = walk(&tree.path().join("file"));
    let mut found = of_file.next_file().expect("a walk").expect("the file");
    assert_eq!((found.path, &found.node), (&b""[..], &Node::File(7)));
    found.read_xattrs().expect("attributes");
    let mut content = String::new();
    found
        .open()
        .expect("open")
        .read_to_string(&mut content)
        .expect("its content");
    assert_eq!(content, "content");
    assert!(of_file.next_file().expect("an end").is_none());

    let mut of_link = walk(&tree.path().join("link"));
    assert_eq!(described(&mut of_link).expect("a walk"), [": symlink file"]);
    let missing = Walk::open(&tree.path().join("none"), Options::default()).expect_err("nothing there");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("none"), "{missing}");
}

#[test]
fn what_is_skipped_is_not_entered_and_no_link_leads_to_it() {
    let tree = directory();
    let at = |name: &str| tree.path().join(name);
    fs::create_dir(at("dir")).expect("a directory");
    fs::write(at("dir/inside"), "").expect("a file");
    fs::write(at("one"), "").expect("a file");
    fs::hard_link(at("one"), at("three")).expect("a link");
    fs::hard_link(at("one"), at("two")).expect("a link");
    let mut walk = walk(tree.path());
    let mut seen = Vec::new();
    while let Some(found) = walk.next_file().expect("a walk") {
        let path = String::from_utf8(found.path.to_vec()).expect("a name of ours");
        let link = found.link.map(|link| String::from_utf8(link).expect("a name of ours"));
        if path == "dir" || path == "one" {
            walk.skip();
        }
        seen.push((path, link));
    }
    let of = |path: &str, link: Option<&str>| (path.to_owned(), link.map(str::to_owned));
    assert_eq!(
        seen,
        [
            of("", None),
            of("dir", None),
            of("one", None),
            of("three", None),
            of("two", Some("three"))
        ]
    );
}

/// Directories, one in the other, all called `d`.
struct Deep(TempDir);

impl Deep {
    fn new(levels: usize) -> Self {
        let tree = directory();
        let mut at: OwnedFd = File::open(tree.path()).expect("the directory").into();
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("a directory");
            at = rustix::fs::openat(&at, "d", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a handle");
        }
        let last = rustix::fs::openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).expect("a file");
        File::from(last).write_all(b"deep").expect("written");
        Self(tree)
    }
}

impl Drop for Deep {
    /// Removed from the top, since what removes trees elsewhere goes down by recursion.
    fn drop(&mut self) {
        let at = |name: &str| self.0.path().join(name);
        while fs::rename(at("d/d"), at("x")).is_ok() {
            fs::remove_dir(at("d")).expect("removed");
            fs::rename(at("x"), at("d")).expect("renamed");
        }
    }
}

#[test]
fn twenty_thousand_levels_take_few_handles_and_the_way_back_up() {
    const LEVELS: usize = 20_000;
    let tree = Deep::new(LEVELS);
    fs::write(tree.0.path().join("e"), "").expect("a file");
    let too_long = described(&mut walk(tree.0.path())).expect_err("too long");
    assert_eq!(too_long.kind(), ErrorKind::Limit);
    assert!(too_long.to_string().contains("path_bytes"), "{too_long}");
    assert!(too_long.to_string().len() < 500);

    let options = Options {
        limits: Limits {
            path_bytes: 1 << 20,
            ..Limits::default()
        },
        ..Options::default()
    };
    let mut walk = Walk::open(tree.0.path(), options).expect("a walk");
    let handles = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = handles();
    let mut files = Vec::new();
    let mut directories = 0;
    while let Some(mut found) = walk.next_file().expect("a walk") {
        let length = found.path.len();
        if found.node == Node::Directory {
            directories += 1;
            continue;
        }
        let mut content = String::new();
        found.open().expect("open").read_to_string(&mut content).expect("read");
        files.push((length, content));
        // Other tests of this process open files, too.
        assert!(handles() < before + 200, "{} handles", handles());
    }
    assert_eq!(directories, LEVELS + 1);
    assert_eq!(files, [(2 * LEVELS + 4, "deep".to_owned()), (1, String::new())]);
}

#[test]
fn each_limit_is_named_where_it_is_reached() {
    let tree = directory();
    for number in 0..50 {
        fs::write(tree.path().join(format!("a-file-{number}")), "").expect("a file");
    }
    fs::hard_link(tree.path().join("a-file-7"), tree.path().join("again")).expect("a link");
    let plenty = Limits::default();
    let of = |limits| Options {
        limits,
        ..Options::default()
    };
    for (name, limits) in [
        (
            "entries",
            Limits {
                entries: 51,
                ..plenty.clone()
            },
        ),
        (
            "path_bytes",
            Limits {
                path_bytes: 8,
                ..plenty.clone()
            },
        ),
        (
            "memory_bytes",
            Limits {
                memory_bytes: 900,
                ..plenty.clone()
            },
        ),
    ] {
        let mut walk = Walk::open(tree.path(), of(limits)).expect("a walk");
        let error = described(&mut walk).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains(&format!("limit {name} of")), "{error}");
        walk.next_file().expect_err("it stays failed");
    }
    let exact = Limits {
        entries: 52,
        path_bytes: 9,
        memory_bytes: 2000,
    };
    let mut walk = Walk::open(tree.path(), of(exact)).expect("a walk");
    assert_eq!(described(&mut walk).expect("enough").len(), 52);
}

/// Waits until the clock of the file system has gone on from the time of this file.
fn later_than(file: &Path) {
    let made = fs::metadata(file).expect("the file");
    let beside = file.with_extension("clock");
    loop {
        fs::write(&beside, "").expect("a file");
        let now = fs::metadata(&beside).expect("the file");
        fs::remove_file(&beside).expect("removed");
        if (now.ctime(), now.ctime_nsec()) > (made.ctime(), made.ctime_nsec()) {
            return;
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let tree = directory();
    let file = tree.path().join("file");
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 4] = [
        (
            "shrinks",
            |file| {
                File::options()
                    .write(true)
                    .open(file)
                    .expect("open")
                    .set_len(150_000)
                    .expect("cut");
            },
            "50000 bytes shorter",
        ),
        (
            "grows",
            |file| {
                let mut file = File::options().append(true).open(file).expect("open");
                file.write_all(b"more").expect("written");
            },
            "changed",
        ),
        (
            "is written to",
            |file| {
                let mut file = File::options().write(true).open(file).expect("open");
                file.write_all(b"other").expect("written");
            },
            "changed",
        ),
        (
            "gets another owner's mode",
            |file| {
                fs::set_permissions(file, fs::Permissions::from_mode(0o4755)).expect("a mode");
            },
            "changed",
        ),
    ];
    for (what, change, text) in changes {
        fs::write(&file, vec![1; 200_000]).expect("a file");
        later_than(&file);
        let mut walk = walk(tree.path());
        walk.next_file().expect("a walk").expect("the top");
        let mut found = walk.next_file().expect("a walk").expect("the file");
        let mut content = found.open().expect("open");
        content.read_exact(&mut [0; 1000]).expect("the beginning");
        change(&file);
        let error = content.read_to_end(&mut Vec::new()).expect_err(what);
        let error = error.downcast::<Error>().expect("an error of ours");
        assert_eq!(error.kind(), ErrorKind::Changed, "{what}");
        assert!(error.to_string().contains(text), "{what}: {error}");

        // And where it changed before it was opened.
        let mut again = Walk::open(tree.path(), Options::default()).expect("a walk");
        again.next_file().expect("a walk").expect("the top");
        let mut found = again.next_file().expect("a walk").expect("the file");
        later_than(&file);
        change(&file);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        assert_eq!(found.open().expect_err(what).kind(), ErrorKind::Changed, "{what}");
    }
}

/// Exchanges two names, over and over, until it is told to stop.
fn exchange(
    directory: &Path,
    one: &'static str,
    other: &'static str,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let handle: OwnedFd = File::open(directory).expect("the directory").into();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let handle = handle.as_fd();
            rustix::fs::renameat_with(handle, one, handle, other, RenameFlags::EXCHANGE).expect("exchanged");
        }
    })
}

#[test]
fn who_exchanges_files_meanwhile_has_nothing_read_from_outside() {
    let base = directory();
    let at = |name: &str| base.path().join(name);
    fs::create_dir_all(at("outside/sub")).expect("a directory");
    fs::write(at("outside/secret"), "secret").expect("a file");
    fs::write(at("outside/sub/secret"), "secret").expect("a file");
    fs::create_dir_all(at("tree/dir/sub")).expect("a directory");
    fs::write(at("tree/dir/own"), "own").expect("a file");
    fs::write(at("tree/dir/sub/own"), "own").expect("a file");
    fs::write(at("tree/file"), "own").expect("a file");
    symlink("../outside", at("tree/evil")).expect("a link");
    symlink("../outside/secret", at("tree/leaf")).expect("a link");
    let secret = |path: &str| fs::metadata(at(path)).expect("the file").ino();
    let secrets = [
        secret("outside/secret"),
        secret("outside/sub/secret"),
        secret("outside"),
    ];

    let stop = Arc::new(AtomicBool::new(false));
    let enemies = [
        exchange(&at("tree"), "dir", "evil", &stop),
        exchange(&at("tree"), "file", "leaf", &stop),
    ];
    let look = |stat: &Stat| assert!(!secrets.contains(&stat.inode), "a file outside was seen");
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..3000 {
        let mut walk = walk(&at("tree"));
        let outcome = loop {
            let mut found = match walk.next_file() {
                Ok(Some(found)) => found,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            look(&found.stat);
            if !matches!(found.node, Node::File(_)) {
                continue;
            }
            let mut content = String::new();
            match found.open() {
                Ok(mut opened) => match opened.read_to_string(&mut content) {
                    Ok(_) => assert_eq!(content, "own"),
                    Err(error) => break Err(error.downcast::<Error>().expect("an error of ours")),
                },
                Err(error) => break Err(error),
            }
        };
        match outcome {
            Ok(()) => whole += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
                broken += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for enemy in enemies {
        enemy.join().expect("an enemy");
    }
    assert_eq!(whole + broken, 3000);
}

#[test]
fn what_was_exchanged_since_it_was_found_is_not_opened() {
    for (name, target) in [("dir", "../outside"), ("file", "../outside/secret")] {
        for exchanged in ["a link", "a pipe", "another"] {
            let base = directory();
            let at = |name: &str| base.path().join(name);
            fs::create_dir_all(at("outside")).expect("a directory");
            fs::write(at("outside/secret"), "secret").expect("a file");
            fs::create_dir_all(at("tree")).expect("a directory");
            let make = |path: &Path| match name {
                "dir" => fs::create_dir(path).expect("a directory"),
                _ => fs::write(path, "own").expect("a file"),
            };
            make(&at("tree").join(name));
            make(&at("other"));
            let mut walk = walk(&at("tree"));
            walk.next_file().expect("a walk").expect("the top");
            let mut found = walk.next_file().expect("a walk").expect("the file");

            let path = at("tree").join(name);
            fs::rename(&path, at("away")).expect("moved");
            match exchanged {
                "a link" => symlink(target, &path).expect("a link"),
                "a pipe" => {
                    let handle = File::open(at("tree")).expect("the directory");
                    rustix::fs::mknodat(&handle, name, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
                }
                _ => fs::rename(at("other"), &path).expect("moved"),
            }
            assert_eq!(found.read_xattrs().expect_err(exchanged).kind(), ErrorKind::Changed);
            let error = match name {
                "dir" => walk.next_file().map(drop).expect_err(exchanged),
                _ => found.open().map(drop).expect_err(exchanged),
            };
            assert_eq!(error.kind(), ErrorKind::Changed, "{name}, {exchanged}: {error}");
        }
    }
}

#[test]
fn a_directory_that_is_moved_away_does_not_lead_out() {
    // Deep enough that the handles above are closed and must be found again by way of `..`.
    let base = directory();
    let deep: String = "d/".repeat(60);
    fs::create_dir_all(base.path().join("tree").join(&deep)).expect("directories");
    fs::create_dir(base.path().join("elsewhere")).expect("a directory");
    fs::write(base.path().join("elsewhere/secret"), "").expect("a file");
    fs::write(base.path().join("tree/d/d/d/z"), "").expect("a file");
    let mut walk = walk(&base.path().join("tree"));
    for _ in 0..=60 {
        let found = walk.next_file().expect("a walk").expect("a directory");
        assert_eq!(found.node, Node::Directory);
    }
    // The walk stands at the deepest one; now the fifth one from the top goes elsewhere.
    fs::rename(base.path().join("tree/d/d/d/d"), base.path().join("elsewhere/d")).expect("moved");
    let error = walk.next_file().expect_err("it was led elsewhere");
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert!(error.to_string().contains("moved"), "{error}");
}
