//! Does memory stay bounded, however large a layer is and however many entries it has?
//!
//! The limit is that of the design, 128 MiB for a layer of 10 GiB and for a million entries, whatever is done with them, and half of that for a copy. What
//! `make test` runs is smaller, and there each entry that comes more may take so much: with its line in the table of contents, which lies in a file
//! only where it is larger. A layer is made while it is read: `teu append` has it on its standard input. What is measured is the peak that
//! the kernel tells of an ended process.

#![expect(
    clippy::print_stderr,
    reason = "a test that cannot run here says so, and each what it measured"
)]

mod clients;
mod copies;
mod layers;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{self, Read, Write},
    process::{Command, Stdio},
    thread,
};

use support::Room;
use teu_archive::tar::{Header, Writer};

const MIB: u64 = 1 << 20;

/// Runs what its arguments say and prints its peak in KiB; ends as it ended.
const MEASURE: &str = "import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))";

/// The same in a terminal, until the whole image was looked at; then `q` ends it.
const MEASURE_SCREEN: &str = "import fcntl, os, pty, struct, sys, termios
pid, screen = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
    os.environ['TERM'] = 'xterm-256color'
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
asked = False
while True:
    try:
        piece = os.read(screen, 65536)
    except OSError:
        break
    seen += piece
    if not asked and b'Files up to layer' in seen and b'efficiency' in seen:
        asked = True
        os.write(screen, b'q')
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) or not asked)";

/// Runs `teu` with `input` to read; its peak in bytes. It ends with this code.
fn peak(room: &Room, arguments: &[&str], code: i32, input: impl FnOnce(&mut dyn Write) + Send + 'static) -> u64 {
    let script = if arguments[0] == "explore" {
        MEASURE_SCREEN
    } else {
        MEASURE
    };
    let python = ["-c", script, env!("CARGO_BIN_EXE_teu"), "--progress", "none"];
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
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    let peak = String::from_utf8(output.stdout).expect("a number");
    peak.trim().parse::<u64>().expect("KiB") << 10
}

/// What each verb took at most, in bytes.
type Peaks = Vec<(&'static str, u64)>;

fn told(test: &str, what: &str, peaks: &Peaks) {
    for (verb, peak) in peaks {
        eprintln!("{test}: {what}: {verb} took {} MiB", peak.div_ceil(MIB));
    }
}

fn within(peaks: &Peaks, limit: u64) {
    for (verb, peak) in peaks {
        assert!(
            *peak <= limit,
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
