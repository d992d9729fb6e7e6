//! Many clients of a registry at once: what `make bench` asks registries with (bench/serving.py).
//!
//! ```text
//! load ADDRESS CLIENTS SECONDS MOST get ACCEPT PATH…       the paths in turn
//! load ADDRESS CLIENTS SECONDS MOST push REPOSITORY SIZE   blobs that are new: POST, then PUT of the whole, as containerd does
//! load ADDRESS CLIENTS SECONDS MOST manifests REPOSITORY MANIFEST-FILE
//!                                                          the manifest, each time with another annotation, under a tag of its own
//! load ADDRESS CLIENTS SECONDS MOST mix REPOSITORY SIZE ACCEPT PATH…
//!                                                          a push for nine that are read
//! ```
//!
//! Each client has a connection and one thing under way, at least once; it begins the next until the time is over or `MOST` were begun by all together. One
//! line of JSON says what came of it: how many operations, in how many seconds, half of them within how many microseconds and 99 of 100, and how
//! many bytes of content were read and written. Anything but success ends it with an error. It does as little as it can, and speaks HTTP/1.1 by hand,
//! so that what is measured is the other side.

use std::{
    env, fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use teu_spec::{Algorithm, Digest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// What is done again and again.
enum Job {
    Get { requests: Vec<Vec<u8>> },
    Push { repository: String, content: Vec<u8> },
    Manifests { repository: String, manifest: String },
}

/// What all clients do together.
struct Load {
    address: String,
    /// In turn: one of each, but for the first, of which nine.
    jobs: Vec<Job>,
    end: Instant,
    begun: AtomicU64,
    most: u64,
    /// What makes content of this process differ from that of all others.
    seed: u64,
}

#[derive(Default)]
struct Outcome {
    latencies: Vec<u32>,
    bytes: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, clients, seconds, most, job @ ..] = &arguments[..] else {
        return Err("usage: load ADDRESS CLIENTS SECONDS MOST JOB…".into());
    };
    let clients: usize = clients.parse()?;
    let get = |accept: &str, paths: &[String]| Job::Get {
        requests: paths
            .iter()
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n").into_bytes())
            .collect(),
    };
    let push = |repository: &str, size: &str| -> Result<Job, Failure> {
        let size: usize = size.parse()?;
        Ok(Job::Push {
            repository: repository.to_owned(),
            content: (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        })
    };
    let words: Vec<&str> = job.iter().map(String::as_str).collect();
    let jobs = match words[..] {
        ["get", accept, ..] => vec![get(accept, &job[2..])],
        ["push", repository, size] => vec![push(repository, size)?],
        ["manifests", repository, file] => vec![Job::Manifests {
            repository: repository.to_owned(),
            manifest: fs::read_to_string(file)?,
        }],
        ["mix", repository, size, accept, ..] => vec![get(accept, &job[4..]), push(repository, size)?],
        _ => return Err("no such job".into()),
    };
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let begin = Instant::now();
    let load = Arc::new(Load {
        address: address.clone(),
        jobs,
        end: begin + Duration::from_secs_f64(seconds.parse()?),
        begun: AtomicU64::new(0),
        most: most.parse()?,
        seed: u64::from_le_bytes(seed),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(client(Arc::clone(&load)))).collect();
        let mut all = Outcome::default();
        for task in tasks {
            let mut outcome = task.await??;
            all.latencies.append(&mut outcome.latencies);
            all.bytes += outcome.bytes;
        }
        Ok::<_, Failure>(all)
    })?;
    let mut latencies = outcome.latencies;
    latencies.sort_unstable();
    let at = |part: f64| {
        latencies
            .get((latencies.len() as f64 * part) as usize)
            .copied()
            .unwrap_or(0)
    };
    Ok(format!(
        r#"{{"operations": {}, "seconds": {:.4}, "p50": {}, "p99": {}, "bytes": {}}}"#,
        latencies.len(),
        begin.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99),
        outcome.bytes,
    ))
}

async fn client(load: Arc<Load>) -> Result<Outcome, Failure> {
    let stream = TcpStream::connect(&load.address).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        stream,
        buffer: vec![0; BUFFER],
        filled: 0,
    };
    let mut outcome = Outcome::default();
    // On a machine that is busy the time may be over before all are connected: each does something.
    while outcome.latencies.is_empty() || Instant::now() < load.end {
        let number = load.begun.fetch_add(1, Ordering::Relaxed);
        if number >= load.most {
            break;
        }
        // Of ten, one is of the second kind, if there is one.
        let job = match number % 10 {
            9 => load.jobs.last(),
            _ => load.jobs.first(),
        };
        let begin = Instant::now();
        outcome.bytes += match job {
            Some(Job::Get { requests }) => {
                let request = &requests[number as usize % requests.len()];
                connection.ask(&[request], 200).await?.1
            }
            Some(Job::Push { repository, content }) => {
                push(&load, &mut connection, repository, content, number).await?
            }
            Some(Job::Manifests { repository, manifest }) => {
                put_manifest(&load, &mut connection, repository, manifest, number).await?
            }
            None => 0,
        };
        let elapsed = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
        outcome.latencies.push(elapsed);
    }
    Ok(outcome)
}

async fn push(
    load: &Load,
    connection: &mut Connection,
    repository: &str,
    content: &[u8],
    number: u64,
) -> Result<u64, Failure> {
    // The first bytes tell it from all others.
    let mut head = [0_u8; 16];
    head[..8].copy_from_slice(&load.seed.to_le_bytes());
    head[8..].copy_from_slice(&number.to_le_bytes());
    let head = &head[..content.len().min(16)];
    let rest = &content[head.len()..];
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(head);
    hasher.update(rest);
    let digest = hasher.finish();
    let address = &load.address;
    let begin =
        format!("POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    let (answer, _) = connection.ask(&[begin.as_bytes()], 202).await?;
    let location = header(&answer, "location").ok_or("an upload without a Location")?;
    let target = match location.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').unwrap_or(0)..],
        None => location,
    };
    let and = if target.contains('?') { '&' } else { '?' };
    let put = format!(
        "PUT {target}{and}digest={digest} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    connection.ask(&[put.as_bytes(), head, rest], 201).await?;
    Ok(content.len() as u64)
}

async fn put_manifest(
    load: &Load,
    connection: &mut Connection,
    repository: &str,
    manifest: &str,
    number: u64,
) -> Result<u64, Failure> {
    let tag = format!("t{:x}-{number}", load.seed);
    let manifest = manifest.trim_end();
    let manifest = manifest.strip_suffix('}').ok_or("a manifest that does not end in }")?;
    let manifest = format!("{manifest},\"annotations\":{{\"number\":\"{tag}\"}}}}");
    let put = format!(
        "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {}\r\n\r\n",
        load.address,
        manifest.len()
    );
    let (answer, _) = connection.ask(&[put.as_bytes(), manifest.as_bytes()], 201).await?;
    let digest = Digest::of(manifest.as_bytes()).to_string();
    match header(&answer, "docker-content-digest") == Some(&digest) {
        true => Ok(manifest.len() as u64),
        false => Err("a manifest was put under another digest".into()),
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Asks, and reads the answer to its end: its head, and how many bytes of content it had.
    async fn ask(&mut self, request: &[&[u8]], expected: u16) -> Result<(String, u64), Failure> {
        // What is small is one segment.
        let whole: usize = request.iter().map(|part| part.len()).sum();
        if whole <= 64 << 10 {
            self.stream.write_all(&request.concat()).await?;
        } else {
            for part in request {
                self.stream.write_all(part).await?;
            }
        }
        let end = loop {
            let found = self.buffer[..self.filled]
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if let Some(found) = found {
                break found + 4;
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                return Err("the connection ended before an answer".into());
            }
            self.filled += read;
        };
        let head = String::from_utf8(self.buffer[..end].to_vec())?;
        if head.split(' ').nth(1) != Some(&expected.to_string()) {
            let said = String::from_utf8_lossy(&self.buffer[end..self.filled]);
            return Err(format!("{expected} was expected: {head}{said}").into());
        }
        let length: u64 = match header(&head, "content-length") {
            Some(length) => length.parse()?,
            None if header(&head, "transfer-encoding").is_some() => return self.chunks(head, end).await,
            None => 0,
        };
        let mut left = length.saturating_sub((self.filled - end) as u64);
        self.filled = 0;
        while left > 0 {
            match self.stream.read(&mut self.buffer).await? {
                0 => return Err(format!("{left} of {length} bytes did not come").into()),
                read => left = left.saturating_sub(read as u64),
            }
        }
        Ok((head, length))
    }

    /// Reads to the end of chunked content, which is small.
    async fn chunks(&mut self, head: String, end: usize) -> Result<(String, u64), Failure> {
        let mut content = self.buffer[end..self.filled].to_vec();
        self.filled = 0;
        while !content.ends_with(b"0\r\n\r\n") {
            match self.stream.read(&mut self.buffer).await? {
                0 => return Err("chunks did not come to their end".into()),
                read => content.extend_from_slice(&self.buffer[..read]),
            }
        }
        Ok((head, content.len() as u64))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}
