//! Streams of requests: what is let through is let through however it is cut, and another reader finds the same requests in it, each with an end
//! that nobody can see elsewhere.

use teu_registry::fuzz::framing;

pub(crate) fn run(input: (&[u8], u8)) {
    let (stream, size) = input;
    let whole = framing([stream]);
    let parts = framing(stream.chunks(usize::from(size).max(1)));
    assert_eq!(whole, parts, "in parts of {size}");
    let Some(is_within) = whole else { return };
    if stream.starts_with(b"PRI * HTTP/2.0") {
        return;
    }
    // Where another reader refuses a request it has an end too: that of the connection.
    if let Some(is_within_too) = read(stream) {
        assert_eq!(is_within, is_within_too);
    }
}

/// Reads requests one after the other; whether the stream ends within one, unless a head was none.
fn read(mut stream: &[u8]) -> Option<bool> {
    loop {
        while let Some(rest) = stream.strip_prefix(b"\r\n") {
            stream = rest;
        }
        if stream.is_empty() {
            return Some(false);
        }
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(stream).ok()? {
            httparse::Status::Partial => return Some(true),
            httparse::Status::Complete(length) => length,
        };
        let head = &stream[..length];
        for (at, byte) in head.iter().enumerate() {
            assert!(*byte != b'\n' || at > 0 && head[at - 1] == b'\r', "a bare LF");
        }
        let all = |name: &str| {
            let found = request
                .headers
                .iter()
                .filter(|field| field.name.eq_ignore_ascii_case(name));
            found.map(|field| field.value).collect::<Vec<_>>()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "its end can be seen in two places");
        assert!(
            request.version == Some(0) || all("host").len() == 1,
            "it is for two hosts, or none"
        );
        stream = &stream[length..];
        if let Some(length) = lengths.first() {
            let text = std::str::from_utf8(length).expect("digits");
            let length: u64 = text.trim().parse().expect("a length");
            match usize::try_from(length).ok().and_then(|length| stream.get(length..)) {
                Some(rest) => stream = rest,
                None => return Some(true),
            }
        } else if let Some(coding) = codings.first() {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            match chunks(stream)? {
                Some(rest) => stream = rest,
                None => return Some(true),
            }
        }
    }
}

/// What is behind the last chunk and its trailers; within, none where it has not come, and without where it is no chunk.
fn chunks(mut stream: &[u8]) -> Option<Option<&[u8]>> {
    loop {
        let (used, size) = match httparse::parse_chunk_size(stream) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Some(None),
            Err(_) => return None,
        };
        stream = &stream[used..];
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; 100];
            return match httparse::parse_headers(stream, &mut trailers).ok()? {
                httparse::Status::Complete((used, _)) => Some(Some(&stream[used..])),
                httparse::Status::Partial => Some(None),
            };
        }
        let rest = usize::try_from(size).ok().and_then(|size| stream.get(size..));
        let Some(rest) = rest else { return Some(None) };
        match rest {
            [b'\r', b'\n', rest @ ..] => stream = rest,
            [] | [b'\r'] => return Some(None),
            _ => return None,
        }
    }
}
