//! Does `teu serve` let in who may, as its files say, also when they change, and does `teu serve policy check` say the same?

use std::{fs, path::Path};

use crate::support::{self, Room, Served, image, peers};

const POLICY: &str = r#"
[[rule]]
who = ["anonymous"]
repositories = ["public/*"]
allow = ["pull"]

[[rule]]
who = ["alice"]
repositories = ["**"]
allow = ["pull", "push", "overwrite", "delete", "list"]
"#;

/// Writes an htpasswd file; says loudly why it cannot.
fn users(room: &Room, test: &str, users: &[(&str, &str)]) -> bool {
    if !peers(test, &["htpasswd"]) {
        return false;
    }
    room.users(users);
    true
}

/// Replaces a file as editors do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("written");
    fs::rename(new, path).expect("renamed");
}

fn copy(room: &Room, credentials: Option<&str>, from: &str, to: &str) -> support::Ran {
    let flags = ["--src-tls-verify=false", "--dest-tls-verify=false", "--progress=none"];
    let mut arguments = vec!["copy", from, to];
    arguments.extend(flags);
    if let Some(credentials) = credentials {
        arguments.extend(["--dest-creds", credentials]);
    }
    room.teu(arguments).ran()
}

#[test]
fn files_say_who_may_do_what_and_are_read_again() {
    let test = "files_say_who_may_do_what_and_are_read_again";
    for tokens in [false, true] {
        let room = Room::new();
        if !users(&room, test, &[("alice", "secret")]) {
            return;
        }
        room.file("access.toml", POLICY);
        room.layout("images").image("app", &image());
        let files = ["--htpasswd", "users", "--access-policy", "access.toml"];
        let mut arguments = vec!["--data", "kept", "--deletes"];
        arguments.extend(files);
        if tokens {
            arguments.push("--tokens");
        }
        let mut served = Served::start(&room, &arguments);
        let (public, secret) = (served.image("public/app:1"), served.image("secret/app:1"));
        assert_eq!(copy(&room, None, "oci:images:app", &public).code, 1);
        let wrong = copy(&room, Some("alice:wrong"), "oci:images:app", &public);
        assert!(
            wrong.code == 1 && !wrong.stderr.contains("alice:wrong"),
            "{}",
            wrong.stderr
        );
        for to in [&public, &secret] {
            let pushed = copy(&room, Some("alice:secret"), "oci:images:app", to);
            assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        }
        assert_eq!(copy(&room, None, &public, "oci:pulled:1").code, 0);
        assert_eq!(copy(&room, None, &secret, "oci:pulled:2").code, 1);
        // Now everybody may read what was secret, and alice has another password.
        replace(&room.path("access.toml"), &POLICY.replace("public/*", "*/*"));
        assert!(users(&room, test, &[("alice", "another")]));
        served.tell("HUP");
        support::until("everybody may read it", || {
            copy(&room, None, &secret, "oci:pulled:2").code == 0
        });
        // What is there already is not pushed again, and nobody is asked then who they are.
        let new = served.image("public/new:1");
        let pushes = |user| copy(&room, Some(user), "oci:images:app", &new).code == 0;
        support::until("alice has another password", || pushes("alice:another"));
        let newer = served.image("public/newer:1");
        assert_eq!(copy(&room, Some("alice:secret"), "oci:images:app", &newer).code, 1);
        // What cannot be read changes nothing, and is said.
        replace(&room.path("access.toml"), "[[rule]]\nwho = [\"alice\"]");
        let log = served.says_until("warning");
        let said = log.lines().last().expect("a line");
        assert!(
            said.contains("access.toml: ") && said.contains("who could do what before"),
            "{said}"
        );
        // What was read is said as well.
        assert!(
            log.lines().any(|line| line == "teu: read again: users, access.toml"),
            "{log}"
        );
        assert_eq!(copy(&room, None, &secret, "oci:pulled:3").code, 0);
        let (code, rest) = served.stop("TERM");
        assert_eq!(code, Some(0));
        let said = log + &rest;
        assert!(said.contains(" alice PUT /v2/public/app/manifests/1 201 "), "{said}");
        for secret in ["YWxpY2U6", "another", "Bearer", "eyJ"] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
    }
}

/// Docker's client pulls nothing without a login from who asks for a password.
#[test]
fn who_lets_in_those_who_are_not_logged_in_gives_them_tokens() {
    let test = "who_lets_in_those_who_are_not_logged_in_gives_them_tokens";
    let room = Room::new();
    if !users(&room, test, &[("alice", "secret")]) {
        return;
    }
    room.file("access.toml", POLICY);
    let files = ["--htpasswd", "users", "--access-policy", "access.toml"];
    let served = Served::start(&room, &[&["--data", "kept"], &files[..]].concat());
    let address = &served.address;
    let get = |path: &str, more: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
        support::ask(address, &request)
    };
    let challenge = |answer: &str| {
        let found = answer.lines().find_map(|line| line.strip_prefix("Www-Authenticate: "));
        found.map(str::to_owned)
    };
    let bearer = format!("Bearer realm=\"http://{address}/token\",service=\"teu\"");
    assert_eq!(challenge(&get("/v2/", "")), Some(bearer.clone()));
    let issued = get("/token?service=teu&scope=repository:public/app:pull", "");
    assert!(issued.starts_with("HTTP/1.1 200 OK"), "{issued}");
    let (_, token) = issued.split_once("\"token\":\"").expect("a token");
    let shown = format!(
        "Authorization: Bearer {}\r\n",
        token.split('"').next().expect("its end")
    );
    // Nothing is there; who may not is told so.
    for (repository, status) in [("public/app", "404"), ("secret/app", "401")] {
        let answer = get(&format!("/v2/{repository}/manifests/1"), &shown);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    // A password is taken as before (alice:secret).
    let known = get("/v2/", "Authorization: Basic YWxpY2U6c2VjcmV0\r\n");
    assert!(known.starts_with("HTTP/1.1 200 OK"), "{known}");
    // Where everybody is to log in, the password is asked for; and the other way about.
    let basic = Some("Basic realm=\"teu\", charset=\"UTF-8\"".to_owned());
    for (policy, expected) in [
        (POLICY.replace("\"anonymous\"", "\"*\""), basic),
        (POLICY.to_owned(), Some(bearer)),
    ] {
        replace(&room.path("access.toml"), &policy);
        served.tell("HUP");
        support::until("it is asked for otherwise", || challenge(&get("/v2/", "")) == expected);
    }
    // The key is the same all the while.
    let answer = get("/v2/public/app/manifests/1", &shown);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

/// As registry:2 goes on without one whose password htpasswd wrote in another way.
#[test]
fn who_has_no_hash_of_bcrypt_is_left_out_with_a_warning() {
    let test = "who_has_no_hash_of_bcrypt_is_left_out_with_a_warning";
    let room = Room::new();
    if !users(&room, test, &[("alice", "secret")]) {
        return;
    }
    let users = fs::read_to_string(room.path("users")).expect("a file");
    room.file("users", format!("bob:$apr1$c5jYGmsL$JtCJnZ3kCxe9Pxg9cnz/l0\n{users}"));
    room.layout("images").image("app", &image());
    let mut served = Served::start(&room, &["--data", "kept", "--htpasswd", "users"]);
    let said = served.says();
    let expected = "users: line 1: the hash of \"bob\" is none of bcrypt's; htpasswd -B makes one; until then this user cannot log in\n";
    assert!(said.contains("warning") && said.ends_with(expected), "{said}");
    let to = served.image("app:1");
    assert_eq!(copy(&room, Some("bob:secret"), "oci:images:app", &to).code, 1);
    let pushed = copy(&room, Some("alice:secret"), "oci:images:app", &to);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
}

#[test]
fn a_policy_is_asked_what_it_allows() {
    let room = Room::new();
    room.file("access.toml", POLICY);
    room.file(
        "bad.toml",
        "[[rule]]\nwho = [\"alice\"]\nrepositories = [\"a\"]\nallow = [\"all\"]",
    );
    let check = |arguments: &[&str]| room.teu([&["serve", "policy", "check"], arguments].concat()).ran();
    for (arguments, code, said) in [
        (&["access.toml", "pull", "public/app"][..], 0, "allowed by rule 1\n"),
        (
            &["access.toml", "--user", "alice", "pull", "public/app"],
            0,
            "allowed by rule 1\n",
        ),
        (
            &["access.toml", "--user", "alice", "delete", "secret/app"],
            0,
            "allowed by rule 2\n",
        ),
        (&["access.toml", "push", "public/app"], 1, "denied: no rule allows it\n"),
        (
            &["access.toml", "--user", "bob", "pull", "secret/app"],
            1,
            "denied: no rule allows it\n",
        ),
    ] {
        let ran = check(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (code, said, ""),
            "{arguments:?}"
        );
    }
    let ran = check(&["-o", "json", "access.toml", "list", "secret/app"]);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let expected = serde_json::json!({
        "user": null, "action": "list", "repository": "secret/app", "allowed": false, "rule": null
    });
    assert_eq!((ran.code, said), (1, expected));
    for (arguments, says) in [
        (
            &["access.toml", "read", "public/app"][..],
            "none of pull, push, overwrite, delete and list",
        ),
        (&["access.toml", "pull", "Public"], "Public"),
        (
            &["nothing.toml", "pull", "public/app"],
            "nothing.toml cannot be read: No such file",
        ),
        (&["bad.toml", "pull", "public/app"], "unknown variant `all`"),
    ] {
        let ran = check(arguments);
        assert!(
            ran.code == 2 && ran.stderr.contains(says),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_served() {
    let room = Room::new();
    room.file("plain", "secret\n");
    room.file("key.pem", "no key");
    room.file("keys.json", "{\"keys\": []}");
    for (arguments, code, says) in [
        (&["--htpasswd", "nothing"][..], 1, "nothing cannot be read"),
        (&["--htpasswd", "plain"], 1, "plain: line 1 is no user:hash"),
        (&["--tokens"], 2, "--tokens wants --htpasswd or --tls-clients"),
        (&["--token-key", "key.pem"], 2, "--tokens"),
        (&["--token-keys", "keys.json"], 2, "--token-url"),
        (
            &[
                "--token-keys",
                "keys.json",
                "--token-url",
                "https://a/token",
                "--tokens",
            ],
            2,
            "cannot be used with",
        ),
        (
            &["--token-keys", "keys.json", "--token-url", "https://a/token"],
            1,
            "keys.json: no key of the set can be used",
        ),
        (
            &["--token-keys", "keys.json", "--token-url", "a b"],
            2,
            "--token-url stands in a header",
        ),
    ] {
        let run = room.teu(
            ["serve", "--listen", "127.0.0.1:0", "--data", "kept"]
                .iter()
                .chain(arguments),
        );
        let said = run.fails(code);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn what_is_asked_is_counted() {
    use std::io::{Read, Write};

    let room = Room::new();
    room.layout("images").image("app", &image());
    let mut run = room.teu([
        "serve",
        "-o",
        "json",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "oci:images",
    ]);
    let mut child = run
        .0
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    let printed = serde_json::Deserializer::from_reader(child.stdout.take().expect("its output"));
    let said: serde_json::Value = printed.into_iter().next().expect("a line").expect("JSON");
    let ask = |place: &str, path: &str| {
        let mut stream = std::net::TcpStream::connect(said[place].as_str().expect("an address")).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("address", "/readyz").starts_with("HTTP/1.1 200 OK"));
    assert!(ask("address", "/v2/images/manifests/app").starts_with("HTTP/1.1 200 OK"));
    assert!(ask("address", "/v2/images/manifests/none").starts_with("HTTP/1.1 404 Not Found"));
    // They have a place of their own.
    assert!(ask("address", "/metrics").starts_with("HTTP/1.1 404"));
    let told = ask("metrics", "/metrics");
    child.kill().expect("ended");
    child.wait().expect("it ends");
    for line in [
        "teu_registry_requests_total{method=\"GET\",endpoint=\"manifest\",status=\"200\"} 1",
        "teu_registry_requests_total{method=\"GET\",endpoint=\"manifest\",status=\"404\"} 1",
        "teu_registry_requests_total{method=\"GET\",endpoint=\"health\",status=\"200\"} 1",
    ] {
        assert!(told.lines().any(|found| found == line), "{told}");
    }
}
