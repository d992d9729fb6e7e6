//! Is a file that was made before its turn the one that would have been made then?

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use support::{Arena, Aside, file, metadata};
use teu_rootfs::{Ahead, Budget, ErrorKind, Metadata, Options, Owners, Writer};

/// Metadata of all kinds.
fn kinds() -> Vec<Metadata> {
    let attributes = |names: &[&str]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        names
            .iter()
            .map(|name| (name.as_bytes().to_vec(), b"yes".to_vec()))
            .collect()
    };
    let is_root = rustix::process::geteuid().is_root();
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let own = |mode| Metadata {
        uid: user,
        gid: group,
        ..metadata(mode)
    };
    let mut all = vec![
        own(0o644),
        own(0),
        own(0o6755),
        Metadata {
            xattrs: attributes(&["user.a", "trusted.b"]),
            ..own(0o444)
        },
    ];
    if is_root {
        all.push(Metadata {
            uid: 12,
            gid: 34,
            ..metadata(0o2711)
        });
    }
    all
}

#[test]
fn it_has_all_that_it_would_have() {
    let one = Arena::new();
    let other = Arena::new();
    let (mut writer, mut later) = (one.writer(), other.writer());
    let mut aside = Aside::new(Options::default());
    for writer in [&mut writer, &mut later] {
        writer.directory(b"d", &metadata(0o2755)).unwrap();
    }
    let contents = [&b""[..], b"content", &[7; 100_000]];
    let mut unnamed = Vec::new();
    for (number, data) in kinds().iter().enumerate() {
        for (place, content) in contents.iter().enumerate() {
            let path = format!("d/{number}-{place}").into_bytes();
            file(&mut writer, &path, data, content).unwrap();
            unnamed.push((path.clone(), aside.make(&path, data, content).unwrap()));
        }
    }
    assert_eq!(aside.lying(), unnamed.len());
    for (path, unnamed) in unnamed {
        later.give_name(aside.root(), &path, unnamed).unwrap();
    }
    assert_eq!(aside.lying(), 0);
    let (report, later) = (writer.finish().unwrap(), later.finish().unwrap());
    assert_eq!(
        (report.entries, report.bytes, &report.xattrs, &report.set_id),
        (later.entries, later.bytes, &later.xattrs, &later.set_id)
    );
    let looks = |arena: &Arena| -> Vec<_> {
        let listed = fs::read_dir(arena.dest().join("d")).unwrap();
        let mut all: Vec<_> = listed
            .map(|entry| {
                let path = entry.unwrap().path();
                let seen = path.symlink_metadata().unwrap();
                let attribute = rustix::fs::getxattr(&path, "user.a", &mut [0; 8]).ok();
                let numbers = (
                    seen.mode(),
                    seen.uid(),
                    seen.gid(),
                    seen.nlink(),
                    seen.mtime(),
                    seen.atime(),
                );
                (
                    path.file_name().unwrap().to_owned(),
                    numbers,
                    attribute,
                    fs::read(&path).unwrap(),
                )
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(looks(&one), looks(&other));
    assert_eq!(
        one.dest().join("d").metadata().unwrap().mtime(),
        other.dest().join("d").metadata().unwrap().mtime()
    );
}

#[test]
fn the_second_wall_knows_its_attributes() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut aside = Aside::new(Options::default());
    let data = Metadata {
        xattrs: [(b"user.a".to_vec(), b"yes".to_vec())].into(),
        ..metadata(0o644)
    };
    aside.file(&mut writer, b"with", &data, b"x").unwrap();
    aside.file(&mut writer, b"without", &metadata(0o644), b"x").unwrap();
    let attributed = writer.finish().unwrap().attributed;
    let walk = teu_rootfs::walk::Walk::of(arena.root(), teu_rootfs::walk::Options::default());
    let mut walk = walk.unwrap();
    let mut found = Vec::new();
    while let Some(file) = walk.next_file().unwrap() {
        found.push((file.path.to_vec(), attributed.may_have(&file.stat)));
    }
    assert_eq!(
        found,
        [
            (b"".to_vec(), false),
            (b"with".to_vec(), true),
            (b"without".to_vec(), false)
        ]
    );
}

#[test]
fn it_takes_the_place_of_whatever_is_there() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut aside = Aside::new(Options::default());
    let data = metadata(0o644);
    file(&mut writer, b"file", &data, b"old").unwrap();
    file(&mut writer, b"directory/in/it", &data, b"old").unwrap();
    writer.symlink(b"link", &data, b"file").unwrap();
    writer.symlink(b"out", &data, &arena.path("OUT/canary")).unwrap();
    writer.hard_link(b"hard", b"file").unwrap();
    for path in ["file", "directory", "link", "out"] {
        aside.file(&mut writer, path.as_bytes(), &data, b"new").unwrap();
    }
    writer.finish().unwrap();
    arena.check("what is there");
    assert_eq!(
        arena.tree(),
        ["directory new", "file new", "hard old", "link new", "out new"]
    );
}

#[test]
fn it_is_its_layers_own() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut aside = Aside::new(Options::default());
    let data = metadata(0o644);
    aside.file(&mut writer, b"d/lower", &data, b"x").unwrap();
    writer.next_layer();
    aside.file(&mut writer, b"d/own", &data, b"x").unwrap();
    writer.remove(b"d/own").unwrap();
    writer.clear(b"d").unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.tree(), ["d/", "d/own x"]);
}

/// What is counted, and what is said, is what would have been if the files had been made when they got their names.
#[test]
fn it_is_refused_as_it_would_have_been() {
    let data = metadata(0o644);
    let link = "n".repeat(256);
    let cases: [(&str, &[u8], &Metadata, Budget); 7] = [
        (
            "entries",
            b"third",
            &data,
            Budget {
                entries: 2,
                ..Budget::default()
            },
        ),
        (
            "bytes",
            b"third",
            &data,
            Budget {
                bytes: 8,
                ..Budget::default()
            },
        ),
        (
            "file_bytes",
            b"third",
            &data,
            Budget {
                file_bytes: 3,
                ..Budget::default()
            },
        ),
        ("a name", link.as_bytes(), &data, Budget::default()),
        ("the root", b"a/..", &data, Budget::default()),
        ("below a file", b"one/below", &data, Budget::default()),
        (
            "an attribute without a name",
            b"third",
            &Metadata {
                xattrs: [(Vec::new(), Vec::new())].into(),
                ..metadata(0o644)
            },
            Budget::default(),
        ),
    ];
    for (name, path, third, budget) in cases {
        let options = Options {
            budget,
            ..Options::default()
        };
        let said = |ahead: bool| {
            let arena = Arena::new();
            let mut writer = Writer::new(&arena.root(), options.clone()).unwrap();
            let mut aside = Aside::new(options.clone());
            let mut make = |path: &[u8], data: &Metadata, content: &[u8]| match ahead {
                true => aside.file(&mut writer, path, data, content),
                false => file(&mut writer, path, data, content),
            };
            make(b"one", &data, b"123").unwrap();
            make(b"two", &data, b"123").unwrap();
            let error = make(path, third, b"1234").expect_err(name);
            (error.kind(), error.to_string())
        };
        assert_eq!(said(true), said(false), "{name}");
    }
}

/// Of one that could not be made, what would have been refused before that is.
#[test]
fn what_could_not_be_made_counts_as_far_as_it_came() {
    let arena = Arena::new();
    let budget = Budget {
        entries: 3,
        bytes: 10,
        ..Budget::default()
    };
    let options = Options {
        budget,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    writer.give_up(b"a", 6).unwrap();
    let error = writer.give_up(b"..", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let error = writer.give_up(b"b", 5).unwrap_err();
    assert!(error.to_string().contains("the limit bytes is 10"), "{error}");
    let error = writer.give_up(b"c", 0).unwrap_err();
    assert!(error.to_string().contains("the limit entries is 3"), "{error}");
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn what_is_kept_of_one_in_memory_counts() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut aside = Aside::new(Options::default());
    let path = ["n".repeat(200).as_str(); 20].join("/").into_bytes();
    let names = (0..8).map(|number| (format!("trusted.{number}").into_bytes(), b"yes".to_vec()));
    let data = Metadata {
        xattrs: names.collect(),
        ..metadata(0o644)
    };
    let plain = aside.make(&path, &metadata(0o644), b"").unwrap();
    assert_eq!(plain.held(), 0);
    let unnamed = aside.make(&path, &data, b"").unwrap();
    let examples = 8 * (path.len() + size_of::<Vec<u8>>());
    // The values are kept too: names of nine bytes, values of three, and what a file and a set of attributes take.
    let withheld = 8 * ("trusted.0".len() + 3 + 64) + size_of::<usize>() + 2 * size_of::<(u64, u64, usize)>();
    assert_eq!(unnamed.held(), examples + withheld);
    writer.give_name(aside.root(), &path, unnamed).unwrap();
    assert_eq!(writer.finish().unwrap().xattrs.count, 8);
}

#[test]
fn owners_that_a_directory_decides_are_not_made_ahead() {
    let arena = Arena::new();
    for owners in [Owners::Recorded, Owners::Forgotten] {
        let options = Options {
            owners,
            ..Options::default()
        };
        let error = Ahead::new(&arena.root(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

/// Somebody who can write in the tree puts a link where the name is to be, once and again.
#[test]
fn whoever_is_in_the_way_gets_nothing() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut aside = Aside::new(Options::default());
    symlink("../outside/canary", arena.dest().join("f")).unwrap();
    symlink("../outside", arena.dest().join("d")).unwrap();
    for path in ["f", "d/canary", "d"] {
        aside
            .file(&mut writer, path.as_bytes(), &metadata(0o644), b"x")
            .unwrap();
    }
    arena.check("links in the way");
}
