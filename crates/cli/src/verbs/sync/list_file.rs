//! What images does a list in YAML name? As `skopeo sync --src yaml` has it: by registry, tag by tag, all of a repository, by a regular
//! expression or by a constraint of versions.

use std::path::PathBuf;

use regex_lite::Regex;
use teu_spec::{Digest, RegistryReference, Repository, Tag};

use super::constraint::Constraint;
use crate::yaml::{self, Node, Value};

/// How large a list may be, in bytes.
pub(super) const LIMIT: u64 = 4 << 20;

/// What is wanted of one registry.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) repositories: Vec<(Repository, Which)>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) tls_verify: Option<bool>,
    pub(super) certificates: Option<PathBuf>,
}

/// Which images of a repository.
#[derive(Clone, Debug)]
pub(super) enum Which {
    All,
    These(Vec<Name>),
    Matching(Regex),
    Versions(Constraint),
}

/// One image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Tag(Tag),
    Digest(Digest),
}

impl Which {
    /// Whether a tag is meant, where all have to be looked at.
    pub(super) fn takes(&self, tag: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names
                .iter()
                .any(|name| matches!(name, Name::Tag(known) if known.as_str() == tag)),
            Self::Matching(expression) => expression.is_match(tag),
            Self::Versions(constraint) => constraint.matches(tag),
        }
    }
}

/// Reads a list: what it wants, and what of it means nothing.
///
/// # Errors
/// What cannot be understood, with its line.
pub(super) fn read(text: &str) -> Result<(Vec<Wanted>, Vec<String>), String> {
    let root = yaml::read(text)?;
    let mut warnings = Vec::new();
    let wanted = pairs(&root, "the list")?
        .iter()
        .map(|(registry, node)| one(registry, node, &mut warnings))
        .collect::<Result<_, _>>()?;
    Ok((wanted, warnings))
}

fn one(registry: &str, node: &Node, warnings: &mut Vec<String>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        repositories: Vec::new(),
        credentials: None,
        tls_verify: None,
        certificates: None,
    };
    for (key, node) in pairs(node, registry)? {
        match key.as_str() {
            "images" => {
                for (name, tags) in pairs(node, key)? {
                    wanted
                        .repositories
                        .push((repository(registry, name, node)?, names(tags)?));
                }
            }
            "images-by-tag-regex" => {
                for (name, expression) in pairs(node, key)? {
                    let text = text(expression, name)?;
                    let read = Regex::new(text).map_err(|error| at(expression, &format!("{text:?}: {error}")))?;
                    wanted
                        .repositories
                        .push((repository(registry, name, node)?, Which::Matching(read)));
                }
            }
            "images-by-semver" => {
                for (name, constraint) in pairs(node, key)? {
                    let text = text(constraint, name)?;
                    let read = Constraint::parse(text).map_err(|why| at(constraint, &format!("{text:?}: {why}")))?;
                    wanted
                        .repositories
                        .push((repository(registry, name, node)?, Which::Versions(read)));
                }
            }
            "credentials" => {
                let (mut username, mut password) = (None, None);
                for (part, node) in pairs(node, key)? {
                    match part.as_str() {
                        "username" => username = Some(text(node, part)?.to_owned()),
                        "password" => password = Some(text(node, part)?.to_owned()),
                        // Who is told nothing of it would be somebody else there.
                        other => {
                            return Err(at(
                                node,
                                &format!("credentials are username and password, and not {other}"),
                            ));
                        }
                    }
                }
                wanted.credentials = match (username, password) {
                    (Some(username), Some(password)) => Some((username, password)),
                    (None, None) => None,
                    _ => return Err(at(node, "credentials are both username and password")),
                };
            }
            "tls-verify" => {
                wanted.tls_verify = match text(node, key)? {
                    "true" | "True" | "TRUE" | "yes" | "on" => Some(true),
                    "false" | "False" | "FALSE" | "no" | "off" => Some(false),
                    other => return Err(at(node, &format!("tls-verify is true or false, and not {other:?}"))),
                };
            }
            "cert-dir" => wanted.certificates = Some(text(node, key)?.into()),
            other => warnings.push(at(node, &format!("{other} means nothing in a list of images"))),
        }
    }
    if wanted.repositories.is_empty() {
        warnings.push(format!("no images are named of {registry}"));
    }
    Ok(wanted)
}

fn repository(registry: &str, name: &str, node: &Node) -> Result<Repository, String> {
    let read: RegistryReference = format!("{registry}/{name}")
        .parse()
        .map_err(|error: teu_spec::Error| at(node, &error.to_string()))?;
    match (read.tag, read.digest, read.short) {
        (None, None, None) => Ok(read.repository),
        (None, None, Some(_)) => Err(at(
            node,
            &format!("{registry} is no registry: it has neither a dot nor a port"),
        )),
        _ => Err(at(
            node,
            &format!("{name} is not to have a tag; put it behind the colon, as [\"1.0\"]"),
        )),
    }
}

fn names(node: &Node) -> Result<Which, String> {
    let items = match &node.value {
        Value::Null => return Ok(Which::All),
        Value::List(items) if items.is_empty() => return Ok(Which::All),
        Value::List(items) => items,
        _ => {
            return Err(at(
                node,
                "the tags of an image are a list: [\"1.0\", \"1.1\"], or [] for all",
            ));
        }
    };
    let names = items.iter().map(|item| {
        let name = text(item, "a tag")?;
        match name.parse() {
            Ok(digest) => Ok(Name::Digest(digest)),
            Err(_) => name
                .parse()
                .map(Name::Tag)
                .map_err(|error: teu_spec::Error| at(item, &error.to_string())),
        }
    });
    Ok(Which::These(names.collect::<Result<_, _>>()?))
}

fn pairs<'a>(node: &'a Node, what: &str) -> Result<&'a [(String, Node)], String> {
    match &node.value {
        Value::Map(pairs) => Ok(pairs),
        Value::Null => Ok(&[]),
        _ => Err(at(node, &format!("{what} is a map of names"))),
    }
}

fn text<'a>(node: &'a Node, what: &str) -> Result<&'a str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(at(node, &format!("{what} is a text"))),
    }
}

fn at(node: &Node, what: &str) -> String {
    format!("line {}: {what}", node.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(which: &Which) -> String {
        match which {
            Which::All => "all".to_owned(),
            Which::These(names) => format!("{names:?}"),
            Which::Matching(expression) => expression.as_str().to_owned(),
            Which::Versions(_) => ["3.12.1", "3.11.0"].map(|tag| which.takes(tag).to_string()).join(" "),
        }
    }

    #[test]
    fn a_list_says_what_is_wanted() {
        let digest = Digest::of(b"");
        let list = format!(
            "\
registry.example:
  images:
    app: [\"1.0\", {digest}]
    team/tools: []
    rest:
  images-by-tag-regex:
    nginx: ^1\\.2[0-9]-alpine$
  images-by-semver:
    alpine: '>= 3.12.0'
  credentials: {{username: ci, password: secret}}
  tls-verify: false
  cert-dir: /certificates
  color: red
localhost:5000:
docker.io:
  images: {{busybox: [latest]}}
"
        );
        let (wanted, warnings) = read(&list).expect("a list");
        let of = |place: usize| -> Vec<String> {
            let all = wanted[place].repositories.iter();
            all.map(|(repository, which)| format!("{repository} {}", shown(which)))
                .collect()
        };
        assert_eq!(
            of(0),
            [
                &format!("registry.example/app [Tag(\"1.0\"), Digest({digest})]"),
                "registry.example/team/tools all",
                "registry.example/rest all",
                "registry.example/nginx ^1\\.2[0-9]-alpine$",
                "registry.example/alpine true false",
            ]
        );
        assert_eq!(wanted[0].credentials, Some(("ci".to_owned(), "secret".to_owned())));
        assert_eq!((wanted[0].tls_verify, wanted[1].tls_verify), (Some(false), None));
        assert_eq!(wanted[0].certificates, Some("/certificates".into()));
        assert_eq!(of(2), ["docker.io/library/busybox [Tag(\"latest\")]"]);
        assert_eq!(
            warnings,
            [
                "line 13: color means nothing in a list of images",
                "no images are named of localhost:5000"
            ]
        );
    }

    #[test]
    fn what_is_none_is_refused_by_its_line() {
        for (list, says) in [
            ("- a", "line 1: the list is a map of names"),
            ("a.b:\n  images: [x]", "line 2: images is a map of names"),
            (
                "a.b:\n  images:\n    app: \"1.0\"",
                "line 3: the tags of an image are a list",
            ),
            ("a.b:\n  images:\n    app: [\"1:0\"]", "line 3: "),
            ("a.b:\n  images:\n    app:1.0: []", "app:1.0 is not to have a tag"),
            ("a.b:\n  images:\n    ../x: []", "line 3: "),
            ("team:\n  images:\n    app: []", "team is no registry"),
            ("a.b:\n  images-by-tag-regex:\n    app: '('", "line 3: \"(\": "),
            (
                "a.b:\n  images-by-semver:\n    app: new",
                "line 3: \"new\": \"new\" is no version",
            ),
            (
                "a.b:\n  tls-verify: maybe",
                "line 2: tls-verify is true or false, and not \"maybe\"",
            ),
            ("a.b:\n  credentials: {username: [x]}", "line 2: username is a text"),
            (
                "a.b:\n  credentials: ci:secret",
                "line 2: credentials is a map of names",
            ),
            (
                "a.b:\n  credentials: {username: ci}",
                "line 2: credentials are both username and password",
            ),
            (
                "a.b:\n  credentials: {user: ci, pass: x}",
                "line 2: credentials are username and password, and not user",
            ),
        ] {
            let error = read(list).expect_err(list);
            assert!(error.contains(says), "{list}: {error}");
        }
    }
}
