//! registries.conf: which endpoints an image has, in which order; what short names mean; what is refused.

#![cfg(feature = "remote")]
#![allow(missing_docs, reason = "a test is not an interface")]

use std::fs;

use teu_store::ErrorKind;
use teu_transport::remote::registries::{Registries, RegistriesPaths, ShortNames};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn registries(text: &str) -> Registries {
    let mut registries = Registries::default();
    registries.add("registries.conf", text).unwrap();
    registries
}

/// The endpoints of an image, `!` behind those that are insecure and `~` before mirrors.
fn sources(registries: &Registries, image: &str) -> Vec<String> {
    let endpoints = registries.sources(&image.parse().unwrap()).unwrap();
    let shown = endpoints.iter().map(|endpoint| {
        let mirror = if endpoint.mirror { "~" } else { "" };
        let insecure = if endpoint.insecure { "!" } else { "" };
        format!("{mirror}{}{insecure}", endpoint.reference.full())
    });
    shown.collect()
}

fn refused(text: &str) -> String {
    Registries::default().add("r.conf", text).expect_err(text).to_string()
}

#[test]
fn without_a_rule_an_image_is_where_its_name_says() {
    let registries = registries("");
    assert_eq!(sources(&registries, "alpine"), ["docker.io/library/alpine"]);
    assert_eq!(sources(&registries, "host:5000/a/b:1"), ["host:5000/a/b:1"]);
}

#[test]
fn mirrors_come_first_and_in_order() {
    let registries = registries(
        r#"
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "one.example/hub"
        [[registry.mirror]]
        location = "two.example:5000/"
        insecure = true
        "#,
    );
    assert_eq!(
        sources(&registries, "alpine:3.19"),
        [
            "~one.example/hub/library/alpine:3.19",
            "~two.example:5000/library/alpine:3.19!",
            "docker.io/library/alpine:3.19"
        ]
    );
    assert_eq!(sources(&registries, "quay.io/a/b"), ["quay.io/a/b"]);
}

#[test]
fn mirrors_are_asked_for_what_they_serve() {
    let per_mirror = registries(
        r#"
        [[registry]]
        location = "a.example"
        [[registry.mirror]]
        location = "all.example"
        pull-from-mirror = "all"
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"
        "#,
    );
    let by_digest = format!("a.example/x@{DIGEST}");
    assert_eq!(
        sources(&per_mirror, "a.example/x:1"),
        ["~all.example/x:1", "~tags.example/x:1", "a.example/x:1"]
    );
    assert_eq!(
        sources(&per_mirror, &by_digest),
        [
            format!("~all.example/x@{DIGEST}"),
            format!("~digests.example/x@{DIGEST}"),
            by_digest.clone()
        ]
    );
    let per_registry = registries(
        r#"
        [[registry]]
        location = "a.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.example"
        "#,
    );
    assert_eq!(sources(&per_registry, "a.example/x:1"), ["a.example/x:1"]);
    assert_eq!(sources(&per_registry, &by_digest).len(), 2);
}

#[test]
fn the_longest_prefix_decides_and_ends_where_a_part_does() {
    let registries = registries(
        r#"
        [[registry]]
        location = "a.example"
        [[registry]]
        prefix = "a.example/team"
        location = "b.example/moved"
        [[registry]]
        prefix = "a.example/team/app"
        location = "c.example/app"
        [[registry]]
        prefix = "a.example/team/app:old"
        location = "d.example/app:ancient"
        [[registry]]
        prefix = "*.wild.example"
        location = "e.example"
        [[registry]]
        prefix = "x.wild.example"
        location = "f.example"
        [[registry]]
        prefix = "*.wild.example/deep"
        location = "g.example"
        "#,
    );
    for (image, expected) in [
        ("a.example/teams:1", "a.example/teams:1"),
        ("a.example/team:1", "b.example/moved:1"),
        ("a.example/team/other:1", "b.example/moved/other:1"),
        ("a.example/team/app:1", "c.example/app:1"),
        ("a.example/team/app/sub:1", "c.example/app/sub:1"),
        ("a.example/team/app:old", "d.example/app:ancient"),
        ("a.example/team/app:older", "c.example/app:older"),
        ("y.wild.example/p/q:1", "e.example/p/q:1"),
        ("z.y.wild.example/p", "e.example/p"),
        // As long as the wildcard that matches too, and says more.
        ("x.wild.example/p", "f.example/p"),
        ("y.wild.example/deep/p", "g.example/p"),
        ("wild.example/p", "wild.example/p"),
        ("y.wild.example.org/p", "y.wild.example.org/p"),
        ("h.example/x.wild.example", "h.example/x.wild.example"),
        ("b.example:5000/p", "b.example:5000/p"),
    ] {
        assert_eq!(sources(&registries, image), [expected], "{image}");
    }
}

#[test]
fn a_wildcard_without_a_location_leaves_names_as_they_are() {
    let registries = registries("[[registry]]\nprefix = \"*.example.com\"\ninsecure = true\n");
    assert_eq!(sources(&registries, "a.example.com/x:1"), ["a.example.com/x:1!"]);
    // As containers/image has it: the port belongs to the host.
    assert_eq!(sources(&registries, "a.example.com:5000/x"), ["a.example.com:5000/x!"]);
}

#[test]
fn what_is_blocked_is_neither_read_nor_written() {
    let registries = registries(
        r#"
        [[registry]]
        location = "bad.example"
        blocked = true
        [[registry]]
        prefix = "bad.example/but/this"
        location = "good.example/this"
        "#,
    );
    let image = "bad.example/x:1".parse().unwrap();
    for error in [
        registries.sources(&image).unwrap_err(),
        registries.destination(&image).unwrap_err(),
    ] {
        assert_eq!(error.kind(), &ErrorKind::Denied);
        assert_eq!(
            error.to_string(),
            "bad.example/x:1 is blocked: registries.conf says so of bad.example"
        );
    }
    for spelt in ["BAD.example/x:1", "bad.Example:443/x:1"] {
        let error = registries.sources(&spelt.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Denied, "{error}");
    }
    assert_eq!(sources(&registries, "bad.example/but/this:1"), ["good.example/this:1"]);
    assert_eq!(sources(&registries, "Bad.example/but/this:1"), ["good.example/this:1"]);
}

#[test]
fn images_are_written_under_their_own_name() {
    let registries = registries(
        r#"
        [[registry]]
        prefix = "a.example"
        location = "elsewhere.example"
        insecure = true
        [[registry.mirror]]
        location = "m.example"
        "#,
    );
    let image = "a.example/x:1".parse().unwrap();
    let endpoint = registries.destination(&image).unwrap();
    assert_eq!(
        (endpoint.reference, endpoint.insecure, endpoint.mirror),
        (image, true, false)
    );
}

#[test]
fn short_names_are_aliases_then_candidates_then_dockers() {
    let short = |registries: &Registries, image: &str| {
        let candidates = registries.short_name(&image.parse().unwrap()).unwrap();
        let names: Vec<String> = candidates.references.iter().map(ToString::to_string).collect();
        (names.join(" "), candidates.mode)
    };
    let mut registries = registries(
        r#"
        unqualified-search-registries = ["one.example", "docker.io", "two.example/under"]
        short-name-mode = "enforcing"
        [aliases]
        "tool" = "quay.io/team/tool"
        "ns/tool" = "quay.io/team/other"
        "#,
    );
    let enforcing = ShortNames::Enforcing;
    assert_eq!(
        short(&registries, "tool:1"),
        ("quay.io/team/tool:1".to_owned(), enforcing)
    );
    assert_eq!(
        short(&registries, "ns/tool"),
        ("quay.io/team/other".to_owned(), enforcing)
    );
    assert_eq!(
        short(&registries, "app:1"),
        (
            "one.example/app:1 docker.io/library/app:1 two.example/under/app:1".to_owned(),
            enforcing
        )
    );
    assert_eq!(
        short(&registries, "docker.io/tool"),
        ("docker.io/library/tool".to_owned(), enforcing)
    );
    // A later file takes an alias away, and replaces the list.
    registries
        .add("2.conf", "unqualified-search-registries = []\n[aliases]\ntool = \"\"\n")
        .unwrap();
    assert_eq!(
        short(&registries, "tool:1"),
        ("docker.io/library/tool:1".to_owned(), enforcing)
    );
    assert_eq!(short(&Registries::default(), "tool").1, ShortNames::Permissive);
}

#[test]
fn later_files_replace_what_they_say_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(
        path("system.conf"),
        "[[registry]]\nlocation=\"a.example\"\ninsecure=true\n[[registry]]\nlocation=\"b.example\"\n[[registry.mirror]]\nlocation=\"m.example\"\n",
    )
    .unwrap();
    fs::create_dir(path("d")).unwrap();
    fs::write(
        path("d/20.conf"),
        "[[registry]]\nlocation=\"b.example\"\ninsecure=true\n",
    )
    .unwrap();
    fs::write(
        path("d/10.conf"),
        "[[registry]]\nlocation=\"b.example\"\nblocked=true\n",
    )
    .unwrap();
    fs::write(path("d/30.conf.off"), "this is no TOML").unwrap();
    let mut paths = RegistriesPaths {
        user: Some(path("absent.conf")),
        system: Some(path("system.conf")),
        directories: vec![path("absent.d"), path("d")],
        ..RegistriesPaths::default()
    };
    let registries = Registries::read(&paths).unwrap();
    assert_eq!(sources(&registries, "a.example/x"), ["a.example/x!"]);
    assert_eq!(sources(&registries, "b.example/x"), ["b.example/x!"]);
    // A user's file stands in place of the system's.
    fs::write(path("user.conf"), "").unwrap();
    paths.user = Some(path("user.conf"));
    let registries = Registries::read(&paths).unwrap();
    assert_eq!(sources(&registries, "a.example/x"), ["a.example/x"]);
    // One that was given must be there.
    paths.given = Some(path("given.conf"));
    let error = Registries::read(&paths).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("there is no {}", path("given.conf").display())
    );
}

#[test]
fn an_error_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.conf");
    fs::write(&path, "[[registry]]\nlocation = 5\n").unwrap();
    let paths = RegistriesPaths {
        given: Some(path.clone()),
        ..RegistriesPaths::default()
    };
    let error = Registries::read(&paths).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.starts_with(&format!("in {}: ", path.display())), "{text}");
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn a_file_of_nothing_but_aliases_is_read_when_a_short_name_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("d")).unwrap();
    fs::write(
        path("d/1.conf"),
        "# Names.\n\n[aliases]\none = \"a.example/one\"\ntwo = \"a.example/two\"\n",
    )
    .unwrap();
    fs::write(
        path("d/2.conf"),
        "[[registry]]\nlocation = \"b.example\"\ninsecure = true\n[aliases]\none = \"b.example/one\"\n",
    )
    .unwrap();
    fs::write(path("d/3.conf"), "[aliases]\ntwo = \"\"\n").unwrap();
    let paths = RegistriesPaths {
        directories: vec![path("d")],
        ..RegistriesPaths::default()
    };
    let registries = Registries::read(&paths).unwrap();
    let short = |registries: &Registries, name: &str| {
        let candidates = registries.short_name(&name.parse().unwrap())?;
        Ok::<_, teu_store::Error>(candidates.references[0].full())
    };
    assert_eq!(sources(&registries, "b.example/x"), ["b.example/x!"]);
    // The later file goes before the earlier, whenever they are read; what one takes away is gone.
    assert_eq!(short(&registries, "one").unwrap(), "b.example/one");
    assert_eq!(short(&registries, "two").unwrap(), "docker.io/library/two");
    fs::write(path("d/3.conf"), "[aliases]\ntwo = 5\n").unwrap();
    let registries = Registries::read(&paths).unwrap();
    assert_eq!(sources(&registries, "b.example/x"), ["b.example/x!"]);
    let error = short(&registries, "one").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert!(
        error
            .to_string()
            .starts_with(&format!("in {}: ", path("d/3.conf").display())),
        "{error}"
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (text, part) in [
        ("[[registry]]\n", "neither a prefix nor a location"),
        (
            "[[registry]]\nprefix=\"a.example\"\n",
            "the [[registry]] a.example has no location",
        ),
        ("[[registry]]\nlocation=\"https://a.example\"\n", "has a scheme"),
        (
            "[[registry]]\nlocation=\"a.example\"\n[[registry.mirror]]\n",
            "a mirror of a.example has no location",
        ),
        (
            "[[registry]]\nlocation=\"a.example\"\n[[registry.mirror]]\nlocation=\"m.example\"\npull-from-mirror=\"never\"\n",
            "all, digest-only and tag-only are known",
        ),
        (
            "[[registry]]\nlocation=\"a.example\"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation=\"m.example\"\npull-from-mirror=\"all\"\n",
            "cannot have pull-from-mirror",
        ),
        (
            "[[registry]]\nlocation=\"a.example\"\n[[registry]]\nprefix=\"b.example\"\nlocation=\"a.example\"\ninsecure=true\n",
            "the registry a.example stands twice, and differs in \"insecure\" or \"blocked\"",
        ),
        (
            "short-name-mode = \"maybe\"\n",
            "enforcing, permissive and disabled are known",
        ),
        (
            "unqualified-search-registries = [\"nohost\"]\n",
            "\"nohost\" in unqualified-search-registries is no registry",
        ),
        ("unqualified-search-registries = [\"\"]\n", "is no registry"),
        ("[aliases]\n\"a.example/x\" = \"b.example/x\"\n", "is no short name"),
        ("[aliases]\n\"x:1\" = \"b.example/x\"\n", "is no short name"),
        ("[aliases]\nx = \"y\"\n", "must be registry/repository"),
        ("[aliases]\nx = \"b.example/x:1\"\n", "must be registry/repository"),
        ("credential-helpers = [\"../evil\"]\n", "no name of a credential helper"),
        ("a = ", "line 1"),
    ] {
        let reason = refused(text);
        assert!(
            reason.starts_with("in r.conf: ") && reason.contains(part),
            "{text}: {reason}"
        );
    }
    let reason = refused(&format!("#{}", "x".repeat(4 << 20)));
    assert_eq!(reason, "in r.conf: 4194305 bytes are more than the limit of 4194304");
    // What failed to be added left nothing behind.
    let mut registries = registries("[[registry]]\nlocation=\"a.example\"\ninsecure=true\n");
    assert!(
        registries
            .add("2.conf", "[[registry]]\nlocation=\"a.example\"\n[[registry]]\n")
            .is_err()
    );
    let helpers = "credential-helpers = [\"..\\\\evil\"]\n[[registry]]\nlocation=\"a.example\"\n";
    assert!(registries.add("3.conf", helpers).is_err());
    assert_eq!(sources(&registries, "a.example/x"), ["a.example/x!"]);
}

#[test]
fn version_1_is_refused_with_what_to_write() {
    let mut registries = Registries::default();
    for text in [
        "[registries.search]\nregistries = [\"docker.io\"]\n",
        "[registries.insecure]\nregistries = []\n[registries.block]\nregistries = []\n",
        "[[registry]]\nlocation=\"a.example\"\n[registries.search]\nregistries = []\n",
    ] {
        let error = registries.add("r.conf", text).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unsupported);
        assert!(
            error.to_string().contains("write unqualified-search-registries = […]"),
            "{error}"
        );
    }
}

#[test]
fn a_place_that_makes_no_name_is_an_error_when_it_is_needed() {
    let registries = registries("[[registry]]\nprefix=\"a.example\"\nlocation=\"nohost\"\n");
    assert_eq!(sources(&registries, "b.example/x"), ["b.example/x"]);
    let error = registries.sources(&"a.example/x:1".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "registries.conf has a.example/x:1 at \"nohost/x:1\": a location must begin with a registry, such as localhost, host:port or host.example"
    );
}

#[test]
fn helpers_are_named_and_unknown_keys_are_told() {
    let registries = registries(
        "credential-helpers = [\"secretservice\", \"containers-auth.json\"]\nadditional-layer-store-auth-helper = \"x\"\n[[registry]]\nlocation = \"a.example\"\ninsecur = true\n[[registry.mirror]]\nlocation = \"m.example\"\nblocked = true\n",
    );
    let helpers: Vec<_> = registries
        .credential_helpers()
        .unwrap()
        .iter()
        .map(|name| name.as_ref().map(|name| name.program()))
        .collect();
    assert_eq!(helpers, [Some("docker-credential-secretservice".to_owned()), None]);
    assert_eq!(
        registries.ignored(),
        [
            "registries.conf: additional-layer-store-auth-helper",
            "registries.conf: insecur of the [[registry]] a.example",
            "registries.conf: blocked of a mirror of a.example"
        ]
    );
    assert_eq!(Registries::default().credential_helpers(), None);
}
