//! Does `teu serve` speak TLS as its files say, also when they change, and bear as many clients as it says?

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use crate::support::{
    Room, Served, image,
    peer::{certificate, has},
    peers, until,
};

/// A directory with a certificate of its own and its key; says loudly why there is none.
fn certified(room: &Room, test: &str, name: &str) -> bool {
    if !peers(test, &["openssl"]) {
        return false;
    }
    fs::create_dir(room.path(name)).expect("a directory");
    certificate(&room.path(name), true);
    fs::copy(room.path(name).join("cert.pem"), room.path(name).join("ca.crt")).expect("copied");
    true
}

fn replace(from: &Path, to: &Path) {
    for name in ["cert.pem", "key.pem"] {
        let new = to.join("new");
        fs::copy(from.join(name), &new).expect("copied");
        fs::rename(new, to.join(name)).expect("renamed");
    }
}

#[test]
fn certificates_are_read_again_when_they_change() {
    let test = "certificates_are_read_again_when_they_change";
    let room = Room::new();
    if !certified(&room, test, "first") || !certified(&room, test, "second") {
        return;
    }
    room.layout("images").image("app", &image());
    fs::create_dir(room.path("shown")).expect("a directory");
    replace(&room.path("first"), &room.path("shown"));
    let tls = ["--tls-certificate", "shown/cert.pem", "--tls-key", "shown/key.pem"];
    let mut served = Served::start(&room, &[&tls[..], &["--writable", "oci:images"]].concat());
    let from = served.image("images:app");
    let trusting = |directory: &str| room.teu(["digest", "--cert-dir", directory, &from]).ran().code == 0;
    assert!(trusting("first") && !trusting("second"));
    if has("skopeo") {
        room.skopeo(["copy", "--src-cert-dir=first", &from, "dir:pulled"])
            .succeeds();
        let to = served.image("images:pushed");
        room.skopeo(["copy", "--dest-cert-dir=first", "dir:pulled", &to])
            .succeeds();
    }
    replace(&room.path("second"), &room.path("shown"));
    served.tell("HUP");
    until("the second is shown", || trusting("second"));
    assert!(!trusting("first"));
    served.says_until("teu: read again: shown/cert.pem, shown/key.pem\n");
    // What does not fit is not shown, and said.
    fs::copy(room.path("first/key.pem"), room.path("shown/key.pem")).expect("copied");
    let said = served.says_until("warning");
    assert!(
        said.contains("cannot be used with each other") && said.contains("shown on"),
        "{said}"
    );
    assert!(trusting("second"));
    let (code, _) = served.stop("TERM");
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_wrong_with_certificates_is_said() {
    let room = Room::new();
    if !certified(&room, "what_is_wrong_with_certificates_is_said", "good") {
        return;
    }
    certificate(&room.path("good"), true);
    fs::create_dir(room.path("other")).expect("a directory");
    certificate(&room.path("other"), true);
    room.file("empty.pem", "");
    room.layout("images").image("app", &image());
    for (arguments, code, says) in [
        (&["--tls-key", "good/key.pem"][..], 2, "--tls-certificate"),
        (&["--tls-certificate", "good/cert.pem"], 2, "--tls-key"),
        (&["--tls-clients-required"], 2, "--tls-clients"),
        (
            &["--tls-certificate", "nothing.pem", "--tls-key", "good/key.pem"],
            1,
            "nothing.pem cannot be read: No such file",
        ),
        (
            &["--tls-certificate", "empty.pem", "--tls-key", "good/key.pem"],
            1,
            "there is no certificate in PEM in empty.pem",
        ),
        (
            &["--tls-certificate", "good/cert.pem", "--tls-key", "good/cert.pem"],
            1,
            "there is no key in PEM in good/cert.pem",
        ),
        (
            &["--tls-certificate", "good/cert.pem", "--tls-key", "other/key.pem"],
            1,
            "cannot be used with each other",
        ),
    ] {
        let run = room.teu(
            ["serve", "--listen", "127.0.0.1:0", "oci:images"]
                .iter()
                .chain(arguments),
        );
        let said = run.fails(code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

/// A server that may have so many files open, or raise that as far.
fn with_files(room: &Room, now: u64, most: u64) -> Served {
    let run = room.teu([
        "serve",
        "--progress=none",
        "--listen",
        "127.0.0.1:0",
        "--writable",
        "oci:images",
    ]);
    let limit = format!("ulimit -Sn {now} && ulimit -Hn {most} && exec \"$0\" \"$@\"");
    let program = run.0.get_program().to_owned();
    let arguments: Vec<_> = run.0.get_args().map(ToOwned::to_owned).collect();
    let mut shell = room.run("sh", ["-c", &limit]);
    shell.0.arg(program).args(arguments);
    Served::of(shell)
}

/// Asks on a connection, which stays.
fn ask(client: &mut TcpStream, request: &str) -> String {
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("patience");
    client
        .write_all(format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").as_bytes())
        .expect("sent");
    let mut status = [0; 12];
    client.read_exact(&mut status).expect("an answer");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

/// Runs a test of this file once more, in a process that may have as many files open as it can be allowed; whether that is this one. What other
/// tests start is not to inherit that.
fn is_with_many_files(test: &str) -> bool {
    const WITH: &str = "TEU_TEST_WITH_MANY_FILES";
    if std::env::var_os(WITH).is_some() {
        return true;
    }
    let (_, place) = module_path!().split_once("::").expect("a module of the tests");
    let run = Command::new("sh")
        .args(["-c", "ulimit -Sn $(ulimit -Hn) && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{place}::{test}"), "--nocapture"])
        .env(WITH, "1")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    false
}

#[test]
fn a_thousand_clients_are_served_where_a_shell_allows_a_thousand_files() {
    if !is_with_many_files("a_thousand_clients_are_served_where_a_shell_allows_a_thousand_files") {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = with_files(&room, 1024, 4096);
    let connect = || TcpStream::connect(&served.address).expect("a connection");
    let mut clients: Vec<TcpStream> = (0..1000).map(|_| connect()).collect();
    for client in &mut clients {
        assert_eq!(ask(client, "POST /v2/images/blobs/uploads/"), "202");
    }
    drop(clients);
    let served = with_files(&room, 256, 256);
    // (256 - 64) / 3: that many at once, and the others wait until one goes; and that many uploads.
    let connect = || TcpStream::connect(&served.address).expect("a connection");
    let clients: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    for (place, mut client) in clients.into_iter().enumerate() {
        let expected = if place < 64 { "202" } else { "429" };
        assert_eq!(ask(&mut client, "POST /v2/images/blobs/uploads/"), expected, "{place}");
    }
}
