//! Other programs, where they are installed.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

/// Whether the programs that a test compares with are there; says so if not.
#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
pub(crate) fn available(test: &str, programs: &[&str]) -> bool {
    let missing = programs
        .iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        eprintln!("SKIPPED {test}: {program} is not installed");
    }
    missing.is_none()
}

/// What a program makes of its standard input.
#[track_caller]
#[allow(dead_code, reason = "each test program uses a part")]
pub(crate) fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let command = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = command.unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).unwrap();
        output
    });
    assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
    output
}
