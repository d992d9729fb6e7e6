//! What hostile trees try, and what comes of it. The numbers are those of docs/attacks.md; attacks that are a matter of tar's headers or of
//! whiteouts' names are tested where these are read.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod support;

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    time::Instant,
};

use support::{Arena, Step, Step::*, file, metadata, within_limit};
use teu_rootfs::{Budget, Device, ErrorKind, Metadata, Node, Options, Owners, Root, Time, Writer};

enum Outcome {
    /// The last step is refused.
    Refused,
    /// All is done, and this is what is in the root.
    Tree(&'static [&'static str]),
}

use Outcome::{Refused, Tree};

/// The attacks that are sequences of entries.
const ATTACKS: &[(&str, &[Step], Outcome)] = &[
    (
        "1 an absolute path",
        &[File("/etc/passwd")],
        Tree(&["etc/", "etc/passwd x"]),
    ),
    ("2 a path with ..", &[File("../canary")], Tree(&["canary x"])),
    (
        "2 a path with .. to a name outside",
        &[File("../../../outside/canary")],
        Tree(&["outside/", "outside/canary x"]),
    ),
    (
        "3 one .. more than names",
        &[Dir("a"), File("a/../../canary")],
        Tree(&["a/", "canary x"]),
    ),
    (
        "3 one .. more than names that are missing",
        &[File("a/b/../../../canary")],
        Tree(&["a/", "a/b/", "canary x"]),
    ),
    (
        "4 two slashes",
        &[File("//canary"), File("a//b")],
        Tree(&["a/", "a/b x", "canary x"]),
    ),
    (
        "4 ./..",
        &[File("./../canary"), File("./.././../b")],
        Tree(&["b x", "canary x"]),
    ),
    ("9 a NUL", &[File("a\0b")], Refused),
    ("9 a NUL in a link", &[Link("a", "b\0c")], Refused),
    ("9 a NUL in a hard link", &[File("b"), Hard("a", "b\0c")], Refused),
    ("9 a NUL in a whiteout", &[Remove("b\0c")], Refused),
    ("11 the root as a file", &[File(".")], Refused),
    ("11 the root as a file without a name", &[File("")], Refused),
    ("11 the root as a link", &[Link("/", "OUT")], Refused),
    ("11 the root as a link by ..", &[Dir("a"), Link("a/..", "OUT")], Refused),
    ("11 the root as a hard link", &[File("a"), Hard("./", "a")], Refused),
    ("11 the root as a pipe", &[Fifo("//.//")], Refused),
    ("11 the root removed", &[Remove(".")], Refused),
    ("11 the root removed by ..", &[Dir("a"), Remove("a/..")], Refused),
    ("12 the directory above", &[Dir("..")], Tree(&[])),
    (
        "12 a directory above by a link",
        &[Link("l", ".."), Dir("l/..")],
        Tree(&["l -> .."]),
    ),
    (
        "12 the directory above a link",
        &[Link("l", "OUT/directory"), Dir("l/..")],
        Tree(&["OUT/directory/", "l -> OUT/directory"]),
    ),
    (
        "16 through an absolute link",
        &[Link("l", "OUT"), File("l/canary")],
        Tree(&["OUT/canary x", "l -> OUT"]),
    ),
    (
        "16 through a relative link",
        &[Link("l", "../outside"), File("l/canary")],
        Tree(&["l -> ../outside", "outside/", "outside/canary x"]),
    ),
    (
        "16 through a chain of links",
        &[
            Link("a", ".."),
            Link("b", "a/.."),
            Link("c", "b/outside"),
            File("c/canary"),
        ],
        Tree(&["a -> ..", "b -> a/..", "c -> b/outside", "outside/", "outside/canary x"]),
    ),
    (
        "16 through a link of an earlier layer",
        &[Link("l", "OUT"), NextLayer, File("l/canary")],
        Tree(&["OUT/canary x", "l -> OUT"]),
    ),
    (
        "16 through a link at the end",
        &[Link("l", "OUT/canary"), File("l")],
        Tree(&["l x"]),
    ),
    (
        "16 through a link that comes after its directory",
        &[Dir("d"), File("d/a"), Link("d", "OUT"), File("d/canary")],
        Tree(&["OUT/canary x", "d -> OUT"]),
    ),
    (
        "16 through a link to a link outside",
        &[Link("l", "OUT/link"), File("l/canary")],
        Tree(&["OUT/link/", "OUT/link/canary x", "l -> OUT/link"]),
    ),
    (
        "17 a directory where a link is",
        &[Link("l", "OUT"), Dir("l"), File("l/canary")],
        Tree(&["l/", "l/canary x"]),
    ),
    (
        "18 a directory that becomes a link before its time is set",
        &[Dir("d"), Link("d", "OUT")],
        Tree(&["d -> OUT"]),
    ),
    (
        "18 a directory whose parent becomes a link",
        &[Dir("a/directory"), Link("a", "OUT")],
        Tree(&["a -> OUT"]),
    ),
    (
        "18 a directory that was touched and becomes a link",
        &[
            File("a/directory/f"),
            NextLayer,
            File("a/directory/g"),
            Link("a", "OUT"),
        ],
        Tree(&["a -> OUT"]),
    ),
    (
        "19 a pipe through a link",
        &[Link("l", "OUT"), Fifo("l/canary")],
        Tree(&["OUT/canary|", "l -> OUT"]),
    ),
    (
        "19 a directory's attributes through a link",
        &[Link("l", "OUT"), Dir("l/directory")],
        Tree(&["OUT/directory/", "l -> OUT"]),
    ),
    (
        "19 a link through a link",
        &[Link("l", "OUT"), Link("l/canary", "a")],
        Tree(&["OUT/canary -> a", "l -> OUT"]),
    ),
    (
        "20 /proc/self/root",
        &[Link("l", "/proc/self/root"), File("l/a")],
        Tree(&[
            "l -> /proc/self/root",
            "proc/",
            "proc/self/",
            "proc/self/root/",
            "proc/self/root/a x",
        ]),
    ),
    (
        "20 /proc/self/cwd",
        &[Link("l", "/proc/self/cwd/.."), File("l/a")],
        Tree(&[
            "l -> /proc/self/cwd/..",
            "proc/",
            "proc/self/",
            "proc/self/a x",
            "proc/self/cwd/",
        ]),
    ),
    ("21 a link to itself", &[Link("l", "l"), File("l/a")], Refused),
    ("21 a circle", &[Link("a", "b/c"), Link("b", "a"), File("a/f")], Refused),
    (
        "21 a circle is removed",
        &[Link("a", "b"), Link("b", "a"), NextLayer, Remove("a/f"), Remove("a")],
        Tree(&["b -> a"]),
    ),
    (
        "23 a sibling with the same beginning",
        &[Link("l", "../dest-evil"), File("l/canary"), File("../dest-evil/a")],
        Tree(&["dest-evil/", "dest-evil/a x", "dest-evil/canary x", "l -> ../dest-evil"]),
    ),
    ("24 a hard link outside", &[Hard("h", "OUT/canary")], Refused),
    (
        "24 a hard link outside by ..",
        &[Hard("h", "../outside/canary")],
        Refused,
    ),
    (
        "24 a hard link outside through a link",
        &[Link("l", "OUT"), Hard("h", "l/canary")],
        Refused,
    ),
    (
        "24 a hard link to where the process is",
        &[Hard("h", "Cargo.toml")],
        Refused,
    ),
    (
        "24 a hard link to a link outside is written to",
        &[Link("s", "OUT/canary"), Hard("h", "s"), File("h")],
        Tree(&["h x", "s -> OUT/canary"]),
    ),
    (
        "24 a hard link into a link outside",
        &[Link("l", "OUT"), File("a"), Hard("l/canary", "a")],
        Tree(&["OUT/canary x", "a x", "l -> OUT"]),
    ),
    ("25 a hard link forward", &[Hard("h", "later"), File("later")], Refused),
    ("25 a hard link to itself", &[File("a"), Hard("a", "./a")], Refused),
    (
        "25 a hard link to itself by another way",
        &[File("d/a"), Link("l", "d"), Hard("l/a", "d/a")],
        Refused,
    ),
    ("25 a hard link to a directory", &[Dir("d"), Hard("h", "d")], Refused),
    ("25 a hard link to the root", &[Hard("h", "/")], Refused),
    (
        "25 a hard link that replaces its target's directory",
        &[File("d/a"), Hard("d", "d/a")],
        Refused,
    ),
    (
        "25 a hard link that is there already",
        &[File("a"), Hard("b", "a"), NextLayer, Hard("b", "a"), Remove("b")],
        Tree(&["a x", "b x"]),
    ),
    (
        "26 a hard link to what a whiteout hid",
        &[File("a"), NextLayer, Remove("a"), Hard("b", "a")],
        Refused,
    ),
    (
        "29 a whiteout through a link",
        &[
            Link("l", "OUT"),
            Link("m", "../outside"),
            NextLayer,
            Remove("l/canary"),
            Remove("m/canary"),
            Remove("../outside/canary"),
        ],
        Tree(&["l -> OUT", "m -> ../outside"]),
    ),
    (
        "30 an opaque whiteout through a link",
        &[
            Link("l", "OUT"),
            Link("m", ".."),
            File("f"),
            NextLayer,
            Clear("l"),
            Clear("../outside"),
            Clear("m/m/.."),
        ],
        Tree(&[]),
    ),
    (
        "31 a whiteout of a link",
        &[File("d/f"), Link("l", "d"), NextLayer, Remove("l")],
        Tree(&["d/", "d/f x"]),
    ),
    (
        "31 a whiteout of a link outside",
        &[Link("l", "OUT"), NextLayer, Remove("l")],
        Tree(&[]),
    ),
    (
        "32 a whiteout after what its layer made",
        &[File("a"), NextLayer, File("a"), Remove("a")],
        Tree(&["a x"]),
    ),
    (
        "32 a whiteout before what its layer makes",
        &[File("a"), NextLayer, Remove("a"), File("a")],
        Tree(&["a x"]),
    ),
    (
        "32 a whiteout by another way",
        &[
            File("d/a"),
            Link("l", "d"),
            NextLayer,
            File("d/a"),
            Remove("l/a"),
            Remove("l/../d/a"),
        ],
        Tree(&["d/", "d/a x", "l -> d"]),
    ),
    (
        "32 a whiteout of a directory after what its layer made in it",
        &[File("d/old"), File("d/e/old"), NextLayer, File("d/e/new"), Remove("d")],
        Tree(&["d/", "d/e/", "d/e/new x"]),
    ),
    (
        "32 a whiteout of a directory before it",
        &[File("d/old"), File("d/e/old"), NextLayer, Remove("d"), File("d/e/new")],
        Tree(&["d/", "d/e/", "d/e/new x"]),
    ),
    (
        "32 a whiteout of a directory that its layer has too",
        &[File("d/old"), NextLayer, Dir("d"), Remove("d")],
        Tree(&["d/"]),
    ),
    (
        "32 an opaque whiteout after what its layer made",
        &[
            File("d/old"),
            File("d/e/old"),
            File("d/x/old"),
            NextLayer,
            File("d/e/new"),
            Dir("d/x"),
            Clear("d"),
        ],
        Tree(&["d/", "d/e/", "d/e/new x", "d/x/"]),
    ),
    (
        "32 an opaque whiteout before what its layer makes",
        &[File("d/old"), File("d/e/old"), NextLayer, Clear("d"), File("d/e/new")],
        Tree(&["d/", "d/e/", "d/e/new x"]),
    ),
    (
        "32 an opaque whiteout by another way",
        &[File("d/old"), Link("l", "/d"), NextLayer, File("d/new"), Clear("l")],
        Tree(&["d/", "d/new x", "l -> /d"]),
    ),
    (
        "32 opaque whiteouts, one within the other",
        &[
            File("d/e/old"),
            NextLayer,
            File("d/e/new"),
            Clear("d/e"),
            Clear("d"),
            File("d/e/newer"),
            Clear("d/e"),
        ],
        Tree(&["d/", "d/e/", "d/e/new x", "d/e/newer x"]),
    ),
    (
        "32 a name that its layer replaced",
        &[File("a/x"), NextLayer, File("a"), Dir("b"), Remove("b"), Remove("a")],
        Tree(&["a x", "b/"]),
    ),
    (
        "32 what one layer made is the next one's to hide",
        &[File("a"), NextLayer, File("a"), NextLayer, Remove("a")],
        Tree(&[]),
    ),
    (
        "33 a whiteout of a full directory",
        &[File("d/e/f/g"), Link("d/l", "OUT"), Fifo("d/p"), NextLayer, Remove("d")],
        Tree(&[]),
    ),
    (
        "33 a file where a full directory is",
        &[File("d/e/f"), Link("d/l", "OUT"), File("d")],
        Tree(&["d x"]),
    ),
    (
        "33 an opaque whiteout of a full root",
        &[File("d/e/f"), Link("l", "OUT"), NextLayer, Clear("")],
        Tree(&[]),
    ),
    (
        "37 a pipe, then a file",
        &[Fifo("p"), File("p"), Fifo("q"), Dir("q"), Fifo("r"), Link("r", "p")],
        Tree(&["p x", "q/", "r -> p"]),
    ),
    ("37 a file below a pipe", &[Fifo("p"), File("p/a")], Refused),
    ("an entry below a file", &[File("a"), File("a/b")], Refused),
];

#[test]
fn sequences_of_entries_stay_inside_or_are_refused() {
    for (name, steps, outcome) in ATTACKS {
        let arena = Arena::new();
        let (result, arena) = within_limit(name, move || {
            let mut writer = arena.writer();
            let (last, before) = steps.split_last().unwrap();
            // A step that is not the last may be the one that is refused where something follows which only would show what came of it.
            let mut result = Ok(());
            for step in before.iter().chain([last]) {
                result = step.run(&arena, &mut writer);
                if result.is_err() {
                    break;
                }
            }
            (result.and_then(|()| writer.finish().map(drop)), arena)
        });
        arena.check(name);
        match (outcome, result) {
            (Refused, Err(error)) => assert_eq!(error.kind(), ErrorKind::Refused, "{name}: {error}"),
            (Refused, Ok(())) => panic!("{name}: it was done: {:?}", arena.tree()),
            (Tree(tree), Ok(())) => assert_eq!(arena.tree(), *tree, "{name}"),
            (Tree(_), Err(error)) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn attack_11_the_root_is_no_device_and_takes_metadata() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let device = Node::CharDevice(Device { major: 1, minor: 3 });
    assert_eq!(
        writer.node(b"./", &metadata(0o666), &device).unwrap_err().kind(),
        ErrorKind::Refused
    );
    writer.directory(b"./", &metadata(0o711)).unwrap();
    // Nobody enters before it is whole.
    assert_eq!(arena.dest().metadata().unwrap().mode() & 0o7777, 0o700);
    writer.finish().unwrap();
    let seen = arena.dest().metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.mtime()), (0o711, 1_000_000));
    arena.check("11");
}

#[test]
fn attack_14_names_keep_their_bytes() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let name = b"caf\xe9\n\x1b[2J\xff";
    file(&mut writer, name, &metadata(0o644), b"x").unwrap();
    writer.symlink(b"l", &metadata(0o777), name).unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.root().read(b"l", 1).unwrap().unwrap(), b"x");
    let error = arena.root().read(b"a\x1b[2J/\xff\0", 1).unwrap_err();
    assert!(!error.to_string().contains('\x1b'));
}

#[test]
fn attack_15_long_names_and_paths_reach_a_limit() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let long = vec![b'a'; 256];
    let deep = b"a/".repeat(2048);
    for (path, limit) in [(&long, "name_bytes is 255"), (&deep, "path_bytes is 4095")] {
        let data = metadata(0o755);
        for error in [
            writer.directory(path, &data).unwrap_err(),
            writer.symlink(path, &data, b"a").unwrap_err(),
            writer.hard_link(path, b"a").unwrap_err(),
            writer.remove(path).unwrap_err(),
            writer.clear(path).unwrap_err(),
            arena.root().read(path, 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(error.to_string().contains(limit), "{error}");
        }
    }
    let error = writer.symlink(b"l", &metadata(0o777), &[b'a'; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    // The longest that the system has.
    writer.directory(&vec![b'a'; 255], &metadata(0o755)).unwrap();
    writer.directory(&b"b/".repeat(2047)[..4093], &metadata(0o755)).unwrap();
    writer.finish().unwrap();
    arena.check("15");
}

#[test]
fn attack_15_twenty_thousand_levels_are_made_and_removed() {
    within_limit("20,000 levels", || {
        let arena = Arena::for_many_files();
        let mut writer = arena.writer();
        let data = metadata(0o755);
        // Each link leads 2,000 levels down from the last.
        let down = [&b"d/"[..]; 2000].concat();
        let mut start = Vec::new();
        for number in 0..10 {
            writer.directory(&[&start[..], &down].concat(), &data).unwrap();
            file(&mut writer, &[&start[..], &down, b"f"].concat(), &data, b"x").unwrap();
            let link = format!("l{number}");
            writer
                .symlink(link.as_bytes(), &data, &[&start[..], &down].concat())
                .unwrap();
            start = format!("l{number}/").into_bytes();
        }
        file(&mut writer, b"l9/deepest", &data, b"x").unwrap();
        writer.next_layer();
        file(&mut writer, b"l9/kept", &data, b"x").unwrap();
        // Removed but for what the layer made, at the very bottom; then all of it.
        writer.remove(b"d").unwrap();
        assert_eq!(arena.root().read(b"l9/deepest", 1).unwrap(), None);
        assert_eq!(arena.root().read(b"l9/kept", 1).unwrap().unwrap(), b"x");
        assert_eq!(arena.root().read(b"l4/f", 1).unwrap(), None);
        writer.next_layer();
        writer.remove(b"d").unwrap();
        assert!(!arena.dest().join("d").exists());
        writer.finish().unwrap();
        arena.check("15");
    });
}

#[test]
fn attack_20_links_of_proc_lead_nowhere() {
    let root = Root::open("/proc".as_ref()).unwrap();
    let error = root.read(b"self/root/etc/passwd", 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    // And another file system is never entered.
    let error = Root::open("/".as_ref())
        .unwrap()
        .read(b"proc/version", 1 << 20)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn attack_22_links_that_multiply_are_refused_at_once() {
    within_limit("8^40", || {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let data = metadata(0o777);
        for number in 0..40 {
            let target = format!("l{}/", number + 1).repeat(8);
            writer
                .symlink(format!("l{number}").as_bytes(), &data, target.as_bytes())
                .unwrap();
        }
        writer.symlink(b"l40", &data, b".").unwrap();
        let begin = Instant::now();
        for _ in 0..1000 {
            let error = file(&mut writer, b"l0/f", &data, b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
        assert!(begin.elapsed().as_secs() < 5);
        // Where the end is missing we follow links ourselves, and no further than the kernel: that ends, and makes no more than it says.
        writer.next_layer();
        writer.remove(b"l40").unwrap();
        writer.symlink(b"l40", &data, b"m/l0").unwrap();
        let error = file(&mut writer, b"l0/f", &data, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        arena.check("22");
        assert!(arena.tree().len() < 1000);
    });
}

#[test]
fn attack_34_the_device_by_which_overlayfs_hides_is_never_made() {
    let arena = Arena::new();
    let options = Options {
        devices: true,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    file(&mut writer, b"a", &metadata(0o644), b"x").unwrap();
    let hider = Node::CharDevice(Device { major: 0, minor: 0 });
    writer.node(b"a", &metadata(0o644), &hider).unwrap();
    let report = writer.finish().unwrap();
    assert_eq!(
        (report.devices.count, report.devices.examples),
        (1, vec![b"a".to_vec()])
    );
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_35_whiteouts_repeated_cost_nothing() {
    within_limit("repeated whiteouts", || {
        let arena = Arena::for_many_files();
        let mut writer = arena.writer();
        file(&mut writer, b"d/old", &metadata(0o644), b"x").unwrap();
        writer.next_layer();
        for number in 0..20_000 {
            let path = format!("d/{}/{number}", number % 100);
            writer.symlink(path.as_bytes(), &metadata(0o777), b"a").unwrap();
        }
        // Each walked anew, these would be four thousand million steps.
        for number in 0..200_000 {
            match number % 3 {
                0 => writer.clear(b"d").unwrap(),
                1 => writer.remove(b"d").unwrap(),
                _ => writer.clear(format!("d/{}", number % 100).as_bytes()).unwrap(),
            }
        }
        assert_eq!(fs::read_dir(arena.dest().join("d")).unwrap().count(), 100);
        assert_eq!(fs::read_dir(arena.dest().join("d/7")).unwrap().count(), 200);
    });
}

#[test]
fn attack_36_devices_are_made_only_where_asked_for() {
    let null = Node::CharDevice(Device { major: 1, minor: 3 });
    let disk = Node::BlockDevice(Device { major: 7, minor: 200 });
    for devices in [false, true] {
        let arena = Arena::new();
        let options = Options {
            devices,
            ..Options::default()
        };
        let mut writer = Writer::new(&arena.root(), options).unwrap();
        file(&mut writer, b"null", &metadata(0o644), b"x").unwrap();
        writer.node(b"null", &metadata(0o666), &null).unwrap();
        writer.node(b"disk", &metadata(0o660), &disk).unwrap();
        // Another name of one that was passed over is passed over, too.
        writer.hard_link(b"zero", b"null").unwrap();
        writer.next_layer();
        writer.hard_link(b"one", b"null").unwrap();
        let socket = writer.node(b"socket", &metadata(0o666), &Node::Socket).unwrap_err();
        assert_eq!(socket.kind(), ErrorKind::Unsupported);
        let report = writer.finish().unwrap();
        if devices && rootless() {
            eprintln!("SKIPPED attack_36 with devices: only root makes devices");
        } else if devices {
            assert_eq!(report.devices.count, 0);
            let seen = arena.dest().join("one").metadata().unwrap();
            assert!(seen.file_type().is_char_device());
            assert_eq!(
                (seen.rdev(), seen.mode() & 0o7777, seen.mtime()),
                (0x103, 0o666, 1_000_000)
            );
            assert!(
                arena
                    .dest()
                    .join("disk")
                    .metadata()
                    .unwrap()
                    .file_type()
                    .is_block_device()
            );
        } else {
            assert_eq!(report.devices.count, 4);
            assert_eq!(arena.tree(), [""; 0]);
        }
        arena.check("36");
    }
}

fn rootless() -> bool {
    fs::metadata("/proc/self").unwrap().uid() != 0
}

#[test]
fn attack_38_set_id_only_where_nobody_else_can_go() {
    for (root_mode, set_id, expected) in [
        (0o700, false, 0o6755),
        (0o755, false, 0o755),
        (0o711, false, 0o755),
        (0o755, true, 0o6755),
    ] {
        let arena = Arena::new();
        fs::set_permissions(arena.dest(), fs::Permissions::from_mode(root_mode)).unwrap();
        let options = Options {
            set_id,
            ..Options::default()
        };
        let mut writer = Writer::new(&arena.root(), options).unwrap();
        file(&mut writer, b"su", &metadata(0o6755), b"x").unwrap();
        writer.directory(b"d", &metadata(0o3775)).unwrap();
        let report = writer.finish().unwrap();
        let mode = |name| arena.dest().join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode("su"), expected, "{root_mode:o}");
        assert_eq!(mode("d"), 0o3775);
        assert_eq!(report.set_id.count, u64::from(expected == 0o755));
    }
}

#[test]
fn attack_39_nobody_owns_nothing() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        let data = Metadata {
            uid,
            gid,
            ..metadata(0o644)
        };
        for error in [
            writer.directory(b"d", &data).unwrap_err(),
            writer.file(b"f", &data, 0).map(drop).unwrap_err(),
            writer.symlink(b"l", &data, b"a").unwrap_err(),
            writer.node(b"p", &data, &Node::Fifo).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_40_times_without_end() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let at = |seconds, nanoseconds| Metadata {
        mtime: Time { seconds, nanoseconds },
        ..metadata(0o755)
    };
    // What to the kernel means "now" and "leave it".
    for nanoseconds in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
        let error = writer.directory(b"d", &at(0, nanoseconds)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    for (number, seconds) in [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX]
        .into_iter()
        .enumerate()
    {
        let data = at(seconds, 999_999_999);
        writer.directory(format!("d{number}").as_bytes(), &data).unwrap();
        file(&mut writer, format!("d{number}/f").as_bytes(), &data, b"x").unwrap();
        writer.symlink(format!("d{number}/l").as_bytes(), &data, b"f").unwrap();
    }
    writer.finish().unwrap();
    let seen = arena.dest().join("d2/f").metadata().unwrap();
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (-1, 999_999_999));
    let seen = arena.dest().join("d2").metadata().unwrap();
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (-1, 999_999_999));
    arena.check("40");
}

#[test]
fn attack_41_attributes_that_the_machine_would_obey_are_passed_over() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut data = metadata(0o755);
    for name in [
        "user.kept",
        "user.overlay.opaque",
        "user.rootlesscontainers",
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.md5sum",
        "security.selinux",
        "security.ima",
        "security.evm",
        "security.apparmor",
        "system.posix_acl_default",
        "system.nfs4_acl",
    ] {
        data.xattrs.insert(name.into(), b"y".to_vec());
    }
    writer.directory(b"d", &data).unwrap();
    file(&mut writer, b"d/f", &data, b"x").unwrap();
    writer.symlink(b"d/l", &data, b"f").unwrap();
    writer.node(b"d/p", &data, &Node::Fifo).unwrap();
    let report = writer.finish().unwrap();
    if !attributes(&arena.dest().join("d")).contains(&"user.kept".to_owned()) {
        eprintln!("SKIPPED attack_41: the file system has no extended attributes");
        return;
    }
    assert_eq!(report.xattrs.count, 11 + 11 + 12 + 12);
    assert_eq!(attributes(&arena.dest().join("d")), ["user.kept"]);
    assert_eq!(attributes(&arena.dest().join("d/f")), ["user.kept"]);
}

fn attributes(path: &std::path::Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0);
    let mut names: Vec<_> = names
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn attack_42_malformed_attributes_are_refused() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let long = format!("user.{}", "a".repeat(251));
    for (name, value) in [
        (&b""[..], 1),
        (long.as_bytes(), 1),
        (b"user.a\0b", 1),
        (b"user.big", (64 << 10) + 1),
    ] {
        let mut data = metadata(0o644);
        data.xattrs.insert(name.to_vec(), vec![b'y'; value]);
        for error in [
            writer.directory(b"d", &data).unwrap_err(),
            writer.file(b"f", &data, 0).map(drop).unwrap_err(),
            writer.symlink(b"l", &data, b"a").unwrap_err(),
            writer.node(b"p", &data, &Node::Fifo).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_46_sizes_reach_limits_and_holes_cost_nothing() {
    let arena = Arena::new();
    let budget = Budget {
        entries: 4,
        bytes: 10,
        file_bytes: 1 << 40,
        depth: 3,
        ..Budget::default()
    };
    let options = Options {
        budget,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    let data = metadata(0o644);
    let limit = |error: teu_rootfs::Error, name: &str| {
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains(&format!("(the limit {name} is ")), "{error}");
    };
    limit(
        writer.file(b"big", &data, (1 << 40) + 1).map(drop).unwrap_err(),
        "file_bytes",
    );
    let mut hole = writer.file(b"hole", &data, 1 << 40).unwrap();
    hole.write_at((1 << 40) - 4, b"last").unwrap();
    let beyond = hole.write_at((1 << 40) - 3, b"last").unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Refused);
    assert_eq!(hole.write_at(u64::MAX, b"last").unwrap_err().kind(), ErrorKind::Refused);
    hole.finish().unwrap();
    let seen = arena.dest().join("hole").metadata().unwrap();
    assert_eq!(seen.len(), 1 << 40);
    assert!(seen.blocks() < 1000, "{}", seen.blocks());
    limit(file(&mut writer, b"full", &data, b"1234567").unwrap_err(), "bytes");
    limit(writer.directory(b"a/b/c/d", &data).unwrap_err(), "depth");
    // The parents count.
    limit(writer.directory(b"a/b", &data).unwrap_err(), "entries");
}

#[test]
fn a_hostile_tree_is_read_without_being_obeyed() {
    within_limit("reading", || {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let data = metadata(0o777);
        writer.symlink(b"etc/passwd", &data, &arena.path("OUT/canary")).unwrap();
        writer.symlink(b"etc/group", &data, b"../../../../canary").unwrap();
        writer.symlink(b"etc/loop", &data, b"loop").unwrap();
        writer.node(b"etc/pipe", &data, &Node::Fifo).unwrap();
        file(&mut writer, b"etc/big", &data, b"12345").unwrap();
        writer.symlink(b"l", &data, b"/etc/../etc/big").unwrap();
        writer.finish().unwrap();
        let root = arena.root();
        for (path, limit, expected) in [
            ("etc/passwd", 100, Ok(None)),
            ("/etc/group", 100, Ok(None)),
            ("etc/loop", 100, Err(ErrorKind::Refused)),
            ("etc/pipe", 100, Err(ErrorKind::Refused)),
            ("etc", 100, Err(ErrorKind::Refused)),
            ("", 100, Err(ErrorKind::Refused)),
            ("etc/big/below", 100, Ok(None)),
            ("etc/big", 4, Err(ErrorKind::Limit)),
            ("../../l", 5, Ok(Some(b"12345".to_vec()))),
        ] {
            let read = root.read(path.as_bytes(), limit).map_err(|error| error.kind());
            assert_eq!(read, expected, "{path}");
        }
        arena.check("reading");
    });
}

#[test]
fn owners_that_cannot_be_set_are_written_down() {
    let arena = Arena::new();
    let options = Options {
        owners: Owners::Recorded,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    let data = Metadata {
        uid: 1000,
        gid: 0,
        ..metadata(0o644)
    };
    writer.directory(b"d", &data).unwrap();
    file(&mut writer, b"d/f", &data, b"x").unwrap();
    file(&mut writer, b"d/root", &metadata(0o644), b"x").unwrap();
    writer.symlink(b"d/l", &data, b"f").unwrap();
    let report = writer.finish().unwrap();
    let read = |path: &str| {
        let mut value = [0; 64];
        rustix::fs::lgetxattr(arena.dest().join(path), teu_rootfs::RECORD, &mut value[..])
            .ok()
            .map(|length| value[..length].to_vec())
    };
    if read("d").is_none() {
        eprintln!("SKIPPED owners_that_cannot_be_set: the file system has no extended attributes");
        return;
    }
    assert_eq!(read("d/f"), Some(teu_rootfs::record(1000, 0)));
    assert_eq!(read("d/root"), None);
    assert_eq!(report.owners.examples, [b"d/l"]);
    assert_eq!(
        arena.dest().join("d/f").metadata().unwrap().uid(),
        arena.base().metadata().unwrap().uid()
    );
}
