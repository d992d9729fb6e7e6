//! Is all that `teu serve` acknowledged there after it was killed, or the power cut, and nothing that is half? Clients push, move, delete and upload
//! over sockets until the whole process is gone; then it is started again and asked for everything (threat 103).
//!
//! It is killed at moments, and at calls of the kernel: each of those that change something, so that every step of a push, the database's own
//! among them, is one that it does not come back from.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that is passed over says so"
)]

#[path = "../../../registry/tests/support/client.rs"]
mod client;
mod powercut;
mod pushers;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use pushers::Told;
use rustix::fs::{Mode, OFlags};
use support::{Room, Run, Served, peers};

/// How long clients push where nothing ends the server.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says nothing of each request, and what it keeps is where the test says.
fn arguments(data: &Path) -> Vec<String> {
    let data = data.to_str().expect("text");
    let words = [
        "serve",
        "--progress",
        "none",
        "--deletes",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
    ];
    words.map(str::to_owned).to_vec()
}

fn serve(room: &Room, data: &Path) -> Served {
    Served::of(room.teu(arguments(data)))
}

/// Starts it once more, for everything that was told, and ends it as it should end.
fn check(room: &Room, data: &Path, told: &mut Told) {
    let served = serve(room, data);
    assert_ne!(served.address, "", "it starts");
    told.check(&served.address);
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    // An upload whose beginning nobody was told of is one all the same; nothing else is left.
    for entry in fs::read_dir(data.join("uploads")).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        assert!(name.to_string_lossy().starts_with("s-"), "{name:?} is left");
    }
}

/// Has clients push to a server until it is killed.
fn killed_after(served: &Served, told: &mut Told, moment: Duration) {
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            thread::sleep(moment);
            served.tell("KILL");
        });
        told.push(&served.address, PATIENCE);
        killer.join().expect("killed");
    });
}

/// Does a round at each of these moments, in milliseconds, and again at twice the moment where nobody was told anything by then: a slow disk takes
/// longer than that.
fn at_moments(told: &mut Told, moments: &[u64], mut round: impl FnMut(&mut Told, Duration)) {
    for moment in moments {
        let (before, mut moment) = (told.count(), Duration::from_millis(*moment));
        loop {
            round(told, moment);
            if told.count() > before {
                break;
            }
            moment *= 2;
            assert!(moment < PATIENCE, "nothing could be lost in {:?}", moment / 2);
        }
    }
}

#[test]
fn killed_at_any_moment_it_loses_nothing() {
    let room = Room::new();
    let (data, mut told) = (room.path("data"), Told::default());
    at_moments(&mut told, &[30, 60, 100, 150, 210, 280, 360, 450], |told, moment| {
        killed_after(&serve(&room, &data), told, moment);
        check(&room, &data, told);
    });
}

/// The calls by which something comes to be, lasts, moves or goes.
const CALLS: [&str; 10] = [
    "mkdirat",
    "openat",
    "write",
    "pwrite64",
    "writev",
    "fdatasync",
    "fsync",
    "renameat",
    "unlinkat",
    "ftruncate",
];
/// Those of them that a push comes to not often.
const RARE: [&str; 3] = ["mkdirat", "unlinkat", "ftruncate"];

/// The server, which is killed instead of making a call for the `count`th time in one of its threads; `seen` gets the calls.
fn killed_at(room: &Room, data: &Path, call: &str, count: usize, seen: &Path) -> Run {
    let inject = format!("inject={call}:signal=KILL:when={count}");
    let trace = format!("trace={call}");
    let mut run = room.run("strace", ["-D", "-f", "-qqq", "-y", "-o"]);
    run.0.arg(seen);
    run.0.args(["-e", &trace, "-e", &inject, env!("CARGO_BIN_EXE_teu")]);
    run.0.args(arguments(data));
    run
}

fn can_trace(test: &str) -> bool {
    if !peers(test, &["strace"]) {
        return false;
    }
    let probe = Command::new("strace")
        .args(["-D", "-f", "-qqq", "-o", "/dev/null", "true"])
        .output();
    let works = probe.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED {test}: strace may not trace here");
    }
    works
}

/// Kills it at these calls of each kind, beginning with a directory that is there; how many it lived through, for want of as many calls.
fn at_calls(counts: impl Fn(usize) -> Vec<usize>) {
    let room = Room::new();
    for (place, call) in CALLS.into_iter().enumerate() {
        let (data, mut told) = (room.path(format!("data-{call}")), Told::default());
        check(&room, &data, &mut told);
        for count in counts(place) {
            let served = Served::of(killed_at(&room, &data, call, count, Path::new("/dev/null")));
            let begin = Instant::now();
            // One that was killed before it could be asked has told nothing.
            if !served.address.is_empty() {
                let time = if RARE.contains(&call) {
                    Duration::from_secs(1)
                } else {
                    PATIENCE
                };
                told.push(&served.address, time);
            }
            let lived = begin.elapsed() >= PATIENCE;
            assert!(!lived, "{call} was not called {count} times in {PATIENCE:?}");
            drop(served);
            check(&room, &data, &mut told);
        }
        assert!(
            RARE.contains(&call) || told.count() > 0,
            "{call}: nothing could be lost"
        );
    }
}

#[test]
fn killed_at_each_call_it_loses_nothing() {
    if can_trace("killed_at_each_call_it_loses_nothing") {
        at_calls(|_| vec![1, 25, 60]);
    }
}

/// What is large is written by `writev`, as answers are, which are more: a client that pushes nothing else has had one when the second piece of a thread
/// is written.
#[test]
fn killed_at_a_large_piece_it_loses_nothing() {
    let test = "killed_at_a_large_piece_it_loses_nothing";
    if !can_trace(test) {
        return;
    }
    let room = Room::new();
    let past_cache = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT;
    if let Err(error) = rustix::fs::open(room.path("probe"), past_cache, Mode::RUSR) {
        eprintln!("SKIPPED {test}: nothing is written past the cache here: {error}");
        return;
    }
    let (data, seen, mut told) = (room.path("data"), room.path("seen"), Told::default());
    check(&room, &data, &mut told);
    let served = Served::of(killed_at(&room, &data, "writev", 2, &seen));
    told.push_large(&served.address);
    drop(served);
    // The call that it did not come back from is written down last.
    let begin = Instant::now();
    let calls = loop {
        let calls = fs::read_to_string(&seen).expect("calls");
        if calls.contains("= ?") || begin.elapsed() > PATIENCE {
            break calls;
        }
        thread::yield_now();
    };
    assert_eq!(calls.matches("HTTP/1.1").count(), 1, "answers among {calls}");
    assert!(calls.contains("/uploads/") && calls.contains("= ?"), "{calls}");
    check(&room, &data, &mut told);
}

/// Of forty counts, further apart the later, each kind of call is killed at every sixth, and each at others than the one before: so it ends within minutes.
#[test]
#[ignore = "long"]
fn killed_at_very_many_calls_it_loses_nothing() {
    if can_trace("killed_at_very_many_calls_it_loses_nothing") {
        at_calls(|place| (place % 6..40).step_by(6).map(|n| 1 + n * (n + 3) / 4).collect());
    }
}
