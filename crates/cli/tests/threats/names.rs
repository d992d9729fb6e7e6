//! Threats 1 to 15: names.

use crate::{
    arena::Arena,
    entries::{dir, fifo, file, hard, link, tar, with},
    raw::{Raw, block, set},
};

#[test]
fn threat_01_absolute_names_are_below_the_root() {
    let arena = Arena::new();
    let layer = tar(&[file(arena.outside("canary")), dir(arena.outside("directory"))]);
    arena.stays("1 an absolute name", &[layer], &["OUT/canary x", "OUT/directory/"]);
}

#[test]
fn threat_02_names_that_lead_up_stay_below_the_root() {
    let arena = Arena::new();
    let layer = tar(&[
        file("../canary"),
        file("../../../outside/canary"),
        dir("../../dest-evil/"),
    ]);
    arena.stays(
        "2 ..",
        &[layer],
        &["canary x", "dest-evil/", "outside/", "outside/canary x"],
    );
}

#[test]
fn threat_03_one_more_up_than_names_stays_below_the_root() {
    let arena = Arena::new();
    let layer = tar(&[dir("a"), file("a/../../canary"), file("a/b/../../../outside/canary")]);
    arena.stays(
        "3 one .. more than names",
        &[layer],
        &["a/", "a/b/", "canary x", "outside/", "outside/canary x"],
    );
}

#[test]
fn threat_04_slashes_and_dots_are_nothing() {
    let arena = Arena::new();
    let layer = tar(&[file("//canary"), file("./../canary"), file("a//b"), file("./.././../c")]);
    arena.stays("4 // and ./..", &[layer], &["a/", "a/b x", "c x", "canary x"]);
}

/// A name that leads to the canary from wherever it is taken to begin.
fn far_up(arena: &Arena) -> String {
    format!(
        "{}{}",
        "../".repeat(20),
        arena.outside("canary").trim_start_matches('/')
    )
}

#[test]
fn threat_05_the_prefix_of_ustar_stays_below_the_root() {
    let arena = Arena::new();
    let name = far_up(&arena);
    let mut header = block(b'0', b"canary", 1);
    set(
        &mut header,
        345,
        name.strip_suffix("/canary").expect("a canary").as_bytes(),
    );
    let layer = Raw::new().bytes(&header).content(b"x").end();
    arena.stays("5 a ustar prefix", &[layer], &["OUT/canary x"]);
}

#[test]
fn threat_06_a_long_name_of_gnu_stays_below_the_root() {
    let arena = Arena::new();
    let name = [far_up(&arena).as_bytes(), b"\0"].concat();
    let layer = Raw::new()
        .entry(b'L', b"././@LongLink", &name)
        .file(b"short", b"x")
        .end();
    arena.stays("6 a GNU long name", &[layer], &["OUT/canary x"]);
}

#[test]
fn threat_07_a_path_of_pax_stays_below_the_root() {
    let arena = Arena::new();
    let name = far_up(&arena);
    let layer = Raw::new().pax(&[("path", name.as_bytes())]).file(b"short", b"x").end();
    arena.stays("7 a PAX path", &[layer], &["OUT/canary x"]);
}

#[test]
fn threat_08_two_names_that_differ_are_refused() {
    let arena = Arena::new();
    let layer = Raw::new()
        .entry(b'L', b"././@LongLink", b"a\0")
        .pax(&[("path", arena.outside("canary").as_bytes())])
        .file(b"c", b"x")
        .end();
    arena.refused("8 GNU's name and PAX's", &[layer], "disagree", 13);
    let layer = Raw::new().pax(&[("path", b"a"), ("path", b"b")]).file(b"c", b"x").end();
    arena.refused("8 a name said twice", &[layer], "gives path twice, differently", 13);
}

#[test]
fn threat_09_a_nul_in_a_name_is_refused() {
    let arena = Arena::new();
    let layer = Raw::new().bytes(&block(b'0', b"etc/passwd\0.txt", 0)).end();
    arena.refused("9 a NUL in a name", &[layer], "contains a NUL", 13);
    let layer = Raw::new().pax(&[("path", b"a\0b")]).file(b"c", b"x").end();
    arena.refused("9 a NUL in a PAX name", &[layer], "contains a NUL", 13);
    let layer = Raw::new().link(b'2', b"a", b"b\0c").end();
    arena.refused("9 a NUL in a link", &[layer], "contains a NUL", 13);
}

/// It may be refused: no honest archive has one.
#[test]
fn threat_10_a_name_for_all_that_follows_is_refused() {
    let arena = Arena::new();
    let record = crate::raw::record("path", arena.outside("canary").as_bytes());
    let layer = Raw::new()
        .entry(b'g', b"g", &record)
        .file(b"a", b"x")
        .file(b"b", b"x")
        .end();
    arena.refused("10 a global PAX path", &[layer], "a global header sets", 13);
}

#[test]
fn threat_11_the_root_is_a_directory() {
    let arena = Arena::new();
    let out = arena.outside("");
    for (what, entries) in [
        ("11 the root as a link", vec![link(".", &out)]),
        ("11 the root as a link, by a slash", vec![link("/", &out)]),
        ("11 the root as a link, by ..", vec![dir("a"), link("a/..", &out)]),
        ("11 the root as a hard link", vec![file("a"), hard("./", "a")]),
        (
            "11 the root as a file",
            vec![with(file("x"), |header| header.path = b"./.".to_vec())],
        ),
        ("11 the root as a pipe", vec![fifo("//.//")]),
        ("11 the root as a device", vec![crate::entries::device("./", 1, 3)]),
    ] {
        arena.refused(what, &[tar(&entries)], "it is the root", 14);
    }
    arena.stays("11 the root as a directory", &[tar(&[dir("./"), file("a")])], &["a x"]);
}

#[test]
fn threat_12_the_mode_of_a_directory_above_stays_its_own() {
    let arena = Arena::new();
    let out = arena.outside("directory");
    arena.stays("12 ..", &[tar(&[dir(".."), dir("../..")])], &[]);
    let layer = tar(&[link("l", &out), dir("l/.."), dir("a/"), dir("a/../..")]);
    arena.stays(
        "12 .. behind a link",
        &[layer],
        &["OUT/directory/", "a/", "l -> OUT/directory"],
    );
}

/// That no verb lets a terminal obey is what [`Arena::teu`] looks at.
#[test]
fn threat_13_control_characters_are_escaped() {
    let arena = Arena::new();
    let named = |name: &[u8]| with(file("x"), |header| header.path = name.to_vec());
    let layer = tar(&[
        named(b"a\x1b[2J\x1b]0;title\x07"),
        named(b"new\nline\r"),
        with(link("l", "x"), |header| header.link = b"\x9b31m\x1bc".to_vec()),
    ]);
    arena.stays(
        "13 control characters",
        &[layer],
        &[r"a\x1b[2J\x1b]0;title\x07 x", r"l -> \x9b31m\x1bc", r"new\nline\r x"],
    );
    let bad = with(hard("h", "gone"), |header| header.path = b"\x1b[2Jh".to_vec());
    arena.refused("13 in an error", &[tar(&[bad])], r"\u{1b}[2Jh", 14);
}

#[test]
fn threat_14_names_that_are_not_utf_8_keep_their_bytes() {
    let arena = Arena::new();
    let layer = tar(&[
        with(file("x"), |header| header.path = b"caf\xe9".to_vec()),
        with(link("x", "x"), |header| {
            (header.path, header.link) = (b"\xff\xfe".to_vec(), b"\x80/\x81".to_vec());
        }),
    ]);
    arena.stays("14 Latin 1", &[layer], &[r"\xff\xfe -> \x80/\x81", r"caf\xe9 x"]);
}

#[test]
fn threat_15_names_have_a_length_and_trees_any_depth() {
    let arena = Arena::new();
    let long = "n".repeat(300);
    arena.refused(
        "15 a name of 300 bytes",
        &[tar(&[file(&long)])],
        "name_bytes is 255",
        14,
    );
    let path = format!("{}f", "d/".repeat(2048));
    let layer = Raw::new().pax(&[("path", path.as_bytes())]).file(b"f", b"x").end();
    arena.refused("15 a path of 4097 bytes", &[layer], "name_bytes is 4096", 13);
    // Links lead down by 2,000 levels each.
    let down = "d/".repeat(1990);
    let mut entries = vec![dir(&down)];
    for number in 0..10 {
        let above = if number == 0 {
            String::new()
        } else {
            format!("l{}/", number - 1)
        };
        entries.push(dir(format!("{above}{down}")));
        entries.push(link(format!("l{number}"), format!("{above}{down}")));
    }
    arena.refused("15 20,000 levels", &[tar(&entries)], "the limit path_bytes is 4095", 14);
    arena.stays(
        "15 a name of 255 bytes",
        &[tar(&[file("n".repeat(255))])],
        &[&format!("{} x", "n".repeat(255))],
    );
}
