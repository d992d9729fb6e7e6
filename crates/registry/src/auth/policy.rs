//! Who may do what in which repository? Rules that allow; what none allows is denied.
//!
//! ```toml
//! [groups]
//! ci = ["builder", "nightly"]
//!
//! [[rule]]                       # everybody, logged in or not
//! who = ["anonymous"]
//! repositories = ["public/**"]
//! allow = ["pull", "list"]
//!
//! [[rule]]                       # whoever logged in
//! who = ["*"]
//! repositories = ["team/*", "base"]
//! allow = ["pull"]
//!
//! [[rule]]
//! who = ["alice", "@ci"]
//! repositories = ["team/**"]
//! allow = ["pull", "push", "overwrite", "delete", "list"]
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::Deserialize;
use teu_store::{Error, ErrorKind, Result};

/// What is done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Reading manifests and blobs.
    Pull,
    /// Adding what is not there: content, and tags that are free.
    Push,
    /// Moving a tag to other content.
    Overwrite,
    /// Removing content and tags.
    Delete,
    /// Seeing that it is there, and its tags.
    List,
}

impl Action {
    /// All that there are.
    pub const ALL: [Self; 5] = [Self::Pull, Self::Push, Self::Overwrite, Self::Delete, Self::List];

    /// What it is called in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| invalid(format!("{text:?} is none of pull, push, overwrite, delete and list")))
    }
}

/// What is allowed.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// A rule: all of these may do all of that in all of these repositories.
#[derive(Clone, Debug)]
struct Rule {
    who: Vec<Who>,
    patterns: Vec<Pattern>,
    allow: BTreeSet<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever asks.
    Anybody,
    /// Whoever logged in.
    Known,
    /// The user of this name.
    User(String),
}

/// Why something is allowed, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule at this place allows it, the first of them is 1.
    Allowed(usize),
    /// No rule does.
    Denied,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    who: Vec<String>,
    repositories: Vec<String>,
    allow: Vec<Action>,
}

impl Policy {
    /// The longest policy that is read, in bytes.
    pub const MAX: usize = 4 << 20;

    /// Reads a policy in TOML.
    ///
    /// # Errors
    /// `Invalid`, with the rule and what is wrong in it: one that is read otherwise than it was meant lets somebody in.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > Self::MAX {
            return Err(invalid(format!("a policy has at most {} bytes", Self::MAX)));
        }
        let written: Written = toml::from_str(text).map_err(|error| {
            // In one line, as in a log.
            let place = error.span().and_then(|span| text.get(..span.start));
            let line = place.map_or(1, |before| before.matches('\n').count() + 1);
            invalid(format!("line {line}: {}", error.message().replace('\n', " ")))
        })?;
        for (name, members) in &written.groups {
            if let Some(member) = members.iter().find(|member| !is_user(member)) {
                return Err(invalid(format!(
                    "the group {name} has {member:?}, which is no user's name"
                )));
            }
        }
        let mut rules = Vec::new();
        for (place, rule) in written.rule.into_iter().enumerate() {
            let read = rule.read(&written.groups);
            rules.push(read.map_err(|error| error.within(format!("rule {}", place + 1)))?);
        }
        Ok(Self { rules })
    }

    /// Whether somebody may do something in a repository; nobody in particular has no name.
    #[must_use]
    pub fn judge(&self, user: Option<&str>, action: Action, repository: &str) -> Verdict {
        let allows = |rule: &Rule| {
            rule.allow.contains(&action)
                && rule.who.iter().any(|who| who.is(user))
                && rule.patterns.iter().any(|pattern| pattern.matches(repository))
        };
        let found = self.rules.iter().position(allows);
        found.map_or(Verdict::Denied, |place| Verdict::Allowed(place + 1))
    }

    /// Whether who is not logged in may do something, wherever that is.
    #[must_use]
    pub fn lets_anybody(&self, action: Action) -> bool {
        let lets = |rule: &Rule| rule.allow.contains(&action) && rule.who.contains(&Who::Anybody);
        self.rules.iter().any(lets)
    }
}

impl WrittenRule {
    fn read(self, groups: &BTreeMap<String, Vec<String>>) -> Result<Rule> {
        for (list, name) in [
            (self.who.is_empty(), "who"),
            (self.repositories.is_empty(), "repositories"),
            (self.allow.is_empty(), "allow"),
        ] {
            if list {
                return Err(invalid(format!("{name} is empty, so that the rule means nothing")));
            }
        }
        let mut who = Vec::new();
        for name in self.who {
            match (name.as_str(), name.strip_prefix('@')) {
                ("anonymous", _) => who.push(Who::Anybody),
                ("*", _) => who.push(Who::Known),
                (_, Some(group)) => {
                    let members = groups.get(group);
                    let members = members.ok_or_else(|| invalid(format!("there is no group {group}")))?;
                    who.extend(members.iter().cloned().map(Who::User));
                }
                (name, None) if is_user(name) => who.push(Who::User(name.to_owned())),
                (name, None) => return Err(invalid(format!("{name:?} is no user's name"))),
            }
        }
        Ok(Rule {
            who,
            patterns: self
                .repositories
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_>>()?,
            allow: self.allow.into_iter().collect(),
        })
    }
}

impl Who {
    fn is(&self, user: Option<&str>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Known => user.is_some(),
            Self::User(name) => user == Some(name),
        }
    }
}

/// Whether a user could be called so: by Basic authentication no name has a colon (RFC 7617), and what has a meaning of its own is none.
fn is_user(name: &str) -> bool {
    let has_meaning = matches!(name, "" | "*" | "anonymous") || name.starts_with('@');
    !has_meaning && !name.contains(':') && !name.chars().any(char::is_control)
}

/// Names of repositories: `*` stands for what is between slashes or a part of it, `**` for any number of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern(Vec<String>);

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let is_part = |part: &String| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-*".contains(c);
            part == "**" || (!part.is_empty() && part.chars().all(known) && !part.contains("**"))
        };
        match text.len() <= 1024 && parts.iter().all(is_part) {
            true => Ok(Self(parts)),
            false => Err(invalid(format!(
                "{text:?} is no pattern of repositories: between slashes stands a name in lower case with *, or **"
            ))),
        }
    }
}

impl Pattern {
    fn matches(&self, repository: &str) -> bool {
        let parts: Vec<&str> = repository.split('/').collect();
        wild(
            &self.0,
            &parts,
            |part| part == "**",
            |part, name| {
                let (part, name) = (part.as_bytes(), name.as_bytes());
                wild(part, name, |byte| *byte == b'*', |byte, other| byte == other)
            },
        )
    }
}

/// Whether a pattern is a text, where a `star` in it stands for any number of items. In time of the product of both, whatever they are: only
/// the last star is ever tried anew.
fn wild<P, T>(pattern: &[P], text: &[T], star: impl Fn(&P) -> bool, same: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut reached) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while reached < text.len() {
        match pattern.get(at) {
            Some(item) if star(item) => {
                last = Some((at, reached));
                at += 1;
            }
            Some(item) if same(item, &text[reached]) => {
                at += 1;
                reached += 1;
            }
            _ => match last {
                Some((star, from)) => {
                    last = Some((star, from + 1));
                    at = star + 1;
                    reached = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(star)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[groups]
ci = ["builder", "nightly"]

[[rule]]
who = ["anonymous"]
repositories = ["public/**"]
allow = ["pull", "list"]

[[rule]]
who = ["*"]
repositories = ["team/*", "base"]
allow = ["pull"]

[[rule]]
who = ["alice", "@ci"]
repositories = ["team/**"]
allow = ["pull", "push", "delete"]
"#;

    #[test]
    fn what_no_rule_allows_is_denied() {
        let policy = Policy::parse(POLICY).expect("a policy");
        for (user, action, repository, expected) in [
            (None, Action::Pull, "public/app", Verdict::Allowed(1)),
            (Some("bob"), Action::List, "public/a/b", Verdict::Allowed(1)),
            (None, Action::Pull, "public", Verdict::Allowed(1)),
            (None, Action::Push, "public/app", Verdict::Denied),
            (None, Action::Pull, "publicly", Verdict::Denied),
            (None, Action::Pull, "base", Verdict::Denied),
            (Some("bob"), Action::Pull, "base", Verdict::Allowed(2)),
            (Some("bob"), Action::Pull, "team/app", Verdict::Allowed(2)),
            (Some("bob"), Action::Pull, "team/a/b", Verdict::Denied),
            (Some("bob"), Action::Push, "team/app", Verdict::Denied),
            (Some("alice"), Action::Push, "team/app", Verdict::Allowed(3)),
            (Some("nightly"), Action::Delete, "team/a/b", Verdict::Allowed(3)),
            (Some("alice"), Action::Overwrite, "team/app", Verdict::Denied),
            (Some("Alice"), Action::Push, "team/app", Verdict::Denied),
            (Some("ci"), Action::Push, "team/app", Verdict::Denied),
            (Some("anonymous"), Action::Push, "team/app", Verdict::Denied),
        ] {
            assert_eq!(
                policy.judge(user, action, repository),
                expected,
                "{user:?} {action} {repository}"
            );
        }
        let empty = Policy::parse("").expect("a policy");
        assert_eq!(empty.judge(Some("alice"), Action::Pull, "a"), Verdict::Denied);
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, matches, others) in [
            ("a", &["a"][..], &["b", "aa", "a/a"][..]),
            ("*", &["a", "a.b"], &["a/b"]),
            ("**", &["a", "a/b/c"], &[]),
            ("a/**", &["a", "a/b", "a/b/c"], &["ab", "b/a"]),
            ("**/a", &["a", "b/a", "c/b/a"], &["a/b", "ba"]),
            ("a/**/z", &["a/z", "a/b/z", "a/z/z"], &["a", "z", "a/zz"]),
            (
                "a-*-c/x*",
                &["a-b-c/x", "a--c/xy", "a-b-b-c/x"],
                &["a-c/x", "a-b-c", "a-b-c/y"],
            ),
            ("*/*", &["a/b"], &["a", "a/b/c"]),
        ] {
            let pattern: Pattern = pattern.parse().expect("a pattern");
            for name in matches {
                assert!(pattern.matches(name), "{pattern:?} {name}");
            }
            for name in others {
                assert!(!pattern.matches(name), "{pattern:?} {name}");
            }
        }
        for pattern in ["", "/", "a//b", "A", "a/", "a**", "**a", "a b", "../a\n", "é"] {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern:?}");
        }
        // Many stars take no longer than their number.
        let pattern: Pattern = "*a".repeat(500).parse().expect("a pattern");
        assert!(!pattern.matches(&"a".repeat(255)));
        let pattern: Pattern = vec!["**"; 300].join("/").parse().expect("a pattern");
        assert!(pattern.matches(&vec!["a"; 120].join("/")));
    }

    #[test]
    fn what_is_not_understood_is_no_policy() {
        for (text, says) in [
            (
                "[[rule]]\nwho = [\"a\"]\nrepositories = [\"a\"]\nallow = [\"read\"]",
                "line 4: unknown variant `read`",
            ),
            (
                "[[rule]]\nwho = [\"a\"]\nrepositories = [\"a\"]",
                "missing field `allow`",
            ),
            (
                "[[rule]]\nwho = []\nrepositories = [\"a\"]\nallow = [\"pull\"]",
                "rule 1: who is empty",
            ),
            (
                "[[rule]]\nwho = [\"@x\"]\nrepositories = [\"a\"]\nallow = [\"pull\"]",
                "there is no group x",
            ),
            (
                "[[rule]]\nwho = [\"a:b\"]\nrepositories = [\"a\"]\nallow = [\"pull\"]",
                "\"a:b\" is no user's name",
            ),
            (
                "[[rule]]\nwho = [\"a\"]\nrepositories = [\"A\"]\nallow = [\"pull\"]",
                "\"A\" is no pattern",
            ),
            (
                "[[rule]]\nwho = [\"a\"]\nrepositories = [\"a\"]\nallow = [\"pull\"]\ndeny = [\"push\"]",
                "unknown field `deny`",
            ),
            ("[groups]\nx = [\"*\"]", "the group x has \"*\""),
            ("[[rules]]", "line 1: unknown field `rules`"),
            ("\n\n=", "line 3: "),
        ] {
            let error = Policy::parse(text).expect_err("no policy").to_string();
            assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
