//! Where does large content end that nobody takes, that comes behind something else, or that never pauses? Of such content the parser is told less than there
//! is (`registry::direct`).

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::{
    large::{MIB, content, put, serve, serve_by, shows, status},
    support::{Server, answer, guarded::by_password, uploaded, writable},
};
use teu_registry::{Limits, Settings};
use teu_spec::Digest;

/// Content that nobody asked for looks like requests, and is none.
#[test]
fn what_nobody_takes_is_no_request() {
    let server = Server::start();
    let request = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let content: Vec<u8> = request.iter().cycle().take(4 * MIB).copied().collect();
    for (method, expected) in [("GET", "{}"), ("HEAD", "")] {
        let head = format!(
            "{method} /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        let answer = server.raw(&[head.as_bytes(), &content].concat()).expect(200);
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(String::from_utf8_lossy(&answer.content), expected);
    }
}

/// Who is refused before content was asked for sends none, and what comes then is not taken for another request.
#[test]
fn who_waits_to_be_asked_for_content_hears_that_nobody_wants_it() {
    let (server, _gate) = by_password();
    let mut client = server.connect();
    let head = put(
        "/v2/team/app/blobs/uploads/x",
        &content(4 * MIB),
        "Expect: 100-continue\r\n",
    );
    client.write_all(&head).expect("sent");
    client.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let answer = answer(&mut client).refused(401, "UNAUTHORIZED");
    assert_eq!(answer.header("connection"), "close");
}

/// The status of the next answer, which is an error with content.
fn refusal(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("a length").parse().expect("a number");
    client.read_exact(&mut vec![0; length]).expect("an error");
    head[9..12].to_owned()
}

#[test]
fn what_comes_behind_something_that_is_refused_comes_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let content = content(4 * MIB + 1);
    let none = b"PUT /v2/app/blobs/uploads/none HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    let next = b"HEAD /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let large = put(&server.begin("app"), &content, "");
    let all = [&none[..], none, &large, &content, next].concat();
    let mut client = server.connect();
    client.write_all(&all).expect("sent");
    assert_eq!([refusal(&mut client), refusal(&mut client)], ["404", "404"]);
    assert_eq!([status(&mut client), status(&mut client)], ["201", "200"]);
    shows(&server, "app", &content);
}

/// The first bytes of a connection are read by 24, to see which version it speaks.
#[test]
fn a_head_may_come_in_two_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let content = content(3 * MIB + 1);
    for (from, cut) in [
        ("PUT", 1),
        ("PUT", 23),
        ("PUT", 24),
        ("PUT", 25),
        ("Content-", 0),
        ("Length: ", 9),
        ("\r\n\r\n", 3),
    ] {
        let head = put(&server.begin("app"), &content, "");
        let text = String::from_utf8_lossy(&head);
        let cut = text.find(from).expect("a place") + cut;
        let mut client = server.connect();
        client.set_nodelay(true).expect("set");
        client.write_all(&head[..cut]).expect("sent");
        client.write_all(&head[cut..]).expect("sent");
        client.write_all(&content).expect("sent");
        client
            .write_all(b"HEAD /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("sent");
        assert_eq!(
            [status(&mut client), status(&mut client)],
            ["201", "200"],
            "{from} {cut}"
        );
    }
    shows(&server, "app", &content);
}

/// Who sends without a pause holds up no server that is told to stop; what came stays, and is gone on with.
#[test]
fn who_never_pauses_holds_up_no_server() {
    const LENGTH: usize = 1 << 30;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        limits: Limits {
            grace: Duration::from_millis(50),
            ..Limits::default()
        },
        ..writable()
    };
    let mut server = serve_by(directory.path(), settings);
    let location = server.begin("app");
    let part = content(MIB);
    let mut client = server.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    let sent = part.clone();
    thread::spawn(move || (0..LENGTH / MIB).all(|_| client.write_all(&sent).is_ok()));
    while uploaded(directory.path(), &location) < 3 * MIB as u64 {
        thread::yield_now();
    }
    let (sender, stopped) = mpsc::channel();
    thread::spawn(move || {
        server.stop();
        // What was at work has let go of the directory.
        while Arc::strong_count(&server.registry) > 1 {
            thread::yield_now();
        }
        drop(server);
        sender.send(()).expect("somebody waits");
    });
    stopped.recv_timeout(Duration::from_secs(60)).expect("it ends");
    let server = serve(directory.path());
    let range = server.get(&location).expect(204).header("range").to_owned();
    let came = range[2..].parse::<usize>().expect("a number") + 1;
    assert!((3 * MIB..LENGTH).contains(&came), "{came}");
    let mut whole: Vec<u8> = part.into_iter().cycle().take(came).collect();
    whole.extend(b"the end");
    let last = format!("{location}?digest={}", Digest::of(&whole));
    server.ask("PUT", &last, &[], b"the end").expect(201);
    shows(&server, "app", &whole);
}
