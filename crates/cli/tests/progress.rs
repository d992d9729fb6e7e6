//! Is progress told on standard error in the form that was asked for, and nothing else on standard output?

use crate::support::{Room, image};
use serde_json::{Value, json};

/// What a copy of an image says on standard error, and on standard output.
fn copied(progress: &str, room: &Room) -> (String, String) {
    let ran = room
        .teu(["copy", "--progress", progress, "oci:images:app", "oci:other:app"])
        .succeeds();
    (ran.stderr, ran.stdout)
}

#[test]
fn each_form_of_progress() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image());
    let result = format!("{digest}\n");

    let (progress, printed) = copied("json", &room);
    assert_eq!(printed, result);
    let events: Vec<Value> = progress
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"planned"));
    assert_eq!(kinds.last(), Some(&"manifest-done"));
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "blob-started").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "blob-done").count(),
        2,
        "{kinds:?}"
    );
    let last = events.last().expect("an event");
    let expected = json!({"event": "manifest-done", "digest": digest, "names": ["app"], "existed": false});
    assert_eq!(*last, expected);

    // What is asked for is a terminal's, and there is none: lines serve.
    for form in ["plain", "tty", "auto"] {
        let (progress, printed) = copied(form, &room);
        let lines: Vec<&str> = progress.lines().collect();
        let exists = |line: &&str| line.starts_with("blob ") && line.ends_with(" exists");
        assert_eq!(lines.iter().filter(|line| exists(line)).count(), 2, "{lines:?}");
        let last = format!("manifest {} exists as app", digest.short());
        assert_eq!((&lines[2..], printed), (&[last.as_str()][..], result.clone()), "{form}");
    }
    assert_eq!(copied("none", &room), (String::new(), result.clone()));
    let quiet = room
        .teu(["copy", "--quiet", "oci:images:app", "oci:other:app"])
        .succeeds();
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.as_str()), ("", ""));
}

#[test]
fn no_colour_and_no_bars_without_a_terminal() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    for arguments in [
        &["help"][..],
        &["copy", "--help"],
        &["copy", "oci:images:app", "oci:other:app"],
        &["copy"],
    ] {
        let ran = room.teu(arguments).env("CLICOLOR", "1").ran();
        assert!(
            !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
            "{ran:?}"
        );
    }
}
