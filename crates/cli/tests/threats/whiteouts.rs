//! Threats 28 to 35: whiteouts.

use crate::{
    arena::Arena,
    entries::{device, dir, fifo, file, link, marker, tar},
};

#[test]
fn threat_28_a_whiteout_of_nothing_is_refused() {
    let arena = Arena::new();
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."] {
        arena.refused(
            &format!("28 {name}"),
            &[tar(&[file("d/a")]), tar(&[marker(name)])],
            "it is a whiteout of nothing",
            14,
        );
    }
}

#[test]
fn threat_29_a_whiteout_through_a_link_hides_nothing_outside() {
    let arena = Arena::new();
    let layers = [
        tar(&[link("l", arena.outside("")), link("m", "../outside")]),
        tar(&[
            marker("l/.wh.canary"),
            marker("m/.wh.canary"),
            marker("../outside/.wh.canary"),
            marker(format!("{}/.wh.canary", arena.outside("directory"))),
        ]),
    ];
    arena.stays("29 through links", &layers, &["l -> OUT/", "m -> ../outside"]);
}

#[test]
fn threat_30_an_opaque_whiteout_through_a_link_hides_nothing_outside() {
    let arena = Arena::new();
    let below = tar(&[
        link("l", arena.outside("directory")),
        link("m", "../outside"),
        file("f"),
    ]);
    let layers = [
        below.clone(),
        tar(&[marker("l/.wh..wh..opq"), marker("m/.wh..wh..opq")]),
    ];
    arena.stays(
        "30 through links",
        &layers,
        &["f x", "l -> OUT/directory", "m -> ../outside"],
    );
    let below = [below, tar(&[link("n", "..")])];
    let layers = [&below[..], &[tar(&[marker("n/n/.wh..wh..opq")])]].concat();
    arena.stays("30 of the root, by a link", &layers, &[]);
}

#[test]
fn threat_31_a_whiteout_of_a_link_hides_the_link_alone() {
    let arena = Arena::new();
    let layers = [
        tar(&[file("d/f"), link("l", "d"), link("m", arena.outside("directory"))]),
        tar(&[marker(".wh.l"), marker(".wh.m")]),
    ];
    arena.stays("31 of links", &layers, &["d/", "d/f x"]);
}

#[test]
fn threat_32_a_whiteout_hides_nothing_of_its_own_layer() {
    let arena = Arena::new();
    let below = tar(&[file("a"), file("d/old"), link("l", "d")]);
    for (what, entries) in [
        (
            "32 after it",
            vec![file("a"), file("d/new"), marker(".wh.a"), marker("d/.wh..wh..opq")],
        ),
        (
            "32 before it",
            vec![marker(".wh.a"), marker("d/.wh..wh..opq"), file("a"), file("d/new")],
        ),
        (
            "32 by another way",
            vec![file("a"), file("d/new"), marker("l/../.wh.a"), marker("l/.wh..wh..opq")],
        ),
    ] {
        let layers = [below.clone(), tar(&entries)];
        arena.stays(what, &layers, &["a x", "d/", "d/new x", "l -> d"]);
    }
}

#[test]
fn threat_33_a_whiteout_of_a_full_directory_takes_all_in_it() {
    let arena = Arena::new();
    let full = tar(&[
        file("d/e/f/g"),
        link("d/l", arena.outside("directory")),
        fifo("d/p"),
        dir("d/closed"),
    ]);
    arena.stays("33 a whiteout", &[full.clone(), tar(&[marker(".wh.d")])], &[]);
    arena.stays("33 a file in its place", &[full.clone(), tar(&[file("d")])], &["d x"]);
    arena.stays(
        "33 an opaque whiteout of the root",
        &[full, tar(&[marker(".wh..wh..opq")])],
        &[],
    );
}

#[test]
fn threat_34_the_device_by_which_overlayfs_hides_is_not_made() {
    let arena = Arena::new();
    let layers = [tar(&[file("a")]), tar(&[device("a", 0, 0)])];
    arena.stays("34 0:0", &layers, &["a?"]);
}

#[test]
fn threat_35_whiteouts_repeated_cost_nothing() {
    let arena = Arena::new();
    let mut entries: Vec<_> = (0..2_000)
        .map(|number| file(format!("d/{}/{number}", number % 10)))
        .collect();
    // Each walked anew, these would be forty million steps.
    entries.extend((0..20_000).map(|number| match number % 3 {
        0 => marker("d/.wh..wh..opq"),
        1 => marker(".wh.d"),
        _ => marker(format!("d/{}/.wh..wh..opq", number % 10)),
    }));
    entries.push(crate::entries::hard("h", "nothing"));
    let layers = [tar(&[file("d/old")]), tar(&entries)];
    arena.refused("35 repeated", &layers, "nothing is where it leads to", 14);
}
