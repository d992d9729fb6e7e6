//! Is everybody let in who may, as far as they may, and nobody else?

use crate::support::{
    guarded::{POLICY, as_user, basic, by_password, by_token, guarded, passwords, policy},
    image,
};
use serde_json::json;
use teu_registry::auth::{Guard, Passwords, Policy};
use teu_spec::Digest;

#[test]
fn each_may_do_what_the_policy_says() {
    let (server, _) = by_password();
    let document = image("1");
    let (manifest, layer) = (Digest::of(document.raw()), document.children()[1].digest);
    let new = Digest::of(b"new");
    for (user, method, target, status) in [
        // Nobody in particular.
        ("", "GET", "/v2/".to_owned(), 401),
        ("", "GET", "/v2/public/app/manifests/1".to_owned(), 200),
        ("", "GET", format!("/v2/public/app/blobs/{layer}"), 200),
        ("", "GET", format!("/v2/public/app/referrers/{manifest}"), 200),
        ("", "GET", "/v2/public/app/tags/list".to_owned(), 200),
        ("", "GET", "/v2/team/app/manifests/1".to_owned(), 401),
        ("", "GET", "/v2/team/none/manifests/1".to_owned(), 401),
        ("", "POST", "/v2/public/app/blobs/uploads/".to_owned(), 401),
        ("", "DELETE", "/v2/public/app/manifests/1".to_owned(), 401),
        // One who reads.
        ("reader", "GET", "/v2/".to_owned(), 200),
        ("reader", "GET", "/v2/team/app/manifests/1".to_owned(), 200),
        ("reader", "GET", "/v2/secret/app/manifests/1".to_owned(), 403),
        ("reader", "GET", "/v2/secret/none/manifests/1".to_owned(), 403),
        ("reader", "GET", format!("/v2/secret/app/blobs/{layer}"), 403),
        ("reader", "GET", "/v2/secret/app/tags/list".to_owned(), 403),
        ("reader", "GET", format!("/v2/secret/app/referrers/{manifest}"), 403),
        ("reader", "POST", "/v2/team/app/blobs/uploads/".to_owned(), 403),
        (
            "reader",
            "POST",
            format!("/v2/team/app/blobs/uploads/?mount={layer}&from=team/app"),
            403,
        ),
        ("reader", "PATCH", "/v2/team/app/blobs/uploads/x".to_owned(), 403),
        ("reader", "PUT", "/v2/team/app/manifests/2".to_owned(), 403),
        // One who only pushes (threat 90).
        ("blind", "POST", "/v2/drop/blobs/uploads/".to_owned(), 202),
        ("blind", "POST", format!("/v2/drop/blobs/uploads/?digest={new}"), 201),
        ("blind", "GET", format!("/v2/drop/blobs/{new}"), 403),
        ("blind", "HEAD", format!("/v2/drop/blobs/{new}"), 200),
        ("blind", "HEAD", format!("/v2/drop/blobs/{layer}"), 404),
        ("blind", "DELETE", format!("/v2/drop/blobs/{new}"), 403),
        ("blind", "DELETE", "/v2/team/app/manifests/1".to_owned(), 403),
        ("blind", "DELETE", format!("/v2/team/app/manifests/{manifest}"), 403),
        // One who may do everything.
        ("owner", "GET", "/v2/secret/app/manifests/1".to_owned(), 200),
        ("owner", "DELETE", "/v2/secret/app/manifests/1".to_owned(), 202),
        ("owner", "GET", "/v2/secret/app/manifests/1".to_owned(), 404),
    ] {
        let answer = as_user(&server, user, method, &target, b"new");
        assert_eq!(answer.status, status, "{user} {method} {target}: {}", answer.head);
        let challenge = answer.find("www-authenticate");
        assert_eq!(challenge.is_some(), status == 401, "{user} {method} {target}");
        if let Some(challenge) = challenge {
            assert_eq!(challenge, "Basic realm=\"teu\", charset=\"UTF-8\"");
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
            answer.refused(401, "UNAUTHORIZED");
        } else if status == 403 {
            answer.refused(403, "DENIED");
        }
    }
}

/// An operator sees who guesses; who was never asked, or shows nothing, guesses nothing.
#[test]
fn wrong_passwords_are_counted() {
    let (server, _) = by_token();
    let ask = |user: &str, password: &str| {
        let shown = basic(user, password);
        server.ask("GET", "/v2/", &[("Authorization", &shown)], b"").status
    };
    assert_eq!((server.get("/v2/").status, ask("", "")), (401, 401));
    assert_eq!(server.registry.failed_logins(), 0);
    assert_eq!(ask("reader", "reader's secret"), 200);
    assert_eq!((ask("reader", "wrong"), ask("nobody", "wrong")), (401, 401));
    assert_eq!(server.registry.failed_logins(), 2);
    let form = "grant_type=password&client_id=docker&service=registry.example&username=reader&password=wrong";
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    server.ask("POST", "/token", &[form_type], form.as_bytes()).expect(401);
    assert_eq!(server.registry.failed_logins(), 3);
}

/// Threat 91.
#[test]
fn a_tag_is_moved_by_who_may_and_by_nobody_else() {
    let (server, _) = by_password();
    let (first, second) = (image("1"), image("other"));
    as_user(
        &server,
        "writer",
        "POST",
        &format!("/v2/team/app/blobs/uploads/?digest={}", Digest::of(b"other")),
        b"other",
    )
    .expect(201);
    let put = |user: &str, reference: &str, document: &teu_spec::Document| {
        as_user(
            &server,
            user,
            "PUT",
            &format!("/v2/team/app/manifests/{reference}"),
            document.raw(),
        )
    };
    put("writer", "1", &second).refused(403, "DENIED");
    put("writer", &format!("{}?tag=1", Digest::of(second.raw())), &second).refused(403, "DENIED");
    // What it is already may be said again, and what is free be taken.
    put("writer", "1", &first).expect(201);
    put("writer", "2", &second).expect(201);
    let both = put("writer", &format!("{}?tag=2&tag=3", Digest::of(second.raw())), &second).expect(201);
    assert_eq!(both.all("oci-tag").collect::<Vec<_>>(), ["2", "3"]);
    put("writer", "3", &first).refused(403, "DENIED");
    put("writer", &Digest::of(first.raw()).to_string(), &first).expect(201);
    let found = |tag: &str| as_user(&server, "reader", "GET", &format!("/v2/team/app/manifests/{tag}"), b"").content;
    for (tag, document) in [("1", &first), ("2", &second), ("3", &second)] {
        assert_eq!(found(tag), document.raw()[..], "{tag}");
    }
    put("owner", "1", &second).expect(201);
    assert_eq!(found("1"), second.raw()[..]);
}

/// Threat 87.
#[test]
fn a_mount_from_where_one_may_not_read_is_none() {
    let (server, _) = by_password();
    let layer = image("1").children()[1].digest;
    let absent = Digest::of(b"absent");
    let mount = |user: &str, digest: Digest, from: &str| {
        let target = format!("/v2/drop/blobs/uploads/?mount={digest}{from}");
        as_user(&server, user, "POST", &target, b"")
    };
    // Where one may read, it is there at once; elsewhere, and where nothing is, all is the same.
    for from in ["&from=secret/app", "&from=secret/none"] {
        for digest in [layer, absent] {
            let answer = mount("blind", digest, from).expect(202);
            assert!(answer.header("location").starts_with("/v2/drop/blobs/uploads/"));
        }
    }
    mount("blind", absent, "").expect(202);
    // Without a name only where one may read is looked.
    mount("blind", layer, "&from=team/app").expect(201);
    let policy = POLICY.replace("repositories = [\"team/**\"]", "repositories = [\"nothing\"]");
    let policy = policy.replace("repositories = [\"public/**\"]", "repositories = [\"nothing\"]");
    let (server, _) = guarded(Guard {
        passwords: Some(passwords()),
        policy: Some(Policy::parse(&policy).expect("a policy")),
        ..Guard::default()
    });
    for from in ["", "&from=team/app"] {
        let target = format!("/v2/drop/blobs/uploads/?mount={layer}{from}");
        as_user(&server, "blind", "POST", &target, b"").expect(202);
    }
}

#[test]
fn the_catalog_shows_what_one_may_list() {
    let (server, _) = by_password();
    // Who shows a password only when they are asked for it would else take what everybody sees for all there is.
    let asked = server.get("/v2/_catalog").refused(401, "UNAUTHORIZED");
    assert_eq!(
        asked.header("www-authenticate"),
        "Basic realm=\"teu\", charset=\"UTF-8\""
    );
    for (user, names) in [
        ("reader", &["public/app", "team/app"][..]),
        ("owner", &["public/app", "secret/app", "team/app"]),
    ] {
        let all = as_user(&server, user, "GET", "/v2/_catalog", b"").expect(200);
        assert_eq!(all.json(), json!({ "repositories": names }), "{user}");
        let mut seen = Vec::new();
        let mut target = "/v2/_catalog?n=1".to_owned();
        loop {
            let page = as_user(&server, user, "GET", &target, b"").expect(200);
            let page_names = page.json()["repositories"].as_array().expect("a list").clone();
            assert_eq!(page_names.len(), 1);
            seen.extend(page_names);
            match page.find("link") {
                Some(link) => link[1..].split('>').next().expect("a link").clone_into(&mut target),
                None => break,
            }
        }
        assert_eq!(json!(seen), json!(names), "{user}");
    }
    // Where nobody can log in, all there is to see is shown at once.
    let (server, _) = guarded(Guard {
        policy: policy(),
        ..Guard::default()
    });
    let all = server.get("/v2/_catalog").expect(200);
    assert_eq!(all.json(), json!({ "repositories": ["public/app"] }));
}

#[test]
fn without_a_policy_who_is_known_may_do_everything() {
    let (server, _) = guarded(Guard {
        passwords: Some(passwords()),
        ..Guard::default()
    });
    for (user, method, target, status) in [
        ("", "GET", "/v2/_catalog", 401),
        ("", "GET", "/v2/public/app/manifests/1", 401),
        ("reader", "GET", "/v2/_catalog", 200),
        ("reader", "GET", "/v2/secret/app/manifests/1", 200),
        ("reader", "DELETE", "/v2/secret/app/manifests/1", 202),
    ] {
        as_user(&server, user, method, target, b"").expect(status);
    }
    // With neither, nobody may do anything, and is told no way.
    let (server, _) = guarded(Guard::default());
    let refused = server.get("/v2/public/app/manifests/1").refused(403, "DENIED");
    assert_eq!(refused.find("www-authenticate"), None);
}

#[test]
fn what_is_shown_is_right_or_nothing() {
    let (server, _) = by_password();
    let right = basic("reader", "reader's secret");
    for shown in [
        basic("reader", "secret"),
        basic("reader", ""),
        basic("", "reader's secret"),
        basic("nobody", "reader's secret"),
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        "Basic cmVhZGVy".to_owned(),
        "Bearer x.y.z".to_owned(),
        "Digest username=\"reader\"".to_owned(),
        "reader".to_owned(),
    ] {
        // Not even what is public, so that who thinks to be logged in learns that they are not.
        for target in ["/v2/", "/v2/public/app/manifests/1"] {
            let answer = server.ask("GET", target, &[("Authorization", &shown)], b"");
            answer.refused(401, "UNAUTHORIZED");
        }
    }
    // skopeo and Podman show an empty name where they have none.
    let nobody = basic("", "");
    for (target, status) in [
        ("/v2/public/app/manifests/1", 200),
        ("/v2/team/app/manifests/1", 401),
        ("/v2/", 401),
    ] {
        server
            .ask("GET", target, &[("Authorization", &nobody)], b"")
            .expect(status);
    }
    let twice = [("Authorization", right.as_str()), ("Authorization", right.as_str())];
    server.ask("GET", "/v2/", &twice, b"").refused(401, "UNAUTHORIZED");
    for scheme in ["basic", "BASIC"] {
        let shown = right.replacen("Basic", scheme, 1);
        server.ask("GET", "/v2/", &[("Authorization", &shown)], b"").expect(200);
    }
}

#[test]
fn another_guard_counts_from_the_next_request_on() {
    let (server, gate) = by_password();
    as_user(&server, "reader", "GET", "/v2/team/app/manifests/1", b"").expect(200);
    gate.replace(Guard {
        passwords: Some(Passwords::parse("").expect("a file")),
        policy: policy(),
        ..Guard::default()
    });
    as_user(&server, "reader", "GET", "/v2/team/app/manifests/1", b"").expect(401);
    server.get("/v2/public/app/manifests/1").expect(200);
}
