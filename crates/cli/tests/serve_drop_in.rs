//! Is teu, called by the name `registry`, what registry:2 is to who runs it? Beside Debian's docker-registry where that is there, with the same file
//! and the same requests.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use crate::support::{self, Room, Served, image, peers};

const FILE: &str = "\
version: 0.1
storage:
  filesystem:
    rootdirectory: /nonexistent
http:
  headers:
    X-Content-Type-Options: [nosniff]
    X-Ours: [a, b]
";

/// Debian's registry, gone when it is dropped.
struct Real {
    child: Child,
    address: String,
}

impl Real {
    fn start(room: &Room, file: &str, variables: &[(&str, &str)]) -> Self {
        // Nobody else is given the port so soon.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port").to_string();
        let mut run = room
            .run("docker-registry", ["serve", file])
            .env("REGISTRY_HTTP_ADDR", &address);
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let child = run
            .0
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut real = Self { child, address };
        while TcpStream::connect(&real.address).is_err() {
            assert!(
                real.child.try_wait().expect("its state").is_none(),
                "docker-registry ended"
            );
            std::thread::yield_now();
        }
        real
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ours with the same file.
fn ours(room: &Room, file: &str, variables: &[(&str, &str)]) -> Served {
    let mut run = room
        .as_registry(["serve", file])
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    for (name, value) in variables {
        run = run.env(name, value);
    }
    Served::of(run)
}

/// What an answer says that must be the same: its status and some of its headers, without what differs from run to run.
fn answer(address: &str, request: &str, headers: &[&str]) -> Vec<String> {
    let (first, rest) = request.split_once('\n').unwrap_or((request, ""));
    let mut text = format!("{first} HTTP/1.1\r\nConnection: close\r\n");
    if !rest.contains("Host:") {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    for line in rest.lines() {
        text.push_str(&format!("{line}\r\n"));
    }
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(format!("{text}\r\n").as_bytes()).expect("sent");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("an answer");
    let said = String::from_utf8_lossy(&said).into_owned();
    let head = said.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default();
    let mut found = vec![status.to_owned()];
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if headers.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
            let value = value.replace(address, "ADDRESS");
            let value = match value.split_once("/uploads/") {
                Some((before, _)) => format!("{before}/uploads/ID"),
                None => value,
            };
            found.push(format!("{}: {value}", name.to_lowercase()));
        }
    }
    found[1..].sort();
    found
}

const BEGIN: &str = "POST /v2/a/b/blobs/uploads/\nContent-Length: 0";

#[test]
fn the_same_file_makes_the_same_answers() {
    let test = "the_same_file_makes_the_same_answers";
    if !peers(test, &["docker-registry"]) {
        return;
    }
    let room = Room::new();
    room.file("c.yml", FILE);
    let begin = |headers: &str| format!("{BEGIN}\n{headers}");
    let requests = [
        "GET /v2/".to_owned(),
        "GET /".to_owned(),
        "GET /v2/_catalog".to_owned(),
        "OPTIONS /v2/a/manifests/1".to_owned(),
        begin(""),
        begin("X-Forwarded-Proto: https"),
        begin("X-Forwarded-Proto: https\nX-Forwarded-Host: b.example, c.example"),
        begin("X-Forwarded-Host: b.example:8443"),
        begin("Forwarded: for=192.0.2.1;proto=https;host=d.example"),
        begin("Forwarded: for=192.0.2.1;host=d.example, for=192.0.2.2;host=e.example"),
        begin("Forwarded: for=192.0.2.1\nX-Forwarded-Host: b.example"),
        begin("Host: f.example"),
    ];
    let headers = [
        "location",
        "docker-distribution-api-version",
        "x-content-type-options",
        "x-ours",
    ];
    for (variables, requests) in [
        (vec![], requests.to_vec()),
        (vec![("REGISTRY_HTTP_RELATIVEURLS", "true")], requests[4..7].to_vec()),
        (
            vec![("REGISTRY_HTTP_HOST", "https://g.example:8443")],
            requests[4..8].to_vec(),
        ),
        (
            vec![("REGISTRY_HTTP_PREFIX", "/x/y/")],
            vec![
                "GET /x/y/v2/".to_owned(),
                "GET /v2/".to_owned(),
                begin("").replace("/v2/", "/x/y/v2/"),
                begin("X-Forwarded-Host: b.example").replace("/v2/", "/x/y/v2/"),
            ],
        ),
    ] {
        let place = |name: &str| room.path(name).display().to_string();
        let (there, here) = (place("real"), place("ours"));
        std::fs::create_dir_all(&here).expect("a directory");
        let root = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
        let real = Real::start(&room, "c.yml", &[&variables[..], &[(root, &*there)]].concat());
        let ours = ours(&room, "c.yml", &[&variables[..], &[(root, &*here)]].concat());
        for request in requests {
            // What is outside of the API has headers of its own.
            let outside =
                request == "GET /" || request == "GET /v2/" && variables == [("REGISTRY_HTTP_PREFIX", "/x/y/")];
            let headers = if outside { &[][..] } else { &headers };
            let expected = answer(&real.address, &request, headers);
            assert_eq!(
                answer(&ours.address, &request, headers),
                expected,
                "{variables:?} {request}"
            );
        }
    }
}

#[test]
fn nothing_is_deleted_unless_the_file_says_so() {
    let room = Room::new();
    room.file("c.yml", FILE);
    room.layout("images").image("app", &image());
    for deletes in ["false", "true"] {
        let root = room.path("kept").display().to_string();
        let variables = [
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &*root),
            ("REGISTRY_STORAGE_DELETE_ENABLED", deletes),
        ];
        let served = ours(&room, "c.yml", &variables);
        let name = served.image("team/app:1");
        room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &name])
            .succeeds();
        assert!(room.path("kept/teu").is_dir());
        let deleted = room.teu(["delete", "--tls-verify=false", &name]).ran();
        let is_there = room.teu(["digest", "--tls-verify=false", &name]).ran().code == 0;
        assert_eq!(
            (deleted.code == 0, is_there),
            (deletes == "true", deletes == "false"),
            "{}",
            deleted.stderr
        );
    }
    let root = room.path("kept").display().to_string();
    let variables = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &*root)];
    let collect = |flags: &[&str]| {
        let run = room.as_registry(["garbage-collect"].iter().chain(flags).chain(&["c.yml"]));
        run.env(variables[0].0, variables[0].1).succeeds()
    };
    assert!(collect(&["--dry-run"]).stdout.contains("would free"));
    assert!(collect(&["--delete-untagged"]).stdout.contains("freed "));
    // Beside a server there is nothing to do, and that is no failure of what runs each night.
    let served = ours(&room, "c.yml", &variables);
    assert!(collect(&["-d"]).stdout.contains("would free"));
    let beside = collect(&[]);
    assert!(
        beside.stderr.contains("a server collects by itself"),
        "{}",
        beside.stderr
    );
    drop(served);
}

#[test]
fn who_may_log_in_is_said_as_there() {
    let test = "who_may_log_in_is_said_as_there";
    if !peers(test, &["docker-registry", "htpasswd", "skopeo"]) {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &image());
    room.users(&[("alice", "secret")]);
    room.file("c.yml", FILE);
    let (there, here) = (
        room.path("real").display().to_string(),
        room.path("ours").display().to_string(),
    );
    let root = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
    let variables = [
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "Team Registry"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "users"),
    ];
    let real = Real::start(&room, "c.yml", &[&variables[..], &[(root, &*there)]].concat());
    let ours = ours(&room, "c.yml", &[&variables[..], &[(root, &*here)]].concat());
    for address in [&real.address, &ours.address] {
        let refused = answer(address, "GET /v2/", &["www-authenticate"]);
        assert_eq!(refused[0], "401");
        assert!(refused[1].contains("Basic realm=\"Team Registry\""), "{refused:?}");
        let to = format!("docker://{address}/team/app:1");
        let push = |credentials: &str| {
            let flags = [
                "copy",
                "--dest-tls-verify=false",
                "--dest-creds",
                credentials,
                "oci:images:app",
                &to,
            ];
            room.skopeo(flags).ran().code
        };
        assert_eq!(
            (push("alice:wrong") == 0, push("alice:secret")),
            (false, 0),
            "{address}"
        );
    }
}

/// Certificates of clients open the connection alone: a password is asked for besides.
#[test]
fn certificates_of_clients_are_no_users() {
    let test = "certificates_of_clients_are_no_users";
    if !peers(test, &["docker-registry", "htpasswd", "openssl"]) {
        return;
    }
    let room = Room::new();
    std::fs::create_dir(room.path("authority")).expect("a directory");
    std::fs::create_dir(room.path("client")).expect("a directory");
    std::fs::create_dir(room.path("nobody")).expect("a directory");
    support::peer::certificate(&room.path("authority"), true);
    for directory in ["client", "nobody"] {
        std::fs::copy(room.path("authority/cert.pem"), room.path(directory).join("ca.crt")).expect("copied");
    }
    let made = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "client/c.key",
        "-out",
        "c.csr",
        "-subj",
        "/CN=bob",
    ];
    room.run("openssl", made).succeeds();
    // It makes a certificate of version 3, which alone is taken.
    room.file("extensions", "extendedKeyUsage=clientAuth\n");
    let signed = [
        "x509",
        "-req",
        "-in",
        "c.csr",
        "-CA",
        "authority/cert.pem",
        "-CAkey",
        "authority/key.pem",
    ];
    let signed = [
        &signed[..],
        &[
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            "client/c.cert",
        ],
    ]
    .concat();
    room.run("openssl", signed).succeeds();
    room.users(&[("alice", "secret")]);
    let tls = "  tls:\n    certificate: authority/cert.pem\n    key: authority/key.pem\n    clientcas: [authority/cert.pem]\n";
    room.file(
        "c.yml",
        format!("{FILE}{tls}auth:\n  htpasswd:\n    realm: r\n    path: users\n"),
    );
    let (there, here) = (
        room.path("real").display().to_string(),
        room.path("ours").display().to_string(),
    );
    let root = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
    let real = Real::start(&room, "c.yml", &[(root, &*there)]);
    let ours = ours(&room, "c.yml", &[(root, &*here)]);
    for address in [&real.address, &ours.address] {
        for (directory, credentials, works) in [
            ("client", "alice:secret", true),
            ("client", "alice:wrong", false),
            ("client", "", false),
            ("nobody", "alice:secret", false),
        ] {
            let mut line = vec!["catalog", "--cert-dir", directory, address];
            if !credentials.is_empty() {
                line.extend(["--creds", credentials]);
            }
            let ran = room.teu(line).ran();
            assert_eq!(
                ran.code == 0,
                works,
                "{address} {directory} {credentials}: {}",
                ran.stderr
            );
        }
    }
}

/// A token realm elsewhere is told as it was named.
#[test]
fn tokens_of_another_are_asked_for_where_the_file_says() {
    let test = "tokens_of_another_are_asked_for_where_the_file_says";
    if !peers(test, &["docker-registry", "openssl"]) {
        return;
    }
    let room = Room::new();
    room.run(
        "openssl",
        [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "bundle.pem",
            "-subj",
            "/CN=a",
            "-days",
            "2",
        ],
    )
    .succeeds();
    let auth = "auth:\n  token:\n    realm: https://auth.example/token\n    service: registry.example\n    issuer: auth.example\n    rootcertbundle: bundle.pem\n";
    room.file("c.yml", format!("{FILE}{auth}"));
    let (there, here) = (
        room.path("real").display().to_string(),
        room.path("ours").display().to_string(),
    );
    let root = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY";
    let real = Real::start(&room, "c.yml", &[(root, &*there)]);
    let ours = ours(&room, "c.yml", &[(root, &*here)]);
    for request in ["GET /v2/", "GET /v2/a/b/manifests/1", BEGIN] {
        let expected = answer(&real.address, request, &["www-authenticate"]);
        let found = answer(&ours.address, request, &["www-authenticate"]);
        // The order of what is wanted is nobody's.
        let plain = |said: &[String]| said.join("\n").replace("push,pull", "pull,push");
        assert_eq!(plain(&found), plain(&expected), "{request}");
    }
}

#[test]
fn what_means_nothing_is_said_and_what_is_there_is_not_touched() {
    let room = Room::new();
    room.file(
        "c.yml",
        format!("{FILE}redis:\n  addr: localhost:6379\nnotifications:\n  endpoints: [a]\n"),
    );
    room.file("root/docker/registry/v2/repositories/a/x", "theirs");
    let root = room.path("root").display().to_string();
    let run = room
        .as_registry(["serve", "c.yml"])
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    let served = Served::of(run.env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root));
    assert_eq!(answer(&served.address, "GET /v2/a/tags/list", &[])[0], "404");
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0));
    for says in [
        "teu: warning: c.yml: line 10: redis.addr has no meaning here: ",
        "teu: warning: c.yml: line 12: notifications.endpoints has no meaning here: ",
        "root/docker/registry/v2 has what registry:2 kept: that stays as it is and is not served; bring it in, ",
        "root/teu registry:",
    ] {
        assert!(said.contains(says), "{said}");
    }
    let kept = std::fs::read_to_string(room.path("root/docker/registry/v2/repositories/a/x"));
    assert_eq!(kept.expect("it is there"), "theirs");
    // What it comes to is a file of ours.
    let run = room.teu(["serve", "--distribution-config", "c.yml", "--print-config"]);
    let printed = run.env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root).succeeds();
    assert!(
        printed.stdout.contains(&format!("\ndata = \"{root}/teu\"\n")),
        "{}",
        printed.stdout
    );
}

#[test]
fn its_command_line_is_answered_in_its_words() {
    let room = Room::new();
    let said = room.as_registry(["serve"]).fails(1);
    assert!(
        said.starts_with("configuration error: configuration path unspecified\nUsage:\n") || said.contains("Usage:"),
        "{said}"
    );
    let said = room.as_registry(["serve", "nothing.yml"]).fails(1);
    assert!(said.contains("nothing.yml cannot be read: No such file"), "{said}");
    let said = room.as_registry(["bogus"]).fails(1);
    assert!(
        said.contains("Error: unknown command \"bogus\" for \"registry\""),
        "{said}"
    );
    let version = room.as_registry(["--version"]).succeeds();
    assert!(version.stdout.starts_with("registry github.com/"), "{}", version.stdout);
}
