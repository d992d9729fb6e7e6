//! May this image be used without a signature? What containers-policy.json(5) says of it.
//!
//! Signatures are not checked yet, so the only requirement that an image can meet is `insecureAcceptAnything`. One that asks for more is
//! refused by its name: to take the image nevertheless would be to call it checked.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use teu_spec::{Reference, RegistryReference, Repository, json};
use teu_store::{Error, ErrorKind, Result};

/// A policy, read whole: a file that holds anything unknown is no policy at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// What one scope asks of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    AcceptAnything,
    Reject,
    /// A signature of some kind, by the name of the requirement.
    Signed(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Vec<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<serde_json::Map<String, serde_json::Value>>>>,
}

/// The requirements that ask for a signature (containers-policy.json(5), "Policy Requirements").
const SIGNED: [&str; 3] = ["signedBy", "signedBaseLayer", "sigstoreSigned"];

impl Policy {
    /// Reads a `policy.json`.
    ///
    /// # Errors
    /// `Invalid` for what is malformed, unknown or stands twice: a policy that is not understood whole is not applied in part.
    pub fn parse(raw: &[u8]) -> Result<Self> {
        json::check(raw, json::Shape::Any)?;
        let file: File =
            serde_json::from_slice(raw).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        let transports = file.transports.into_iter().map(|(transport, scopes)| {
            let scopes = scopes
                .into_iter()
                .map(|(scope, list)| requirements(list, &transport, &scope).map(|list| (scope, list)));
            Ok((transport.clone(), scopes.collect::<Result<_>>()?))
        });
        Ok(Self {
            transports: transports.collect::<Result<_>>()?,
            default: requirements(file.default, "default", "")?,
        })
    }

    /// Says whether an image may be used as a source.
    ///
    /// # Errors
    /// `Denied`, naming the requirement and the scope that asks for it. `Io` where a path cannot be resolved.
    pub fn check(&self, reference: &Reference) -> Result<()> {
        let transport = reference.transport();
        let scopes = self.transports.get(transport);
        let narrowest = |candidates: Vec<String>| {
            let scopes = scopes?;
            candidates.iter().find_map(|scope| scopes.get_key_value(scope))
        };
        // Where the policy says nothing of registries there is no scope to be looked for.
        let is_unsaid = scopes.is_none() && matches!(reference, Reference::Registry(_));
        let mut found = match is_unsaid {
            true => None,
            false => narrowest(candidates(reference)?),
        };
        if let Reference::Registry(image) = reference
            && !is_unsaid
        {
            let names = |(scope, _): &(&String, _)| scope.starts_with(image.repository.registry());
            // What the policy forbids is not allowed by being spelt otherwise.
            if !found.as_ref().is_some_and(names) {
                let mut others = spellings(image).into_iter();
                found = others
                    .find_map(|other| {
                        let named = |(scope, _): &(&String, _)| scope.starts_with(other.repository.registry());
                        narrowest(registry_scopes(&other))
                            .filter(named)
                            .filter(|(_, list)| forbids(list))
                    })
                    .or(found);
            }
        }
        let found = found.or_else(|| scopes.and_then(|scopes| scopes.get_key_value("")));
        let found = found.map(|(scope, list)| (scope.as_str(), list));
        let (place, list) = match found {
            Some(("", list)) => (format!("the default of {transport}:"), list),
            Some((scope, list)) => (format!("the scope {transport}:{scope}"), list),
            None => ("the default".to_owned(), &self.default),
        };
        for requirement in list {
            let why = match requirement {
                Requirement::AcceptAnything => continue,
                Requirement::Reject => "rejects it".to_owned(),
                Requirement::Signed(kind) => format!(
                    "asks for a signature ({kind}), which cannot be checked yet; \
                     to take the image unchecked, allow it in the policy or use --insecure-policy"
                ),
            };
            return Err(Error::new(
                ErrorKind::Denied,
                format!("the policy does not allow {reference}: {place} {why}"),
            ));
        }
        Ok(())
    }
}

fn requirements(
    list: Vec<serde_json::Map<String, serde_json::Value>>,
    transport: &str,
    scope: &str,
) -> Result<Vec<Requirement>> {
    let wrong = |what: String| {
        let place = if scope.is_empty() {
            transport.to_owned()
        } else {
            format!("{transport}:{scope}")
        };
        Error::new(ErrorKind::Invalid, format!("in {place}: {what}"))
    };
    if list.is_empty() {
        return Err(wrong(
            "a list of requirements is empty; write insecureAcceptAnything or reject".to_owned(),
        ));
    }
    let read = |requirement: serde_json::Map<String, serde_json::Value>| {
        let Some(kind) = requirement.get("type").and_then(serde_json::Value::as_str) else {
            return Err(wrong("a requirement has no \"type\"".to_owned()));
        };
        let plain = match kind {
            "insecureAcceptAnything" => Requirement::AcceptAnything,
            "reject" => Requirement::Reject,
            _ if SIGNED.contains(&kind) => return Ok(Requirement::Signed(kind.to_owned())),
            _ => return Err(wrong(format!("the requirement {kind:?} is unknown"))),
        };
        match requirement.keys().find(|key| *key != "type") {
            Some(key) => Err(wrong(format!("{kind} has a key {key:?}, which it does not know"))),
            None => Ok(plain),
        }
    };
    list.into_iter().map(read).collect()
}

/// The scopes that an image belongs to, the narrowest first, without the transport's own default.
fn candidates(reference: &Reference) -> Result<Vec<String>> {
    match reference {
        Reference::Registry(image) => Ok(registry_scopes(image)),
        Reference::Layout { path, .. } | Reference::OciArchive { path, .. } | Reference::Directory { path } => {
            path_scopes(path)
        }
        // An archive of Docker's, and a daemon's image, belong to no scope but the transport's own.
        _ => Ok(Vec::new()),
    }
}

/// Whether a list keeps an image out.
fn forbids(list: &[Requirement]) -> bool {
    list.iter()
        .any(|requirement| *requirement != Requirement::AcceptAnything)
}

/// The same image by the other names that its registry has: hosts have no case, 443 is where HTTPS is, and Docker's own has several.
fn spellings(image: &RegistryReference) -> Vec<RegistryReference> {
    let registry = image.repository.registry().to_ascii_lowercase();
    let host = match registry.strip_suffix(":443").unwrap_or(&registry) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    let others = [host.to_owned(), format!("{host}:443")].into_iter();
    others
        .filter(|other| other != image.repository.registry())
        .filter_map(|other| {
            let repository = Repository::new(&other, image.repository.path()).ok()?;
            Some(RegistryReference {
                repository,
                ..image.clone()
            })
        })
        .collect()
}

/// `host/a/b:tag`, then `host/a/b`, `host/a`, `host`, then `*.example.com`, `*.com`.
fn registry_scopes(image: &RegistryReference) -> Vec<String> {
    let mut scopes = vec![image.full()];
    let repository = image.repository.to_string();
    let mut name = repository.as_str();
    loop {
        scopes.push(name.to_owned());
        let Some((parent, _)) = name.rsplit_once('/') else {
            break;
        };
        name = parent;
    }
    let mut host = name.split_once(':').map_or(name, |(host, _)| host);
    while let Some((_, rest)) = host.split_once('.') {
        scopes.push(format!("*.{rest}"));
        host = rest;
    }
    scopes
}

/// The path with its links resolved and every directory above it, but for the root, which the transport's default stands for.
fn path_scopes(path: &Path) -> Result<Vec<String>> {
    let resolved =
        fs::canonicalize(path).map_err(|error| Error::from(error).within(format!("resolving {}", path.display())))?;
    let scopes = resolved.ancestors().filter(|scope| scope.parent().is_some());
    // A path that is not UTF-8 can be named by no policy.
    Ok(scopes.filter_map(Path::to_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: &str, reference: &str) -> std::result::Result<(), String> {
        let policy = Policy::parse(policy.as_bytes()).expect("a policy");
        let reference = Reference::parse(reference).expect("a reference");
        policy.check(&reference).map_err(|error| {
            assert_eq!(error.kind(), &ErrorKind::Denied);
            error.to_string()
        })
    }

    const ACCEPT: &str = r#"[{"type":"insecureAcceptAnything"}]"#;
    const REJECT: &str = r#"[{"type":"reject"}]"#;

    #[test]
    fn the_default_holds_where_nothing_narrower_does() {
        assert_eq!(
            verdict(&format!(r#"{{"default":{ACCEPT}}}"#), "docker://host.example/app:1"),
            Ok(())
        );
        assert_eq!(
            verdict(&format!(r#"{{"default":{REJECT}}}"#), "docker://host.example/app:1"),
            Err("the policy does not allow docker://host.example/app:1: the default rejects it".to_owned())
        );
    }

    #[test]
    fn the_narrowest_scope_of_a_registry_wins() {
        let narrow = |scopes: &[(&str, &str)]| {
            let scopes: Vec<String> = scopes.iter().map(|(scope, list)| format!("{scope:?}:{list}")).collect();
            format!(
                r#"{{"default":{REJECT},"transports":{{"docker":{{{}}}}}}}"#,
                scopes.join(",")
            )
        };
        let reference = "docker://reg.example.com:5000/team/app:1";
        for scope in [
            "reg.example.com:5000/team/app:1",
            "reg.example.com:5000/team/app",
            "reg.example.com:5000/team",
            "reg.example.com:5000",
            "*.example.com",
            "*.com",
            "",
        ] {
            assert_eq!(verdict(&narrow(&[(scope, ACCEPT)]), reference), Ok(()), "{scope}");
        }
        for scope in [
            "reg.example.com",
            "team",
            "reg.example.com:5000/tea",
            "*.reg.example.com",
            "reg.example.com:5000/team/app:2",
        ] {
            assert!(verdict(&narrow(&[(scope, ACCEPT)]), reference).is_err(), "{scope}");
        }
        let both = narrow(&[
            ("reg.example.com:5000/team", ACCEPT),
            ("reg.example.com:5000/team/app", REJECT),
        ]);
        assert_eq!(
            verdict(&both, reference),
            Err(format!(
                "the policy does not allow {reference}: the scope docker:reg.example.com:5000/team/app rejects it"
            ))
        );
    }

    #[test]
    fn what_is_forbidden_is_so_however_its_registry_is_spelt() {
        let policy = format!(
            r#"{{"default":{ACCEPT},"transports":{{"docker":{{"docker.io":{REJECT},"reg.example/a":{REJECT},"*.example":{ACCEPT},"other:443":{REJECT},"own.example:443":{ACCEPT},"own.example":{REJECT}}}}}}}"#
        );
        for name in [
            "docker.io/library/a",
            "DOCKER.io/library/a",
            "docker.io:443/library/a",
            "index.docker.io/library/a",
            "registry-1.docker.io/library/a",
            "REG.example/a",
            "reg.example:443/a",
            "Reg.Example:443/a/b",
            "other:443/a",
            "OTHER:443/a",
            "own.example/a",
        ] {
            assert!(verdict(&policy, &format!("docker://{name}:1")).is_err(), "{name}");
        }
        for name in [
            "reg.example/b",
            "REG.example/b",
            "reg.example:5000/a",
            "own.example:443/a",
        ] {
            assert_eq!(verdict(&policy, &format!("docker://{name}:1")), Ok(()), "{name}");
        }
    }

    #[test]
    fn paths_are_resolved_and_looked_up_with_their_parents() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().canonicalize().expect("its path").join("a");
        fs::create_dir(&real).expect("a directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let policy = format!(
            r#"{{"default":{REJECT},"transports":{{"oci":{{{:?}:{ACCEPT}}},"dir":{{"/nowhere":{ACCEPT}}}}}}}"#,
            real.parent().expect("a parent")
        );
        assert_eq!(verdict(&policy, &format!("oci:{}:v1", link.display())), Ok(()));
        assert!(verdict(&policy, &format!("dir:{}", link.display())).is_err());
    }

    #[test]
    fn a_signature_that_is_asked_for_refuses_by_its_name() {
        let policy =
            r#"{"default":[{"type":"insecureAcceptAnything"},{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}"#;
        let message = verdict(policy, "docker://host.example/app").expect_err("refused");
        assert!(
            message.contains("the default asks for a signature (signedBy)"),
            "{message}"
        );
        assert!(message.contains("--insecure-policy"), "{message}");
    }

    #[test]
    fn what_is_not_understood_whole_is_refused() {
        for (policy, part) in [
            ("", "EOF"),
            ("[]", "not an object"),
            ("{}", "default"),
            (r#"{"default":[]}"#, "is empty"),
            (r#"{"default":[{}]}"#, "no \"type\""),
            (r#"{"default":[{"type":"trustMe"}]}"#, "\"trustMe\" is unknown"),
            (r#"{"default":[{"type":"reject","why":"x"}]}"#, "\"why\""),
            (r#"{"default":[{"type":"reject"}],"extra":1}"#, "extra"),
            (
                r#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#,
                "twice",
            ),
            (
                r#"{"default":[{"type":"reject"}],"transports":{"docker":{"":[]}}}"#,
                "in docker: a list",
            ),
        ] {
            let error = Policy::parse(policy.as_bytes()).expect_err(policy);
            assert_eq!(error.kind(), &ErrorKind::Invalid);
            assert!(
                error.to_string().contains(part) || policy.is_empty(),
                "{policy}: {error}"
            );
        }
    }
}
