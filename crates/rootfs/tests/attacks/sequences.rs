//! Attacks that are sequences of entries: each is refused, or stays inside with exactly this tree.

use std::{fs, os::unix::fs::symlink};

use teu_rootfs::{ErrorKind, Options};

use crate::support::{Arena, Aside, Step, Step::*, file, metadata, within_limit};

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
        // A name that no machine has: where the door is broken, root's own tests write there.
        &[File("/teu-attacked/passwd")],
        Tree(&["teu-attacked/", "teu-attacked/passwd x"]),
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
        "32 an opaque whiteout, and then one of the directory above",
        &[File("d/e/old"), NextLayer, Clear("d/e"), Clear("d")],
        Tree(&["d/"]),
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
    (
        "a path that led to a directory leads to another",
        &[
            Dir("a"),
            Dir("a/l"),
            Dir("b"),
            File("a/l/../f"),
            Link("a/l/../l", "../b"),
            File("a/l/../f"),
            File("a/l/../g"),
            // What this layer made stays, wherever its name led.
            Remove("f"),
            Remove("g"),
        ],
        Tree(&["a/", "a/f x", "a/l -> ../b", "b/", "f x", "g x"]),
    ),
    (
        "a path that led to a directory of a lower layer leads to another",
        &[
            Dir("a"),
            Dir("a/l"),
            NextLayer,
            File("a/l/../f"),
            Remove("a/l"),
            Link("a/l", ".."),
            File("a/l/../f"),
            Remove("f"),
        ],
        Tree(&["a/", "a/f x", "a/l -> ..", "f x"]),
    ),
];

#[test]
fn sequences_of_entries_stay_inside_or_are_refused() {
    let both = ATTACKS.iter().flat_map(|attack| [(false, attack), (true, attack)]);
    for (ahead, (name, steps, outcome)) in both {
        let arena = Arena::new();
        let (result, arena) = within_limit(name, move || {
            let mut writer = arena.writer();
            let mut aside = ahead.then(|| Aside::new(Options::default()));
            let (last, before) = steps.split_last().unwrap();
            // A step that is not the last may be the one that is refused where something follows which only would show what came of it.
            let mut result = Ok(());
            for step in before.iter().chain([last]) {
                result = step.run(&arena, &mut writer, aside.as_mut());
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

/// Somebody exchanges the directory between two files that are made in it.
#[test]
fn a_directory_that_was_exchanged_leads_nowhere() {
    let attacks: [(&str, Option<&str>, &[&str]); 3] = [
        ("another directory", None, &["d/", "d/new x", "old/", "old/a x"]),
        (
            "a relative link",
            Some("../outside"),
            &["d -> ../outside", "old/", "old/a x", "outside/", "outside/new x"],
        ),
        (
            "an absolute link",
            Some("OUT"),
            &["OUT/new x", "d -> OUT", "old/", "old/a x"],
        ),
    ];
    let both = attacks.into_iter().flat_map(|attack| [(false, attack), (true, attack)]);
    for (ahead, (name, target, tree)) in both {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let mut aside = Aside::new(Options::default());
        file(&mut writer, b"d/a", &metadata(0o644), b"x").unwrap();
        let d = arena.dest().join("d");
        fs::rename(&d, arena.dest().join("old")).unwrap();
        match target {
            None => fs::create_dir(&d).unwrap(),
            Some(target) => symlink(String::from_utf8(arena.path(target)).unwrap(), &d).unwrap(),
        }
        match ahead {
            true => aside.file(&mut writer, b"d/new", &metadata(0o644), b"x").unwrap(),
            false => file(&mut writer, b"d/new", &metadata(0o644), b"x").unwrap(),
        }
        writer.finish().unwrap();
        arena.check(name);
        assert_eq!(arena.tree(), tree, "{name}");
    }
}
