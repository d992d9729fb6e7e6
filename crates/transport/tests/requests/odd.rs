//! Registries that lie, break off, or have ways of their own; and at which end that is found out.

use teu_store::{ErrorKind, Side};

use super::*;

#[tokio::test]
async fn what_the_name_gives_is_what_it_is_said_to_be() {
    let image = Image::new("amd64", &FOUR);
    let lie = Digest::of(b"a lie");
    let lying = Registry::that(move |_, reply| reply.replace("Docker-Content-Digest", lie)).await;
    let spoilt = Registry::that(|seen, reply| match (&*seen.method, seen.path()) {
        ("GET", "/v2/app/manifests/1") => {
            let mut body = reply.body.clone();
            body.push(b' ');
            let length = body.len();
            reply.replace("Content-Length", length).body(body)
        }
        _ => reply,
    })
    .await;
    for (from, says, has) in [
        (&lying, lie, image.digest()),
        (&spoilt, image.digest(), {
            let mut raw = image.document.raw().to_vec();
            raw.push(b' ');
            Digest::of(&raw)
        }),
    ] {
        from.put("app", "1", &image);
        let to = Registry::new().await;
        let error = copied(from.at("app"), "1", to.at("app"), &["1"], &all())
            .await
            .expect_err("a lie");
        assert_eq!((error.kind(), error.side()), (&ErrorKind::Mismatch, Some(Side::Source)));
        let message = format!("the registry calls a manifest {says} whose digest is {has}");
        assert!(error.to_string().contains(&message), "{error}");
        assert_eq!(from.asked(), [line("GET", "manifests/1")]);
        assert_eq!((to.asked(), to.has("1")), (vec![line("HEAD", "manifests/1")], None));
    }
    // More than a manifest may have, said or not.
    let stated = || Reply::new(200).header("Docker-Content-Digest", Digest::of(b"much"));
    for says in [true, false] {
        let from = Registry::that(move |seen, reply| match (&*seen.method, seen.path(), says) {
            ("GET", "/v2/app/manifests/1", true) => stated().says(5 << 20),
            ("GET", "/v2/app/manifests/1", false) => stated().endless(),
            _ => reply,
        })
        .await;
        from.put("app", "1", &image);
        let room = tempfile::tempdir().expect("a directory");
        let error = copied(from.at("app"), "1", layout(room.path()), &["1"], &all())
            .await
            .expect_err("too large");
        assert_eq!((error.kind(), error.side()), (&ErrorKind::TooLarge, Some(Side::Source)));
        assert_eq!(from.asked(), [line("GET", "manifests/1")]);
    }
}

#[tokio::test]
async fn a_manifest_that_breaks_off_goes_on_by_its_digest() {
    let image = Image::new("amd64", &FOUR);
    let from = Registry::that(|seen, reply| match (&*seen.method, seen.path()) {
        ("GET", "/v2/app/manifests/1") => reply.cut(100),
        _ => reply,
    })
    .await;
    from.put("app", "1", &image);
    let room = tempfile::tempdir().expect("a directory");
    let done = copied(from.at("app"), "1", layout(room.path()), &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(done.descriptor.digest, image.digest());
    let expected = [
        vec![
            line("GET", "manifests/1"),
            line("GET", format_args!("manifests/{}", image.digest())),
        ],
        reads(&image.blobs),
    ];
    assert_eq!(from.asked(), lines(&expected.concat()));
}

#[tokio::test]
async fn registries_that_know_no_head_of_a_manifest() {
    let image = Image::new("amd64", &FOUR);
    let headless = |seen: &Seen, reply: Reply| match (&*seen.method, seen.path().contains("/manifests/")) {
        ("HEAD", true) => Reply::new(405),
        _ => reply,
    };
    let (from, to) = (Registry::that(headless).await, Registry::that(headless).await);
    from.put("app", "1", &image);
    let goes = async || {
        copied(from.at("app"), "1", to.at("app"), &["1"], &all())
            .await
            .expect("copied");
        (from.asked(), to.asked())
    };
    let both = |path: &str| vec![line("GET", path), line("HEAD", path)];
    let (read, written) = goes().await;
    assert_eq!(
        read,
        lines(&[reads(&image.blobs), vec![line("GET", "manifests/1")]].concat())
    );
    let expected = [
        both("manifests/1"),
        both(&format!("manifests/{}", image.digest())),
        questions(&image.blobs[1..]),
        writes(5),
        vec![line("PUT", "manifests/1")],
    ];
    assert_eq!(written, lines(&expected.concat()));
    assert_eq!(goes().await, (both("manifests/1"), both("manifests/1")));
}

#[tokio::test]
async fn which_end_is_told_of() {
    let image = Image::new("amd64", &FOUR);
    let (from, nothing) = (Registry::new().await, Registry::new().await);
    from.put("app", "1", &image);
    let broken = Registry::that(|_, _| Reply::new(400)).await;
    let closed = Registry::that(|seen, reply| match &*seen.method {
        "HEAD" if seen.path().contains("/manifests/") => Reply::new(403),
        _ => reply,
    })
    .await;
    for target in [&Registry::new().await, &broken, &closed] {
        let error = copied(nothing.at("app"), "1", target.at("app"), &["1"], &all())
            .await
            .expect_err("nothing there");
        let expected = (&ErrorKind::NotFound, Some(Side::Source));
        assert_eq!((error.kind(), error.side()), expected, "{error}");
        assert!(error.to_string().contains("finding image \"1\""), "{error}");
    }
    let error = copied(from.at("app"), "1", broken.at("app"), &["1"], &all())
        .await
        .expect_err("it takes nothing");
    assert_eq!(error.side(), Some(Side::Destination), "{error}");
    // Where the index has no such image, that is told, whatever the other end is.
    let top = index(&[("amd64", &image)]);
    from.fake.manifest("app", "all", &top);
    let options = Options {
        which: Which::One(Platform::new("linux", "s390x")),
        ..Options::default()
    };
    let error = copied(from.at("app"), "all", broken.at("app"), &["1"], &options)
        .await
        .expect_err("no such image");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::NotFound, Some(Side::Source)),
        "{error}"
    );
}
