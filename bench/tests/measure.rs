//! Does `measure` tell what a command took, and nothing that it took itself?

use std::process::Command;

struct Said {
    line: String,
    errors: String,
}

fn measure(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_measure"))
        .args(arguments)
        .output()
        .expect("it runs");
    Said {
        line: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Said {
    fn number(&self, name: &str) -> f64 {
        let (_, rest) = self.line.split_once(&format!("\"{name}\": ")).expect("a field");
        let end = rest.find([',', '}']).expect("its end");
        rest[..end].parse().expect("a number")
    }
}

#[test]
fn a_command_runs_as_often_as_is_said() {
    let said = measure(&["3", "0", "/bin/sh", "-c", "echo once >&2; echo to nowhere"]);
    assert_eq!(said.errors, "once\nonce\nonce\n");
    assert_eq!((said.number("runs"), said.number("status")), (3.0, 0.0));
    assert_eq!(said.line.lines().count(), 1, "{}", said.line);
}

#[test]
fn it_ends_at_another_status() {
    for (script, wanted, runs, status) in [
        ("exit 1", "1", 2.0, 1.0),
        ("exit 3", "0", 1.0, 3.0),
        ("kill -9 $$", "0", 1.0, 137.0),
    ] {
        let said = measure(&["2", wanted, "/bin/sh", "-c", script]);
        assert_eq!((said.number("runs"), said.number("status")), (runs, status), "{script}");
    }
}

#[test]
fn memory_is_the_commands_and_that_of_what_it_waits_for() {
    const MIB: f64 = 1024.0 * 1024.0;
    let nothing = measure(&["1", "0", "/bin/true"]).number("rss") / MIB;
    assert!(
        nothing > 0.1 && nothing < 4.0,
        "who measures has {nothing} MiB in the way"
    );
    let script = "dd if=/dev/zero of=/dev/null bs=32M count=1 status=none; true";
    let much = measure(&["1", "0", "/bin/sh", "-c", script]).number("rss") / MIB;
    assert!((32.0..40.0).contains(&much), "{much} MiB");
}

#[test]
fn time_is_that_of_what_the_command_waits_for_too() {
    // The shell tells what it and its children took, rounded down; of the time that it takes itself a part comes after that.
    let script = "dd if=/dev/zero of=/dev/null bs=1M count=2000 status=none; times >&2";
    let said = measure(&["1", "0", "/bin/sh", "-c", script]);
    let seconds = |time: &str| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').expect("a time");
        60.0 * minutes.parse::<f64>().expect("minutes") + seconds.parse::<f64>().expect("seconds")
    };
    let told: f64 = said.errors.split_whitespace().map(seconds).sum();
    assert_eq!(said.errors.split_whitespace().count(), 4, "{}", said.errors);
    assert!(said.number("cpu") >= told, "{} of {told}", said.line);
}

#[test]
fn what_cannot_run_is_an_error() {
    let said = measure(&["1", "0", "/no/such/program"]);
    assert_eq!(said.line, "");
    assert!(
        said.errors.starts_with("measure: /no/such/program: "),
        "{}",
        said.errors
    );
}
