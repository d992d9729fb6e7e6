//! Which files does a person look for? By a part of a name; of a path, where there is a slash; or by a pattern.

use teu_image::{glob::Pattern, growth::Growth};

use super::names::{name, path};

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    wanted: Wanted,
    /// Letters of one case mean both; a large one means itself.
    folded: bool,
}

#[derive(Clone, Debug)]
enum Wanted {
    Part(Vec<u8>),
    Pattern(Pattern),
    /// Of the path, and not of the name alone.
    PathPart(Vec<u8>),
    PathPattern(Pattern),
}

impl Query {
    /// None where nothing is looked for.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let folded = !text.chars().any(char::is_uppercase);
        let pattern = match text.contains(['*', '?', '[']) {
            true => Pattern::new(text).ok(),
            false => None,
        };
        let part = || text.trim_start_matches('/').as_bytes().to_vec();
        let wanted = match (pattern, text.contains('/')) {
            (Some(pattern), true) => Wanted::PathPattern(pattern),
            (Some(pattern), false) => Wanted::Pattern(pattern),
            (None, true) => Wanted::PathPart(part()),
            (None, false) => Wanted::Part(part()),
        };
        Some(Self { wanted, folded })
    }

    pub(super) fn matches(&self, growth: &Growth, number: u32) -> bool {
        match &self.wanted {
            Wanted::Part(part) => self.has(&name(growth, number), part),
            Wanted::Pattern(pattern) => pattern.matches(&name(growth, number)),
            Wanted::PathPart(part) => self.has(&path(growth, number), part),
            Wanted::PathPattern(pattern) => pattern.matches(&path(growth, number)),
        }
    }

    /// Whether a line of a text has it.
    pub(super) fn is_in(&self, line: &str) -> bool {
        match &self.wanted {
            Wanted::Part(part) | Wanted::PathPart(part) => self.has(line.as_bytes(), part),
            Wanted::Pattern(pattern) | Wanted::PathPattern(pattern) => self.has(line.as_bytes(), pattern.as_bytes()),
        }
    }

    fn has(&self, text: &[u8], part: &[u8]) -> bool {
        part.is_empty()
            || text.windows(part.len()).any(|window| match self.folded {
                true => window.eq_ignore_ascii_case(part),
                false => window == part,
            })
    }
}
