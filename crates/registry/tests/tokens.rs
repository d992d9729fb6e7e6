//! Do clients get tokens, and do these do what they say and no more?

use std::sync::Arc;

use crate::support::{
    Server,
    guarded::{POLICY, as_user, basic, by_password, by_token, guarded, passwords, tokens},
    image,
};
use serde_json::json;
use teu_registry::auth::{Guard, Policy, SigningKey};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn token(server: &Server, user: &str, scopes: &str) -> String {
    let answer = as_user(
        server,
        user,
        "GET",
        &format!("/token?service=registry.example{scopes}"),
        b"",
    );
    let answer = answer.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let said = answer.json();
    assert_eq!(said["token"], said["access_token"]);
    assert_eq!(said["expires_in"], 300);
    said["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_client_is_led_to_its_token() {
    let (server, _) = by_token();
    let host = server.address.to_string();
    let asked = server.get("/v2/").refused(401, "UNAUTHORIZED");
    assert_eq!(
        asked.header("www-authenticate"),
        format!("Bearer realm=\"http://{host}/token\",service=\"registry.example\"")
    );
    for (method, target, scope) in [
        ("GET", "/v2/team/app/manifests/1", "repository:team/app:pull"),
        ("GET", "/v2/team/app/tags/list", "repository:team/app:pull"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("POST", "/v2/team/app/blobs/uploads/", "repository:team/app:pull,push"),
        ("DELETE", "/v2/team/app/manifests/1", "repository:team/app:delete"),
        (
            "POST",
            "/v2/team/app/blobs/uploads/?mount=sha256:x&from=public/app",
            "repository:team/app:pull,push repository:public/app:pull",
        ),
    ] {
        let asked = server
            .ask(method, target, &[("X-Forwarded-Proto", "https")], b"")
            .expect(401);
        assert_eq!(
            asked.header("www-authenticate"),
            format!("Bearer realm=\"https://{host}/token\",service=\"registry.example\",scope=\"{scope}\"")
        );
    }
    // What a client says of itself leads nowhere else than itself, and breaks no header.
    let asked = server
        .raw(b"GET /v2/ HTTP/1.1\r\nHost: a\"b\r\nConnection: close\r\n\r\n")
        .expect(401);
    assert_eq!(
        asked.header("www-authenticate"),
        "Bearer realm=\"/token\",service=\"registry.example\""
    );
    let from = "/v2/team/app/blobs/uploads/?mount=x&from=a%22%0d%0ab";
    let asked = server.ask("POST", from, &[], b"").expect(401);
    assert!(!asked.header("www-authenticate").contains("scope"), "{}", asked.head);
}

#[test]
fn a_token_does_what_it_says_and_the_policy_allows() {
    let (server, gate) = by_token();
    let ask =
        |token: &str, method: &str, target: &str| server.ask(method, target, &[("Authorization", &bearer(token))], b"");
    let reads = token(&server, "reader", "&scope=repository:team/app:pull,push,delete");
    ask(&reads, "GET", "/v2/").expect(200);
    ask(&reads, "GET", "/v2/team/app/manifests/1").expect(200);
    ask(&reads, "GET", "/v2/team/app/tags/list").expect(200);
    // It was asked for more, and that was not granted; nor would another token help.
    ask(&reads, "POST", "/v2/team/app/blobs/uploads/").refused(403, "DENIED");
    // It is for no other repository, though the user may read that (threat 96).
    for target in [
        "/v2/team/ap/manifests/1",
        "/v2/team/app/x/manifests/1",
        "/v2/public/app/manifests/1",
    ] {
        let refused = ask(&reads, "GET", target).refused(401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate");
        assert!(
            challenge.ends_with(":pull\",error=\"insufficient_scope\""),
            "{challenge}"
        );
    }
    let all = token(
        &server,
        "owner",
        "&scope=repository:secret/app:*&scope=registry:catalog:*",
    );
    ask(&all, "DELETE", "/v2/secret/app/manifests/1").expect(202);
    ask(&all, "GET", "/v2/_catalog").expect(200);
    ask(&reads, "GET", "/v2/_catalog").expect(401);
    // Several at once, as a mount needs them.
    let writes = token(
        &server,
        "writer",
        "&scope=repository:team/new:pull,push%20repository:public/app:pull",
    );
    let layer = image("1").children()[1].digest;
    let mount = format!("/v2/team/new/blobs/uploads/?mount={layer}&from=public/app");
    ask(&writes, "POST", &mount).expect(201);
    let mount = format!("/v2/team/new/blobs/uploads/?mount={layer}&from=team/app");
    let other = token(&server, "writer", "&scope=repository:team/else:pull,push");
    ask(&other, "POST", &mount.replace("team/new", "team/else")).expect(202);
    // Nobody in particular gets what everybody may do.
    let anybody = token(
        &server,
        "",
        "&scope=repository:public/app:pull,push&scope=repository:team/app:pull",
    );
    ask(&anybody, "GET", "/v2/").expect(200);
    ask(&anybody, "GET", "/v2/public/app/manifests/1").expect(200);
    ask(&anybody, "GET", "/v2/team/app/manifests/1").expect(401);
    ask(&anybody, "POST", "/v2/public/app/blobs/uploads/").expect(401);
    ask(&anybody, "GET", "/v2/_catalog").expect(401);
    // A list of what everybody sees is asked for by a token too, so that who has a password shows it.
    let lists = token(&server, "", "&scope=registry:catalog:*");
    let all = ask(&lists, "GET", "/v2/_catalog").expect(200);
    assert_eq!(all.json(), json!({ "repositories": ["public/app"] }));
    // Where they would see none, they are asked to log in.
    let blind = POLICY.replace(
        r#"repositories = ["public/**"]
allow = ["pull", "list"]"#,
        r#"repositories = ["public/**"]
allow = ["pull"]"#,
    );
    let (closed, _) = guarded(Guard {
        passwords: Some(passwords()),
        tokens: Some(tokens(SigningKey::generate().expect("a key"))),
        policy: Some(Policy::parse(&blind).expect("a policy")),
        ..Guard::default()
    });
    let shown = bearer(&token(&closed, "", "&scope=registry:catalog:*"));
    let refused = closed
        .ask("GET", "/v2/_catalog", &[("Authorization", &shown)], b"")
        .expect(401);
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.ends_with("scope=\"registry:catalog:*\",error=\"insufficient_scope\""),
        "{challenge}"
    );
    // A right that is taken away is gone before the token is.
    gate.replace(Guard {
        passwords: Some(passwords()),
        tokens: Some(tokens(SigningKey::generate().expect("a key"))),
        ..Guard::default()
    });
    ask(&reads, "GET", "/v2/team/app/manifests/1").refused(401, "UNAUTHORIZED");
}

#[test]
fn the_policy_of_now_counts_for_tokens_of_before() {
    const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
    let users = passwords();
    let guard = |policy: &str| Guard {
        passwords: Some(Arc::clone(&users)),
        tokens: Some(tokens(SigningKey::parse(KEY).expect("a key"))),
        policy: Some(Policy::parse(policy).expect("a policy")),
        ..Guard::default()
    };
    let (server, gate) = guarded(guard(POLICY));
    let shown = bearer(&token(&server, "reader", "&scope=repository:team/app:pull"));
    let ask = || server.ask("GET", "/v2/team/app/manifests/1", &[("Authorization", &shown)], b"");
    ask().expect(200);
    gate.replace(guard(&POLICY.replace("who = [\"*\"]", "who = [\"writer\"]")));
    ask().refused(403, "DENIED");
    gate.replace(guard(POLICY));
    ask().expect(200);
}

#[test]
fn tokens_are_for_who_shows_who_they_are() {
    let (server, _) = by_token();
    let wrong = basic("reader", "wrong");
    let refused = server.ask(
        "GET",
        "/token?service=registry.example",
        &[("Authorization", &wrong)],
        b"",
    );
    refused.refused(401, "UNAUTHORIZED");
    server.get("/token?service=elsewhere").refused(400, "DENIED");
    let held = bearer(&token(&server, "reader", ""));
    server
        .ask("GET", "/token", &[("Authorization", &held)], b"")
        .refused(400, "UNSUPPORTED");
    server.ask("PUT", "/token", &[], b"").refused(405, "UNSUPPORTED");
    // Where none are issued there is nothing.
    let (server, _) = by_password();
    server.get("/token").expect(404);
}

/// Threat 97.
#[test]
fn secrets_are_in_no_log_and_no_error() {
    let (server, _) = by_token();
    let mut said = String::new();
    let held = token(&server, "owner", "&scope=repository:team/app:pull");
    for shown in [
        basic("owner", "owner's secret"),
        basic("owner", "another secret"),
        bearer(&held),
        bearer(&held[1..]),
        "Bearer another-secret".to_owned(),
    ] {
        for target in [
            "/v2/",
            "/v2/team/app/manifests/1",
            "/v2/secret/app/manifests/1",
            "/token",
        ] {
            let answer = server.ask("GET", target, &[("Authorization", &shown)], b"");
            if answer.status != 200 {
                said.push_str(&answer.head);
                said.push_str(&String::from_utf8_lossy(&answer.content));
            }
        }
    }
    let log = server.log.lock().expect("a log");
    said.push_str(&format!("{log:?}"));
    assert!(log.iter().any(|asked| asked.user.as_deref() == Some("owner")), "{said}");
    let signature = held.rsplit('.').next().expect("a signature");
    for secret in [
        "owner's secret",
        "another secret",
        "another-secret",
        &basic("owner", "owner's secret")[6..],
        signature,
    ] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}
