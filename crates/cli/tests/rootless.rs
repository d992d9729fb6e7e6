//! Who is not root: does `teu` unpack, pack and run for him what it does for root, whatever the image closes to its owner?
//!
//! Root runs these as the user 1000, in a room of his own; whoever is not root, as himself.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use crate::support::{
    Room, Run, archive, bare, of, peers,
    tree::{Tree, difference, tree},
};
use serde_json::{Value, json};
use teu_archive::tar::{EntryKind, Header, Time, Writer};

const USER: u32 = 1000;

/// A room that belongs to the user, with the program in it.
struct Home(Room);

impl Home {
    /// None where nobody can be another user, which is said.
    fn new(test: &str) -> Option<Self> {
        if rustix::process::geteuid().is_root() && !peers(test, &["setpriv", "chown"]) {
            return None;
        }
        let home = Self(Room::new());
        // The directory of the build may be closed to others.
        fs::copy(env!("CARGO_BIN_EXE_teu"), home.0.path("../bin/teu")).expect("copied");
        Some(home)
    }

    /// Gives all that is there to the user.
    fn give(&self) {
        if rustix::process::geteuid().is_root() {
            let owner = format!("{USER}:{USER}");
            let top = self.0.path("..").canonicalize().expect("it is there");
            let top = top.to_str().expect("UTF-8");
            self.0.run("chown", ["-R", "-h", &owner, top]).succeeds();
        }
    }

    /// Any program, as the user.
    fn run(&self, program: &str, arguments: &[&str]) -> Run {
        match rustix::process::geteuid().is_root() {
            true => {
                let number = USER.to_string();
                let before = [
                    "--reuid",
                    &number,
                    "--regid",
                    &number,
                    "--clear-groups",
                    "--no-new-privs",
                    program,
                ];
                self.0.run("setpriv", before.iter().chain(arguments))
            }
            false => self.0.run(program, arguments),
        }
    }

    fn teu(&self, arguments: &[&str]) -> Run {
        let program = self.0.path("../bin/teu");
        self.run(program.to_str().expect("UTF-8"), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [&["-o", "json"], arguments].concat();
        serde_json::from_str(&self.teu(&arguments).succeeds().stdout).expect("JSON")
    }

    fn tree(&self, name: &str) -> Tree {
        tree(&self.0.path(name))
    }
}

fn owned(mut header: Header, mode: u32, uid: u32, gid: u32) -> Header {
    header.mode = mode;
    (header.uid, header.gid) = (uid, gid);
    header.mtime = Time {
        seconds: 1_600_000_000,
        nanoseconds: 0,
    };
    header
}

/// Two layers with all that an image may close to its owner, or give to others.
fn layers() -> Vec<Vec<u8>> {
    let file = |path: &str, mode, uid, gid| (owned(Header::file(path, 8), mode, uid, gid), "content\n");
    let directory = |path: &str, mode, uid| bare(owned(Header::directory(path), mode, uid, uid));
    let lower = archive(&[
        directory("./", 0o755, 0),
        directory("etc/", 0o755, 3),
        file("etc/passwd", 0o644, 0, 0),
        // As Fedora has it.
        file("etc/shadow", 0, 0, 0),
        file("etc/gshadow", 0o040, 7, 42),
        file("etc/gone", 0o600, 7, 42),
        directory("shut/", 0, 9),
        directory("shut/below/", 0o200, 9),
        file("shut/below/f", 0o100, 9, 9),
        directory("read-only/", 0o555, 5),
        file("read-only/f", 0o444, 5, 5),
        file("su", 0o4755, 0, 0),
        bare(owned(Header::hard_link("su2", "su"), 0o4755, 0, 0)),
        bare(owned(Header::symlink("link", "etc"), 0o777, 5, 5)),
        bare(owned(Header::new(EntryKind::Fifo, "pipe"), 0o620, 9, 9)),
    ]);
    let upper = archive(&[
        bare(Header::file("etc/.wh.gone", 0)),
        file("shut/below/g", 0o400, 1, 2),
        file("read-only/g", 0o404, 5, 5),
    ]);
    vec![lower, upper]
}

/// What is to be seen of a file but the owner that it cannot have, and what is written down of that.
fn without_owners(tree: &Tree) -> Tree {
    let seen = tree.iter().map(|(path, seen)| {
        let mut seen = seen.clone();
        seen.owner = (0, 0);
        seen.attributes.remove(teu_rootfs::RECORD);
        (path.clone(), seen)
    });
    seen.collect()
}

fn records(tree: &Tree) -> BTreeMap<&str, &str> {
    let records = tree.iter().filter_map(|(path, seen)| {
        let record = seen.attributes.get(teu_rootfs::RECORD)?;
        Some((path.as_str(), record.as_str()))
    });
    records.collect()
}

/// The mode of a file, given where it is.
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_user_has_the_files_that_root_has_and_their_owners_in_writing() {
    let test = "a_user_has_the_files_that_root_has_and_their_owners_in_writing";
    let Some(home) = Home::new(test) else { return };
    home.0.layout("images").image("app", &of(&layers()));
    home.give();
    home.teu(&["unpack", "oci:images:app", "bundle"]).fails(2);
    home.teu(&["unpack", "--rootless", "oci:images:app", "bundle"])
        .succeeds();
    let own = home.0.path("bundle").metadata().expect("it is there").uid();
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {test} beside root: only root gives files to others");
        return;
    }
    let ours = home.tree("bundle/rootfs");
    assert!(ours.values().all(|seen| seen.owner == (own, own)), "{ours:#?}");
    home.0
        .teu(["unpack", "--rootfs-only", "oci:images:app", "by-root"])
        .succeeds();
    let by_root = home.tree("by-root");
    let lines = difference(&without_owners(&ours), &without_owners(&by_root));
    assert!(lines.is_empty(), "{lines:#?}");
    // Links and pipes can have no such attribute.
    let expected: BTreeMap<&str, String> = by_root
        .iter()
        .filter(|(path, seen)| seen.owner != (0, 0) && !matches!(path.as_str(), "link" | "pipe"))
        .map(|(path, seen)| {
            (
                path.as_str(),
                teu_rootfs::record(seen.owner.0, seen.owner.1)
                    .escape_ascii()
                    .to_string(),
            )
        })
        .collect();
    let written: BTreeMap<&str, String> = records(&ours)
        .into_iter()
        .map(|(path, record)| (path, record.to_owned()))
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn what_a_user_unpacked_and_packs_comes_back_as_it_was() {
    let test = "what_a_user_unpacked_and_packs_comes_back_as_it_was";
    let Some(home) = Home::new(test) else { return };
    home.0.layout("images").image("app", &of(&layers()));
    home.give();
    home.teu(&["unpack", "--rootless", "oci:images:app", "bundle"])
        .succeeds();
    let before = home.tree("bundle/rootfs");
    for _ in 0..2 {
        let packed = home.json(&["repack", "bundle", "oci:images:same"]);
        assert_eq!(packed["layers"], json!([]), "{packed}");
        let lines = difference(&before, &home.tree("bundle/rootfs"));
        assert!(lines.is_empty(), "packing changed: {lines:#?}");
    }
    // Changes, as the user makes them.
    let script = "set -e; cd bundle/rootfs
        chmod 600 etc/shadow; echo changed > etc/shadow; chmod 0 etc/shadow
        chmod 755 shut; chmod 755 shut/below; echo new > shut/below/new; rm -f shut/below/f; chmod 0 shut/below/new; chmod 200 shut/below; chmod 0 shut
        chmod 755 read-only; rm -f read-only/f; chmod 555 read-only
        mkdir made; echo x > made/x; ln made/x made/y; chmod 711 su; rm link; ln -s nowhere link";
    home.run("sh", &["-c", script]).succeeds();
    let changed = home.tree("bundle/rootfs");
    let packed = home.json(&["repack", "bundle", "oci:images:changed"]);
    assert_eq!(packed["layers"].as_array().map(Vec::len), Some(1), "{packed}");
    let lines = difference(&changed, &home.tree("bundle/rootfs"));
    assert!(lines.is_empty(), "packing changed: {lines:#?}");
    home.teu(&["unpack", "--rootless", "oci:images:changed", "again"])
        .succeeds();
    let without_fractions = |tree: Tree| -> Tree {
        let seen = tree.into_iter().map(|(path, mut seen)| {
            seen.time.1 = 0;
            (path, seen)
        });
        seen.collect()
    };
    let lines = difference(
        &without_fractions(changed),
        &without_fractions(home.tree("again/rootfs")),
    );
    assert!(lines.is_empty(), "{lines:#?}");
    if rustix::process::geteuid().is_root() {
        // Whoever can, gives the files to their owners again.
        home.0
            .teu(["unpack", "--rootfs-only", "oci:images:changed", "by-root"])
            .succeeds();
        let by_root = home.tree("by-root");
        let owners = ["etc/gshadow", "etc/shadow", "shut", "shut/below/g", "made/x"].map(|path| by_root[path].owner);
        assert_eq!(owners, [(7, 42), (0, 0), (9, 9), (1, 2), (0, 0)]);
    }
}

#[test]
fn a_user_maps_what_is_his_and_nothing_else() {
    let Some(home) = Home::new("a_user_maps_what_is_his_and_nothing_else") else {
        return;
    };
    let roots = archive(&[(owned(Header::file("a", 1), 0o600, 0, 0), "x")]);
    home.0.layout("images").image("roots", &of(&[roots]));
    home.0.layout("images").image("app", &of(&layers()));
    home.give();
    let own = fs::metadata(home.0.path("")).expect("it is there").uid();
    let (users, groups) = (format!("--uid-map=0:{own}"), format!("--gid-map=0:{own}"));
    home.teu(&["unpack", &users, &groups, "oci:images:roots", "mapped"])
        .succeeds();
    assert_eq!(home.tree("mapped/rootfs")["a"].owner, (own, own));
    let packed = home.json(&["repack", "mapped", "oci:images:same"]);
    assert_eq!(packed["layers"], json!([]), "{packed}");
    let said = home
        .teu(&["unpack", &users, &groups, "oci:images:app", "dest"])
        .fails(1);
    assert!(
        said.contains("is in no range of the map; map it too") && said.contains("(--rootless)"),
        "{said}"
    );
    // Others' numbers can be mapped, and not given.
    let said = home
        .teu(&[
            "unpack",
            "--uid-map=0:4000:70000",
            "--gid-map=0:4000:70000",
            "oci:images:app",
            "dest",
        ])
        .fails(1);
    assert!(said.contains("only root can give files away"), "{said}");
    assert!(!home.0.path("dest").exists());
}

#[test]
fn what_is_closed_to_a_user_is_said_and_left() {
    let Some(home) = Home::new("what_is_closed_to_a_user_is_said_and_left") else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED what_is_closed_to_a_user_is_said_and_left: it takes files of another user");
        return;
    }
    home.0.layout("images").image("app", &of(&layers()));
    home.give();
    home.teu(&["unpack", "--rootless", "oci:images:app", "bundle"])
        .succeeds();
    let file = home.0.path("bundle/rootfs/etc/passwd");
    fs::write(&file, "root's").expect("written");
    chown(&file, Some(0), Some(0)).expect("an owner");
    set_mode(&file, 0o600);
    let said = home.teu(&["repack", "bundle", "oci:images:changed"]).fails(1);
    assert!(
        said.contains("etc/passwd") && said.contains("Permission denied"),
        "{said}"
    );
    fs::create_dir(home.0.path("closed")).expect("made");
    let said = home
        .teu(&["unpack", "--rootless", "oci:images:app", "closed/dest"])
        .fails(1);
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(fs::read_dir(home.0.path("closed")).expect("a directory").count(), 0);
    // Half made, with directories that are closed already, it goes again.
    let bad = archive(&[
        bare(owned(Header::directory("shut/"), 0, 9, 9)),
        (owned(Header::file("shut/f", 1), 0, 9, 9), "x"),
        bare(Header::hard_link("h", "nothing")),
    ]);
    home.0.layout("images").image("bad", &of(&[bad]));
    home.give();
    home.teu(&["unpack", "--rootless", "oci:images:bad", "dest"]).fails(1);
    let left = fs::read_dir(home.0.path("")).expect("a directory");
    let hidden = left.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with('.'))
    });
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_runtime_runs_a_users_bundle() {
    let test = "a_runtime_runs_a_users_bundle";
    let Some(home) = Home::new(test) else { return };
    if !peers(test, &["runc", "ldd"]) {
        return;
    }
    let needs = home.0.run("ldd", ["/bin/sh"]).succeeds().stdout;
    let needs = needs.split_whitespace().filter(|word| word.starts_with('/'));
    let mut tar = Writer::new(Vec::new());
    for path in needs.chain(["/bin/sh"]) {
        let content = fs::read(path).expect("read");
        let header = owned(Header::file(&path[1..], content.len() as u64), 0o755, 0, 0);
        tar.append_data(&header, &content).expect("written");
    }
    for directory in ["proc/", "dev/", "sys/"] {
        let header = owned(Header::directory(directory), 0o755, 0, 0);
        tar.append_data(&header, b"").expect("written");
    }
    let mut made = of(&[tar.finish().expect("whole")]);
    made.config["config"] = json!({"Entrypoint": ["/bin/sh", "-c", "echo runs; read a < /proc/self/uid_map; echo $a"]});
    home.0.layout("images").image("app", &made);
    home.give();
    home.teu(&["unpack", "--rootless", "oci:images:app", "bundle"])
        .succeeds();
    let state = home.0.path("state");
    let name = format!("teu-rootless-{}", std::process::id());
    let arguments = [
        "--root",
        state.to_str().expect("UTF-8"),
        "run",
        "--bundle",
        "bundle",
        &name,
    ];
    let ran = home.run("runc", &arguments).ran();
    if ran.code != 0 && ran.stdout.is_empty() {
        eprintln!("SKIPPED {test}: runc runs no bundle of a user here: {}", ran.stderr);
        return;
    }
    let own = fs::metadata(home.0.path("")).expect("it is there").uid();
    assert_eq!(ran.stdout, format!("runs\n0 {own} 1\n"), "{}", ran.stderr);
}
