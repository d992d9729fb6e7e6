//! Registries that let us push and not look: nothing is known to be there, and all is brought.

use teu_store::{ErrorKind, Side};

use super::*;

/// An image in a layout.
async fn source(room: &Path) -> Image {
    let (image, from) = (Image::new("amd64", &FOUR), Registry::new().await);
    from.put("app", "1", &image);
    copied(from.at("app"), "1", layout(room), &["1"], &all())
        .await
        .expect("copied");
    image
}

/// A registry that answers each question so, and takes what is pushed.
async fn closed(status: u16) -> Registry {
    Registry::that(move |seen, reply| match &*seen.method {
        "HEAD" => Reply::new(status),
        _ => reply,
    })
    .await
}

/// What we do not do ourselves is no answer of the registry.
#[tokio::test]
async fn who_sends_us_elsewhere_is_refused_and_gets_nothing() {
    let room = tempfile::tempdir().expect("a directory");
    source(room.path()).await;
    let to = Registry::that(
        |seen, reply| match seen.method == "HEAD" && seen.path().contains("/blobs/") {
            true => Reply::new(307).header("Location", "http://169.254.1.1/blob"),
            false => reply,
        },
    )
    .await;
    let error = copied(layout(room.path()), "1", to.at("app"), &["1"], &all())
        .await
        .expect_err("it leads elsewhere");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Refused, Some(Side::Destination)),
        "{error}"
    );
    assert!(
        error.to_string().contains("it leads to a link-local address"),
        "{error}"
    );
    assert!(
        to.asked().iter().all(|line| line.starts_with("HEAD ")),
        "{:?}",
        to.asked()
    );
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_pushed() {
    let room = tempfile::tempdir().expect("a directory");
    let image = source(room.path()).await;
    // Whoever is not known would be told so of an upload, too.
    for (status, of_each) in [(403, &[] as &[&str]), (401, &["POST app/upload", "DELETE app/upload"])] {
        for names in [&["1"][..], &[]] {
            let to = closed(status).await;
            // Again, as nothing is known of it then either.
            for _ in 0..2 {
                copied(layout(room.path()), "1", to.at("app"), names, &all())
                    .await
                    .expect("copied");
                let by_name = names.iter().map(|name| line("HEAD", format_args!("manifests/{name}")));
                let mut asked: Vec<String> = by_name.collect();
                asked.push(line("HEAD", format_args!("manifests/{}", image.digest())));
                // Who may not look because nobody knows him does not look again.
                match of_each {
                    [] => asked.extend(questions(&image.blobs[1..])),
                    _ => asked.truncate(1),
                }
                let tried = of_each.iter().map(|line| (*line).to_owned()).collect();
                let name = names
                    .first()
                    .map_or(image.digest().to_string(), |name| (*name).to_owned());
                let put = vec![line("PUT", format_args!("manifests/{name}"))];
                assert_eq!(
                    to.asked(),
                    lines(&[asked, tried, writes(5), put].concat()),
                    "{status} {names:?}"
                );
            }
            assert_eq!(to.has("1"), names.first().map(|_| image.digest()));
        }
    }
    // What becomes of the image is known at the end, and then its name is asked for.
    let options = Options {
        format: Some(Format::Docker),
        ..all()
    };
    let to = closed(403).await;
    let done = copied(layout(room.path()), "1", to.at("app"), &["1"], &options)
        .await
        .expect("copied");
    assert_eq!(to.has("1"), Some(done.descriptor.digest));
}

/// Its token server lets us push alone, and so each token is refused that is to let us look.
#[tokio::test]
async fn who_gets_tokens_to_push_alone_pushes() {
    let room = tempfile::tempdir().expect("a directory");
    let image = source(room.path()).await;
    let to = Registry::that(|seen, reply| {
        let is_known = seen.header("authorization") == Some("Bearer push");
        match (seen.path(), &*seen.method) {
            ("/token", _) => Reply::new(200).body(r#"{"token":"push"}"#),
            (_, method) if !is_known || method == "HEAD" => {
                let host = seen.header("host").expect("a host");
                Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
            }
            _ => reply,
        }
    })
    .await;
    copied(layout(room.path()), "1", to.at("app"), &["1"], &all())
        .await
        .expect("copied");
    assert_eq!(to.has("1"), Some(image.digest()));
}

#[tokio::test]
async fn who_may_not_push_either_is_told_at_once() {
    let room = tempfile::tempdir().expect("a directory");
    source(room.path()).await;
    for (rehearse, asked) in [
        (false, &["HEAD app/manifests/1", "POST app/upload"][..]),
        (true, &["HEAD app/manifests/1"]),
    ] {
        let to = Registry::that(|_, _| Reply::new(401)).await;
        let options = Options { rehearse, ..all() };
        let error = copied(layout(room.path()), "1", to.at("app"), &["1"], &options)
            .await
            .expect_err("not known");
        assert_eq!(
            (error.kind(), error.side()),
            (&ErrorKind::Unauthenticated, Some(Side::Destination)),
            "{error}"
        );
        assert_eq!(to.asked(), asked);
    }
}
