//! What goes through, and what is refused.

use super::*;

/// Whether a stream is wrong; the same however it is cut.
fn wrong(stream: &[u8]) -> bool {
    let whole = Framing::default().look(stream).is_some();
    for size in [1, 2, 7] {
        let mut framing = Framing::default();
        let found = stream.chunks(size).any(|part| framing.look(part).is_some());
        assert_eq!(
            found,
            whole,
            "in pieces of {size}: {:?}",
            String::from_utf8_lossy(stream)
        );
    }
    whole
}

#[test]
fn what_is_read_in_one_way_goes_through() {
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(5000),
        "b".repeat(5000)
    );
    for stream in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nhost:a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\nX:\ttab and \u{e9}\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\n\0\r\nxGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n\n\0\n\r\n0A \t\r\n0123456789\r\n0\r\nT: x\r\n\r\nGET /",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n\n\0 what follows",
        &long,
    ] {
        assert!(!wrong(stream.as_bytes()), "{stream:?}");
    }
}

#[test]
fn where_a_length_stands_is_known_where_all_of_it_was_looked_at_with_the_end_of_its_head() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\ncontent-length: \t0123 \r\nX: y\r\n\r\n";
    let at = head.find("0123").expect("digits");
    let mut framing = Framing::default();
    assert_eq!(framing.look(format!("{head}ab").as_bytes()), None);
    assert_eq!(
        (framing.length_at(), framing.content()),
        (Some(at..at + 4), Some((123, 121)))
    );
    assert_eq!(framing.length_at(), None);
    framing.pass(120);
    assert_eq!(framing.look(b"cPUT / HTTP/1.1\r\n"), None);
    assert!(framing.is_within_head());
    // Behind content that is short, and a request that has none.
    let before = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut framing = Framing::default();
    assert_eq!(framing.look(format!("{before}{head}").as_bytes()), None);
    assert_eq!(framing.length_at(), Some(before.len() + at..before.len() + at + 4));
    assert_eq!(framing.heads(), 3);
    for cut in [at - 20, at, at + 2, at + 4, head.len() - 1] {
        let mut framing = Framing::default();
        let (one, other) = head.as_bytes().split_at(cut);
        assert_eq!((framing.look(one), framing.look(other)), (None, None));
        let whole_line = cut < at - 16;
        assert_eq!(framing.length_at().is_some(), whole_line, "{cut}");
    }
}

#[test]
fn what_is_read_in_two_ways_does_not() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\n";
    let long = format!("Content-Length: 5{}\r\n\r\n", " ".repeat(2000));
    let long_chunk = format!("Transfer-Encoding: chunked\r\n\r\n1;{}\r\n", "x".repeat(2000));
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: a\r\n folded\r\n",
        "X: a\n",
        "X: a\rb\r\n",
        "X: a\0\r\n",
        "no field\r\n",
        ": nameless\r\n",
        "\n",
        "Host: b\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\n",
        "Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\n",
        "Transfer-Encoding: chunked\r\n\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n",
        &long_chunk,
    ] {
        assert!(wrong(format!("{head}{fields}").as_bytes()), "{fields:?}");
    }
    let heads = |longest| Framing::of_heads(longest, 100).look(head.as_bytes());
    assert_eq!(heads(head.len()), None);
    let field = head.find("Host").expect("a field");
    assert_eq!(
        heads(head.len() - 1),
        Some((field, Fault::TooLong { within_first: false }))
    );
    assert_eq!(heads(5), Some((0, Fault::TooLong { within_first: true })));
    let two = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    assert_eq!(Framing::of_heads(1000, 2).look(two), None);
    let mut framing = Framing::of_heads(1000, 1);
    assert_eq!(framing.look(two), Some((25, Fault::TooMany)));
    let mut framing = Framing::of_heads(1000, 1);
    assert_eq!(framing.look(&two[..28]), None);
    assert_eq!(framing.look(&two[28..]), Some((0, Fault::TooMany)));
    // Spaces behind a number are no other number.
    assert!(!wrong(format!("{head}{long}").as_bytes()));
    for stream in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n",
        "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\n",
    ] {
        assert!(wrong(stream.as_bytes()), "{stream:?}");
    }
}
