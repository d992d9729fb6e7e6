//! What lies between a client and a server, and counts what comes back.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// Hands on what comes to it. Its threads end with the process of the test.
pub(crate) struct Relay {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    sent: Arc<AtomicU64>,
}

impl Relay {
    /// To the server at this address.
    pub(crate) fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let (sent, address) = (Arc::<AtomicU64>::default(), address.to_owned());
        let counted = Arc::clone(&sent);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&address).expect("the server");
                let ends = || {
                    (
                        client.try_clone().expect("a handle"),
                        server.try_clone().expect("a handle"),
                    )
                };
                let ((from, to), (back, out)) = (ends(), ends());
                let counted = Arc::clone(&counted);
                thread::spawn(move || hand_on(from, to, &AtomicU64::default()));
                thread::spawn(move || hand_on(out, back, &counted));
            }
        });
        Self { host, sent }
    }

    /// The bytes that the server sent since this was asked last.
    pub(crate) fn taken(&self) -> u64 {
        self.sent.swap(0, SeqCst)
    }
}

/// Who is gone is no failure.
fn hand_on(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        count.fetch_add(read as u64, SeqCst);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
    let _ = to.shutdown(Shutdown::Write);
}
