//! Threats 16 to 27: links, symbolic and hard.

use crate::{
    arena::Arena,
    entries::{dir, fifo, file, hard, link, marker, tar},
    raw::{Raw, block, set},
};

#[test]
fn threat_16_nothing_is_written_through_links() {
    let arena = Arena::new();
    let out = arena.outside("");
    let out = out.trim_end_matches('/');
    let layer = tar(&[link("l", out), file("l/canary")]);
    arena.stays("16 an absolute link", &[layer], &["OUT/canary x", "l -> OUT"]);
    let layer = tar(&[link("l", "../outside"), file("l/canary")]);
    arena.stays(
        "16 a relative link",
        &[layer],
        &["l -> ../outside", "outside/", "outside/canary x"],
    );
    let layer = tar(&[
        link("a", ".."),
        link("b", "a/.."),
        link("c", "b/outside"),
        file("c/canary"),
    ]);
    arena.stays(
        "16 a chain of links",
        &[layer],
        &["a -> ..", "b -> a/..", "c -> b/outside", "outside/", "outside/canary x"],
    );
    let layers = [tar(&[link("l", out)]), tar(&[file("l/canary"), dir("l/directory")])];
    arena.stays(
        "16 a link of a lower layer",
        &layers,
        &["OUT/canary x", "OUT/directory/", "l -> OUT"],
    );
    let layer = tar(&[link("l", format!("{out}/canary")), file("l")]);
    arena.stays("16 a link at the end", &[layer], &["l x"]);
    let layer = tar(&[dir("d"), file("d/a"), link("d", out), file("d/canary")]);
    arena.stays(
        "16 a link that was a directory",
        &[layer],
        &["OUT/canary x", "d -> OUT"],
    );
    let layer = tar(&[link("l", format!("{out}/link")), file("l/canary")]);
    arena.stays(
        "16 a link to a link outside",
        &[layer],
        &["OUT/link/", "OUT/link/canary x", "l -> OUT/link"],
    );
}

#[test]
fn threat_17_a_directory_takes_the_place_of_a_link() {
    let arena = Arena::new();
    let layers = [
        tar(&[link("l", arena.outside("directory"))]),
        tar(&[dir("l"), file("l/canary")]),
    ];
    arena.stays("17 a directory on a link", &layers, &["l/", "l/canary x"]);
}

#[test]
fn threat_18_times_and_modes_that_are_set_late_are_set_inside() {
    let arena = Arena::new();
    let out = arena.outside("");
    let out = out.trim_end_matches('/');
    let layer = tar(&[dir("d"), link("d", out)]);
    arena.stays("18 a directory becomes a link", &[layer], &["d -> OUT"]);
    let layer = tar(&[dir("a/directory"), link("a", out)]);
    arena.stays("18 the one above becomes a link", &[layer], &["a -> OUT"]);
    let layers = [
        tar(&[file("a/directory/f")]),
        tar(&[file("a/directory/g"), link("a", out)]),
    ];
    arena.stays("18 one that was touched", &layers, &["a -> OUT"]);
}

#[test]
fn threat_19_nodes_and_attributes_are_made_inside() {
    let arena = Arena::new();
    let out = arena.outside("");
    let out = out.trim_end_matches('/');
    let layer = tar(&[
        link("l", out),
        fifo("l/canary"),
        dir("l/directory"),
        link("l/link", "a"),
    ]);
    arena.stays(
        "19 through a link",
        &[layer],
        &["OUT/canary|", "OUT/directory/", "OUT/link -> a", "l -> OUT"],
    );
    let layer = tar(&[link("l", out), crate::entries::device("l/canary", 1, 3)]);
    arena.stays("19 a device through a link", &[layer], &["OUT/canary?", "l -> OUT"]);
}

#[test]
fn threat_20_links_of_proc_are_names_like_others() {
    let arena = Arena::new();
    let layer = tar(&[
        link("root", "/proc/self/root"),
        file("root/a"),
        link("here", "/proc/self/cwd"),
        file("here/canary"),
        link("file", "/proc/self/fd/3"),
        file("file/b"),
    ]);
    arena.stays(
        "20 /proc",
        &[layer],
        &[
            "file -> /proc/self/fd/3",
            "here -> /proc/self/cwd",
            "proc/",
            "proc/self/",
            "proc/self/cwd/",
            "proc/self/cwd/canary x",
            "proc/self/fd/",
            "proc/self/fd/3/",
            "proc/self/fd/3/b x",
            "proc/self/root/",
            "proc/self/root/a x",
            "root -> /proc/self/root",
        ],
    );
}

#[test]
fn threat_21_circles_of_links_lead_nowhere() {
    let arena = Arena::new();
    for (what, entries) in [
        ("21 a link to itself", vec![link("l", "l"), file("l/a")]),
        ("21 a circle", vec![link("a", "b"), link("b", "a"), file("a/f")]),
        (
            "21 a circle with more",
            vec![link("a", "b/c"), link("b", "a"), file("a/f")],
        ),
    ] {
        arena.refused(what, &[tar(&entries)], "", 14);
    }
    let layer = tar(&[link("a", "b"), link("b", "a")]);
    arena.stays(
        "21 a circle that nobody uses",
        std::slice::from_ref(&layer),
        &["a -> b", "b -> a"],
    );
    let layers = [layer, tar(&[marker("a/.wh.f"), marker(".wh.a")])];
    arena.stays("21 a circle that is removed", &layers, &["b -> a"]);
}

#[test]
fn threat_22_links_that_multiply_are_refused_at_once() {
    let arena = Arena::new();
    let mut entries: Vec<_> = (0..40)
        .map(|number| link(format!("l{number}"), format!("l{}/", number + 1).repeat(8)))
        .collect();
    entries.push(link("l40", "."));
    entries.push(file("l0/f"));
    arena.refused("22 8^40 steps", &[tar(&entries)], "l0/f", 14);
}

#[test]
fn threat_23_a_sibling_with_the_same_beginning_is_outside() {
    let arena = Arena::new();
    let layer = tar(&[link("l", "../dest-evil"), file("l/canary"), file("../dest-evil/a")]);
    arena.stays(
        "23 dest-evil",
        &[layer],
        &["dest-evil/", "dest-evil/a x", "dest-evil/canary x", "l -> ../dest-evil"],
    );
    let absolute = arena.outside("../dest-evil/canary").replace("outside/../", "");
    arena.refused(
        "23 a hard link to it",
        &[tar(&[hard("h", absolute)])],
        "nothing is where it leads to",
        14,
    );
}

#[test]
fn threat_24_hard_links_lead_nowhere_outside() {
    let arena = Arena::new();
    let out = arena.outside("");
    let out = out.trim_end_matches('/');
    let words = "nothing is where it leads to";
    for (what, entries) in [
        ("24 absolute", vec![hard("h", format!("{out}/canary"))]),
        ("24 by ..", vec![hard("h", "../outside/canary")]),
        ("24 through a link", vec![link("l", out), hard("h", "l/canary")]),
        ("24 to where the process is", vec![hard("h", "canary")]),
        ("24 to a descriptor", vec![hard("h", "/proc/self/fd/3")]),
    ] {
        arena.refused(what, &[tar(&entries)], words, 14);
    }
    let layer = tar(&[link("s", format!("{out}/canary")), hard("h", "s"), file("h")]);
    arena.stays("24 to a link, and written to", &[layer], &["h x", "s -> OUT/canary"]);
    let layer = tar(&[link("l", out), file("a"), hard("l/canary", "a")]);
    arena.stays("24 into a link", &[layer], &["OUT/canary x", "a x", "l -> OUT"]);
}

#[test]
fn threat_25_hard_links_forward_to_themselves_and_to_directories_are_refused() {
    let arena = Arena::new();
    for (what, entries, words) in [
        (
            "25 forward",
            vec![hard("h", "later"), file("later")],
            "nothing is where it leads to",
        ),
        (
            "25 to itself",
            vec![file("a"), hard("a", "./a")],
            "a hard link to itself",
        ),
        (
            "25 to itself, through a link",
            vec![file("d/a"), link("l", "d"), hard("l/a", "d/a")],
            "a hard link to itself",
        ),
        (
            "25 to a directory",
            vec![dir("d"), hard("h", "d")],
            "a hard link to a directory",
        ),
        ("25 to the root", vec![hard("h", "/")], "a hard link to a directory"),
        (
            "25 in the place of its target's directory",
            vec![file("d/a"), hard("d", "d/a")],
            "nothing is where it leads to",
        ),
    ] {
        arena.refused(what, &[tar(&entries)], words, 14);
    }
}

#[test]
fn threat_26_a_hard_link_to_what_is_hidden_is_refused() {
    let arena = Arena::new();
    let below = tar(&[file("a"), file("d/a")]);
    for (what, entries) in [
        ("26 to what a whiteout hides", vec![marker(".wh.a"), hard("h", "a")]),
        (
            "26 to what is in a hidden directory",
            vec![marker(".wh.d"), hard("h", "d/a")],
        ),
        (
            "26 to what an opaque one hides",
            vec![marker("d/.wh..wh..opq"), hard("h", "d/a")],
        ),
    ] {
        let layers = [below.clone(), tar(&entries)];
        arena.refused(what, &layers, "nothing is where it leads to", 14);
    }
}

#[test]
fn threat_27_a_hard_link_with_content_is_refused() {
    let arena = Arena::new();
    let mut header = block(b'1', b"h", 1);
    set(&mut header, 157, b"a");
    let layer = Raw::new().file(b"a", b"x").bytes(&header).content(b"y").end();
    arena.refused("27 content in the header", &[layer], "have no content", 13);
    let layer = Raw::new()
        .file(b"a", b"x")
        .pax(&[("size", b"1")])
        .link(b'1', b"h", b"a")
        .content(b"y")
        .end();
    arena.refused("27 content by PAX", &[layer], "have no content", 13);
}
