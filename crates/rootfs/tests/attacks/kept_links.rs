//! Where a directory's entry on a link goes to what the link leads to ([`Options::keep_directory_links`]): that is a directory inside the root, or the link
//! is replaced.

use std::{fs, os::unix::fs::PermissionsExt};

use teu_rootfs::{Options, Writer};

use crate::support::{Arena, Step, Step::*, within_limit};

/// What is done, what is in the root then, and which directory has the entry's mode.
const CASES: &[(&str, &[Step], &[&str], &str)] = &[
    (
        "to a directory",
        &[Dir("d/e"), Link("l", "d"), Dir("l"), File("l/f")],
        &["d/", "d/e/", "d/f x", "l -> d"],
        "d",
    ),
    (
        "to a directory, of a lower layer",
        &[File("d/e"), Link("l", "/d"), NextLayer, Dir("l"), File("l/f")],
        &["d/", "d/e x", "d/f x", "l -> /d"],
        "d",
    ),
    (
        "to a link to a directory",
        &[File("d/e"), Link("k", "d"), Link("l", "k"), Dir("l"), File("l/f")],
        &["d/", "d/e x", "d/f x", "k -> d", "l -> k"],
        "d",
    ),
    (
        "by .. to a name outside, which is there inside",
        &[Link("l", "../outside"), File("outside/e"), Dir("l"), File("l/canary")],
        &["l -> ../outside", "outside/", "outside/canary x", "outside/e x"],
        "outside",
    ),
    (
        "by .. to a name outside, which is not there inside",
        &[Link("l", "../outside"), Dir("l"), File("l/canary")],
        &["l/", "l/canary x"],
        "l",
    ),
    (
        "absolute to a name outside, which is not there inside",
        &[Link("l", "OUT"), Dir("l"), File("l/canary")],
        &["l/", "l/canary x"],
        "l",
    ),
    (
        "to a directory outside by a name in between",
        &[Link("k", "OUT"), Link("l", "k/directory"), Dir("l"), File("l/f")],
        &["k -> OUT", "l/", "l/f x"],
        "l",
    ),
    (
        "to a file",
        &[File("f"), Link("l", "f"), Dir("l"), File("l/g")],
        &["f x", "l/", "l/g x"],
        "l",
    ),
    (
        "to nothing",
        &[Link("l", "nowhere"), Dir("l"), File("l/g")],
        &["l/", "l/g x"],
        "l",
    ),
    (
        "to itself",
        &[Link("l", "l"), Dir("l"), File("l/g")],
        &["l/", "l/g x"],
        "l",
    ),
    (
        "in a circle",
        &[Link("a", "b"), Link("b", "a"), Dir("a")],
        &["a/", "b -> a"],
        "a",
    ),
];

#[test]
fn a_directory_on_a_link_is_inside_or_takes_its_place() {
    for (name, steps, tree, moded) in CASES {
        let arena = Arena::new();
        let (result, arena) = within_limit(name, move || {
            let options = Options {
                keep_directory_links: true,
                ..Options::default()
            };
            let mut writer = Writer::new(&arena.root(), options).unwrap();
            let result = steps.iter().try_for_each(|step| step.run(&arena, &mut writer, None));
            (result.and_then(|()| writer.finish().map(drop)), arena)
        });
        arena.check(name);
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(arena.tree(), *tree, "{name}");
        let seen = fs::symlink_metadata(arena.dest().join(moded)).unwrap();
        assert_eq!(seen.permissions().mode() & 0o7777, 0o777, "{name}");
    }
}

/// One that exists inside under the absolute name of what is outside, and the root itself.
#[test]
fn an_absolute_link_leads_to_what_the_root_has_there() {
    let arena = Arena::new();
    let options = Options {
        keep_directory_links: true,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    let steps = [
        File("OUT/e"),
        Link("l", "OUT"),
        Dir("l"),
        File("l/canary"),
        Link("top", "/../.."),
        Dir("top"),
        File("top/f"),
    ];
    for step in steps {
        step.run(&arena, &mut writer, None).unwrap();
    }
    writer.finish().unwrap();
    arena.check("an absolute link");
    assert_eq!(
        arena.tree(),
        ["OUT/canary x", "OUT/e x", "f x", "l -> OUT", "top -> /../.."]
    );
}
