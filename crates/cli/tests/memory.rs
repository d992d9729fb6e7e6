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

mod support;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use support::{Room, Served, peers};
use teu_archive::tar::{Header, Writer};
use teu_spec::Algorithm;

const LIMIT: u64 = 128 << 20;
/// What a copy may take, which inflates nothing.
const COPIED: u64 = 64 << 20;
/// What a server may take, whatever is asked of it.
const SERVED: u64 = 100 << 20;
/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;
/// What each of some 200,000 entries may take.
const ENTRY: u64 = 192;

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

/// Appends the layer that `layer` writes to a new image, and a small one to that for another.
fn made(room: &Room, file: &str, layer: impl FnOnce(&mut dyn Write) + Send + 'static) -> u64 {
    room.teu(["new", "oci:images:app"]).succeeds();
    let peak = peak(room, &["append", "oci:images:app", "-"], 0, layer);
    room.teu(["copy", "oci:images:app", "oci:images:upper"]).succeeds();
    let mut tar = Writer::new(Vec::new());
    tar.append_data(&Header::file(file, 3), b"new").expect("written");
    std::fs::write(room.path("upper.tar"), tar.finish().expect("whole")).expect("written");
    room.teu(["append", "oci:images:upper", "upper.tar"]).succeeds();
    peak
}

/// Looks into an image with all that does; `file` is one of its files. Nothing of what was kept in mind helps the next one.
fn looked(room: &Room, file: &str) -> Peaks {
    let upper = "oci:images:upper";
    let steps = [
        ("files", vec![upper], 0),
        ("analyze", vec![upper], 0),
        ("cat", vec![upper, file], 0),
        ("export", vec![upper], 0),
        ("explore", vec![upper], 0),
        ("diff", vec!["oci:images:app", upper], 1),
        ("squash", vec![upper, "--to", "oci:images:one"], 0),
    ];
    let run = |(verb, arguments, code): &(&'static str, Vec<&str>, i32)| {
        drop(std::fs::remove_dir_all(room.home(".cache")));
        (*verb, peak(room, &[&[*verb], &arguments[..]].concat(), *code, |_| {}))
    };
    steps.iter().map(run).collect()
}

/// Unpacks the image, packs it again as it is, and with a change; takes all files out of it.
fn taken_apart(room: &Room, file: &str) -> Peaks {
    let flag = match rustix::process::geteuid().is_root() {
        true => "--devices",
        false => "--rootless",
    };
    let touched = room.path("bundle/rootfs").join(file);
    let unpack = peak(room, &["unpack", flag, "oci:images:app", "bundle"], 0, |_| {});
    let same = peak(room, &["repack", "bundle", "oci:images:same"], 0, |_| {});
    // All of it is read again, and is in the new layer.
    std::fs::set_permissions(&touched, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let changed = peak(room, &["repack", "bundle", "oci:images:changed"], 0, |_| {});
    std::fs::remove_dir_all(room.path("bundle")).expect("removed");
    let extract = extracted(room);
    vec![
        ("unpack", unpack),
        ("repack", same),
        ("repack of a change", changed),
        ("extract", extract),
    ]
}

/// Takes all files out of the image.
fn extracted(room: &Room) -> u64 {
    peak(room, &["extract", "oci:images:app", "/", "taken"], 0, |_| {})
}

/// Does with a layer all that goes through a layer; every peak is within the limit.
fn bounded(test: &str, what: &str, file: &str, layer: impl FnOnce(&mut dyn Write) + Send + 'static) {
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    let mut peaks = vec![("append", made(&room, file, layer))];
    peaks.push(("verify", peak(&room, &["verify", "oci:images:app"], 0, |_| {})));
    peaks.extend(looked(&room, file));
    peaks.extend(taken_apart(&room, file));
    told(test, what, &peaks);
    within(&peaks, LIMIT);
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
    let test = "a_layer_of_256_mib_takes_no_more_than_others";
    bounded(test, "256 MiB", "data", one_file(256 * MIB));
}

#[test]
fn a_copy_of_256_mib_takes_little_whichever_way_it_goes() {
    let test = "a_copy_of_256_mib_takes_little_whichever_way_it_goes";
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    // It is a blob of its own size.
    let append = ["append", "--compress=none", "oci:images:app", "-"];
    peak(&room, &append, 0, one_file(256 * MIB));
    let digest = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let server = Served::start(&room, &["--data", "depot"]);
    let there = server.image("app:1");
    let copies = [
        ("layout to registry", "oci:images:app", there.as_str()),
        ("registry to layout", &there, "oci:back:app"),
        ("registry to archive", &there, "oci-archive:app.tar:app"),
    ];
    let copied = |(name, from, to)| {
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        let copied = peak(&room, &[&["copy", from, to], &plain[..]].concat(), 0, |_| {});
        let found = room.teu(["digest", "--tls-verify=false", to]).succeeds().stdout;
        assert_eq!(found, digest, "{name}");
        (name, copied)
    };
    let peaks: Peaks = copies.map(copied).into();
    let archive = std::fs::metadata(room.path("app.tar")).expect("there").len();
    assert!(archive > 256 * MIB, "{archive} bytes went over the wire");
    told(test, "256 MiB", &peaks);
    within(&peaks, COPIED);
}

/// However much the clients of a server push at once, what came of it and waits has a limit for all of them.
#[test]
fn two_hundred_and_fifty_six_clients_push_at_once_into_100_mib() {
    const CLIENTS: u64 = 256;
    let room = Room::new();
    let server = Served::start(&room, &["--progress", "none", "--data", "depot"]);
    // All but the last bytes are everybody's.
    let content: Vec<u8> = (0..4 * MIB).map(|n| (n / 4096 + n % 251) as u8).collect();
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(&content);
    let ask = |stream: &mut BufReader<TcpStream>, parts: &[&[u8]]| {
        for part in parts {
            stream.get_mut().write_all(part).expect("sent");
        }
        let lines = stream.by_ref().lines().map(|line| line.expect("an answer in time"));
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let begin = || {
        let stream = TcpStream::connect(&server.address).expect("a connection");
        // No answer is an error; how long one takes is not what this is about.
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        let mut stream = BufReader::new(stream);
        let begun = ask(
            &mut stream,
            &[b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
        );
        let location = begun.iter().find_map(|line| line.strip_prefix("location: "));
        (stream, location.expect("where it goes on").to_owned())
    };
    let push = |number: u64, (mut stream, location): (BufReader<TcpStream>, String)| {
        let mut hasher = hasher.clone();
        hasher.update(&number.to_le_bytes());
        let (digest, length) = (hasher.finish(), content.len() + 8);
        let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let done = ask(&mut stream, &[head.as_bytes(), &content, &number.to_le_bytes()]);
        assert_eq!(done[0], "HTTP/1.1 201 Created");
    };
    // All are there before the first of them pushes.
    let all = thread::scope(|scope| {
        let begun: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(begin)).collect();
        let all = begun.into_iter().map(|begun| begun.join().expect("begun"));
        all.collect::<Vec<_>>()
    });
    thread::scope(|scope| {
        for (number, begun) in (0..).zip(all) {
            let push = &push;
            scope.spawn(move || push(number, begun));
        }
    });
    let peaks = vec![("256 clients", server.peak())];
    told(
        "two_hundred_and_fifty_six_clients_push_at_once_into_100_mib",
        "4 MiB each",
        &peaks,
    );
    within(&peaks, SERVED);
}

/// Nor does who begins manifests, which are gathered, and leaves them: they would be 1 GiB.
#[test]
fn two_hundred_and_fifty_six_manifests_that_do_not_end_are_bounded() {
    const CLIENTS: usize = 256;
    /// What is gathered, and what the connections have that it came by.
    const MOST: u64 = SERVED + 96 * MIB;
    let room = Room::new();
    let server = Served::start(&room, &["--progress", "none", "--data", "depot", "--idle-body", "2s"]);
    let head = "PUT /v2/app/manifests/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n";
    let content = [head.as_bytes(), &vec![b' '; 4 << 20][1..]].concat();
    let push = || {
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // It is let go before it has said all.
        let _ = stream.write_all(&content);
        let mut status = [0; 12];
        // Where the connection was reset behind it, what was said may be lost.
        let heard = stream.read_exact(&mut status);
        heard.ok().map(|()| String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let statuses = thread::scope(|scope| {
        let pushed: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(push)).collect();
        let ended = pushed.into_iter().map(|pushed| pushed.join().expect("it ends"));
        ended.collect::<Vec<_>>()
    });
    let others = statuses
        .iter()
        .flatten()
        .find(|status| !["408", "503"].contains(&status.as_str()));
    assert_eq!(others, None);
    let peaks = vec![("256 clients", server.peak())];
    let test = "two_hundred_and_fifty_six_manifests_that_do_not_end_are_bounded";
    told(test, "4 MiB each", &peaks);
    within(&peaks, MOST);
}

#[test]
fn thirty_thousand_entries_take_no_more_than_few() {
    let test = "thirty_thousand_entries_take_no_more_than_few";
    bounded(test, "30,000 entries", &path_of(1), many_entries(30_000));
}

#[test]
fn each_entry_takes_what_a_million_may() {
    let test = "each_entry_takes_what_a_million_may";
    if !peers(test, &["python3"]) {
        return;
    }
    const FEW: u64 = 20_000;
    const MANY: u64 = 220_000;
    let measured = |count: u64| {
        let room = Room::new();
        made(&room, &path_of(1), many_entries(count));
        let mut peaks = looked(&room, &path_of(1));
        peaks.push(("extract", extracted(&room)));
        told(test, &format!("{count} entries"), &peaks);
        peaks
    };
    for ((verb, few), (_, many)) in measured(FEW).into_iter().zip(measured(MANY)) {
        let each = many.saturating_sub(few) / (MANY - FEW);
        assert!(
            each <= ENTRY,
            "{verb} took {each} bytes for each entry more, and the limit is {ENTRY}"
        );
    }
}

#[test]
#[ignore = "writes 10 GiB: TMPDIR names where"]
fn a_layer_of_10_gib_is_within_the_limit() {
    let test = "a_layer_of_10_gib_is_within_the_limit";
    bounded(test, "10 GiB", "data", one_file(10 << 30));
}

#[test]
#[ignore = "makes a million files: TMPDIR names where"]
fn a_million_entries_are_within_the_limit() {
    let test = "a_million_entries_are_within_the_limit";
    bounded(test, "1,000,000 entries", &path_of(1), many_entries(1_000_000));
}
