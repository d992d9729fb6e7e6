//! How does a registry say whom it wants to hear from? The header `WWW-Authenticate` (RFC 9110, section 11.6.1), read strictly.
//!
//! A header holds one challenge or more: `Bearer realm="https://…",service="…",scope="…"`, `Basic realm="…"`. What is malformed is refused
//! whole: a half-understood challenge decides where a password goes.

use teu_store::{Error, ErrorKind, Result};

/// The longest header that is read, in bytes.
pub const MAX_HEADER: usize = 8 << 10;
/// The most challenges in one header.
pub const MAX_CHALLENGES: usize = 8;
/// The most parameters of one challenge.
pub const MAX_PARAMETERS: usize = 16;

/// One challenge: a scheme and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`.
    pub scheme: String,
    /// The parameters, their names in lower case, in the order they stood.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads the value of one header.
///
/// # Errors
/// `Invalid`, naming the limit or what is wrong at which byte.
pub fn parse(header: &[u8]) -> Result<Vec<Challenge>> {
    if header.len() > MAX_HEADER {
        return Err(invalid(format!(
            "{} bytes are more than the limit of {MAX_HEADER}",
            header.len()
        )));
    }
    let mut input = Input { bytes: header, at: 0 };
    let mut challenges: Vec<Challenge> = Vec::new();
    input.skip_separators();
    while !input.is_done() {
        let name = input.token()?;
        let spaced = input.skip_spaces();
        // A token before `=` is a parameter of the challenge before it; any other is a scheme.
        if input.peek() == Some(b'=') && !challenges.is_empty() {
            let challenge = challenges
                .last_mut()
                .ok_or_else(|| invalid("a parameter comes before a scheme".to_owned()))?;
            let value = input.value()?;
            challenge.add(name, value)?;
        } else {
            if challenges.len() == MAX_CHALLENGES {
                return Err(invalid(format!("more than the limit of {MAX_CHALLENGES} challenges")));
            }
            let mut challenge = Challenge {
                scheme: name,
                parameters: Vec::new(),
            };
            if spaced && !matches!(input.peek(), None | Some(b',')) {
                let name = input.token()?;
                input.skip_spaces();
                let value = input.value()?;
                challenge.add(name, value)?;
            }
            challenges.push(challenge);
        }
        input.end_of_element()?;
    }
    Ok(challenges)
}

impl Challenge {
    fn add(&mut self, name: String, value: String) -> Result<()> {
        if self.parameters.len() == MAX_PARAMETERS {
            return Err(invalid(format!("more than the limit of {MAX_PARAMETERS} parameters")));
        }
        // RFC 9110, section 11.2: a parameter stands once. Readers differ in which of two they take.
        if self.parameter(&name).is_some() {
            return Err(invalid(format!("the parameter {name:?} stands twice")));
        }
        self.parameters.push((name, value));
        Ok(())
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn skip_while(&mut self, skip: impl Fn(u8) -> bool) -> bool {
        let start = self.at;
        while self.peek().is_some_and(&skip) {
            self.at += 1;
        }
        self.at > start
    }

    fn skip_spaces(&mut self) -> bool {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn skip_separators(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b','));
    }

    fn end_of_element(&mut self) -> Result<()> {
        self.skip_spaces();
        match self.peek() {
            None => Ok(()),
            Some(b',') => {
                self.skip_separators();
                Ok(())
            }
            Some(_) => Err(self.unexpected("a comma")),
        }
    }

    fn token(&mut self) -> Result<String> {
        let start = self.at;
        if !self.skip_while(is_token) {
            return Err(self.unexpected("a name"));
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).to_ascii_lowercase())
    }

    /// `=` and a token or a quoted string.
    fn value(&mut self) -> Result<String> {
        if self.peek() != Some(b'=') {
            return Err(self.unexpected("="));
        }
        self.at += 1;
        self.skip_spaces();
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let start = self.at;
        // More than a token has, as some registries do not quote their realm.
        if !self.skip_while(|byte| is_token(byte) || matches!(byte, b':' | b'/' | b'?' | b'=' | b'@')) {
            return Err(self.unexpected("a value"));
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned())
    }

    fn quoted(&mut self) -> Result<String> {
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let mut byte = self.peek().ok_or_else(|| self.unexpected("a closing quote"))?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    byte = self.peek().ok_or_else(|| self.unexpected("a closing quote"))?;
                    self.at += 1;
                }
                _ => {}
            }
            if byte < b' ' || byte == 0x7f {
                return Err(invalid(format!("a control character at byte {}", self.at - 1)));
            }
            value.push(byte);
        }
        String::from_utf8(value).map_err(|_| invalid("a value is not UTF-8".to_owned()))
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let found = match self.peek() {
            Some(byte) => format!("{:?}", char::from(byte)),
            None => "its end".to_owned(),
        };
        invalid(format!("{found} instead of {wanted} at byte {}", self.at))
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn invalid(reason: String) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("the registry's WWW-Authenticate cannot be read: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type One = (String, Vec<(String, String)>);

    fn read(header: &str) -> std::result::Result<Vec<One>, String> {
        parse(header.as_bytes())
            .map(|all| all.into_iter().map(|one| (one.scheme, one.parameters)).collect())
            .map_err(|error| error.to_string())
    }

    fn one(scheme: &str, parameters: &[(&str, &str)]) -> One {
        let owned = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (scheme.to_owned(), owned.collect())
    }

    #[test]
    fn what_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push""#;
        let expected = one(
            "bearer",
            &[
                ("realm", "https://auth.docker.io/token"),
                ("service", "registry.docker.io"),
                ("scope", "repository:library/alpine:pull,push"),
            ],
        );
        assert_eq!(read(hub), Ok(vec![expected]));
        assert_eq!(
            read(r#"Basic realm="basic-realm""#),
            Ok(vec![one("basic", &[("realm", "basic-realm")])])
        );
        assert_eq!(
            read(r#"BASIC Realm=x, , Bearer realm = "https://a/b" , error="invalid_token""#),
            Ok(vec![
                one("basic", &[("realm", "x")]),
                one("bearer", &[("realm", "https://a/b"), ("error", "invalid_token")]),
            ])
        );
        assert_eq!(
            read("Negotiate, Basic realm=\"a \\\"b\\\"\""),
            Ok(vec![one("negotiate", &[]), one("basic", &[("realm", "a \"b\"")]),])
        );
        assert_eq!(
            read("Bearer realm=https://a.test/token,service=x"),
            Ok(vec![one(
                "bearer",
                &[("realm", "https://a.test/token"), ("service", "x")]
            )])
        );
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let cases = [
            ("Bearer realm=\"x", "its end instead of a closing quote at byte 15"),
            ("Bearer realm=\"x\"service=y", "'s' instead of a comma at byte 16"),
            ("Bearer realm=", "its end instead of a value at byte 13"),
            ("Bearer realm", "its end instead of = at byte 12"),
            ("Bearer realm=a,realm=b", "the parameter \"realm\" stands twice"),
            ("=x", "'=' instead of a name at byte 0"),
            ("realm=x", "'=' instead of a comma at byte 5"),
            ("Bearer realm=\"a\u{1b}[2J\"", "a control character at byte 15"),
        ];
        for (header, reason) in cases {
            let expected = format!("the registry's WWW-Authenticate cannot be read: {reason}");
            assert_eq!(read(header), Err(expected), "{header:?}");
        }
    }

    #[test]
    fn limits() {
        assert!(
            read(&"a".repeat(MAX_HEADER + 1))
                .unwrap_err()
                .ends_with("more than the limit of 8192")
        );
        let many = "Basic,".repeat(MAX_CHALLENGES + 1);
        assert!(
            read(&many)
                .unwrap_err()
                .ends_with("more than the limit of 8 challenges")
        );
        let parameters: Vec<String> = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1")).collect();
        let many = format!("Bearer {}", parameters.join(","));
        assert!(
            read(&many)
                .unwrap_err()
                .ends_with("more than the limit of 16 parameters")
        );
    }
}
