//! What is told, what is taken beside it, and what comes of either.

use std::{future::poll_fn, sync::atomic::AtomicBool};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{connection::Patient, outgoing::Sending, settings::Limits, strict::Strict};

const MIB: usize = 1 << 20;
const TIME: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 64 << 10;

async fn connected() -> (TcpStream, Sending) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address"));
    let (client, server) = tokio::join!(client, listener.accept());
    (client.expect("connected"), Sending::new(server.expect("accepted").0))
}

fn unpassed(passed: &Passed) -> Rest {
    passed.lock().expect("one").take().expect("the rest")
}

fn taken(direct: &Direct, ordinal: u64) -> Rest {
    unpassed(&direct.rest(ordinal).expect("there is more").1)
}

/// A connection that reads [`ALIGNMENT`] bytes at once, and the rest of a request that is there already.
async fn all_is_there(length: usize) -> (Open, Rest, TcpStream) {
    let (mut client, server) = connected().await;
    let open = Open::new(server.socket(), ALIGNMENT, UnderWay::default());
    open.offer(1, length as u64, length as u64);
    let rest = taken(&open.direct(), 1);
    client.write_all(&vec![b'x'; length]).await.expect("sent");
    server
        .socket()
        .told()
        .expect("told")
        .readable()
        .await
        .expect("readable");
    (open, rest, client)
}

/// Large content is taken beside the parser, which reads a shorter one, and the next request when that was done.
#[tokio::test]
async fn what_is_large_is_taken_from_the_socket() {
    let (mut client, server) = connected().await;
    let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
    let direct = open.direct();
    let mut strict = Strict::new(Patient::new(server, TIME), &Limits::default()).beside(Some(open));
    let content: Vec<u8> = (0..4 * MIB + 300_001).map(|n| (n % 251) as u8).collect();
    let head = |length: usize| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length:09}\r\n\r\n");
    let next = head(7) + "1234567";
    let all = [head(content.len()).as_bytes(), &content[..], next.as_bytes()].concat();
    let sent = tokio::spawn(async move {
        client.write_all(&all).await.expect("sent");
        client
    });
    let mut parsed = vec![0; head(0).len() + ALIGNMENT];
    strict.read_exact(&mut parsed).await.expect("read");
    assert!(parsed == [head(ALIGNMENT).as_bytes(), &content[..ALIGNMENT]].concat());
    let waits = timeout(Duration::from_millis(1), strict.read_u8()).await;
    waits.expect_err("the parser reads no more");
    let (length, rest) = direct.rest(1).expect("there is more");
    assert_eq!((length, direct.rest(1).is_none()), (content.len() as u64, true));
    let mut rest = unpassed(&rest);
    let (mut found, mut lengths) = (content[..ALIGNMENT].to_vec(), Vec::new());
    while let Some(bytes) = rest.next(TIME).await.expect("read") {
        assert!(direct.is_left() || found.len() + bytes.len() == content.len());
        found.extend_from_slice(&bytes);
        lengths.push(bytes.len());
    }
    assert!(found == content);
    assert_eq!(
        lengths.iter().filter(|length| **length == MIB).count(),
        4,
        "{lengths:?}"
    );
    assert!(!direct.is_left());
    let mut parsed = vec![0; next.len()];
    strict.read_exact(&mut parsed).await.expect("read");
    assert_eq!(parsed, next.as_bytes());
    drop((strict, sent.await));
}

/// What the connection takes with it is no end of content.
#[tokio::test]
async fn content_that_is_cut_off_gives_what_came_and_an_error() {
    for is_dropped in [false, true] {
        let (mut client, server) = connected().await;
        let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
        let direct = open.direct();
        open.offer(2, 4 << 20, 2 << 20);
        assert!(direct.rest(1).is_none());
        let mut rest = taken(&direct, 2);
        client.write_all(b"0123456789").await.expect("sent");
        server
            .socket()
            .told()
            .expect("told")
            .readable()
            .await
            .expect("readable");
        match is_dropped {
            true => drop(open),
            false => drop(client),
        }
        let kind = rest.next(TIME).await.expect_err("no end").kind();
        let expected = if is_dropped {
            io::ErrorKind::ConnectionAborted
        } else {
            io::ErrorKind::UnexpectedEof
        };
        assert_eq!(kind, expected);
        assert_eq!(rest.came().as_deref(), Some(&b"0123456789"[..]));
        assert_eq!((rest.came(), direct.is_left()), (None, true));
    }
}

/// The connection's task may be gone while its socket is not: who sends without a pause is heard no longer.
#[tokio::test]
async fn content_that_does_not_pause_ends_with_its_connection() {
    let (open, mut rest, _client) = all_is_there(4 * ALIGNMENT).await;
    let length = rest.next(TIME).await.expect("read").map(|bytes| bytes.len());
    assert_eq!(length, Some(ALIGNMENT));
    drop(open);
    let error = rest.next(TIME).await.expect_err("its connection is gone");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(rest.came().map(|bytes| bytes.len()), Some(ALIGNMENT));
}

#[tokio::test]
async fn content_that_does_not_pause_lets_others_work() {
    for (others, is_over, lets) in [(0, false, false), (0, true, true), (1, false, true)] {
        let (open, mut rest, _client) = all_is_there(2 * ALIGNMENT).await;
        open.direct().under_way.fetch_add(others, Ordering::Relaxed);
        let has_worked = Arc::new(AtomicBool::new(false));
        let works = Arc::clone(&has_worked);
        tokio::spawn(async move { works.store(true, Ordering::Relaxed) });
        rest.turn = Instant::now() + TIME;
        if is_over {
            rest.turn -= TIME + TURN;
        }
        let bytes = rest.next(TIME).await.expect("read").expect("bytes");
        assert_eq!((bytes.len(), has_worked.load(Ordering::Relaxed)), (ALIGNMENT, lets));
        let under_way = open.direct().under_way;
        drop(rest);
        assert_eq!(under_way.load(Ordering::Relaxed), others);
    }
}

#[tokio::test]
async fn who_sends_nothing_holds_no_memory_and_who_finds_no_piece_as_much_as_the_connection_reads_at_once() {
    const LENGTH: usize = 300_000;
    let (mut client, server) = connected().await;
    let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
    // What is small takes no piece.
    open.offer(1, MIB as u64, LENGTH as u64);
    let mut rest = taken(&open.direct(), 1);
    let waits = timeout(Duration::from_millis(1), rest.next(TIME)).await;
    waits.expect_err("nothing came");
    assert!(matches!(rest.room, Room::None));
    assert!(rest.came().is_none() && matches!(rest.room, Room::None));
    let sent = tokio::spawn(async move {
        client.write_all(&[b'x'; LENGTH]).await.expect("sent");
        client
    });
    let mut lengths = Vec::new();
    while let Some(bytes) = rest.next(TIME).await.expect("read") {
        lengths.push(bytes.len());
    }
    assert_eq!(lengths, [AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE, LENGTH - 4 * AT_ONCE]);
    drop(sent.await);
}

/// Three bytes come, and nothing more for as long as what they are read into is held.
async fn begins_slowly(client: &mut TcpStream, socket: &Socket, rest: &mut Rest) {
    client.write_all(b"abc").await.expect("sent");
    socket.told().expect("told").readable().await.expect("readable");
    let waits = timeout(Duration::from_millis(1), rest.next(TIME)).await;
    waits.expect_err("it is not full");
    rest.since = Instant::now().checked_sub(HELD).expect("a time");
}

/// As many as there are pieces could keep all of them else.
#[tokio::test]
async fn who_fills_a_piece_slowly_goes_on_without() {
    for sent in [&b"0123456789"[..], b""] {
        let (mut client, server) = connected().await;
        let socket = server.socket();
        let open = Open::new(Arc::clone(&socket), AT_ONCE, UnderWay::default());
        open.offer(1, 4 << 20, 4 << 20);
        let mut rest = taken(&open.direct(), 1);
        begins_slowly(&mut client, &socket, &mut rest).await;
        assert!(matches!(rest.room, Room::Piece(_)));
        client.write_all(sent).await.expect("sent");
        // Whether any more came or not.
        let mut came = Vec::new();
        while came.len() < 3 + sent.len() {
            let bytes = rest.next(TIME).await.expect("read").expect("bytes");
            assert!(matches!(rest.room, Room::None) && !rest.is_large);
            came.extend_from_slice(&bytes);
            if came.len() < 3 + sent.len() {
                // The rest of it was not there yet, and does not fill what it is read into.
                socket.told().expect("told").readable().await.expect("readable");
                came.extend_from_slice(&rest.came().expect("bytes"));
            }
        }
        assert_eq!(came, [b"abc", sent].concat());
    }
}

/// Else what gathers it, and has a piece for it, would wait as long.
#[tokio::test]
async fn what_is_little_and_comes_slowly_goes_on_too() {
    let (mut client, server) = connected().await;
    let socket = server.socket();
    let open = Open::new(Arc::clone(&socket), AT_ONCE, UnderWay::default());
    open.offer(1, 1 << 20, 1 << 20);
    let mut rest = taken(&open.direct(), 1);
    begins_slowly(&mut client, &socket, &mut rest).await;
    assert!(matches!(rest.room, Room::Chunk(_)));
    assert_eq!(rest.next(TIME).await.expect("read").expect("bytes"), "abc");
    assert!(matches!(rest.room, Room::None));
}

/// Where content comes without a pause nobody waits for it.
#[tokio::test]
async fn who_does_not_wait_is_not_told_and_who_waits_is() {
    let (mut client, server) = connected().await;
    let socket = server.socket();
    let open = Open::new(Arc::clone(&socket), AT_ONCE, UnderWay::default());
    for (length, flows, is_quiet) in [(4 * MIB, false, false), (MIB, true, false), (4 * MIB, true, true)] {
        open.offer(1, length as u64, 20);
        let mut rest = taken(&open.direct(), 1);
        rest.flows = flows;
        client.write_all(b"0123456789").await.expect("sent");
        socket.told().expect("told").readable().await.expect("readable");
        assert_eq!(rest.came().as_deref(), Some(&b"0123456789"[..]));
        assert_eq!((socket.is_quiet(), rest.flows), (is_quiet, false), "{length} {flows}");
        let (came, sent) = tokio::join!(rest.next(TIME), async {
            yield_now().await;
            yield_now().await;
            client.write_all(b"abcdefghij").await
        });
        sent.expect("sent");
        assert_eq!(came.expect("read").as_deref(), Some(&b"abcdefghij"[..]));
        assert!(!socket.is_quiet(), "{length} {flows}");
    }
}

/// Who waits from before somebody takes it is told too.
#[tokio::test]
async fn who_waits_is_told_when_all_was_taken() {
    let (mut client, server) = connected().await;
    let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
    let direct = open.direct();
    open.offer(1, 4 << 20, 10);
    let done = tokio::spawn(async move {
        poll_fn(|context| open.poll_done(context)).await;
        open
    });
    yield_now().await;
    let mut rest = taken(&direct, 1);
    client.write_all(b"0123456789").await.expect("sent");
    assert_eq!(
        rest.next(TIME).await.expect("read").as_deref(),
        Some(&b"0123456789"[..])
    );
    timeout(TIME, done).await.expect("it was told").expect("no panic");
}

/// The head of the first request is read by 24 bytes first, which is one of these.
#[tokio::test]
async fn a_length_is_written_over_only_where_it_came_with_the_end_of_its_head() {
    let (_client, server) = connected().await;
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\nX: y\r\n\r\n";
    let less = head.replace("4194304", "0004096");
    let line = head.find("Content").expect("a length");
    for cut in 1..=head.len() {
        let (mut other, stream) = duplex(1024);
        let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
        let direct = open.direct();
        let mut strict = Strict::new(stream, &Limits::default()).beside(Some(open));
        let mut found = Vec::new();
        for part in [&head[..cut], &head[cut..]] {
            other.write_all(part.as_bytes()).await.expect("sent");
            let mut read = vec![0; part.len()];
            strict.read_exact(&mut read).await.expect("read");
            found.extend(read);
        }
        let is_less = cut <= line || cut == head.len();
        let expected = if is_less { &*less } else { head };
        assert_eq!(String::from_utf8(found).expect("text"), expected, "{cut}");
        assert_eq!(direct.rest(1).is_some(), is_less, "{cut}");
    }
}

/// No more of what comes with a head is read than lies between two blocks of a disk, and the parser has that; of what is small it has all.
#[tokio::test]
async fn what_came_with_a_head_is_told_of() {
    const SMALLEST: usize = LEAST as usize;
    let (_client, server) = connected().await;
    let head = |length: usize| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    for (length, came, told) in [
        (SMALLEST - 1, 0, SMALLEST - 1),
        (SMALLEST - 1, 100, SMALLEST - 1),
        (SMALLEST, 0, ALIGNMENT),
        (4 * MIB, 0, ALIGNMENT),
        (4 * MIB, 1, ALIGNMENT),
        (4 * MIB, ALIGNMENT, ALIGNMENT),
        (4 * MIB, ALIGNMENT + 1, 2 * ALIGNMENT),
        (4 * MIB, MIB, 2 * ALIGNMENT),
    ] {
        let (mut other, stream) = duplex(8 * MIB);
        let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
        let direct = open.direct();
        let mut strict = Strict::new(stream, &Limits::default()).beside(Some(open));
        let sent = [head(length).as_bytes(), &vec![b'x'; came]].concat();
        other.write_all(&sent).await.expect("sent");
        let mut read = vec![0; 8 * MIB];
        let count = strict.read(&mut read).await.expect("read");
        assert_eq!(count, sent.len().min(2 * ALIGNMENT), "{length} {came}");
        let length_told = format!("{told:0width$}", width = length.to_string().len());
        let told_of = head(length).replace(&length.to_string(), &length_told);
        assert!(read.starts_with(told_of.as_bytes()), "{length} {came}");
        assert_eq!(direct.rest(1).is_some(), told < length, "{length} {came}");
    }
}

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A request: its head, whose length is `{}`, that length as it is written, and its content.
    fn request(&mut self) -> (String, String, Vec<u8>) {
        let any = self.below(4 * MIB);
        let length = self.of(&[0, 1, 70, 65_535, 65_536, 70_000, 3 * MIB - 1, 3 * MIB, any]);
        // It looks like what comes behind it.
        let seed = self.below(1000);
        let bytes = b"PUT / HTTP/1.1\r\nHost: b\r\nContent-Length: 3145728\r\n\r\n".iter();
        let content = bytes.cycle().skip(seed).take(length).copied().collect();
        let name = self.of(&["Content-Length:", "content-length: ", "CONTENT-LENGTH:\t "]);
        let more = self.of(&["", "X: 0123\r\n", "Expect: 100-continue\r\n"]);
        let head = match length {
            0 => "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n".to_owned(),
            _ => format!(
                "{}PUT / HTTP/1.1\r\n{more}{name}{{}}\r\nHost: a\r\n\r\n",
                self.of(&["", "\r\n"])
            ),
        };
        let digits = match (length, self.below(2)) {
            (0, _) => String::new(),
            (_, 0) => format!("{length:012}"),
            _ => length.to_string(),
        };
        (head, digits, content)
    }
}

/// Reads requests by the lengths that it is told, as any parser does.
struct Parser {
    strict: Strict<Patient<Sending>>,
    chance: Chance,
    came: Vec<u8>,
}

impl Parser {
    async fn read(&mut self) {
        let most = self.chance.of(&[1, 24, 100, 8 << 10, AT_ONCE]);
        let mut read = vec![0; most];
        let count = self.strict.read(&mut read).await.expect("read");
        assert!(count > 0, "the end");
        self.came.extend_from_slice(&read[..count]);
    }

    async fn head(&mut self) -> String {
        loop {
            let end = self.came.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.came.drain(..end + 4).collect();
                return String::from_utf8(head).expect("text");
            }
            self.read().await;
        }
    }

    async fn content(&mut self, length: usize) -> Vec<u8> {
        while self.came.len() < length {
            self.read().await;
        }
        self.came.drain(..length).collect()
    }
}

/// However requests are cut, and however they are read: what the parser is told of and what is taken beside it is the content, to its last byte and no
/// further.
#[tokio::test]
async fn what_is_told_and_what_is_taken_add_up() {
    let mut beside = 0;
    for round in 1..=12 {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(round));
        let requests: Vec<_> = (0..5).map(|_| chance.request()).collect();
        let whole = |(head, digits, content): &(String, String, Vec<u8>)| {
            [head.replace("{}", digits).as_bytes(), content].concat()
        };
        let all: Vec<u8> = requests.iter().flat_map(whole).collect();
        let (mut client, server) = connected().await;
        let open = Open::new(server.socket(), AT_ONCE, UnderWay::default());
        let direct = open.direct();
        let strict = Strict::new(Patient::new(server, TIME), &Limits::default()).beside(Some(open));
        let mut cuts = Chance(round);
        let sent = tokio::spawn(async move {
            let mut rest = &all[..];
            while !rest.is_empty() {
                let most = cuts.of(&[30, 3_000, 300_000, MIB]);
                let (part, others) = rest.split_at(rest.len().min(1 + cuts.below(most)));
                client.write_all(part).await.expect("sent");
                yield_now().await;
                rest = others;
            }
            client
        });
        let mut parser = Parser {
            strict,
            chance,
            came: Vec::new(),
        };
        for (ordinal, (head, digits, content)) in (1..).zip(&requests) {
            let found = parser.head().await;
            let told = match (found == head.replace("{}", digits), direct.rest(ordinal)) {
                (true, None) => parser.content(content.len()).await,
                (false, Some((length, rest))) => {
                    beside += 1;
                    let less = &found[head.find("{}").expect("a length")..][..digits.len()];
                    assert_eq!((&found, length), (&head.replace("{}", less), content.len() as u64));
                    let less: usize = less.parse().expect("a number");
                    assert!(less.is_multiple_of(ALIGNMENT) && less < content.len());
                    let mut told = parser.content(less).await;
                    assert!(parser.came.is_empty());
                    let mut rest = unpassed(&rest);
                    while let Some(bytes) = rest.next(TIME).await.expect("read") {
                        told.extend_from_slice(&bytes);
                    }
                    told
                }
                (is_true, rest) => panic!("{round} {ordinal}: {is_true} {} {found:?}", rest.is_some()),
            };
            assert!(told == *content, "{round} {ordinal}");
        }
        drop((parser, sent.await));
    }
    assert!(beside > 0);
}
