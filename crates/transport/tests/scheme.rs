//! By TLS or in plain: which is a registry asked first, and who sees a password? What comes first on each connection tells.

#![cfg(feature = "remote")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::support::{
    fake,
    fake::Habits,
    repository_with,
    scripted::{Options, Reply, Scripted, Seen},
    settings, tls,
};
use teu_spec::Digest;
use teu_store::{ErrorKind, Intent, Role, Source};
use teu_transport::remote::{Access, Credential, PlainHttp, Roots, Settings, Tls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Any of a registry's certificates, or plain HTTP: what `--tls-verify=false` allows.
fn insecure() -> Access {
    Access {
        tls: Tls {
            skip_verify: true,
            ..Tls::default()
        },
        plain_http: PlainHttp::Fallback,
        ..Access::default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Spoken {
    Tls,
    Plain,
}

/// What a server of TLS does with plain HTTP.
#[derive(Clone, Copy)]
enum Refuses {
    /// It has its way with whatever comes.
    Nothing,
    /// As Go's and nginx do.
    By400,
    /// As those do that would rather lead there.
    ByRedirect,
}

/// Stands before a server, and hears what is spoken to it.
struct Door {
    port: u16,
    heard: Arc<Mutex<Vec<(Spoken, String)>>>,
    task: JoinHandle<()>,
}

impl Door {
    async fn before(server: &Scripted, refuses: Refuses) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (server, hears) = (server.host.clone(), heard.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, server.clone(), refuses, hears.clone()));
            }
        });
        Self { port, heard, task }
    }

    fn spoken(&self) -> Vec<Spoken> {
        let mut heard = self.heard.lock().expect("whole");
        heard.drain(..).map(|(spoken, _)| spoken).collect()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut stream: TcpStream, server: String, refuses: Refuses, heard: Arc<Mutex<Vec<(Spoken, String)>>>) {
    let mut first = vec![0; 4096];
    let Ok(length) = stream.read(&mut first).await else {
        return;
    };
    first.truncate(length);
    let said = String::from_utf8_lossy(&first).into_owned();
    let spoken = match first.first() {
        // A TLS record that begins a handshake.
        Some(0x16) => Spoken::Tls,
        _ => Spoken::Plain,
    };
    let answer = match (&spoken, refuses) {
        (Spoken::Tls, _) | (_, Refuses::Nothing) => None,
        (_, Refuses::By400) => {
            Some("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".to_owned())
        }
        (_, Refuses::ByRedirect) => {
            let path = said.split(' ').nth(1).unwrap_or_default();
            let at = stream.local_addr().expect("an address");
            Some(format!(
                "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://{at}{path}\r\nConnection: close\r\n\r\n"
            ))
        }
    };
    heard.lock().expect("whole").push((spoken, said));
    if let Some(answer) = answer {
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let mut there = TcpStream::connect(server).await.expect("the server");
    let _ = there.write_all(&first).await;
    let _ = copy_bidirectional(&mut stream, &mut there).await;
}

/// Whether the registry at `host` has the blob that they all have.
async fn has(host: &str, settings: Settings, access: Access) -> teu_store::Result<bool> {
    let repository = repository_with(host, "app", settings, access);
    let found = repository.stat(Role::Blob, &Digest::of(b"content"), Intent::Read).await;
    found.map(|found| found.is_some())
}

fn answers() -> impl Fn(&Seen) -> Reply + Send + Sync {
    let fake = fake(Habits::default());
    fake.blob("app", b"content");
    move |seen| fake.answer(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_this_machine_plain_http_is_asked_first_and_elsewhere_tls() {
    let server = Scripted::start(answers()).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    for (host, spoken) in [
        ("127.0.0.1", vec![Spoken::Plain]),
        ("localhost", vec![Spoken::Plain]),
        ("registry.example", vec![Spoken::Tls, Spoken::Plain]),
    ] {
        let settings = Settings {
            addresses: HashMap::from([("registry.example".to_owned(), vec![[127, 0, 0, 1].into()])]),
            ..settings()
        };
        assert!(
            has(&format!("{host}:{}", door.port), settings, insecure())
                .await
                .expect("asked"),
            "{host}"
        );
        assert_eq!(door.spoken(), spoken, "{host}");
    }
    assert_eq!(server.lines().len(), 3, "{:?}", server.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_for_this_machine_that_leads_elsewhere_is_as_any_other() {
    let server = Scripted::start(answers()).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    let settings = Settings {
        addresses: HashMap::from([("localhost".to_owned(), vec![[127, 0, 0, 1].into()])]),
        ..settings()
    };
    assert!(
        has(&format!("localhost:{}", door.port), settings, insecure())
            .await
            .expect("asked")
    );
    assert_eq!(door.spoken(), [Spoken::Tls, Spoken::Plain]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_this_machine_that_speaks_tls_is_spoken_to_by_tls_however_it_refuses_plain_http() {
    let Some((config, _)) = tls::settings("a_registry_of_this_machine_that_speaks_tls") else {
        return;
    };
    // Asked what it wants, then with that; and where plain HTTP led.
    for (refuses, requests) in [(Refuses::Nothing, 2), (Refuses::By400, 2), (Refuses::ByRedirect, 3)] {
        let answer = answers();
        let options = Options {
            tls: Some(config.clone()),
            ..Options::default()
        };
        let with_password = move |seen: &Seen| match seen.header("authorization") {
            None => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\""),
            Some(_) => answer(seen),
        };
        let server = Scripted::start_with(options, with_password).await;
        let door = Door::before(&server, refuses).await;
        let access = Access {
            credentials: Some(Arc::new(Credential::Basic {
                username: "user".to_owned(),
                password: "secret".to_owned(),
            })),
            ..insecure()
        };
        let host = format!("127.0.0.1:{}", door.port);
        assert!(has(&host, settings(), access).await.expect("asked"));
        let heard = door.heard.lock().expect("whole");
        let (first, later) = heard.split_first().expect("something");
        assert_eq!(first.0, Spoken::Plain);
        assert!(
            first.1.starts_with("HEAD ") && !first.1.to_lowercase().contains("authorization"),
            "{first:?}"
        );
        assert!(later.iter().all(|(spoken, _)| *spoken == Spoken::Tls), "{later:?}");
        assert_eq!(server.lines().len(), requests, "{:?}", server.lines());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_without_tls_refuses_is_refused_once() {
    let server = Scripted::start(|_| Reply::new(400)).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    let error = has(&format!("127.0.0.1:{}", door.port), settings(), insecure())
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    assert_eq!(door.spoken(), [Spoken::Plain, Spoken::Tls]);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_busy_at_first_is_asked_again() {
    let first = Mutex::new(true);
    let answer = answers();
    let server = Scripted::start(move |seen| match std::mem::take(&mut *first.lock().expect("whole")) {
        true => Reply::new(503),
        false => answer(seen),
    })
    .await;
    let door = Door::before(&server, Refuses::Nothing).await;
    assert!(
        has(&format!("127.0.0.1:{}", door.port), settings(), insecure())
            .await
            .expect("asked")
    );
    assert!(door.spoken().iter().all(|spoken| *spoken == Spoken::Plain));
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_authority_is_looked_for_where_none_is_asked() {
    let server = Scripted::start(answers()).await;
    let absent = || Settings {
        roots: Roots::Paths {
            files: vec![PathBuf::from("/there/is/no/such/file")],
            directories: Vec::new(),
        },
        ..settings()
    };
    let access = |plain_http| Access {
        plain_http,
        ..Access::default()
    };
    for plain in [PlainHttp::Always, PlainHttp::Fallback] {
        assert!(
            has(&server.host, absent(), access(plain)).await.expect("asked"),
            "{plain:?}"
        );
    }
    let error = has(&server.host, absent(), access(PlainHttp::Never))
        .await
        .expect_err("no authority");
    assert!(error.to_string().contains("/there/is/no/such/file"), "{error}");
}
