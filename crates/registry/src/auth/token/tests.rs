//! Is a token believed only as it was signed, for its time and for what it names?

use super::*;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn trusted(key: &SigningKey) -> Trusted {
    Trusted {
        issuer: "issuer".to_owned(),
        service: "registry".to_owned(),
        keys: key.keys(),
    }
}

fn claims() -> Claims {
    Claims {
        user: Some("alice".to_owned()),
        scopes: scopes("repository:team/app:pull,push registry:catalog:*"),
        mark: None,
    }
}

/// A token of any header and body.
fn signed(key: &SigningKey, header: serde_json::Value, body: serde_json::Value) -> String {
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(body));
    let signature = key.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn p256() -> SigningKey {
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let text = base64::engine::general_purpose::STANDARD.encode(key.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    SigningKey::parse(pem.as_bytes()).expect("a key")
}

#[test]
fn a_token_is_good_for_its_time() {
    for key in [SigningKey::generate().expect("a key"), p256()] {
        let trusted = trusted(&key);
        let token = issue(&key, &trusted, &claims(), at(NOW), Duration::from_secs(300)).expect("a token");
        for (now, expected) in [
            (NOW - 61, Err("the token is not good yet")),
            (NOW - 60, Ok(claims())),
            (NOW, Ok(claims())),
            (NOW + 359, Ok(claims())),
            (NOW + 360, Err("the token has expired")),
        ] {
            assert_eq!(trusted.check(&token, at(now)), expected, "{now}");
        }
    }
}

/// Threat 96.
#[test]
fn what_is_not_signed_as_it_must_be_is_refused() {
    let (key, other, curve) = (
        SigningKey::generate().expect("a key"),
        SigningKey::generate().expect("a key"),
        p256(),
    );
    let trusted = trusted(&key);
    let good = |exp: serde_json::Value| json!({"iss": "issuer", "aud": "registry", "sub": "alice", "exp": exp});
    let body = || good((NOW + 60).into());
    let header = || json!({"alg": "EdDSA", "kid": key.id()});
    let unsigned = "the token was not signed by a key that is trusted here";
    let unsaid = "the token does not say all that it must";
    for (token, expected) in [
        (signed(&other, header(), body()), unsigned),
        (
            signed(&other, json!({"alg": "EdDSA", "kid": other.id()}), body()),
            unsigned,
        ),
        (signed(&key, json!({"alg": "none"}), body()), unsigned),
        (signed(&key, json!({"alg": "HS256"}), body()), unsigned),
        (signed(&key, json!({"alg": "eddsa"}), body()), unsigned),
        (signed(&key, json!({"alg": "ES256"}), body()), unsigned),
        (signed(&curve, json!({"alg": "ES256"}), body()), unsigned),
        (signed(&key, json!({"alg": "EdDSA", "kid": "other"}), body()), unsigned),
        (
            signed(&key, json!({"alg": "EdDSA", "crit": ["b64"]}), body()),
            "the token asks for what is not understood here",
        ),
        (signed(&key, json!({"kid": key.id()}), body()), "the token is no JWT"),
        (
            signed(&key, header(), json!({"iss": "issuer", "aud": "registry"})),
            unsaid,
        ),
        (signed(&key, header(), good("tomorrow".into())), unsaid),
        (signed(&key, header(), good((NOW - 61).into())), "the token has expired"),
        (signed(&key, header(), good((-1).into())), "the token has expired"),
        (
            signed(
                &key,
                header(),
                json!({"iss": "issuer", "aud": "registry", "exp": NOW, "nbf": NOW + 61}),
            ),
            "the token is not good yet",
        ),
        (
            signed(&key, header(), json!({"iss": "other", "aud": "registry", "exp": NOW})),
            "the token is of another issuer",
        ),
        (
            signed(&key, header(), json!({"iss": "issuer", "aud": ["other"], "exp": NOW})),
            "the token is for another service",
        ),
        ("a.b".to_owned(), "the token is no JWT"),
        ("a.b.c.d".to_owned(), "the token is no JWT"),
        (String::new(), "the token is no JWT"),
        ("x".repeat(MAX_TOKEN + 1), "the token is too long"),
    ] {
        assert_eq!(trusted.check(&token, at(NOW)), Err(expected), "{token}");
    }
    let whole = signed(&key, header(), body());
    trusted.check(&whole, at(NOW)).expect("a good token");
    // Its signature is of this header and this body.
    let (rest, signature) = whole.rsplit_once('.').expect("a token");
    let (head, _) = rest.split_once('.').expect("a token");
    let changed = URL_SAFE_NO_PAD.encode(good((NOW + 6000).into()).to_string());
    assert_eq!(
        trusted.check(&format!("{head}.{changed}.{signature}"), at(NOW)),
        Err(unsigned)
    );
    assert_eq!(trusted.check(&format!("{rest}."), at(NOW)), Err(unsigned));
    // A field that stands there twice is read in two ways.
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"EdDSA"}"#);
    let token = format!("{twice}.{}", URL_SAFE_NO_PAD.encode(body().to_string()));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(token.as_bytes()).expect("signed"));
    assert_eq!(
        trusted.check(&format!("{token}.{signature}"), at(NOW)),
        Err("the token is no JWT")
    );
}

#[test]
fn a_grant_is_for_this_repository_and_no_other() {
    let claims = claims();
    for (action, repository, expected) in [
        (Action::Pull, "team/app", true),
        (Action::List, "team/app", true),
        (Action::Push, "team/app", true),
        (Action::Overwrite, "team/app", true),
        (Action::Delete, "team/app", false),
        (Action::Pull, "team/ap", false),
        (Action::Pull, "team/app/x", false),
        (Action::Pull, "team", false),
        (Action::Pull, "Team/app", false),
    ] {
        assert_eq!(claims.grant(action, repository), expected, "{action} {repository}");
    }
    assert!(claims.grant_catalog());
    let all = Claims {
        user: None,
        scopes: scopes("repository:a:*"),
        mark: None,
    };
    assert!(all.grant(Action::Delete, "a") && !all.grant(Action::Delete, "b") && !all.grant_catalog());
}

#[test]
fn scopes_are_read_as_clients_write_them() {
    let scope = |kind: &str, name: &str, actions: &[&str]| Scope {
        kind: kind.to_owned(),
        name: name.to_owned(),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
    };
    assert_eq!(
        scopes(
            "repository:a/b:push,pull repository(plugin):c:pull  registry:catalog:* repository:h:5000/d:pull nonsense x:y"
        ),
        [
            scope("repository", "a/b", &["pull", "push"]),
            scope("repository", "c", &["pull"]),
            scope("registry", "catalog", &["*"]),
            scope("repository", "h:5000/d", &["pull"]),
        ]
    );
    assert_eq!(scopes(&"repository:a:pull ".repeat(1000)).len(), MAX_SCOPES);
}

#[test]
fn keys_of_issuers_are_read() {
    let set = r#"{"keys": [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "enc"},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}
    ]}"#;
    let keys = Keys::parse(set).expect("keys");
    // RFC 8037, appendix A.4.
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
    assert!(keys.signed(Some("a"), "EdDSA", message, &signature));
    assert!(keys.signed(None, "EdDSA", message, &signature));
    assert!(!keys.signed(Some("b"), "EdDSA", message, &signature));
    assert!(!keys.signed(None, "HS256", message, &signature));
    for text in [
        "{}",
        "{\"keys\": []}",
        "[]",
        "{\"keys\": [{\"kty\": \"oct\"}]}",
        "{\"keys\": [], \"keys\": []}",
    ] {
        assert!(Keys::parse(text).is_err(), "{text}");
    }
}

/// Those that were given for a certificate alone are good no more, which nothing in them tells from the others of their time.
#[test]
fn a_refresh_token_says_that_a_password_was_shown() {
    let key = SigningKey::generate().expect("a key");
    let trusted = trusted(&key);
    let issued = issue_refresh(&key, &trusted, ("alice", "of it"), at(NOW), Duration::from_secs(300));
    let with = |claim: &str| {
        let mut body = json!({"iss": "issuer", "aud": "refresh registry", "sub": "alice", "exp": NOW + 300});
        body[claim] = "of it".into();
        signed(&key, json!({"alg": key.algorithm()}), body)
    };
    let good = Ok(("alice".to_owned(), "of it".to_owned()));
    for (token, expected) in [
        (issued.expect("a token"), good.clone()),
        (with("password"), good),
        (with("mark"), Err("the token is no refresh token")),
    ] {
        assert_eq!(trusted.check_refresh(&token, at(NOW)), expected);
    }
}
