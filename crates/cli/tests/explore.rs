//! Is `teu explore` seen and led in a real terminal, and is that terminal what it was, however it ends?

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::support::{Room, image, peers};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use teu_archive::tar::{Header, Writer};
use teu_spec::Digest;

fn made(room: &Room) {
    let archive = |entries: &[(&str, &str)]| {
        let mut tar = Writer::new(Vec::new());
        for (path, content) in entries {
            tar.append_data(&Header::file(*path, content.len() as u64), content.as_bytes())
                .expect("written");
        }
        tar.finish().expect("whole")
    };
    let layers = [
        archive(&[("etc/motd", "hello from within\n")]),
        archive(&[("opt/upper", "")]),
    ];
    let mut made = image();
    let digests: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    made.config["rootfs"]["diff_ids"] = json!(digests);
    made.config["history"] = json!([{"created_by": "ADD base"}, {"created_by": "COPY upper"}]);
    let kind = "application/vnd.oci.image.layer.v1.tar".to_owned();
    made.layers = layers.iter().map(|layer| (kind.clone(), layer.clone())).collect();
    room.layout("images").image("app", &made);
}

/// A terminal of 100 columns and 30 lines, in which `teu explore` runs.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    raw: Vec<u8>,
}

impl Terminal {
    pub(crate) fn start(room: &Room, flags: &[&str]) -> Self {
        let script = format!(
            "stty rows 30 cols 100; stty -g >before; \
             sh -c 'echo $$ >pid; exec teu --progress=none explore {} oci:images:app'; echo code=$?; stty -g >after",
            flags.join(" ")
        );
        let mut run = room.run(
            "script",
            ["--quiet", "--flush", "--return", "--command", &script, "/dev/null"],
        );
        let programs = std::path::Path::new(env!("CARGO_BIN_EXE_teu"))
            .parent()
            .expect("a directory");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let command = run.0.env("PATH", path).env("TERM", "xterm-256color");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let keys = child.stdin.take().expect("its keys");
        let mut screen = child.stdout.take().expect("its screen");
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if send.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            output,
            raw: Vec::new(),
        }
    }

    /// Waits until something stands on the screen.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        while !seen(&self.raw).iter().any(|line| line.contains(text)) {
            match self.output.recv_timeout(Duration::from_secs(60)) {
                Ok(more) => self.raw.extend(more),
                Err(_) => panic!("{text:?} does not come:\n{}", seen(&self.raw).join("\n")),
            }
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
        self.keys.flush().expect("typed");
    }

    /// Waits for the end, before which nothing was drawn; what was said, and the exit code in its last line.
    pub(crate) fn says(mut self) -> String {
        while let Ok(more) = self.output.recv_timeout(Duration::from_secs(60)) {
            self.raw.extend(more);
        }
        self.child.wait().expect("it ends");
        let text = String::from_utf8_lossy(&self.raw).into_owned();
        assert!(!text.contains('\x1b'), "{text:?}");
        text
    }

    /// Waits for the end, after which the terminal must be what it was.
    #[track_caller]
    pub(crate) fn ends(mut self, room: &Room, code: i32) -> String {
        while let Ok(more) = self.output.recv_timeout(Duration::from_secs(60)) {
            self.raw.extend(more);
        }
        self.child.wait().expect("it ends");
        let text = String::from_utf8_lossy(&self.raw).into_owned();
        let read = |name: &str| std::fs::read_to_string(room.path(name)).expect("written");
        assert_eq!(read("after"), read("before"), "the settings of the terminal");
        for (taken, given_back) in [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")] {
            assert!(
                text.rfind(taken).expect("taken") < text.rfind(given_back).expect("given back"),
                "{text:?}"
            );
        }
        let after = text.rsplit("\x1b[?1049l").next().unwrap_or_default().to_owned();
        assert!(after.ends_with(&format!("code={code}\r\n")), "{after:?}");
        after
    }
}

/// What stands on a screen to which this was written: text, and the few things of a terminal that are asked of it.
fn seen(raw: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(raw);
    let mut lines = vec![vec![' '; 100]; 30];
    let (mut x, mut y) = (0, 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next_if_eq(&'[').is_some() => {
                let mut numbers = String::new();
                let end = loop {
                    match chars.next() {
                        Some(c @ ('0'..='9' | ';' | '?')) => numbers.push(c),
                        end => break end,
                    }
                };
                let is_other = numbers == "?1049";
                let mut numbers = numbers.split(';').map(|number| number.parse().unwrap_or(1_usize));
                match end {
                    Some('H') => (y, x) = (numbers.next().unwrap_or(1) - 1, numbers.next().unwrap_or(1) - 1),
                    // A screen of its own, or one that is cleared.
                    Some('J' | 'h') if end == Some('J') || is_other => lines.iter_mut().for_each(|line| line.fill(' ')),
                    _ => {}
                }
            }
            c if !c.is_control() => {
                if let Some(cell) = lines.get_mut(y).and_then(|line| line.get_mut(x)) {
                    *cell = c;
                }
                x += 1;
            }
            _ => {}
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect()).collect()
}

#[test]
fn an_image_is_walked_through_and_the_terminal_given_back() {
    if !peers(
        "an_image_is_walked_through_and_the_terminal_given_back",
        &["script", "stty"],
    ) {
        return;
    }
    let room = Room::new();
    made(&room);
    let mut terminal = Terminal::start(&room, &[]);
    terminal.shows("Files up to layer 0, 18 B");
    terminal.shows("efficiency 1.0000");
    terminal.types("]");
    terminal.shows("COPY upper");
    terminal.shows("Files up to layer 1, 18 B");
    terminal.types("/motd\r");
    terminal.shows("/etc/motd  -rw-r--r-- 0:0  layer 0");
    terminal.types("\r");
    terminal.shows("hello from within");
    terminal.types("q?");
    terminal.shows("to the other side");
    // Whoever has no shell to go on from is stopped by nothing, and all is drawn anew.
    terminal.types("q\x1a[");
    terminal.shows("Files up to layer 0, 18 B");
    terminal.shows("efficiency 1.0000");
    assert_eq!(String::from_utf8_lossy(&terminal.raw).matches("\x1b[?1049h").count(), 2);
    terminal.types("q");
    assert_eq!(terminal.ends(&room, 0).trim_start_matches("\x1b[?25h"), "code=0\r\n");
}

#[test]
fn what_ends_it_from_outside_gives_the_terminal_back_too() {
    if !peers(
        "what_ends_it_from_outside_gives_the_terminal_back_too",
        &["script", "stty"],
    ) {
        return;
    }
    for (signal, code) in [(Some(Signal::TERM), 143), (Some(Signal::INT), 130), (None, 130)] {
        let room = Room::new();
        made(&room);
        let mut terminal = Terminal::start(&room, &[]);
        terminal.shows("Files up to layer 0, 18 B");
        match signal {
            Some(signal) => {
                let pid = std::fs::read_to_string(room.path("pid")).expect("its number");
                let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
                kill_process(pid, signal).expect("sent");
            }
            None => terminal.types("\x03"),
        }
        let said = terminal.ends(&room, code);
        // What is said stands where it can be read.
        assert_eq!(said.contains("teu: stopped"), signal.is_some(), "{said:?}");
    }
}

#[test]
fn without_a_terminal_it_is_said_what_to_use() {
    let room = Room::new();
    made(&room);
    let said = "teu: explore is for a person at a terminal; elsewhere teu analyze, teu files and teu cat tell the same, also as JSON\n";
    assert_eq!(room.teu(["explore", "oci:images:app"]).fails(2), said);
    // Nothing is read for nothing.
    assert_eq!(room.teu(["explore", "oci:images:absent"]).fails(2), said);
    assert!(File::open(room.home(".cache/teu/contents")).is_err());
}
