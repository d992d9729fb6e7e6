//! What came of many clients and waits has a limit for all of them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use teu_spec::Algorithm;

use crate::{
    MIB,
    support::{Room, Served},
    told, within,
};

/// What a server may take, whatever is asked of it.
const SERVED: u64 = 100 << 20;
/// How long it may take for an answer.
const PATIENCE: Duration = Duration::from_secs(300);

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
