//! Tokens, sets of keys and scopes: what nobody signed is never believed, and what was signed grants what it names alone.

use teu_registry::{
    auth::Keys,
    fuzz::{scopes, signed, token},
};

pub(crate) fn run(input: (&str, &[u8], &[u8])) {
    let (text, header, body) = input;
    token(text);
    scopes(text);
    let _ = signed(header, body);
    // As most issuers begin.
    let named = format!(r#"{{"alg":"EdDSA",{text}}}"#);
    let _ = signed(named.as_bytes(), body);
    let claims = format!(
        r#"{{"iss":"issuer","aud":"registry","exp":1900000000,{}}}"#,
        String::from_utf8_lossy(body)
    );
    let _ = signed(br#"{"alg":"EdDSA"}"#, claims.as_bytes());
    // One that is refused says why in words of its own.
    if let Err(error) = Keys::parse(text) {
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}
