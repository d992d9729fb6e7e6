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
use teu_transport::remote::{Access, Client, Credential, PlainHttp, Roots, Settings, Tls};
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

/// The same for somebody who has a password.
fn known() -> Access {
    Access {
        credentials: Some(Arc::new(Credential::Basic {
            username: "user".to_owned(),
            password: "secret".to_owned(),
        })),
        ..insecure()
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
    /// With this status: as proxies do that know hosts by the names of TLS, and others.
    By(u16),
    /// As those do that would rather lead there.
    ByRedirect,
    /// As those do that have a name of their own for it.
    ByRedirectTo(&'static str),
}

/// Stands before a server, and hears what is spoken to it.
struct Door {
    port: u16,
    heard: Arc<Mutex<Vec<(Spoken, String)>>>,
    task: JoinHandle<()>,
}

impl Door {
    async fn before(server: &Scripted, refuses: Refuses) -> Self {
        Self::before_both(server, server, refuses).await
    }

    /// One port that speaks both.
    async fn before_both(tls: &Scripted, plain: &Scripted, refuses: Refuses) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (servers, hears) = ([tls, plain].map(|server| server.host.clone()), heard.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, servers.clone(), refuses, hears.clone()));
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

async fn pass(
    mut stream: TcpStream,
    [tls, plain]: [String; 2],
    refuses: Refuses,
    heard: Arc<Mutex<Vec<(Spoken, String)>>>,
) {
    let mut first = vec![0; 4096];
    let Ok(length) = stream.read(&mut first).await else {
        return;
    };
    first.truncate(length);
    let said = String::from_utf8_lossy(&first).into_owned();
    let (spoken, server) = match first.first() {
        // A TLS record that begins a handshake.
        Some(0x16) => (Spoken::Tls, tls),
        _ => (Spoken::Plain, plain),
    };
    let redirected = |host: &str| {
        let path = said.split(' ').nth(1).unwrap_or_default();
        let port = stream.local_addr().expect("an address").port();
        let location = format!("https://{host}:{port}{path}");
        format!("HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nConnection: close\r\n\r\n")
    };
    let answer = match (&spoken, refuses) {
        (Spoken::Tls, _) | (_, Refuses::Nothing) => None,
        (_, Refuses::By400) => {
            Some("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".to_owned())
        }
        (_, Refuses::By(status)) => Some(format!(
            "HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )),
        (_, Refuses::ByRedirect) => Some(redirected("127.0.0.1")),
        (_, Refuses::ByRedirectTo(host)) => Some(redirected(host)),
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

/// The same for who says a password.
fn with_password(answer: impl Fn(&Seen) -> Reply + Send + Sync) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| match seen.header("authorization") {
        None => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => answer(seen),
    }
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
    for (refuses, requests) in [
        (Refuses::Nothing, 2),
        (Refuses::By400, 2),
        (Refuses::By(401), 2),
        (Refuses::By(403), 2),
        (Refuses::By(404), 2),
        (Refuses::By(421), 2),
        (Refuses::By(426), 2),
        (Refuses::By(503), 2),
        (Refuses::ByRedirect, 3),
        (Refuses::ByRedirectTo("gateway.example"), 3),
    ] {
        let answer = answers();
        let options = Options {
            tls: Some(config.clone()),
            ..Options::default()
        };
        let server = Scripted::start_with(options, with_password(answer)).await;
        let door = Door::before(&server, refuses).await;
        let settings = Settings {
            addresses: HashMap::from([("gateway.example".to_owned(), vec![[127, 0, 0, 1].into()])]),
            ..settings()
        };
        let host = format!("127.0.0.1:{}", door.port);
        assert!(has(&host, settings, known()).await.expect("asked"));
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
async fn what_a_registry_alone_says_is_not_asked_again_by_tls() {
    let version = |status| Reply::new(status).header("Docker-Distribution-Api-Version", "registry/2.0");
    let server = Scripted::start(move |_| version(404)).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    let host = format!("127.0.0.1:{}", door.port);
    assert!(!has(&host, settings(), known()).await.expect("asked"));
    assert_eq!(door.spoken(), [Spoken::Plain]);
    let server = Scripted::start(with_password(answers())).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    let host = format!("127.0.0.1:{}", door.port);
    let error = has(&host, settings(), insecure()).await.expect_err("nobody");
    assert_eq!(error.kind(), &ErrorKind::Unauthenticated, "{error}");
    assert_eq!(door.spoken(), [Spoken::Plain]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_goes_over_plain_http_where_there_is_no_tls() {
    let server = Scripted::start(with_password(answers())).await;
    let door = Door::before(&server, Refuses::Nothing).await;
    let host = format!("127.0.0.1:{}", door.port);
    assert!(has(&host, settings(), known()).await.expect("asked"));
    let tries = door.spoken().into_iter().filter(|spoken| *spoken == Spoken::Tls);
    assert_eq!((tries.count(), server.lines().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_goes_by_tls_where_a_port_speaks_both() {
    let Some((config, _)) = tls::settings("a_password_goes_by_tls_where_a_port_speaks_both") else {
        return;
    };
    // What all may read is read in plain; what is for some is asked by TLS, whether it is the first that is asked for or not.
    for open in [false, true] {
        let for_some = with_password(answers());
        let plain = Scripted::start(move |seen| match seen.path().starts_with("/v2/open/") {
            true => Reply::new(200).header("Content-Length", 7),
            false => for_some(seen),
        })
        .await;
        let options = Options {
            tls: Some(config.clone()),
            ..Options::default()
        };
        let by_tls = Scripted::start_with(options, with_password(answers())).await;
        let door = Door::before_both(&by_tls, &plain, Refuses::Nothing).await;
        let registry = Client::new(settings()).registry(&format!("127.0.0.1:{}", door.port), known());
        let registry = registry.expect("a registry");
        let digest = Digest::of(b"content");
        let paths = if open { &["open", "app", "app"][..] } else { &["app"] };
        for path in paths {
            let repository = registry.repository(path).expect("a repository");
            let found = repository.stat(Role::Blob, &digest, Intent::Read).await;
            assert_eq!(found.expect("asked").expect("there").size, 7, "{path}");
        }
        let head = |path| format!("HEAD /v2/{path}/blobs/{digest}");
        let mut said = vec!["GET /v2/".to_owned(), head("app"), head("app")];
        said.extend(open.then(|| head("app")));
        assert_eq!(by_tls.lines(), said);
        assert_eq!(plain.lines().len(), paths.len().min(2), "{:?}", plain.lines());
        assert!(plain.seen().iter().all(|seen| seen.header("authorization").is_none()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_elsewhere_by_plain_http_may_lead_there_by_tls_too() {
    let Some((config, trusting)) = tls::settings("who_leads_elsewhere_by_plain_http") else {
        return;
    };
    let options = Options {
        tls: Some(config),
        ..Options::default()
    };
    let content = |_: &Seen| Reply::new(200).header("Content-Length", 7);
    let (plain, by_tls) = (
        Scripted::start(content).await,
        Scripted::start_with(options, content).await,
    );
    let places = [format!("http://{}/", plain.host), format!("https://{}/", by_tls.host)];
    let leading = Scripted::start(move |seen| {
        let place = usize::from(seen.path().starts_with("/v2/second/"));
        Reply::new(307).header("Location", &places[place])
    })
    .await;
    let settings = Settings {
        roots: Roots::Given(trusting.tls.roots),
        ..settings()
    };
    let access = Access {
        plain_http: PlainHttp::Always,
        ..Access::default()
    };
    let host = leading.host.replace("127.0.0.1", "localhost");
    let registry = Client::new(settings).registry(&host, access).expect("a registry");
    for path in ["first", "second"] {
        let repository = registry.repository(path).expect("a repository");
        let found = repository.stat(Role::Blob, &Digest::of(b"content"), Intent::Read).await;
        assert!(found.expect("asked").is_some(), "{path}");
    }
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
    // That it is busy says nothing of what it is.
    let spoken = door.spoken();
    assert_eq!(spoken[..2], [Spoken::Plain, Spoken::Tls]);
    assert!(spoken[2..].iter().all(|spoken| *spoken == Spoken::Plain), "{spoken:?}");
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
