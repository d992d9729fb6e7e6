//! Does an image come from where `registries.conf` says, as whom the files say, and does nothing that was given by hand go astray?

#![cfg(all(feature = "archives", feature = "remote"))]

use std::{fs, net::TcpListener, path::PathBuf, sync::Arc, sync::Mutex};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    image, push_image,
    scripted::{Reply, Scripted, Seen},
    settings,
};
use teu_spec::{Digest, Pick, Reference};
use teu_store::{ErrorKind, Event, Result, Role, Source, SourceExt};
use teu_transport::{
    locate::{Locator, Options},
    remote::{Client, Credential, Files, Given, Settings, credentials::AuthPaths, registries::RegistriesPaths},
};

const SECRET: &str = "Basic bWU6cGFzcw==";

/// What is configured, and what was told.
struct Setup {
    directory: tempfile::TempDir,
    told: Arc<Mutex<Vec<Event>>>,
}

impl Setup {
    fn new(registries: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("registries.conf"), registries).expect("written");
        Self {
            directory,
            told: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn locator(&self) -> Locator {
        let files = Files {
            registries: RegistriesPaths {
                given: Some(self.path("registries.conf")),
                ..RegistriesPaths::default()
            },
            auth: AuthPaths {
                config: Some(self.path("")),
                ..AuthPaths::default()
            },
            ..Files::default()
        };
        let told = self.told.clone();
        let settings = Settings {
            events: Arc::new(move |event| told.lock().expect("the events").push(event)),
            ..settings()
        };
        Locator::with_files(Client::new(settings), files)
    }

    fn source(&self, name: &str, given: Given) -> Result<(Arc<dyn Source>, Pick)> {
        self.locator().source(&reference(name), options(given))
    }

    /// What a person is told who did not ask for details.
    fn told(&self) -> Vec<String> {
        let told = self.told.lock().expect("the events");
        let told = told.iter().filter(|event| !matches!(event, Event::Detail { .. }));
        told.map(|event| format!("{event:?}")).collect()
    }
}

fn reference(name: &str) -> Reference {
    Reference::parse(&format!("docker://{name}")).expect("a reference")
}

fn options(given: Given) -> Options {
    Options {
        registry: given,
        ..Options::default()
    }
}

fn by_hand() -> Given {
    Given {
        credential: Some(Credential::Basic {
            username: "me".to_owned(),
            password: "pass".to_owned(),
        }),
        ..Given::default()
    }
}

/// A registry that has `app:1` and `hub/app:1`.
async fn registry() -> (Arc<Fake>, Scripted) {
    let fake = fake(Habits::default());
    let (document, blobs) = image(&content(1000));
    for repository in ["app", "hub/app"] {
        for (_, content) in &blobs {
            fake.blob(repository, content);
        }
        fake.manifest(repository, "1", &document);
    }
    let answers = fake.clone();
    let server = Scripted::start(move |seen| answers.answer(seen)).await;
    (fake, server)
}

/// A registry that answers only who says the password.
async fn private() -> Scripted {
    let (fake, _) = registry().await;
    Scripted::start(move |seen| match seen.header("authorization") {
        Some(SECRET) => fake.answer(seen),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"test\""),
    })
    .await
}

fn mirrored(own: &str, mirror: &str) -> String {
    format!(
        "[[registry]]\nlocation = \"{own}\"\ninsecure = true\n[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n"
    )
}

fn nobody_listens() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// Reads the whole image.
async fn read(source: &dyn Source, pick: &Pick) -> Result<()> {
    let found = source.resolve(pick).await?;
    for child in source.document(&found).await?.children() {
        source.open(Role::Blob, &child).await?.read_all(1 << 20).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_comes_first_and_says_where_the_image_is() {
    let ((_, own), (_, mirror)) = (registry().await, registry().await);
    let setup = Setup::new(&mirrored(&own.host, &format!("{}/hub", mirror.host)));
    let (source, pick) = setup
        .source(&format!("{}/app:1", own.host), Given::default())
        .expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(own.lines(), Vec::<String>::new());
    assert_eq!(mirror.lines().len(), 4);
    assert_eq!(mirror.lines()[0], "HEAD /v2/hub/app/manifests/1");
    let origin = source.origin().expect("a registry");
    assert_eq!(origin.registry, format!("https://{}", mirror.host));
    assert_eq!(origin.repository, "hub/app");
    assert_eq!(setup.told(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_away_is_passed_over_at_once() {
    let (_, own) = registry().await;
    let away = nobody_listens();
    let setup = Setup::new(&mirrored(&own.host, &away));
    let (source, pick) = setup
        .source(&format!("{}/app:1", own.host), Given::default())
        .expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(own.lines().len(), 4);
    let told = setup.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!("{away}/app:1 is passed over")), "{told:?}");
    assert_eq!(
        source.origin().expect("a registry").registry,
        format!("https://{}", own.host)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_at_a_mirror_goes_on_elsewhere() {
    for ranges in [true, false] {
        let (fake, _) = registry().await;
        let own = Scripted::start(move |seen| {
            let mut seen = seen.clone();
            if !ranges {
                seen.headers.retain(|(name, _)| name != "range");
            }
            fake.answer(&seen)
        })
        .await;
        let (fake, _) = registry().await;
        // It gives the first 600 bytes of the layer, however often it is asked, and nothing of a range.
        let mirror = Scripted::start(move |seen| match (seen.header("range"), fake.answer(seen)) {
            (None, reply) if reply.body.len() == 1000 => reply.cut(600),
            (Some(_), _) => Reply::new(500),
            (_, reply) => reply,
        })
        .await;
        let setup = Setup::new(&mirrored(&own.host, &mirror.host));
        let (source, pick) = setup
            .source(&format!("{}/app:1", own.host), Given::default())
            .expect("a source");
        read(&*source, &pick).await.expect("read");
        let asked = own.seen();
        let layer = asked.last().expect("the own place was asked");
        assert_eq!(layer.header("range"), Some("bytes=600-999"), "{asked:?}");
        assert_eq!(asked.len(), 1);
        let told = setup.told();
        let last = told.last().expect("a warning");
        assert!(
            last.contains(&format!(
                "{}/app:1 breaks off, and {}/app:1 is asked for the rest",
                mirror.host, own.host
            )),
            "{told:?}"
        );
        // What nobody has the rest of is an error that says both.
        let away = nobody_listens();
        let setup = Setup::new(&mirrored(&away, &mirror.host));
        let (source, pick) = setup
            .source(&format!("{away}/app:1"), Given::default())
            .expect("a source");
        let error = read(&*source, &pick).await.expect_err("it breaks off");
        assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
        for host in [&mirror.host, &away] {
            assert!(error.to_string().contains(host.as_str()), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_lacks_comes_from_elsewhere() {
    let ((_, own), (has_none, mirror)) = (registry().await, registry().await);
    let setup = Setup::new(&mirrored(&own.host, &mirror.host));
    let name = format!("{}/app:1", own.host);
    // A blob: the manifest is the mirror's, and the blob is not.
    has_none.state.lock().expect("the state").blobs.clear();
    let (source, pick) = setup.source(&name, Given::default()).expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(mirror.lines().len(), 4);
    assert!(own.lines().iter().all(|line| line.starts_with("GET /v2/app/blobs/")));
    assert_eq!(own.lines().len(), 2);
    // The image.
    has_none.state.lock().expect("the state").tags.clear();
    let (source, pick) = setup.source(&name, Given::default()).expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(mirror.lines().len(), 5);
    assert_eq!(setup.told(), Vec::<String>::new());
    // What nobody has is an error that names both.
    let (source, _) = setup.source(&name, Given::default()).expect("a source");
    let error = source.resolve(&Pick::Name("2".to_owned())).await.expect_err("nowhere");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    for host in [&own.host, &mirror.host] {
        assert!(error.to_string().contains(&format!("{host}/app:2")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_wanted_at_once_is_asked_for_place_by_place() {
    let ((_, own), (fake, mirror)) = (registry().await, registry().await);
    let name = format!("{}/app:1", own.host);
    let get = ["GET /v2/app/manifests/1"];
    let setup = Setup::new(&mirrored(&own.host, &mirror.host));
    let at = |host: &str| format!("https://{host}");
    let (source, pick) = setup.source(&name, Given::default()).expect("a source");
    let (descriptor, document) = source.resolve_document(&pick).await.expect("read");
    assert!(descriptor.names(document.raw()));
    assert_eq!(
        (mirror.lines(), own.lines().len()),
        (get.map(str::to_owned).to_vec(), 0)
    );
    assert_eq!(source.origin().expect("a registry").registry, at(&mirror.host));
    // What is not there is asked for elsewhere, and so is what is not what it is said to be, which is told.
    let lie = Digest::of(b"a lie");
    let answers = fake.clone();
    let liar = Scripted::start(move |seen| answers.answer(seen).replace("Docker-Content-Digest", lie)).await;
    let (none, empty) = registry().await;
    none.state.lock().expect("the state").tags.clear();
    for (place, (mirror, told)) in [(&empty, 0), (&liar, 1)].into_iter().enumerate() {
        let setup = Setup::new(&mirrored(&own.host, &mirror.host));
        let (source, pick) = setup.source(&name, Given::default()).expect("a source");
        let found = source.resolve_document(&pick).await.expect("read");
        assert_eq!(found, (descriptor.clone(), document.clone()));
        assert_eq!(
            (mirror.lines(), own.lines()),
            (get.map(str::to_owned).to_vec(), vec![get[0].to_owned(); place + 1])
        );
        assert_eq!(source.origin().expect("a registry").registry, at(&own.host));
        let warned = setup.told();
        assert_eq!(warned.len(), told, "{warned:?}");
        assert!(
            warned
                .iter()
                .all(|told| told.contains("is passed over") && told.contains(&lie.to_string()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_given_by_hand_are_not_a_mirrors() {
    let (own, mirror) = (private().await, private().await);
    let setup = Setup::new(&mirrored(&own.host, &mirror.host));
    let name = format!("{}/app:1", own.host);
    let (source, pick) = setup.source(&name, by_hand()).expect("a source");
    read(&*source, &pick).await.expect("read");
    let is_known = |seen: &Seen| seen.header("authorization").is_some();
    assert!(!mirror.seen().is_empty());
    assert!(!mirror.seen().iter().any(is_known));
    assert!(own.seen().iter().any(is_known));
    assert!(setup.told()[0].contains("is passed over"), "{:?}", setup.told());
    // The files know who we are to the mirror.
    fs::create_dir(setup.path("containers")).expect("made");
    let auth = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6cGFzcw=="}}}}}}"#, mirror.host);
    fs::write(setup.path("containers/auth.json"), auth).expect("written");
    let asked = own.lines().len();
    let (source, pick) = setup.source(&name, by_hand()).expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(own.lines().len(), asked);
    // And whoever wants to be nobody is.
    let nobody = Given {
        anonymous: true,
        ..by_hand()
    };
    let (source, pick) = setup.source(&name, nobody).expect("a source");
    let error = read(&*source, &pick).await.expect_err("refused");
    assert_eq!(error.kind(), &ErrorKind::Unauthenticated, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_lead_to_another_place_and_a_password_does_not_follow() {
    let own = private().await;
    let setup = Setup::new(&format!(
        "[[registry]]\nprefix = \"registry.test/team\"\nlocation = \"{}/hub\"\ninsecure = true\n",
        own.host
    ));
    let (source, pick) = setup.source("registry.test/team/app:1", by_hand()).expect("a source");
    let error = source.resolve(&pick).await.expect_err("a stranger");
    assert_eq!(error.kind(), &ErrorKind::Unauthenticated, "{error}");
    assert_eq!(own.lines(), ["HEAD /v2/hub/app/manifests/1"]);
    let given = Given {
        auth_file: Some(setup.path("given.json")),
        ..Given::default()
    };
    let auth = format!(r#"{{"auths":{{"{}/hub":{{"auth":"bWU6cGFzcw=="}}}}}}"#, own.host);
    fs::write(setup.path("given.json"), auth).expect("written");
    let (source, pick) = setup.source("registry.test/team/app:1", given).expect("a source");
    read(&*source, &pick).await.expect("read");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_is_not_asked_and_tls_is_left_out_only_where_that_is_said() {
    let (_, own) = registry().await;
    let name = format!("{}/app:1", own.host);
    let setup = Setup::new(&format!("[[registry]]\nlocation = \"{}\"\nblocked = true\n", own.host));
    let error = setup.source(&name, Given::default()).err().expect("blocked");
    assert_eq!(error.kind(), &ErrorKind::Denied);
    let locator = setup.locator();
    let target = locator.target(&reference(&name), options(Given::default()));
    assert_eq!(target.err().expect("blocked").kind(), &ErrorKind::Denied);

    let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", own.host);
    for (registries, tls_verify, reached) in [
        ("", None, false),
        ("", Some(false), true),
        (insecure.as_str(), None, true),
        (insecure.as_str(), Some(true), false),
    ] {
        let given = Given {
            tls_verify,
            ..Given::default()
        };
        let (source, pick) = Setup::new(registries).source(&name, given).expect("a source");
        assert_eq!(
            source.resolve(&pick).await.is_ok(),
            reached,
            "{registries} {tls_verify:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_name_means_what_the_files_say() {
    let ((empty, first), (_, second)) = (registry().await, registry().await);
    *empty.state.lock().expect("the state") = Default::default();
    let short = |given: Given| Given {
        short_names: true,
        tls_verify: Some(false),
        ..given
    };
    let search = format!(
        "unqualified-search-registries = [\"{}\", \"{}\"]\n",
        first.host, second.host
    );
    let setup = Setup::new(&search);
    let (source, pick) = setup.source("app:1", short(Given::default())).expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(first.lines(), ["HEAD /v2/app/manifests/1"]);
    // Where to write, and who sees a password, is no guess.
    let locator = setup.locator();
    let target = locator.target(&reference("app:1"), options(short(Given::default())));
    for error in [
        target.err().expect("a choice"),
        setup.source("app:1", short(by_hand())).err().expect("a choice"),
        Setup::new(&format!("short-name-mode = \"enforcing\"\n{search}"))
            .source("app:1", short(Given::default()))
            .err()
            .expect("a choice"),
    ] {
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        let names = format!("app:1 may mean {}/app:1 or {}/app:1", first.host, second.host);
        assert!(error.to_string().contains(&names), "{error}");
    }
    let aliased = Setup::new(&format!("{search}[aliases]\napp = \"{}/hub/app\"\n", second.host));
    let (source, pick) = aliased.source("app:1", short(by_hand())).expect("a source");
    read(&*source, &pick).await.expect("read");
    assert_eq!(source.origin().expect("a registry").repository, "hub/app");
    // To skopeo it is Docker's.
    let (source, _) = aliased.source("app:1", Given::default()).expect("a source");
    assert_eq!(
        source.origin().expect("a registry").registry,
        "https://registry-1.docker.io:443"
    );
}

// On one thread a connection is given back before the next request looks for one.
#[tokio::test]
async fn writing_goes_to_the_images_own_place_and_shares_its_connections() {
    let ((_, own), (_, mirror)) = (registry().await, registry().await);
    let setup = Setup::new(&mirrored(&own.host, &mirror.host));
    let locator = setup.locator();
    let name = reference(&format!("{}/new:1", own.host));
    let (target, names) = locator.target(&name, options(Given::default())).expect("a target");
    assert_eq!(names, ["1"]);
    let Reference::Registry(registry) = &name else {
        panic!("a registry")
    };
    let repository = locator.repository(registry, &options(Given::default())).expect("one");
    push_image(&repository, &content(10), &["1"]).await;
    let pick = Pick::Name("1".to_owned());
    let there = target.readable().expect("readable").resolve(&pick);
    there.await.expect("there");
    assert_eq!(mirror.lines(), Vec::<String>::new());
    // Every connection brought a request, as none was an attempt at TLS. How many they are is a question of when one is ready for the next request,
    // which a busy machine may answer late.
    let mut connections: Vec<usize> = own.seen().iter().map(|seen| seen.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections, (0..connections.len()).collect::<Vec<_>>());
}
