//! Who speaks plain HTTP where TLS is spoken? Such a client is told so in its own tongue: an alert of TLS is noise to it, and silence tells nothing.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What it is told. Of HTTP/1.0, so that every client takes the end of the connection for that of the answer.
const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    This port speaks TLS: ask it by https:// instead of http://.\n";
/// How long, and for how many bytes, it is listened to afterwards: what is closed with bytes unread takes away the answer from who has not read it.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 1 << 20;

/// Whether the first byte that comes begins the name of a method, as none of TLS does (RFC 8446, 5.1: types up to 0x18). Nothing is taken off the stream.
///
/// # Errors
/// Those of the system. It waits for the byte as long as there is none.
pub(crate) async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    Ok(length > 0 && first[0].is_ascii_uppercase())
}

/// Answers, and closes the connection once the client has had time to read that.
pub(crate) async fn answer(mut stream: TcpStream) {
    let told = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let (mut rest, mut dropped) = (stream.take(LINGER_BYTES), tokio::io::sink());
        tokio::io::copy(&mut rest, &mut dropped).await
    };
    // Who went away hears nothing, and who never ends was told.
    let _ = timeout(LINGER, told).await;
}
