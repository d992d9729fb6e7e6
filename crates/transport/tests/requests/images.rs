//! One image, from and to each kind of place: for the first time, again, and under another name.

use std::collections::HashSet;

use teu_transport::{directory::Directory, oci_archive::OciArchiveWriter};

use super::*;

#[tokio::test]
async fn into_a_layout() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let get = line("GET", "manifests/1");
    let first = lines(&[reads(&image.blobs), vec![get]].concat());
    assert_eq!(first.len(), 6);
    let head = [line("HEAD", "manifests/1")];
    // By a name, and without one.
    for names in [&["1"][..], &[]] {
        let to = room.path().join(format!("layout-{}", names.len()));
        for expected in [&first[..], &head] {
            copied(registry.at("app"), "1", layout(&to), names, &all())
                .await
                .expect("copied");
            assert_eq!(registry.asked(), expected, "{names:?}");
        }
    }
    // A name that points elsewhere may be up to date for all that is known.
    let other = Image::new("amd64", &["one", "two", "three", "five"]);
    registry.put("app", "1", &other);
    copied(
        registry.at("app"),
        "1",
        layout(&room.path().join("layout-1")),
        &["1"],
        &all(),
    )
    .await
    .expect("copied");
    let expected = [
        head.to_vec(),
        vec![line("GET", format_args!("manifests/{}", other.digest()))],
        reads(&[other.blobs[0].clone(), other.blobs[4].clone()]),
    ];
    assert_eq!(registry.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn into_what_has_no_names() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let room = room.path();
    let first = lines(&[reads(&image.blobs), vec![line("GET", "manifests/1")]].concat());
    let directory = || Arc::new(Directory::create(room.join("dir")).expect("a directory"));
    copied(registry.at("app"), "1", directory(), &[], &all())
        .await
        .expect("copied");
    assert_eq!(registry.asked(), first);
    let archive = Arc::new(OciArchiveWriter::create(room.join("archive"), None).expect("an archive"));
    copied(registry.at("app"), "1", archive, &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(registry.asked(), first);
}

#[tokio::test]
async fn into_a_registry() {
    let room = tempfile::tempdir().expect("a directory");
    let (image, other) = (
        Image::new("amd64", &FOUR),
        Image::new("amd64", &["one", "two", "three", "five"]),
    );
    let from = Registry::new().await;
    for (tag, image) in [("1", &image), ("2", &other)] {
        from.put("app", tag, image);
        copied(from.at("app"), tag, layout(room.path()), &[tag], &all())
            .await
            .expect("copied");
    }
    let to = Registry::new().await;
    let goes = async |tag: &str, name: &str| {
        copied(layout(room.path()), tag, to.at("app"), &[name], &all())
            .await
            .expect("copied");
        to.asked()
    };
    let by_digest = |image: &Image| line("HEAD", format_args!("manifests/{}", image.digest()));
    // Its config is particular to it, and so is not asked for.
    let first = [
        vec![line("HEAD", "manifests/1"), by_digest(&image)],
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    let first = lines(&first.concat());
    assert_eq!(first.len(), 17);
    assert_eq!(goes("1", "1").await, first);
    assert_eq!(goes("1", "1").await, [line("HEAD", "manifests/1")]);
    // Another name of what is there.
    let again = [
        line("HEAD", "manifests/2"),
        by_digest(&image),
        line("PUT", "manifests/2"),
    ];
    assert_eq!(goes("1", "2").await, lines(&again));
    // The name gets another image, of which three layers are there.
    let moved = [
        vec![line("HEAD", "manifests/1"), by_digest(&other)],
        questions(&other.blobs[1..]),
        writes(2),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(goes("2", "1").await, lines(&moved.concat()));
    assert_eq!(to.has("1"), Some(other.digest()));
}

#[tokio::test]
async fn from_registry_to_registry() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let goes = async |name: &str| {
        copied(from.at("app"), "1", to.at("app"), &[name], &all())
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };
    let by_digest = line("HEAD", format_args!("manifests/{}", image.digest()));
    let get = line("GET", "manifests/1");
    let (read, written) = goes("1").await;
    assert_eq!(read, lines(&[reads(&image.blobs), vec![get.clone()]].concat()));
    let first = [
        vec![line("HEAD", "manifests/1"), by_digest.clone()],
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&first.concat()));
    assert_eq!(read.len() + written.len(), 23);
    let head = vec![line("HEAD", "manifests/1")];
    assert_eq!(goes("1").await, (head.clone(), head));
    let again = [line("HEAD", "manifests/2"), by_digest, line("PUT", "manifests/2")];
    assert_eq!(goes("2").await, (vec![get], lines(&again)));
    // Without a name to ask for it is the digest that tells.
    let none = copied(from.at("app"), "1", to.at("app"), &[], &all()).await;
    none.expect("copied");
    let asked = vec![line("HEAD", format_args!("manifests/{}", image.digest()))];
    assert_eq!((from.asked(), to.asked()), (vec![line("HEAD", "manifests/1")], asked));
}

#[tokio::test]
async fn within_one_registry() {
    let (image, registry) = (Image::new("amd64", &FOUR), Registry::new().await);
    registry.put("from", "1", &image);
    let mount = |blob: &Bytes| {
        line(
            "POST",
            format_args!("blobs/uploads/?mount={}&from=from", Digest::of(blob)),
        )
    };
    let mounts: Vec<String> = image.blobs.iter().map(mount).collect();
    let begin = || {
        vec![
            line("HEAD", "manifests/1"),
            "GET from/manifests/1".to_owned(),
            line("HEAD", format_args!("manifests/{}", image.digest())),
            line("PUT", "manifests/1"),
        ]
    };
    copied(registry.at("from"), "1", registry.at("app"), &["1"], &all())
        .await
        .expect("copied");
    let asked = registry.asked();
    assert_eq!(asked, lines(&[begin(), mounts.clone()].concat()));
    assert_eq!(asked.len(), 9);

    // One that declines has begun an upload, which is used.
    let declining = fake(Habits::default());
    let answers = Arc::clone(&declining);
    let server = Scripted::start(move |seen| {
        let mut seen = seen.clone();
        if seen.method == "POST" {
            seen.target = seen.path().to_owned();
        }
        answers.answer(&seen)
    });
    let registry = Registry {
        fake: declining,
        server: server.await,
        told: Mutex::default(),
    };
    registry.put("from", "1", &image);
    copied(registry.at("from"), "1", registry.at("app"), &["1"], &all())
        .await
        .expect("copied");
    let read = |blob: &Bytes| format!("GET from/blobs/{}", Digest::of(blob));
    let expected = [
        begin(),
        mounts,
        questions(&image.blobs[1..]),
        image.blobs.iter().map(read).collect(),
        vec![line("PUT", "upload"); 5],
    ];
    assert_eq!(registry.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn images_of_several_machines() {
    let images = [
        Image::new("amd64", &["shared", "amd64"]),
        Image::new("arm64", &["shared", "arm64"]),
    ];
    let both = index(&[("amd64", &images[0]), ("arm64", &images[1])]);
    let from = Registry::new().await;
    for image in &images {
        from.put("app", "unused", image);
    }
    let top = from.fake.manifest("app", "1", &both);
    let distinct: Vec<Bytes> = images
        .iter()
        .flat_map(|image| image.blobs.clone())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    let layers: Vec<Bytes> = distinct
        .iter()
        .filter(|blob| !blob.starts_with(b"{"))
        .cloned()
        .collect();
    assert_eq!((distinct.len(), layers.len()), (5, 3));
    let manifests = |method: &str, digests: &[Digest]| -> Vec<String> {
        let manifest = |digest: &Digest| line(method, format_args!("manifests/{digest}"));
        digests.iter().map(manifest).collect()
    };
    let digests = [images[0].digest(), images[1].digest()];
    let to = Registry::new().await;
    let goes = async |name: &str, options: &Options| {
        copied(from.at("app"), "1", to.at("app"), &[name], options)
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };

    let (read, written) = goes("1", &all()).await;
    let expected = [
        vec![line("GET", "manifests/1")],
        manifests("GET", &digests),
        reads(&distinct),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        vec![line("HEAD", "manifests/1")],
        manifests("HEAD", &[top, digests[0], digests[1]]),
        questions(&layers),
        writes(5),
        manifests("PUT", &digests),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    let head = vec![line("HEAD", "manifests/1")];
    assert_eq!(goes("1", &all()).await, (head.clone(), head.clone()));

    // One of them: what its index says is read to choose it, and not read twice.
    let one = Options {
        which: Which::One(Platform::new("linux", "arm64")),
        ..Options::default()
    };
    let (read, written) = goes("arm", &one).await;
    let first = [vec![line("GET", "manifests/1")], manifests("GET", &digests[1..])];
    assert_eq!(read, lines(&first.concat()));
    let expected = [
        vec![line("HEAD", "manifests/arm")],
        manifests("HEAD", &digests[1..]),
        vec![line("PUT", "manifests/arm")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    let (read, written) = goes("arm", &one).await;
    assert_eq!(read, lines(&[head.clone(), manifests("GET", &[top])].concat()));
    assert_eq!(written, [line("HEAD", "manifests/arm")]);

    // An index of another image beside one that is there.
    let third = Image::new("s390x", &["shared", "s390x"]);
    from.put("app", "unused", &third);
    let more = from
        .fake
        .manifest("app", "1", &index(&[("arm64", &images[1]), ("s390x", &third)]));
    let (read, written) = goes("1", &all()).await;
    let expected = [
        head.clone(),
        manifests("GET", &[more, third.digest()]),
        reads(&[third.blobs[0].clone(), third.blobs[2].clone()]),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        head,
        manifests("HEAD", &[more, digests[1], third.digest()]),
        questions(&third.blobs[1..]),
        writes(2),
        manifests("PUT", &[third.digest()]),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
}

#[tokio::test]
async fn a_config_that_is_not_particular_to_its_image_is_asked_for() {
    let empty = |layer: &str| {
        Image::with_config(
            MediaType::from("application/vnd.oci.empty.v1+json"),
            "{}".to_owned(),
            &[layer],
        )
    };
    let (from, to) = (Registry::new().await, Registry::new().await);
    let artifacts = [empty("one"), empty("two")];
    for (tag, artifact) in ["1", "2"].iter().zip(&artifacts) {
        from.put("app", tag, artifact);
    }
    for (tag, artifact, new) in [("1", &artifacts[0], 2), ("2", &artifacts[1], 1)] {
        copied(from.at("app"), tag, to.at("app"), &[tag], &all())
            .await
            .expect("copied");
        let expected = [
            vec![
                line("HEAD", format_args!("manifests/{tag}")),
                line("HEAD", format_args!("manifests/{}", artifact.digest())),
                line("PUT", format_args!("manifests/{tag}")),
            ],
            questions(&artifact.blobs),
            writes(new),
        ];
        assert_eq!(to.asked(), lines(&expected.concat()), "{tag}");
    }
}

#[tokio::test]
async fn where_the_manifest_changes_its_digest_tells_nothing() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let options = Options {
        format: Some(Format::Docker),
        ..all()
    };
    // What becomes of it is known at the end, so that all is asked for; again it is found.
    for new in [5, 0] {
        copied(from.at("app"), "1", to.at("app"), &["1"], &options)
            .await
            .expect("copied");
        let mut read = vec![line("GET", "manifests/1")];
        let mut written = [vec![line("HEAD", "manifests/1")], questions(&image.blobs)].concat();
        if new > 0 {
            read.extend(reads(&image.blobs));
            written.extend(writes(new));
            written.push(line("PUT", "manifests/1"));
        }
        assert_eq!((from.asked(), to.asked()), (lines(&read), lines(&written)));
    }
}

#[tokio::test]
async fn what_a_copy_that_was_cut_off_left() {
    let image = Image::new("amd64", &FOUR);
    let (from, to) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    // All but the manifest: layers are found, and the config is written once more.
    for blob in &image.blobs {
        to.fake.blob("app", blob);
    }
    copied(from.at("app"), "1", to.at("app"), &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(
        from.asked(),
        lines(&[vec![line("GET", "manifests/1")], reads(&image.blobs[..1])].concat())
    );
    let expected = [
        vec![
            line("HEAD", "manifests/1"),
            line("HEAD", format_args!("manifests/{}", image.digest())),
            line("PUT", "manifests/1"),
        ],
        questions(&image.blobs[1..]),
        writes(1),
    ];
    assert_eq!(to.asked(), lines(&expected.concat()));
}
