//! Is TLS spoken as clients expect it, by both versions of HTTP, with certificates that change while it runs?

use std::{
    future::Future,
    io::{Read, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    Server, Setup,
    certificates::{Pair, good_for, named, pair},
    guarded::{basic, passwords, policy, tokens},
    writable,
};
use bytes::Bytes;
use teu_registry::{
    Clients, FailedHandshake, Limits, Settings, Tls,
    auth::{Gate, Guard, Policy, SigningKey},
};
use teu_spec::Digest;
use teu_store::ManyInMemory;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ALL_VERSIONS, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::ServerName,
        version::{TLS12, TLS13},
    },
};

/// A server that shows a certificate.
fn server(shown: &Pair, clients: Option<Clients>, limits: Limits) -> (Server, Arc<Tls>) {
    let tls = Arc::new(Tls::new(shown.identity(), clients).expect("a certificate"));
    let setup = Setup {
        tls: Some(Arc::clone(&tls)),
        ..Setup::default()
    };
    let settings = Settings { limits, ..writable() };
    (Server::with(Arc::new(ManyInMemory::new()), settings, setup), tls)
}

/// A connection that trusts this certificate, and shows one of its own.
async fn connect(
    server: &Server,
    trusted: &Pair,
    own: Option<&Pair>,
    versions: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = config(trusted, own, ALL_VERSIONS);
    config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
    connect_by(server, &Arc::new(config)).await
}

/// What a client that trusts this certificate, and shows one of its own, says by these versions of TLS.
fn config(trusted: &Pair, own: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    let builder = builder.with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let identity = own.identity();
            builder
                .with_client_auth_cert(identity.chain, identity.key)
                .expect("a certificate")
        }
    }
}

async fn connect_by(server: &Server, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Asks by HTTP/1.1 whether the API is there, and reads to the end.
async fn ask(stream: TlsStream<TcpStream>) -> std::io::Result<String> {
    say(stream, "GET /v2/ HTTP/1.1\r\n").await
}

/// Asks what begins so, and reads to the end.
async fn say(mut stream: TlsStream<TcpStream>, head: &str) -> std::io::Result<String> {
    let request = format!("{head}Host: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn the_version_is_agreed_on() {
    let Some(shown) = pair("tls::the_version_is_agreed_on") else {
        return;
    };
    let (server, _) = server(&shown, None, Limits::default());
    run(async {
        for (offered, agreed) in [
            (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
            (&["http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let stream = connect(&server, &shown, None, offered).await.expect("TLS");
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
            if agreed != Some(b"h2") {
                let said = ask(stream).await.expect("an answer");
                assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
                continue;
            }
            let (mut requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            let digest = Digest::of(b"content");
            let target = format!("https://registry.example/v2/app/blobs/uploads/?digest={digest}");
            let request = http::Request::post(target).body(()).expect("a request");
            let (answer, mut content) = requests.send_request(request, false).expect("sent");
            content.send_data(Bytes::from_static(b"content"), true).expect("sent");
            assert_eq!(answer.await.expect("an answer").status(), 201);
        }
        assert!(connect(&server, &shown, None, &["h3"]).await.is_err());
    });
}

#[test]
fn a_certificate_is_replaced_while_connections_go_on() {
    let test = "tls::a_certificate_is_replaced_while_connections_go_on";
    let (Some(first), Some(second)) = (pair(test), pair(test)) else {
        return;
    };
    let (server, tls) = server(&first, None, Limits::default());
    run(async {
        let old = connect(&server, &first, None, &[]).await.expect("TLS");
        tls.replace(second.identity(), None).expect("replaced");
        connect(&server, &first, None, &[])
            .await
            .expect_err("another certificate");
        let new = connect(&server, &second, None, &[]).await.expect("TLS");
        for stream in [old, new] {
            let said = ask(stream).await.expect("an answer");
            assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
        }
        // What cannot be used changes nothing.
        let mut mixed = first.identity();
        mixed.key = second.identity().key;
        let error = tls.replace(mixed, None).expect_err("another key");
        assert!(error.to_string().contains("cannot be used with each other"), "{error}");
        let nobody = Clients {
            authorities: Vec::new(),
            required: true,
        };
        let error = tls.replace(first.identity(), Some(nobody)).expect_err("no authority");
        assert!(error.to_string().contains("name an authority"), "{error}");
        connect(&server, &second, None, &[]).await.expect("TLS");
    });
}

#[test]
fn clients_show_certificates_where_they_must() {
    let test = "tls::clients_show_certificates_where_they_must";
    let (Some(shown), Some(known), Some(other)) = (pair(test), pair(test), pair(test)) else {
        return;
    };
    for required in [true, false] {
        let clients = Clients {
            authorities: vec![known.certificate.clone()],
            required,
        };
        let (server, _) = server(&shown, Some(clients), Limits::default());
        run(async {
            for (own, is_let_in) in [(Some(&known), true), (Some(&other), false), (None, !required)] {
                // By TLS 1.3 a client is told only when it asks.
                let outcome = match connect(&server, &shown, own, &[]).await {
                    Ok(stream) => ask(stream).await,
                    Err(error) => Err(error),
                };
                assert_eq!(
                    outcome.is_ok_and(|said| said.contains(" 200 OK")),
                    is_let_in,
                    "{required}"
                );
            }
        });
    }
}

#[test]
fn who_is_not_believed_any_more_is_let_go() {
    let test = "tls::who_is_not_believed_any_more_is_let_go";
    let (Some(shown), Some(known), Some(other)) = (pair(test), pair(test), pair(test)) else {
        return;
    };
    let clients = |authorities: &[&Pair]| {
        let authorities = authorities.iter().map(|pair| pair.certificate.clone()).collect();
        Some(Clients {
            authorities,
            required: false,
        })
    };
    let limits = Limits {
        grace: Duration::from_millis(100),
        ..Limits::default()
    };
    let (server, tls) = server(&shown, clients(&[&known, &other]), limits);
    run(async {
        let mut slow = connect(&server, &shown, Some(&known), &[]).await.expect("TLS");
        let digest = Digest::of(b"half done");
        let push =
            format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        slow.write_all(push.as_bytes()).await.expect("sent");
        let mut withdrawn = connect(&server, &shown, Some(&known), &[]).await.expect("TLS");
        let stays = [Some(&other), None];
        let mut left = Vec::new();
        for own in stays {
            left.push(connect(&server, &shown, own, &[]).await.expect("TLS"));
        }
        for stream in left.iter_mut().chain([&mut withdrawn]) {
            let request = "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut said = [0; 12];
            stream.read_exact(&mut said).await.expect("an answer");
            assert_eq!(&said, b"HTTP/1.1 200");
        }
        tls.replace(shown.identity(), clients(&[&other])).expect("replaced");
        // The rest of the answer, and the end.
        let mut rest = Vec::new();
        withdrawn.read_to_end(&mut rest).await.expect("a goodbye");
        // What never ends is cut, and hears nothing: not even that nothing came of it for a minute.
        let mut said = Vec::new();
        let _ = slow.read_to_end(&mut said).await;
        assert_eq!(String::from_utf8_lossy(&said), "");
        for stream in left {
            let said = ask(stream).await.expect("an answer");
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 1, "{said}");
        }
    });
}

#[test]
fn a_connection_ends_when_the_certificate_that_opened_it_expires() {
    let test = "tls::a_connection_ends_when_the_certificate_that_opened_it_expires";
    let (Some(shown), Some(short)) = (pair(test), good_for(test, 10)) else {
        return;
    };
    let clients = Clients {
        authorities: vec![short.certificate.clone()],
        required: true,
    };
    let (server, _) = server(&shown, Some(clients), Limits::default());
    run(async {
        let mut stream = connect(&server, &shown, Some(&short), &[]).await.expect("TLS");
        let request = "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        // Silence alone would end it after five minutes.
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        let read = tokio::time::timeout(Duration::from_secs(40), read).await;
        read.expect("it ends").expect("a goodbye");
        assert!(said.starts_with(b"HTTP/1.1 200"));
        // And no other begins.
        let stream = connect(&server, &shown, Some(&short), &[]).await;
        let outcome = match stream {
            Ok(stream) => ask(stream).await,
            Err(error) => Err(error),
        };
        outcome.expect_err("expired");
    });
}

#[test]
fn who_shows_certificates_shows_them_each_time() {
    let test = "tls::who_shows_certificates_shows_them_each_time";
    let (Some(shown), Some(known)) = (pair(test), pair(test)) else {
        return;
    };
    for is_asked in [true, false] {
        let clients = is_asked.then(|| Clients {
            authorities: vec![known.certificate.clone()],
            required: true,
        });
        let (server, _) = server(&shown, clients, Limits::default());
        for version in [&TLS13, &TLS12] {
            let config = Arc::new(config(&shown, Some(&known), &[version]));
            let mut kinds = Vec::new();
            run(async {
                for _ in 0..2 {
                    let stream = connect_by(&server, &config).await.expect("TLS");
                    kinds.push(stream.get_ref().1.handshake_kind().expect("shaken"));
                    ask(stream).await.expect("an answer");
                }
            });
            let second = match is_asked {
                true => HandshakeKind::Full,
                false => HandshakeKind::Resumed,
            };
            assert_eq!(kinds, [HandshakeKind::Full, second], "{version:?}");
        }
    }
}

#[test]
fn who_does_not_shake_hands_is_let_go() {
    let Some(shown) = pair("tls::who_does_not_shake_hands_is_let_go") else {
        return;
    };
    let limits = Limits {
        head_time: Duration::from_millis(300),
        connections: 1,
        ..Limits::default()
    };
    let (server, _) = server(&shown, None, limits);
    for said in ["", "\u{16}\u{3}", "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = server.connect();
        client.write_all(said.as_bytes()).expect("sent");
        // It is told in its own tongue, or not at all.
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard);
        assert_eq!(heard.starts_with(b"HTTP/1.0 400 "), said.starts_with("GET"), "{said:?}");
    }
}

#[test]
fn a_server_that_stops_ends_what_is_under_way() {
    let Some(shown) = pair("tls::a_server_that_stops_ends_what_is_under_way") else {
        return;
    };
    let (mut server, _) = server(&shown, None, Limits::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stream = runtime.block_on(connect(&server, &shown, None, &["h2"])).expect("TLS");
    let (mut requests, connection) = runtime.block_on(h2::client::handshake(stream)).expect("HTTP/2");
    let connection = runtime.spawn(connection);
    let target = format!("https://a/v2/app/blobs/uploads/?digest={}", Digest::of(b"content"));
    let request = http::Request::post(target).body(()).expect("a request");
    let (answer, mut content) = requests.send_request(request, false).expect("sent");
    content.send_data(Bytes::from_static(b"con"), false).expect("sent");
    // Another one that was answered shows that this one has begun.
    let second = http::Request::get("https://a/v2/").body(()).expect("a request");
    let second = runtime.block_on(requests.send_request(second, true).expect("sent").0);
    assert_eq!(second.expect("an answer").status(), 200);
    // One that waits in the middle of shaking hands keeps nobody.
    let waits = server.connect();
    std::thread::scope(|scope| {
        scope.spawn(|| server.stop());
        // When it has said goodbye, nothing new begins.
        runtime.block_on(async {
            while requests.clone().ready().await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        content.send_data(Bytes::from_static(b"tent"), true).expect("sent");
        assert_eq!(runtime.block_on(answer).expect("an answer").status(), 201);
        runtime.block_on(connection).expect("no panic").expect("a goodbye");
    });
    drop(waits);
}

#[test]
fn a_certificate_gets_tokens_and_nothing_that_outlives_it() {
    let test = "tls::a_certificate_gets_tokens_and_nothing_that_outlives_it";
    let (Some(shown), Some(reader)) = (pair(test), named(test, "reader")) else {
        return;
    };
    let clients = Clients {
        authorities: vec![reader.certificate.clone()],
        required: false,
    };
    let mut tokens = tokens(SigningKey::generate().expect("a key"));
    if let Some(issuer) = &mut tokens.issuer {
        issuer.refresh = Some(Duration::from_secs(3600));
    }
    // There is a password of a user who is called so, too.
    let gate = Gate::new(Guard {
        certificates: true,
        passwords: Some(passwords()),
        tokens: Some(tokens),
        policy: policy(),
        ..Guard::default()
    });
    let tls = Tls::new(shown.identity(), Some(clients)).expect("a certificate");
    let setup = Setup {
        tls: Some(Arc::new(tls)),
        gate: Some(Arc::new(gate)),
        ..Setup::default()
    };
    let server = Server::with(Arc::new(ManyInMemory::new()), writable(), setup);
    let password = format!("Authorization: {}\r\n", basic("reader", "reader's secret"));
    run(async {
        for (own, login, lasts) in [
            (Some(&reader), "", false),
            (Some(&reader), &*password, true),
            (None, &*password, true),
            (None, "", false),
        ] {
            let stream = connect(&server, &shown, own, &[]).await.expect("TLS");
            let target = "/token?service=registry.example&offline_token=true&scope=repository:team/app:pull";
            let said = say(stream, &format!("GET {target} HTTP/1.1\r\n{login}"))
                .await
                .expect("an answer");
            let (_, content) = said.split_once("\r\n\r\n").expect("an answer");
            let told: serde_json::Value = serde_json::from_str(content).expect("JSON");
            let granted = if own.is_some() || lasts {
                "repository:team/app:pull"
            } else {
                ""
            };
            assert_eq!(told["scope"], granted, "{said}");
            assert_eq!(told.get("refresh_token").is_some(), lasts, "{said}");
        }
    });
}

#[test]
fn a_certificate_says_who_asks() {
    let test = "tls::a_certificate_says_who_asks";
    let (Some(shown), Some(ci), Some(other)) = (pair(test), named(test, "ci"), named(test, "other")) else {
        return;
    };
    let clients = Clients {
        authorities: vec![ci.certificate.clone(), other.certificate.clone()],
        required: false,
    };
    let policy = "[[rule]]\nwho = [\"ci\"]\nrepositories = [\"**\"]\nallow = [\"list\"]";
    let gate = Gate::new(Guard {
        certificates: true,
        policy: Some(Policy::parse(policy).expect("a policy")),
        ..Guard::default()
    });
    let setup = Setup {
        tls: Some(Arc::new(
            Tls::new(shown.identity(), Some(clients)).expect("a certificate"),
        )),
        gate: Some(Arc::new(gate)),
        ..Setup::default()
    };
    let all = ManyInMemory::new();
    Server::of(Arc::new(all.clone()), writable()).push_image("app", "1");
    let server = Server::with(Arc::new(all), writable(), setup);
    run(async {
        for (own, status) in [(Some(&ci), "200"), (Some(&other), "403"), (None, "403")] {
            let stream = connect(&server, &shown, own, &[]).await.expect("TLS");
            let said = say(stream, "GET /v2/app/tags/list HTTP/1.1\r\n").await;
            let said = said.expect("an answer");
            assert_eq!(&said[9..12], status, "{said}");
        }
    });
    let log = server.log.lock().expect("a log");
    let users: Vec<Option<&str>> = log.iter().map(|asked| asked.user.as_deref()).collect();
    assert_eq!(users, [Some("ci"), Some("other"), None]);
}

/// Whoever runs the server sees whom it does not agree with, and why; who only connects is nobody.
#[test]
fn who_is_not_agreed_with_is_counted_and_told_of() {
    let test = "tls::who_is_not_agreed_with_is_counted_and_told_of";
    let (Some(shown), Some(stranger)) = (pair(test), pair(test)) else {
        return;
    };
    let clients = Clients {
        authorities: vec![shown.certificate.clone()],
        required: true,
    };
    let tls = Arc::new(Tls::new(shown.identity(), Some(clients)).expect("a certificate"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let setup = Setup {
        tls: Some(tls),
        handshakes: Some({
            let told = Arc::clone(&told);
            Arc::new(move |failed: &FailedHandshake| told.lock().expect("a list").push(failed.clone()))
        }),
        ..Setup::default()
    };
    let server = Server::with(Arc::new(ManyInMemory::new()), writable(), setup);
    // It waits for more, and goes away.
    drop(server.connect());
    let mut client = server.connect();
    client.write_all(&[22, 3, 1, 0, 100, 1]).expect("sent");
    drop(client);
    let plain = |said: &[u8]| {
        let mut client = server.connect();
        client.write_all(said).expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer and its end");
        assert_eq!(
            answer,
            "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             This port speaks TLS: ask it by https:// instead of http://.\n"
        );
    };
    let noise = || {
        let mut client = server.connect();
        client.write_all(b"\x00noise").expect("sent");
        // An alert, or a reset as what was sent is not read.
        let _ = client.read_to_end(&mut Vec::new());
    };
    let secured = |trusted: &Pair, own: Option<&Pair>| {
        let config = Arc::new(config(trusted, own, &[&TLS12]));
        run(async { assert!(connect_by(&server, &config).await.is_err()) });
    };
    type Try<'a> = &'a dyn Fn();
    let cases: [(Try<'_>, &str); 6] = [
        (
            &|| plain(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            "the client speaks no TLS",
        ),
        // What is sent behind the head takes the answer away from nobody.
        (
            &|| {
                plain(
                    &[
                        b"PUT /v2/ HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
                        &[b'x'; 100_000][..],
                    ]
                    .concat(),
                )
            },
            "the client speaks no TLS",
        ),
        (&noise, "the client speaks no TLS"),
        (&|| secured(&shown, None), "the client shows no certificate"),
        (
            &|| secured(&shown, Some(&stranger)),
            "the client's certificate is not believed: its signature is wrong",
        ),
        (&|| secured(&stranger, None), "the client refuses: "),
    ];
    for (count, (attempt, reason)) in (1..).zip(cases) {
        attempt();
        let begun = std::time::Instant::now();
        while server.registry.failed_handshakes() < count && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        assert_eq!(server.registry.failed_handshakes(), count, "{reason}");
        let told = told.lock().expect("a list");
        let last = told.last().expect("told of");
        assert!(last.reason.starts_with(reason), "{reason}: {last:?}");
        assert_eq!((told.len() as u64, last.peer.ip()), (count, server.address.ip()));
    }
}
