//! Does what is broken off leave nothing behind and say so, and is a reader who has seen enough no failure?

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::{
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Layout, Room, image};

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|below| format!("{name}/{below}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_to_hold(holds), "{what}");
}

fn comes_to_hold(mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// How `unshare` makes a program the first of its own processes here; says loudly that it cannot.
fn as_first_process(test: &str) -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [
        &["--pid", "--fork", "--kill-child"],
        &["--user", "--map-root-user", "--pid", "--fork", "--kill-child"],
    ];
    let works = |way: &&&[&str]| {
        let ran = Command::new("unshare").args(**way).arg("true").output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    let found = ways.iter().find(works).copied();
    if found.is_none() {
        eprintln!("SKIPPED {test}: unshare --pid cannot be had");
    }
    found
}

#[test]
fn a_signal_leaves_no_temporary_files_and_the_exit_code_names_it() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let room = Room::new();
        room.teu(["init", "oci:images"]).succeeds();
        let before = files(&room.path("images"));
        assert_eq!(before, ["index.json", "oci-layout"]);
        let mut run = room.teu(["blob", "put", "oci:images", "-"]);
        let pipes = run
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("it runs");
        // Its input stays open: it waits for more when the signal comes.
        let mut input = child.stdin.take().expect("its input");
        input.write_all(&[0; 1 << 20]).expect("told");
        wait_until("a temporary file", || files(&room.path("images")).len() > before.len());
        let killed = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(killed.is_ok_and(|killed| killed.success()));
        let output = child.wait_with_output().expect("it ends");
        drop(input);
        assert_eq!(output.status.code(), Some(code), "{signal}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.starts_with("teu: stopped; ") && said.lines().count() == 1,
            "{said}"
        );
        assert_eq!(output.stdout, b"");
        assert_eq!(files(&room.path("images")), before, "{signal}");
    }
}

/// From the first process of a container the kernel keeps the signals that it does not ask for.
#[test]
fn the_first_process_of_a_container_is_stopped_from_its_first_moment_on() {
    let Some(way) = as_first_process("the_first_process_of_a_container_is_stopped") else {
        return;
    };
    let room = Room::new();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("set");
    let image = format!("docker://{}/app:1", server.local_addr().expect("an address"));
    let teu = [env!("CARGO_BIN_EXE_teu"), "digest", "--tls-verify=false", &image];
    let mut run = room.run("unshare", way.iter().chain(&teu));
    let mut child = run
        .0
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // It has asked, and gets no answer.
    let mut asked = None;
    wait_until("a question", || {
        asked = server.accept().ok();
        asked.is_some()
    });
    let id = child.id();
    let below = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("a list");
    let killed = Command::new("kill").args(["-s", "TERM", below.trim()]).status();
    assert!(killed.is_ok_and(|killed| killed.success()));
    let has_ended = comes_to_hold(|| child.try_wait().expect("a child").is_some());
    // What is above it takes it along.
    let _ = child.kill();
    let output = child.wait_with_output().expect("it ends");
    assert!(has_ended);
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("teu: stopped; "));
}

#[test]
fn a_time_limit_stops_it() {
    let room = Room::new();
    room.teu(["init", "oci:images"]).succeeds();
    let mut run = room.teu(["blob", "put", "--command-timeout", "100ms", "oci:images", "-"]);
    let pipes = run
        .0
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("it runs");
    let input = child.stdin.take().expect("its input");
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--command-timeout"));
}

#[test]
fn a_time_limit_stops_it_where_another_has_the_lock() {
    let room = Room::new();
    room.teu(["init", "oci:images"]).succeeds();
    room.file("blob", "content");
    let held = std::fs::File::open(room.path("images")).expect("a directory");
    held.lock().expect("its lock");
    let put = ["blob", "put", "--command-timeout", "100ms", "oci:images", "blob"];
    assert!(room.teu(put).fails(1).contains("--command-timeout"));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let room = Room::new();
    let layout: Layout = room.layout("images");
    let mut large = image();
    large.layers[0].1.resize(4 << 20, 0);
    layout.image("app", &large);
    let layer = teu_spec::Digest::of(&large.layers[0].1).to_string();
    for arguments in [
        &["blob", "get", "oci:images", &layer][..],
        &["ls", "oci:images"],
        &["help"],
        &["completion", "bash"],
    ] {
        let output = room.teu(arguments).unread();
        assert_eq!(
            (output.status.code(), output.stderr),
            (Some(0), Vec::new()),
            "{arguments:?}"
        );
    }
}
