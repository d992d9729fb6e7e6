//! Does memory stay bounded, however large a layer is and however many entries it has?
//!
//! The limit is that of the design, 128 MiB for a layer of 10 GiB and for a million entries; what `make test` runs is smaller, and the same. It is not
//! reached where layers are merged into one tree in memory (`files`, `analyze`, `cat`, `export`): there each entry may take a KiB more. A layer
//! is made while it is read: `teu append` has it on its standard input. What is measured is the peak that the kernel tells of an ended process.

#![expect(
    clippy::print_stderr,
    reason = "a test that cannot run here says so, and each what it measured"
)]

mod support;

use std::{
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
};

use support::{Room, peers};
use teu_archive::tar::{Header, Writer};

const LIMIT: u64 = 128 << 20;
const MIB: u64 = 1 << 20;
/// What an entry may take beside that in a tree of all layers.
const ENTRY: u64 = 1 << 10;

/// Runs what its arguments say and prints its peak in KiB; ends as it ended.
const MEASURE: &str = "import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))";

/// Runs `teu` with `input` to read; its peak in bytes.
fn peak(room: &Room, arguments: &[&str], input: impl FnOnce(&mut dyn Write) + Send + 'static) -> u64 {
    let python = ["-c", MEASURE, env!("CARGO_BIN_EXE_teu")];
    let mut run = room.run("python3", python.iter().chain(arguments));
    let command: &mut Command = &mut run.0;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("its input");
    let told = thread::spawn(move || input(&mut stdin));
    let output = child.wait_with_output().expect("it ends");
    told.join().expect("told");
    assert!(output.status.success(), "{arguments:?}");
    let peak = String::from_utf8(output.stdout).expect("a number");
    peak.trim().parse::<u64>().expect("KiB") << 10
}

/// Appends the layer that `layer` writes to a new image, and does with it all that goes through a layer; every peak is within the limit. `file` is one
/// of its files.
fn bounded(test: &str, what: &str, (entries, file): (u64, &str), layer: impl FnOnce(&mut dyn Write) + Send + 'static) {
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    let flag = match rustix::process::geteuid().is_root() {
        true => "--devices",
        false => "--rootless",
    };
    let touched = room.path("bundle/rootfs").join(file);
    // Nothing of what was kept in mind helps the next one.
    let forget = || drop(std::fs::remove_dir_all(room.home(".cache")));
    let steps: [&[&str]; 8] = [
        &["verify", "oci:images:app"],
        &["unpack", flag, "oci:images:app", "bundle"],
        &["files", "oci:images:app"],
        &["analyze", "oci:images:app"],
        &["cat", "oci:images:app", file],
        &["export", "oci:images:app"],
        &["repack", "bundle", "oci:images:same"],
        &["repack", "bundle", "oci:images:changed"],
    ];
    let mut peaks = vec![(
        "append".to_owned(),
        peak(&room, &["append", "oci:images:app", "-"], layer),
    )];
    for step in steps {
        forget();
        if step.contains(&"oci:images:changed") {
            // All of it is read again, and is in the new layer.
            std::fs::set_permissions(&touched, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        let name = match step {
            ["repack", .., "oci:images:changed"] => "repack of a change".to_owned(),
            step => step[0].to_owned(),
        };
        peaks.push((name, peak(&room, step, |_| {})));
    }
    for (verb, peak) in &peaks {
        eprintln!("{test}: {what}: {verb} took {} MiB", peak.div_ceil(MIB));
    }
    for (verb, peak) in peaks {
        let merges = matches!(verb.as_str(), "files" | "analyze" | "cat" | "export");
        let limit = LIMIT + if merges { entries * ENTRY } else { 0 };
        assert!(
            peak <= limit,
            "{verb} took {} MiB, and the limit is {}",
            peak / MIB,
            limit / MIB
        );
    }
}

/// Bytes without end that compress to a fiftieth: numbers, and letters between them.
struct Content {
    block: [u8; Content::BLOCK],
    number: u64,
}

impl Content {
    const BLOCK: usize = 4096;

    fn new() -> Self {
        Self {
            block: [b'x'; Self::BLOCK],
            number: 0,
        }
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        for number in self.block[..64].chunks_exact_mut(8) {
            // Knuth's multiplier spreads the bits of a count.
            self.number = self.number.wrapping_add(0x9e37_79b9_7f4a_7c15);
            number.copy_from_slice(&self.number.rotate_left(29).to_le_bytes());
        }
        let count = into.len().min(self.block.len());
        into[..count].copy_from_slice(&self.block[..count]);
        Ok(count)
    }
}

/// One file of so many bytes; no part of it can be a hole.
fn one_file(size: u64) -> impl FnOnce(&mut dyn Write) + Send + 'static {
    move |sink| {
        let mut writer = Writer::new(sink);
        let header = Header::file("data", size);
        writer.append_from(&header, Content::new().take(size)).expect("written");
        writer.finish().expect("whole");
    }
}

/// So many entries: directories of a thousand files, each with a path of 100 bytes, and every tenth file a link to the one before it.
fn many_entries(count: u64) -> impl FnOnce(&mut dyn Write) + Send + 'static {
    move |sink| {
        let mut sink = io::BufWriter::with_capacity(1 << 20, sink);
        let mut writer = Writer::new(&mut sink);
        let mut before = String::new();
        for number in 0..count {
            let path = path_of(number);
            let header = match number % 1000 {
                0 => Header::directory(path.rsplit_once('/').map_or("", |(directory, _)| directory)),
                place if place % 10 == 9 => Header::hard_link(path.clone(), before),
                _ => Header::file(path.clone(), 0),
            };
            writer.append(&header).expect("written");
            before = path;
        }
        writer.finish().expect("whole");
        sink.flush().expect("written");
    }
}

fn path_of(number: u64) -> String {
    format!("srv/{:0>40}/{number:0>54}", number / 1000)
}

#[test]
fn a_layer_of_256_mib_takes_no_more_than_others() {
    bounded(
        "a_layer_of_256_mib_takes_no_more_than_others",
        "256 MiB",
        (1, "data"),
        one_file(256 * MIB),
    );
}

#[test]
fn thirty_thousand_entries_take_no_more_than_few() {
    bounded(
        "thirty_thousand_entries_take_no_more_than_few",
        "30,000 entries",
        (30_000, &path_of(1)),
        many_entries(30_000),
    );
}

#[test]
#[ignore = "writes 10 GiB: TMPDIR names where"]
fn a_layer_of_10_gib_is_within_the_limit() {
    bounded(
        "a_layer_of_10_gib_is_within_the_limit",
        "10 GiB",
        (1, "data"),
        one_file(10 << 30),
    );
}

#[test]
#[ignore = "makes a million files: TMPDIR names where"]
fn a_million_entries_are_within_the_limit() {
    bounded(
        "a_million_entries_are_within_the_limit",
        "1,000,000 entries",
        (1_000_000, &path_of(1)),
        many_entries(1_000_000),
    );
}
