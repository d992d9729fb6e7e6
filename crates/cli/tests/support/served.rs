//! `teu serve`, on a port of its own, gone when it is dropped.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Room, Run};

/// How long is waited for what is to come, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that ends with the test.
pub(crate) struct Served {
    child: Child,
    /// Where it can be asked.
    pub(crate) address: String,
    errors: BufReader<UnixStream>,
}

impl Served {
    pub(crate) fn start(room: &Room, arguments: &[&str]) -> Self {
        Self::of(room.teu(["serve", "--listen", "127.0.0.1:0"].iter().chain(arguments)))
    }

    /// One that runs as this program does, and says first where it can be asked.
    pub(crate) fn of(mut run: Run) -> Self {
        // A pipe could be waited for without end.
        let (errors, its) = UnixStream::pair().expect("a pair");
        errors.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let pipes = run.0.stdout(Stdio::piped()).stderr(OwnedFd::from(its));
        let mut child = pipes.spawn().expect("it runs");
        let mut address = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        lines.read_line(&mut address).expect("an address");
        Self {
            child,
            address: address.trim().to_owned(),
            errors: BufReader::new(errors),
        }
    }

    /// What an image there is called.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.address)
    }

    /// Sends it a signal.
    pub(crate) fn tell(&self, signal: &str) {
        let killed = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(killed.is_ok_and(|killed| killed.success()));
    }

    /// How many bytes of memory it had at most.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.expect("a peak") << 10
    }

    /// What it says next of what it does.
    pub(crate) fn says(&mut self) -> String {
        let mut line = String::new();
        match self.errors.read_line(&mut line) {
            Ok(0) => panic!("the server says nothing any more: it has ended"),
            Ok(_) => {}
            Err(error) => panic!("the server said nothing for {PATIENCE:?}: {error}"),
        }
        line
    }

    /// All that it says up to the first line that has this in it, with that.
    pub(crate) fn says_until(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.says();
            said.push_str(&line);
            if line.contains(text) {
                return said;
            }
        }
    }

    /// Asks it to end; the exit code and all that it said.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.tell(signal);
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        self.errors.read_to_string(&mut said).expect("text");
        (status.code(), said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in {PATIENCE:?} it was never so: {what}");
        thread::yield_now();
    }
}

/// An address that nobody listens at, and that nobody else is given so soon.
pub(crate) fn free_port() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a port").to_string()
}

/// An answer's head and content.
pub(crate) fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
