//! Are tokens believed that another issues, by keys in files and at a URL?

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::support::{Room, Served, answers::Answers, ask, free_port, image, peers, until};
use serde_json::json;

/// Another's place for keys: a server of one answer.
fn place_for_keys(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            // It asks for one thing alone.
            let _ = stream.read(&mut head);
            let _ = stream.write_all(&answer);
        }
    });
    url
}

/// RFC 4648, 5, without padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(LETTERS[(word >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

#[test]
fn tokens_of_another_are_believed_by_keys_at_a_url() {
    let test = "tokens_of_another_are_believed_by_keys_at_a_url";
    if !peers(test, &["openssl"]) {
        return;
    }
    let room = Room::new();
    room.run(
        "openssl",
        [
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            "key.pem",
        ],
    )
    .succeeds();
    room.run("openssl", ["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"])
        .succeeds();
    room.run(
        "openssl",
        [
            "req",
            "-x509",
            "-key",
            "key.pem",
            "-subj",
            "/CN=issuer",
            "-days",
            "2",
            "-out",
            "certificate.pem",
        ],
    )
    .succeeds();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    let body = json!({
        "iss": "issuer", "aud": "registry", "sub": "alice", "exp": now + 3600,
        "access": [{"type": "repository", "name": "a", "actions": ["pull", "push"]}],
    });
    let encoded = |bytes: &[u8]| base64(bytes);
    let signed = format!(
        "{}.{}",
        encoded(b"{\"alg\":\"RS256\",\"typ\":\"JWT\"}"),
        encoded(body.to_string().as_bytes())
    );
    room.file("signed", &signed);
    room.run(
        "openssl",
        ["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "signed"],
    )
    .succeeds();
    let signature = std::fs::read(room.path("signature")).expect("a signature");
    let token = format!("{signed}.{}", encoded(&signature));
    let keys = room
        .run("openssl", ["rsa", "-pubin", "-in", "public.pem", "-noout", "-modulus"])
        .succeeds()
        .stdout;
    let modulus = keys.trim().trim_start_matches("Modulus=");
    let modulus: Vec<u8> = (0..modulus.len() / 2)
        .map(|at| u8::from_str_radix(&modulus[at * 2..at * 2 + 2], 16).expect("hexadecimal"))
        .collect();
    let set = json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "n": encoded(&modulus), "e": "AQAB"}]});
    room.file("keys.json", set.to_string());
    let url = place_for_keys(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{set}",
        set.to_string().len()
    ));
    for keys in ["keys.json", "certificate.pem", "public.pem", &url] {
        let flags = ["--token-keys", keys, "--token-url", "https://auth.example/token"];
        let names = [
            "--token-service",
            "registry",
            "--token-issuer",
            "issuer",
            "--data",
            "kept",
        ];
        let served = Served::start(&room, &[&flags[..], &names].concat());
        let begin = |name: &str, authorization: &str| {
            let head = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n";
            ask(
                &served.address,
                &format!("POST /v2/{name}/blobs/uploads/ {head}{authorization}\r\n"),
            )
        };
        let bearer = format!("Authorization: Bearer {token}\r\n");
        // Those at a URL are there soon.
        let soon = Instant::now() + Duration::from_secs(60);
        let mut begun = begin("a", &bearer);
        while begun.starts_with("HTTP/1.1 401") && keys == url && Instant::now() < soon {
            begun = begin("a", &bearer);
        }
        assert!(begun.starts_with("HTTP/1.1 202"), "{keys}: {begun}");
        let refused = begin("b", &bearer);
        assert!(refused.starts_with("HTTP/1.1 401"), "{keys}: {refused}");
        let challenge = "Www-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a:pull,push\"\r\n";
        let asked = begin("a", "");
        assert!(
            asked.starts_with("HTTP/1.1 401") && asked.contains(challenge),
            "{keys}: {asked}"
        );
    }
    let said = room
        .teu([
            "serve",
            "--token-keys",
            "key.pem",
            "--token-url",
            "https://a/token",
            "--data",
            "kept",
        ])
        .fails(1);
    assert!(said.contains("key.pem: a private key"), "{said}");
}

#[test]
fn tokens_of_one_server_open_another() {
    let test = "tokens_of_one_server_open_another";
    if !peers(test, &["skopeo", "htpasswd", "openssl"]) {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &image());
    room.users(&[("alice", "secret")]);
    for algorithm in ["ed25519", "EC"] {
        let made = ["genpkey", "-algorithm", algorithm, "-out", "key.pem"];
        let curve: &[&str] = if algorithm == "EC" {
            &["-pkeyopt", "ec_paramgen_curve:P-256"]
        } else {
            &[]
        };
        room.run("openssl", made.iter().chain(curve)).succeeds();
        room.run("openssl", ["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"])
            .succeeds();
        let names = ["--token-service", "registry.example", "--token-issuer", "auth.example"];
        let issues = [
            "--data",
            "issuer",
            "--htpasswd",
            "users",
            "--tokens",
            "--token-key",
            "key.pem",
        ];
        let issuer = Served::start(&room, &[&issues[..], &names].concat());
        let url = format!("http://{}/token", issuer.address);
        let believes = ["--data", "kept", "--token-keys", "public.pem", "--token-url", &url];
        let served = Served::start(&room, &[&believes[..], &names].concat());
        let to = served.image(&format!("team/{}:1", algorithm.to_lowercase()));
        let push = |credentials: &str| {
            let flags = [
                "copy",
                "--dest-tls-verify=false",
                "--dest-creds",
                credentials,
                "oci:images:app",
                &to,
            ];
            room.skopeo(flags).ran()
        };
        assert_ne!(push("alice:wrong").code, 0);
        let pushed = push("alice:secret");
        assert_eq!(pushed.code, 0, "{algorithm}: {}", pushed.stderr);
        let creds = ["--creds", "alice:secret", "--tls-verify=false"];
        let named = room.teu(["digest"].iter().chain(&creds).chain(&[&*to])).ran();
        assert_eq!(named.code, 0, "{algorithm}: {}", named.stderr);
    }
}

#[test]
fn the_query_of_a_url_for_keys_is_nowhere_said() {
    let room = Room::new();
    for (answer, why) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"[..],
            "the answer is 404 Not Found",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"keys\": []}",
            "no key of the set can be used",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n\xff",
            "it is no UTF-8",
        ),
        (b"nonsense\r\n\r\n", "talking to 127.0.0.1"),
    ] {
        let bare = place_for_keys(answer);
        let url = format!("{bare}?key=a-secret");
        let flags = ["--data", "kept", "--token-url", "https://a/token", "--token-keys", &url];
        let mut served = Served::start(&room, &flags);
        let said = served.says();
        assert!(
            said.starts_with(&format!("teu: warning: {bare}?…: ")) && said.contains(why),
            "{said}"
        );
        let (_, rest) = served.stop("TERM");
        assert!(!format!("{said}{rest}").contains("a-secret"), "{said}{rest}");
    }
    for (url, says) in [
        ("http://elsewhere.example/jwks?key=a-secret", "is asked in plain HTTP"),
        ("https://us:er@a/jwks?key=a-secret", "has a user"),
    ] {
        let flags = [
            "serve",
            "--data",
            "kept",
            "--token-url",
            "https://a/token",
            "--token-keys",
            url,
        ];
        let said = room.teu(flags).fails(2);
        assert!(said.contains(says) && !said.contains("a-secret"), "{said}");
    }
    let flags = ["--data", "kept", "--token-url", "https://a/token", "--token-keys"];
    let mut served = Served::start(&room, &[&flags[..], &["https://[::?key=a-secret"]].concat());
    let said = served.says();
    assert!(
        said.contains("https://[::?…: that is no URL: ") && !said.contains("a-secret"),
        "{said}"
    );
}

#[test]
fn a_server_starts_before_its_issuer() {
    let room = Room::new();
    let url = format!("http://{}/jwks.json", free_port());
    let flags = [
        "--data",
        "kept",
        "--token-keys",
        &url,
        "--token-url",
        "https://auth.example/token",
    ];
    let mut served = Served::start(&room, &flags);
    let said = served.says();
    assert!(
        said.starts_with("teu: warning: ") && said.contains("it is tried again"),
        "{said}"
    );
    let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let asked = ask(
        &served.address,
        &format!("GET /v2/ {close}Authorization: Bearer a.b.c\r\n\r\n"),
    );
    assert!(asked.starts_with("HTTP/1.1 401"), "{asked}");
    assert!(ask(&served.address, &format!("GET /readyz {close}\r\n")).starts_with("HTTP/1.1 200"));
}

/// A server beside its policy, and the issuer whose keys it fetches so often.
fn fetching(room: &Room, every: &str) -> (Answers, Served) {
    room.file("access.toml", "");
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let issuer = Answers::start(move |_| (200, Vec::new(), keys.to_string().into_bytes()));
    let url = format!("http://{}/jwks.json", issuer.host);
    let flags = ["--data", "kept", "--access-policy", "access.toml", "--token-keys", &url];
    let every = ["--token-url", "https://a/token", "--token-keys-interval", every];
    let served = Served::start(room, &[&flags[..], &every].concat());
    (issuer, served)
}

/// By those who look for files that have changed, and by those who fetch the keys: by each once.
#[test]
fn what_cannot_be_read_beside_keys_at_a_url_is_said_once() {
    let room = Room::new();
    let (issuer, mut served) = fetching(&room, "1s");
    fs::remove_file(room.path("access.toml")).expect("removed");
    let said = served.says_until("access.toml cannot be read");
    let fetched = issuer.seen().len();
    until("keys are fetched again", || issuer.seen().len() > fetched + 3);
    room.file("access.toml", "");
    let said = said + &served.says_until("teu: read again: access.toml");
    assert!(
        matches!(said.matches("access.toml cannot be read").count(), 1 | 2),
        "{said}"
    );
}

/// Whatever is wrong with files beside: keys at a URL are another's, who is asked at the pace that was said.
#[test]
fn keys_at_a_url_are_fetched_when_it_is_time_and_by_hup() {
    let room = Room::new();
    let (issuer, mut served) = fetching(&room, "1h");
    let fetched = || issuer.seen().len();
    until("keys are fetched", || fetched() == 1);
    for round in 0..2 {
        room.file("access.toml", "=");
        served.says_until("who could do what before");
        room.file("access.toml", "");
        served.says_until("teu: read again: access.toml");
        assert_eq!(fetched(), 1 + round);
        served.tell("HUP");
        until("keys are fetched by HUP", || fetched() == 2 + round);
    }
}
