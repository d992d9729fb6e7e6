//! Do clients get tokens by POST, as OAuth 2 has them, and more of them without a password? As docker and containerd ask.

use std::{sync::Arc, time::Duration};

use crate::support::{
    Answer, Server,
    guarded::{as_user, basic, by_token, guarded, passwords, policy, tokens},
};
use teu_registry::auth::{Gate, Guard, Passwords, SigningKey, Tokens};

const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const SCOPE: &str = "service=registry.example&scope=repository%3Ateam%2Fapp%3Apull%2Cpush+repository:public/app:pull";

fn post(server: &Server, form: &str) -> Answer {
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    server.ask("POST", "/token", &[form_type], form.as_bytes())
}

fn refreshing() -> Tokens {
    let mut tokens = tokens(SigningKey::parse(KEY).expect("a key"));
    if let Some(issuer) = &mut tokens.issuer {
        issuer.refresh = Some(Duration::from_secs(3600));
    }
    tokens
}

fn with_refresh(passwords: Arc<Passwords>) -> Guard {
    Guard {
        passwords: Some(passwords),
        tokens: Some(refreshing()),
        policy: policy(),
        ..Guard::default()
    }
}

fn works(server: &Server, token: &serde_json::Value, status: u16) {
    let bearer = format!("Bearer {}", token.as_str().expect("a token"));
    let target = "/v2/team/app/manifests/1";
    server
        .ask("GET", target, &[("Authorization", &bearer)], b"")
        .expect(status);
}

#[test]
fn a_password_gets_a_token_by_post() {
    let (server, _) = by_token();
    let form = format!("grant_type=password&client_id=docker&username=reader&password=reader%27s+secret&{SCOPE}");
    let answer = post(&server, &form).expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let said = answer.json();
    let user = |server: &Server| {
        server
            .log
            .lock()
            .expect("a log")
            .last()
            .and_then(|asked| asked.user.clone())
    };
    assert_eq!(user(&server).as_deref(), Some("reader"));
    works(&server, &said["access_token"], 200);
    assert_eq!(said["expires_in"], 300);
    // As much as they may: they push nothing.
    assert_eq!(said["scope"], "repository:team/app:pull repository:public/app:pull");
    // None outlives a key that is made for one run.
    assert!(said.get("refresh_token").is_none());
    let offline = post(&server, &format!("{form}&access_type=offline")).expect(200).json();
    assert!(offline.get("refresh_token").is_none());
    for (form, status, code) in [
        (
            "grant_type=password&username=reader&password=wrong",
            401,
            "UNAUTHORIZED",
        ),
        (
            "grant_type=password&username=nobody&password=wrong",
            401,
            "UNAUTHORIZED",
        ),
        ("grant_type=password&username=reader", 400, "UNSUPPORTED"),
        ("grant_type=refresh_token", 400, "UNSUPPORTED"),
        ("grant_type=refresh_token&refresh_token=a.b.c", 401, "UNAUTHORIZED"),
        ("grant_type=client_credentials", 400, "UNSUPPORTED"),
        ("", 400, "UNSUPPORTED"),
        ("grant_type=%ff", 400, "UNSUPPORTED"),
        (
            "grant_type=password&username=reader&password=reader's+secret&service=elsewhere",
            400,
            "DENIED",
        ),
    ] {
        post(&server, form).refused(status, code);
    }
    post(&server, &"a".repeat((64 << 10) + 1)).expect(413);
}

#[test]
fn a_refresh_token_is_good_as_long_as_the_password() {
    let same = passwords();
    let (server, gate) = guarded(with_refresh(Arc::clone(&same)));
    let form = format!("grant_type=password&username=reader&password=reader's+secret&access_type=offline&{SCOPE}");
    let by_post = post(&server, &form).expect(200).json();
    let by_get = as_user(
        &server,
        "reader",
        "GET",
        "/token?service=registry.example&offline_token=true",
        b"",
    );
    let by_get = by_get.expect(200).json();
    let without = as_user(&server, "reader", "GET", "/token?service=registry.example", b"")
        .expect(200)
        .json();
    assert!(without.get("refresh_token").is_none());
    let refresh = |token: &serde_json::Value| {
        let token = token.as_str().expect("a token");
        post(
            &server,
            &format!("grant_type=refresh_token&refresh_token={token}&{SCOPE}"),
        )
    };
    for said in [&by_post, &by_get] {
        let more = refresh(&said["refresh_token"]).expect(200).json();
        works(&server, &more["access_token"], 200);
        assert!(more.get("refresh_token").is_none());
        let again = format!(
            "grant_type=refresh_token&access_type=offline&refresh_token={}&{SCOPE}",
            said["refresh_token"].as_str().expect("a token")
        );
        // It does not renew itself: it would last for ever.
        assert!(post(&server, &again).expect(200).json().get("refresh_token").is_none());
        // It opens nothing itself, and a token gets no other.
        works(&server, &said["refresh_token"], 401);
        refresh(&said["access_token"]).refused(401, "UNAUTHORIZED");
    }
    // Whoever asks for nobody in particular gets none.
    let nobody = server
        .get("/token?service=registry.example&offline_token=true")
        .expect(200)
        .json();
    assert!(nobody.get("refresh_token").is_none());
    let replaced = |gate: &Gate, users: &[(&str, &str)]| {
        let line = |(user, password): &(&str, &str)| format!("{user}:{}\n", bcrypt::hash(password, 4).expect("a hash"));
        let text: String = users.iter().map(line).collect();
        gate.replace(with_refresh(Passwords::parse(&text).expect("a file")));
    };
    // The file was read again, and says the same.
    gate.replace(with_refresh(same));
    refresh(&by_post["refresh_token"]).expect(200);
    for users in [&[("reader", "another")][..], &[("writer", "reader's secret")]] {
        replaced(&gate, users);
        refresh(&by_post["refresh_token"]).refused(401, "UNAUTHORIZED");
    }
}

#[test]
fn a_token_ends_with_its_users_password_and_not_with_the_key() {
    let same = passwords();
    let (server, gate) = guarded(with_refresh(Arc::clone(&same)));
    let form = format!("grant_type=password&username=reader&password=reader's+secret&access_type=offline&{SCOPE}");
    let old = post(&server, &form).expect(200).json();
    let other_key = |passwords: &Arc<Passwords>| {
        let mut guard = with_refresh(Arc::clone(passwords));
        let mut other = tokens(SigningKey::generate().expect("a key"));
        std::mem::swap(guard.tokens.as_mut().expect("tokens"), &mut other);
        guard
    };
    for _ in 0..2 {
        // The file was read again, and what it says counts once.
        gate.replace(other_key(&same));
        gate.replace(with_refresh(Arc::clone(&same)));
        works(&server, &old["access_token"], 200);
    }
    gate.replace(other_key(&same));
    works(&server, &old["access_token"], 200);
    let new = post(&server, &form).expect(200).json();
    works(&server, &new["access_token"], 200);
    let refresh = old["refresh_token"].as_str().expect("a token");
    let again = format!("grant_type=refresh_token&refresh_token={refresh}&{SCOPE}");
    post(&server, &again).refused(401, "UNAUTHORIZED");
    // A third key: what was signed by the first is trusted no more.
    gate.replace(other_key(&same));
    works(&server, &old["access_token"], 401);
    works(&server, &new["access_token"], 200);
    let hash = bcrypt::hash("another", 4).expect("a hash");
    let another = Arc::new(Passwords::parse(&format!("reader:{hash}\n")).expect("a file"));
    gate.replace(other_key(&another));
    works(&server, &new["access_token"], 401);
}

#[test]
fn pages_in_browsers_get_tokens_too() {
    let (server, _) = by_token();
    let asked = server.ask("OPTIONS", "/token", &[], b"").expect(200);
    assert_eq!(asked.header("allow"), "GET, HEAD, POST");
}

#[test]
fn without_a_policy_a_token_that_pushes_moves_tags_and_a_policy_narrows_it() {
    for (policy, status) in [(None, 201), (policy(), 403)] {
        let (server, _) = guarded(Guard {
            passwords: Some(passwords()),
            tokens: Some(tokens(SigningKey::generate().expect("a key"))),
            policy,
            ..Guard::default()
        });
        let form = "grant_type=password&username=writer&password=writer's+secret&scope=repository:team/app:pull,push";
        let said = post(&server, form).expect(200).json();
        let bearer = format!("Bearer {}", said["token"].as_str().expect("a token"));
        let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let headers = [
            ("Authorization", &*bearer),
            ("Content-Type", "application/vnd.oci.image.index.v1+json"),
        ];
        server
            .ask("PUT", "/v2/team/app/manifests/new", &headers, index)
            .expect(201);
        server
            .ask("PUT", "/v2/team/app/manifests/1", &headers, index)
            .expect(status);
        let wrong = basic("writer", "wrong");
        server.ask("GET", "/v2/", &[("Authorization", &wrong)], b"").expect(401);
    }
}
