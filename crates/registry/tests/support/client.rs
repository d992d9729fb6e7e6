//! One connection to a registry, in HTTP/1.1 by hand: whoever cuts it off shows as an error, at any byte.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::new(stream),
            address: address.to_owned(),
        })
    }

    /// Asks, and reads the answer to its end.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &str, content: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\n{fields}Content-Length: {}\r\n\r\n",
            self.address,
            content.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(content);
        self.stream.get_mut().write_all(&request)?;
        let mut answer = Answer {
            status: 0,
            fields: Vec::new(),
            content: Vec::new(),
        };
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => answer.fields.push((name.to_ascii_lowercase(), value.to_owned())),
                None if line.starts_with("HTTP/1.1 ") => answer.status = line[9..12].parse().expect("a status"),
                None => break,
            }
        }
        if method != "HEAD" {
            let length = answer
                .find("content-length")
                .map_or(0, |length| length.parse().expect("a length"));
            answer.content.resize(length, 0);
            self.stream.read_exact(&mut answer.content)?;
        }
        Ok(answer)
    }
}

impl Answer {
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same; it must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        let said = String::from_utf8_lossy(&self.content);
        assert_eq!(self.status, status, "{said}");
        self
    }
}
