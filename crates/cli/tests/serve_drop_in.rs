//! Is teu, called by the name `registry`, what registry:2 is to who runs it? Beside Debian's docker-registry where that is there, with the same file
//! and the same requests.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::support::{self, Room, Served, image, peers};

/// How long it may take until a collection removes what it should.
const LONGEST: Duration = Duration::from_secs(60);

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
        let address = support::free_port();
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
    // What was deleted goes at once, where no server runs: whenever it was pushed.
    let kept = room.path("kept/teu");
    let before = blobs(&kept);
    assert!(before > 0);
    let would = collect(&["-dm"]).stdout;
    assert!(
        would.lines().any(|line| line.ends_with(&format!(": {before} blobs"))),
        "{would}"
    );
    let freed = collect(&["-m"]).stdout;
    assert!(
        freed.contains(&format!(": {before} blobs that no repository shows")),
        "{freed}"
    );
    assert_eq!(blobs(&kept), 0);
    // A server does it itself when it is asked, so that what runs each night does not fail.
    let served = ours(&room, "c.yml", &variables);
    assert!(collect(&["-d"]).stdout.contains("would free"));
    assert!(collect(&[]).stdout.starts_with("freed 0 B: 0 blobs"));
    assert!(collect(&["-m"]).stdout.starts_with("freed 0 B: 0 blobs"));
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0));
    assert_eq!(
        said.matches("collected garbage, as was asked: freed 0 B").count(),
        2,
        "{said}"
    );
}

/// How many blobs a directory has.
fn blobs(kept: &Path) -> usize {
    let parts = std::fs::read_dir(kept.join("blobs")).expect("a directory");
    let of = |part: std::io::Result<std::fs::DirEntry>| std::fs::read_dir(part.expect("an entry").path());
    parts.map(|part| of(part).expect("a directory").count()).sum()
}

/// The collection of each night, of a registry whose tags move, beside the server: what a tag moved from goes, and nothing that was pushed a moment ago.
#[test]
fn beside_a_server_it_has_the_server_collect() {
    let room = Room::new();
    room.file("c.yml", FILE);
    let old = room.layout("images").image("old", &image()).to_string();
    let mut other = image();
    other.config["author"] = "another".into();
    let new = room.layout("images").image("new", &other).to_string();
    let root = room.path("kept").display().to_string();
    let variables = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &*root)];
    let collect = |(name, value): (&str, &str)| {
        let run = room.as_registry(["garbage-collect", "-m", "c.yml"]);
        run.env(name, value).succeeds().stdout
    };
    let push = |served: &Served| {
        for name in ["old", "new"] {
            let (from, to) = (format!("oci:images:{name}"), served.image("team/app:latest"));
            room.teu(["copy", "--dest-tls-verify=false", &from, &to]).succeeds();
        }
    };
    let status = |served: &Served, digest: &str| {
        answer(&served.address, &format!("GET /v2/team/app/manifests/{digest}"), &[])[0].clone()
    };
    let served = ours(&room, "c.yml", &variables);
    push(&served);
    assert!(
        collect(variables[0]).starts_with("freed 0 B: 0 blobs"),
        "all of it is younger than a lease"
    );
    assert_eq!(
        (status(&served, &old), status(&served, &new)),
        ("200".into(), "200".into())
    );
    drop(served);
    // With shorter times; by itself it would look in an hour.
    let fresh = room.path("fresh").display().to_string();
    let short = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &*fresh),
        ("TEU_SERVE_GC_INTERVAL", "1h"),
        ("TEU_SERVE_GC_LEASE", "1s"),
        ("TEU_SERVE_GC_UNTAGGED", "1s"),
    ];
    let served = ours(&room, "c.yml", &short);
    push(&served);
    let before = blobs(&room.path("fresh/teu"));
    let begun = Instant::now();
    let said = loop {
        let said = collect(short[0]);
        if said.starts_with("removed ") {
            break said;
        }
        assert!(said.starts_with("freed 0 B: 0 blobs"), "{said}");
        assert!(begun.elapsed() < LONGEST, "no manifest goes: {said}");
    };
    assert!(
        said.starts_with("removed 1 manifest that no tag leads to; freed "),
        "{said}"
    );
    assert_eq!(
        (status(&served, &old), status(&served, &new)),
        ("404".into(), "200".into())
    );
    // Its config went too, which no other image has; that its lease was over may have come to be a moment later.
    let begun = Instant::now();
    while blobs(&room.path("fresh/teu")) == before {
        let said = collect(short[0]);
        assert!(begun.elapsed() < LONGEST, "no blob goes: {said}");
    }
    let from = served.image("team/app:latest");
    room.teu(["copy", "--src-tls-verify=false", &from, "oci:pulled:latest"])
        .succeeds();
    room.teu(["verify", "oci:pulled:latest"]).succeeds();
}

/// As its guide has it: the registry is made read-only, and collects then.
#[test]
fn where_nobody_may_push_nothing_goes_but_who_asks_has_it_go() {
    let room = Room::new();
    room.file("c.yml", FILE);
    room.layout("images").image("app", &image());
    let root = room.path("kept").display().to_string();
    let variables = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &*root),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
        ("TEU_SERVE_GC_INTERVAL", "1h"),
        ("TEU_SERVE_GC_LEASE", "1s"),
    ];
    let served = ours(&room, "c.yml", &variables);
    let name = served.image("app:1");
    room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &name])
        .succeeds();
    room.teu(["delete", "--tls-verify=false", &name]).succeeds();
    drop(served);
    let before = blobs(&room.path("kept/teu"));
    let variables = [
        variables[0],
        ("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true"),
        ("TEU_SERVE_GC_INTERVAL", "1s"),
    ];
    let served = ours(&room, "c.yml", &variables);
    let run = room.as_registry(["garbage-collect", "c.yml"]);
    let freed = run.env(variables[0].0, variables[0].1).succeeds().stdout;
    assert!(
        freed.contains(&format!(": {before} blobs that no repository shows")),
        "{freed}"
    );
    assert_eq!(blobs(&room.path("kept/teu")), 0);
    drop(served);
}

/// What is not validated there is taken here: indexes that lack images, and no image that lacks its config.
#[test]
fn images_are_whole_whatever_is_not_validated() {
    let room = Room::new();
    let file = format!("{FILE}validation:\n  manifests:\n    indexes:\n      platforms: none\n");
    room.file("c.yml", file);
    room.layout("images").index("all", &[("linux/amd64", &image())]);
    room.layout("images").image("one", &image());
    let root = room.path("kept").display().to_string();
    let served = ours(&room, "c.yml", &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root)]);
    let put = |from: &str, to: &str| {
        let raw = room.teu(["manifest", "get", from]).succeeds().stdout;
        room.file("manifest.json", raw);
        let to = served.image(to);
        let line = [
            "manifest",
            "put",
            "--allow-missing",
            "--tls-verify=false",
            &to,
            "manifest.json",
        ];
        room.teu(line).ran()
    };
    assert_eq!(put("oci:images:all", "team/app:all").code, 0);
    let refused = put("oci:images:one", "team/app:one");
    assert!(
        refused.code == 1 && refused.stderr.contains("MANIFEST_BLOB_UNKNOWN"),
        "{}",
        refused.stderr
    );
}

/// Where it has a second address, it is asked there how it is.
#[test]
fn its_second_address_says_how_it_is() {
    let room = Room::new();
    let debug = support::free_port();
    room.file("c.yml", format!("{FILE}  debug:\n    addr: {debug}\n"));
    let root = room.path("kept").display().to_string();
    let served = ours(&room, "c.yml", &[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &root)]);
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        support::ask(&debug, &request)
    };
    let health = ask("/debug/health");
    assert!(
        health.starts_with("HTTP/1.1 200 OK") && health.ends_with("\r\n\r\n{}\n"),
        "{health}"
    );
    assert!(ask("/metrics").starts_with("HTTP/1.1 200 OK"));
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
