//! Does systemd take the unit that we give to operators, think well of it, and run it?

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use crate::support::{self, Room, image, peers};

#[test]
fn the_unit_is_understood_and_confined() {
    if !peers("the_unit_is_understood_and_confined", &["systemd-analyze"]) {
        return;
    }
    let room = Room::new();
    let unit = include_str!("../../../deploy/teu-serve.service");
    // systemd looks whether the program is there; what it is called elsewhere is the operator's.
    let unit = unit.replace("/usr/local/bin/teu", env!("CARGO_BIN_EXE_teu"));
    let path = room.file("teu-serve.service", unit);
    let path = path.to_str().expect("text");
    let verified = room.run("systemd-analyze", ["verify", "--man=no", path]).ran();
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""));
    // From 0, safe, to 100: what it may do is what a server must.
    let threshold = ["security", "--offline=true", "--threshold=20", "--no-pager", path];
    let judged = room.run("systemd-analyze", threshold).ran();
    assert_eq!(judged.code, 0, "{}", judged.stdout);
    // Its command line is one that we take.
    let line = unit_line("ExecStart=").replace("%S", room.path("state").to_str().expect("text"));
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let served = support::Served::of(room.teu(words.iter().copied().chain(["--listen", "127.0.0.1:0"])));
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    served.tell("HUP");
    assert_eq!(served.stop("TERM").0, Some(0));
    assert!(room.path("state/teu/metadata.sqlite").exists());
}

fn unit_line(key: &str) -> String {
    let unit = include_str!("../../../deploy/teu-serve.service");
    let line = unit.lines().find_map(|line| line.strip_prefix(key));
    line.expect("it is in the unit").to_owned()
}

/// In the systemd of this machine, booted once more beside itself: `serve_unit/try.sh` says what must hold.
#[test]
fn the_unit_serves_is_confined_and_ends_under_systemd() {
    const TEST: &str = "the_unit_serves_is_confined_and_ends_under_systemd";
    if !peers(TEST, &["unshare", "nsenter", "findmnt", "pivot_root", "awk", "find"]) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {TEST}: mounting needs root");
        return;
    }
    let room = Room::new();
    room.layout("images").image("one", &image());
    for (name, content) in [
        ("teu-serve.service", include_str!("../../../deploy/teu-serve.service")),
        ("try.service", include_str!("serve_unit/try.service")),
        ("try.target", include_str!("serve_unit/try.target")),
        ("try.sh", include_str!("serve_unit/try.sh")),
        ("boot.sh", include_str!("serve_unit/boot.sh")),
    ] {
        room.file(name, content);
    }
    let arguments = [room.path("boot.sh"), room.path(""), env!("CARGO_BIN_EXE_teu").into()];
    let ran = room.run("sh", &arguments).ran();
    if ran.code == 77 {
        eprintln!("SKIPPED {TEST}: {}", ran.stdout.trim());
        return;
    }
    let said = |name: &str| std::fs::read_to_string(room.path(name)).unwrap_or_default();
    assert!(
        ran.code == 0 && said("said").ends_with("tried\n"),
        "{ran:?}\n{}\n{}",
        said("said"),
        said("journal")
    );
}
