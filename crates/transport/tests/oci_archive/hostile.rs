//! Is what an enemy packs refused, and what is cut short told?

use std::io::Cursor;

use teu_archive::tar;

use super::*;

const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn refused(room: &Room, name: &str) -> Error {
    room.oci_archive(name)
        .err()
        .unwrap_or_else(|| panic!("{name} was read"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_archive_is_refused() {
    let room = Room::new();
    let path = |name: &str| room.path(name);
    archive::write(&path("twice"), &[("index.json", INDEX), ("./index.json", INDEX)]);
    archive::write(&path("outside"), &[("../index.json", INDEX)]);
    archive::write(
        &path("marker"),
        &[
            ("index.json", INDEX),
            ("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#),
        ],
    );
    archive::write(&path("large"), &[("index.json", &vec![b' '; 100 << 20])]);
    archive::write(&path("docker"), &[("manifest.json", b"[]")]);
    archive::write(&path("empty"), &[] as &[(&str, &[u8])]);
    fs::write(path("text"), "this is no archive at all\n".repeat(100)).expect("written");
    fs::write(path("nothing"), "").expect("written");
    let mut links = Writer::new(fs::File::create(path("loop")).expect("a file"));
    links.append(&Header::symlink("index.json", "a")).expect("a link");
    links.append(&Header::symlink("a", "index.json")).expect("a link");
    links.finish().expect("finished");
    let mut links = Writer::new(fs::File::create(path("link")).expect("a file"));
    links
        .append(&Header::symlink("index.json", "/etc/passwd"))
        .expect("a link");
    links.finish().expect("finished");
    for (name, kind, text) in [
        ("twice", ErrorKind::Invalid, "two members of the name \"index.json\""),
        ("outside", ErrorKind::NotFound, "it has no index.json"),
        ("marker", ErrorKind::Unsupported, "image layout version \"2.0.0\""),
        ("large", ErrorKind::TooLarge, "more than the limit of"),
        ("docker", ErrorKind::NotFound, "docker-archive:"),
        ("empty", ErrorKind::NotFound, "it has no index.json"),
        ("nothing", ErrorKind::NotFound, "it has no index.json"),
        ("text", ErrorKind::Invalid, "tar"),
        ("loop", ErrorKind::Invalid, "links"),
        ("link", ErrorKind::Invalid, "link"),
        ("absent", ErrorKind::NotFound, "absent"),
    ] {
        let error = refused(&room, name);
        assert_eq!(error.kind(), &kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
    }
    assert_eq!(refused(&room, "").kind(), &ErrorKind::Invalid, "a directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_or_lies_ends_in_an_error() {
    let room = Room::new();
    image(&room.path("layout"), "one", &["one"]).await;
    let from = format!("oci:{}:one", room.text("layout"));
    copy(&from, &format!("oci-archive:{}:one", room.text("whole.tar")))
        .await
        .expect("copied");
    let whole = fs::read(room.path("whole.tar")).expect("read");
    let reference = format!("oci-archive:{}:one", room.text("cut.tar"));
    // Once the index is there all is, and of the padding behind content nothing is missed.
    let members = tar::Index::read(Cursor::new(&whole), tar::Limits::default()).expect("an archive");
    let last = members
        .members()
        .iter()
        .skip_while(|member| member.header.path != b"index.json");
    let ends: Vec<usize> = last
        .map(|member| usize::try_from(member.range().expect("a file").end).expect("small"))
        .collect();
    let is_whole = |cut: usize| ends.iter().any(|end| (*end..=end.next_multiple_of(512)).contains(&cut));
    let around = ends.iter().flat_map(|end| [end - 1, *end]);
    for end in (0..whole.len() - 1024).step_by(509).chain(around) {
        fs::write(room.path("cut.tar"), &whole[..end]).expect("written");
        match checked(&room, &reference, Options::default()).await {
            Ok(_) => assert!(is_whole(end), "{end}"),
            Err(error) => {
                let kinds = [ErrorKind::Invalid, ErrorKind::NotFound];
                assert!(!is_whole(end) && kinds.contains(error.kind()), "{end}: {error}");
            }
        }
    }
    // Compressed archives that end early, or hold a bomb.
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, None).expect("an encoder");
    encoder.write_all(&whole).expect("written");
    let gzip = encoder.finish().expect("finished");
    fs::write(room.path("cut.tar"), &gzip[..gzip.len() - 9]).expect("written");
    assert_eq!(refused(&room, "cut.tar").kind(), &ErrorKind::Invalid);
    // A blob of another size or content than its descriptor says.
    let archive = OciArchive::open(room.path("whole.tar"), None).expect("an archive");
    let found = archive.resolve(&Pick::Only).await.expect("resolved");
    let layer = archive
        .document(&found)
        .await
        .expect("a manifest")
        .children()
        .pop()
        .expect("a layer");
    let mut other = layer.clone();
    other.size += 1;
    assert_eq!(
        archive.open(Role::Blob, &other).await.err().expect("a lie").kind(),
        &ErrorKind::Mismatch
    );
    // An archive that becomes shorter while it is read.
    let fetched = archive
        .fetch(Role::Blob, &layer.digest, FetchOptions::default())
        .await
        .expect("fetched");
    fs::File::options()
        .write(true)
        .open(room.path("whole.tar"))
        .expect("open")
        .set_len(1024)
        .expect("cut");
    let read = teu_store::Verified::new(layer.clone(), fetched.reader)
        .read_all(json::MAX_DOCUMENT)
        .await;
    assert_eq!(read.expect_err("cut").kind(), &ErrorKind::Invalid);
}

/// An index that names two indexes, each of which names two, and so on: few bytes, and 2^30 ways to the bottom.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_explodes_is_walked_once() {
    let room = Room::new();
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    let mut below = INDEX.to_vec();
    for _ in 0..30 {
        let digest = Digest::of(&below);
        let entry = format!(
            r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":{}}}"#,
            below.len()
        );
        blobs.push(std::mem::replace(
            &mut below,
            format!(r#"{{"schemaVersion":2,"manifests":[{entry},{entry}]}}"#).into_bytes(),
        ));
    }
    let names: Vec<String> = blobs
        .iter()
        .map(|blob| format!("blobs/sha256/{}", Digest::of(blob).hex()))
        .collect();
    let mut members: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(blobs.iter().map(Vec::as_slice))
        .collect();
    members.push(("index.json", &below));
    archive::write(&room.path("bomb.tar"), &members);
    let error = copy(
        &format!("oci-archive:{}:@0", room.text("bomb.tar")),
        &format!("oci:{}", room.text("out")),
    )
    .await;
    let error = error.expect_err("a bomb");
    assert_eq!(error.kind(), &ErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("depth"), "{error}");
    // And nothing that lists goes round in it.
    let bomb = room.oci_archive("bomb.tar").expect("an archive");
    let referrers = bomb.browse().expect("lists").referrers(&Digest::of(b"x"), None).await;
    assert_eq!(referrers.expect("none"), []);
}

/// A pipe cannot be taken back: what was broken off in it ends the archive, and is never finished as if it were whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_in_a_pipe_is_no_archive() {
    let room = Room::new();
    output(Command::new("mkfifo").arg(room.path("pipe")));
    let path = room.path("pipe");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        fs::File::open(path)
            .expect("a pipe")
            .read_to_end(&mut all)
            .expect("read");
        all
    });
    let writer = OciArchiveWriter::create(room.path("pipe"), Some(room.0.path().to_owned())).expect("a writer");
    // What nobody has verified waits until it is, and does no harm.
    let lie = Expected {
        digest: Some(Digest::of(b"something else")),
        size: Some(100_000),
        ..Expected::default()
    };
    let error = support::push(&writer, lie, &support::content(100_000), 1000)
        .await
        .expect_err("a lie");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    Image::small(writer.takes(), "one")
        .put(&writer, &["one"])
        .await
        .expect("put");
    let content = support::content(300_000);
    let expected = Expected::verified(&Descriptor::of(MediaType::OciLayer, &content));
    let mut ingest = writer.ingest(expected).await.expect("begun");
    ingest.write(content.slice(..290_000)).await.expect("written");
    ingest.abort().await.expect("aborted");
    let error = writer.finish().await.expect_err("broken off");
    assert!(error.to_string().contains("broken off in the middle"), "{error}");
    drop(writer);
    fs::write(room.path("cut.tar"), reader.join().expect("read")).expect("written");
    let error = refused(&room, "cut.tar");
    assert!(
        matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound),
        "{error}"
    );
}
