//! Is a registry over a depot one that a restart takes nothing from?

use std::{
    io::{Read, Write},
    net::Shutdown,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::support::{Answer, Server, image, small::Small, uploaded, writable};
use teu_depot::{Depot, Settings};
use teu_registry::{Limits, Metrics};
use teu_spec::Digest;

/// A registry over the depot of a directory, whose process has it alone until it is stopped.
fn serve(directory: &Path) -> Server {
    limited(directory, Limits::default())
}

fn limited(directory: &Path, limits: Limits) -> Server {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime.block_on(Depot::open(&directory.join("depot"), Settings::default()));
    let settings = teu_registry::Settings { limits, ..writable() };
    Server::of(Arc::new(depot.expect("a depot")), settings)
}

/// Stops it, and serves the same again.
fn restarted(mut server: Server, directory: &Path) -> Server {
    server.stop();
    drop(server);
    serve(directory)
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let pushed = server.push_image("team/app", "v1");
    let begun = server.begin("team/app");
    let location = server.begin("team/app");
    server
        .ask("PATCH", &location, &[("Content-Range", "0-9")], b"0123456789")
        .expect(202);
    let other = location.replace("team/app", "team/other");
    let server = restarted(server, directory.path());
    let found = server.get("/v2/team/app/manifests/v1").expect(200);
    assert_eq!(found.content, pushed.raw()[..]);
    for blob in pushed.children() {
        let found = server.get(&format!("/v2/team/app/blobs/{}", blob.digest)).expect(200);
        assert_eq!(Digest::of(&found.content), blob.digest);
    }
    assert_eq!(
        server.get("/v2/_catalog").json()["repositories"],
        serde_json::json!(["team/app"])
    );
    // Threat 82, of those that are not open too.
    for unknown in [
        &other,
        "/v2/team/app/blobs/uploads/x",
        &format!("/v2/team/app/blobs/uploads/{}", "0".repeat(32)),
    ] {
        server.get(unknown).expect(404);
    }
    assert_eq!(server.get(&begun).expect(204).header("range"), "0-0");
    let kept = server.get(&location).expect(204);
    assert_eq!((kept.header("range"), kept.header("location")), ("0-9", &location[..]));
    server
        .ask("PATCH", &location, &[("Content-Range", "5-9")], b"56789")
        .expect(416);
    server
        .ask("PATCH", &location, &[("Content-Range", "10-14")], b"abcde")
        .expect(202);
    let digest = Digest::of(b"0123456789abcdef");
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"f")
        .expect(201);
    let found = server.get(&format!("/v2/team/app/blobs/{digest}")).expect(200);
    assert_eq!(found.content, b"0123456789abcdef");
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.delete(&begun).expect(204);
    server.get(&begun).refused(404, "BLOB_UPLOAD_UNKNOWN");
    let server = restarted(server, directory.path());
    server.get(&begun).refused(404, "BLOB_UPLOAD_UNKNOWN");
    server.head(&format!("/v2/team/app/blobs/{digest}")).expect(200);
}

/// What came before a connection broke is kept, and what is on its way when the server stops is parked.
#[test]
fn a_server_that_stops_parks_what_is_on_its_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let broken = server.begin("app");
    let mut client = server.connect();
    let head = format!("PATCH {broken} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789");
    client.write_all(head.as_bytes()).expect("sent");
    client.shutdown(Shutdown::Write).expect("broken off");
    let _ = client.read_to_end(&mut Vec::new());
    let on_its_way = server.begin("app");
    let mut client = server.connect();
    let head = format!("PATCH {on_its_way} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    let mut asked = [0; 25];
    client.read_exact(&mut asked).expect("it has its turn");
    client.write_all(b"0123456789abcde").expect("sent");
    while uploaded(directory.path(), &on_its_way) < 15 {
        std::thread::yield_now();
    }
    // Until they are recorded a kill takes them.
    assert_eq!(server.get(&on_its_way).expect(204).header("range"), "0-0");
    let registry = Arc::clone(&server.registry);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(registry.close());
    drop((registry, client));
    let server = restarted(server, directory.path());
    assert_eq!(server.get(&broken).expect(204).header("range"), "0-9");
    assert_eq!(server.get(&on_its_way).expect(204).header("range"), "0-14");
    let digest = Digest::of(b"0123456789abcdef");
    server
        .ask("PUT", &format!("{on_its_way}?digest={digest}"), &[], b"f")
        .expect(201);
}

/// Threat 104: where the disk fills in the midst of a chunk, what was acknowledged before is there, and the rest takes no room.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn an_upload_goes_on_when_there_is_room_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = Small::mount(directory.path().join("disk"), "16m") else {
        return eprintln!("SKIPPED an_upload_goes_on_when_there_is_room_again: only root mounts a small disk");
    };
    let server = serve(&disk.0);
    let location = server.begin("app");
    let first = vec![b'x'; 3 << 20];
    server.ask("PATCH", &location, &[], &first).expect(202);
    let fill = |leaves: u64| {
        let room = rustix::fs::statvfs(&disk.0).expect("told");
        let size = (room.f_bavail * room.f_frsize).saturating_sub(leaves);
        let size = usize::try_from(size).expect("a size");
        std::fs::write(disk.0.join("other"), vec![0; size]).expect("written");
    };
    let told = || server.get(&location).expect(204).header("range").to_owned();
    let kept = format!("0-{}", first.len() - 1);
    // There is no room for what waits to be a whole piece when the chunk ends, nor for what is written before that.
    for (leaves, length) in [(0, 1000), (1 << 20, (1 << 20) + 9000), (2 << 20, 4 << 20)] {
        fill(leaves);
        let refused = server.ask("PATCH", &location, &[], &vec![b'y'; length]);
        assert_eq!(refused.status, 507, "{leaves}, {length}");
        assert_eq!(told(), kept, "{leaves}, {length}");
        assert_eq!(uploaded(&disk.0, &location), first.len() as u64, "{leaves}, {length}");
        std::fs::remove_file(disk.0.join("other")).expect("removed");
    }
    // Nor for the end of it all.
    fill(0);
    let whole = [&first[..], b"end"].concat();
    let last = format!("{location}?digest={}", Digest::of(&whole));
    server.ask("PUT", &last, &[], b"end").refused(507, "UNKNOWN");
    assert_eq!(told(), kept);
    std::fs::remove_file(disk.0.join("other")).expect("removed");
    server.ask("PUT", &last, &[], b"end").expect(201);
}

/// What the server breaks off when it stops is told of as all that was asked.
#[test]
fn what_is_broken_off_is_told_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits {
        grace: Duration::ZERO,
        ..Limits::default()
    };
    let mut server = limited(directory.path(), limits);
    let begin = |server: &Server| {
        let location = server.begin("app");
        let mut client = server.connect();
        let head = "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n";
        let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\n{head}");
        client.write_all(head.as_bytes()).expect("sent");
        let mut asked = [0; 25];
        client.read_exact(&mut asked).expect("it has its turn");
        client.write_all(b"0123456789").expect("sent");
        (client, location)
    };
    let told = |server: &Server, target: &str| {
        let log = server.log.lock().expect("a log").clone();
        log.into_iter()
            .find(|told| told.method == "PATCH" && told.target == target)
            .map(|told| (told.status.as_u16(), told.failure))
    };
    let (_client, broken) = begin(&server);
    assert_eq!(server.stop(), 1);
    let why = "broken off, as the server stopped".to_owned();
    assert_eq!(told(&server, &broken), Some((503, Some(why))));
}

#[test]
fn what_a_manifest_names_is_not_deleted_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let pushed = server.push_image("app", "v1");
    let blob = format!("/v2/app/blobs/{}", pushed.children()[1].digest);
    server.delete(&blob).refused(409, "DENIED");
    server
        .delete(&format!("/v2/app/manifests/{}", Digest::of(pushed.raw())))
        .expect(202);
    server.get("/v2/app/manifests/v1").expect(404);
    server.delete(&blob).expect(202);
    server.delete(&blob).expect(404);
}

/// A disk that is not mounted any more, or a directory that was moved: nobody is acknowledged what a restart would lose, and the operator hears why.
#[test]
fn where_its_directory_is_gone_pushes_fail_and_it_is_not_ready() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let pushed = server.push_image("app", "v1");
    server.get("/readyz").expect(200);
    std::fs::rename(directory.path().join("depot"), directory.path().join("away")).expect("moved");
    let refused = |answer: Answer, status| {
        answer.refused(status, "UNKNOWN");
        let log = server.log.lock().expect("a log");
        let failure = log.last().and_then(|asked| asked.failure.clone()).expect("a failure");
        assert!(failure.contains("depot/metadata.sqlite is gone since"), "{failure}");
    };
    refused(server.get("/readyz"), 503);
    refused(server.ask("POST", "/v2/app/blobs/uploads/", &[], b""), 500);
    refused(server.push("app", "v2", &pushed), 500);
    server.get("/v2/app/manifests/v1").expect(200);
    std::fs::rename(directory.path().join("away"), directory.path().join("depot")).expect("moved back");
    server.get("/readyz").expect(200);
    server.push("app", "v2", &pushed).expect(201);
}

/// The file of a blob in a depot's directory.
fn file_of(directory: &Path, digest: &Digest) -> PathBuf {
    let shard = directory.join("depot/blobs").join(&digest.hex()[..2]);
    let files = std::fs::read_dir(shard).expect("its directory").flatten();
    let mut files = files.map(|entry| entry.path());
    let found = files.find(|path| path.to_string_lossy().contains(&digest.hex()));
    found.expect("its file")
}

/// Nothing is acknowledged whose bytes are lost; who asks hears that it is not here, and so a push heals it.
#[test]
fn what_is_lost_is_pushed_again_and_healed() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let metrics = Metrics::new();
    metrics.watch(&server.registry);
    let mut losses = 0;
    for damage in ["gone", "shorter"] {
        let pushed = server.push_image("one", damage);
        let blob = pushed.children()[1].digest;
        let mounted = format!("/v2/two/blobs/uploads/?mount={blob}");
        server.ask("POST", &mounted, &[], b"").expect(201);
        let file = file_of(directory.path(), &blob);
        match damage {
            "gone" => std::fs::remove_file(&file).expect("removed"),
            _ => std::fs::write(&file, b"").expect("written"),
        }
        let mut is_lost = |answer: Answer, status: u16, code: Option<&str>| {
            match code {
                Some(code) => answer.refused(status, code),
                None => answer.expect(status),
            };
            losses += 1;
            let log = server.log.lock().expect("a log");
            let failure = log.last().and_then(|asked| asked.failure.clone()).expect("a failure");
            assert!(failure.contains(&format!("the bytes of {blob} are lost")), "{failure}");
        };
        let of = |name: &str| format!("/v2/{name}/blobs/{blob}");
        is_lost(server.head(&of("one")), 404, None);
        is_lost(server.get(&of("one")), 404, Some("BLOB_UNKNOWN"));
        is_lost(
            server.ask("GET", &of("one"), &[("Range", "bytes=0-1")], b""),
            404,
            Some("BLOB_UNKNOWN"),
        );
        for target in ["two", "three"] {
            for from in ["", "&from=one"] {
                let mount = format!("/v2/{target}/blobs/uploads/?mount={blob}{from}");
                is_lost(server.ask("POST", &mount, &[], b""), 202, None);
            }
        }
        is_lost(server.push("one", "v2", &pushed), 400, Some("MANIFEST_BLOB_UNKNOWN"));
        server.get("/v2/one/manifests/v2").expect(404);
        let text = metrics.text();
        let line = format!("teu_registry_losses_total {losses}");
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");

        server.push_image("one", damage);
        server.head(&of("one")).expect(200);
        server.get(&of("two")).expect(200);
        server.push("one", "v2", &pushed).expect(201);
        server.ask("POST", &mounted, &[], b"").expect(201);
        server.delete("/v2/one/manifests/v2").expect(202);
    }
    assert_eq!(losses, 16);
}

/// Threats 88, 89 and 100.
#[test]
fn a_repository_shows_what_was_put_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let pushed = server.push_image("one", "v1");
    let blob = pushed.children()[1].digest;
    server.head(&format!("/v2/two/blobs/{blob}")).expect(404);
    server.push("two", "v1", &pushed).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server
        .push("one", "v2", &image("absent"))
        .refused(400, "MANIFEST_BLOB_UNKNOWN");
    let mounted = server.ask(
        "POST",
        &format!("/v2/two/blobs/uploads/?mount={blob}&from=one"),
        &[],
        b"",
    );
    mounted.expect(201);
    server.delete(&format!("/v2/two/blobs/{blob}")).expect(202);
    server.head(&format!("/v2/two/blobs/{blob}")).expect(404);
    server.head(&format!("/v2/one/blobs/{blob}")).expect(200);
}

/// Threat 94: who begins uploads and leaves them keeps nobody from pushing, and loses none.
#[test]
fn an_upload_that_is_left_makes_room_for_another_and_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = limited(
        directory.path(),
        Limits {
            uploads: 2,
            ..Limits::default()
        },
    );
    let begun: Vec<String> = (0..5_u8)
        .map(|place| {
            let location = server.begin("app");
            server.ask("PATCH", &location, &[], &[b'0' + place; 10]).expect(202);
            assert!(server.registry.gauges().uploads <= 2);
            location
        })
        .collect();
    for (place, location) in (0..5_u8).zip(&begun) {
        assert_eq!(server.get(location).expect(204).header("range"), "0-9");
        let content = [b'0' + place; 20];
        let digest = Digest::of(&content);
        server
            .ask("PATCH", location, &[("Content-Range", "10-18")], &content[..9])
            .expect(202);
        let last = server.ask("PUT", &format!("{location}?digest={digest}"), &[], &content[..1]);
        last.expect(201);
        assert_eq!(
            server.get(&format!("/v2/app/blobs/{digest}")).expect(200).content,
            content
        );
    }
    // Those that are being written to stay.
    let mut writing: Vec<_> = (0..2)
        .map(|_| {
            let location = server.begin("app");
            let mut client = server.connect();
            let head = "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
            let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\n{head}");
            client.write_all(head.as_bytes()).expect("sent");
            // It is asked for its content when it has its turn.
            let mut asked = [0; 25];
            client.read_exact(&mut asked).expect("an answer");
            (client, location)
        })
        .collect();
    server
        .ask("POST", "/v2/app/blobs/uploads/", &[], b"")
        .refused(429, "TOOMANYREQUESTS");
    for (client, _) in &mut writing {
        client.write_all(b"0123456789").expect("sent");
        crate::support::answer(client).expect(202);
    }
    server.begin("app");
    for (_, location) in &writing {
        assert_eq!(server.get(location).expect(204).header("range"), "0-9");
    }
}
