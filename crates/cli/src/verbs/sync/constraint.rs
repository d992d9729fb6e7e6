//! Which tags does a constraint of versions mean? As the lists of `skopeo sync` have it: `>= 3.12, < 4 || ~2.1`.
//!
//! A version may leave parts out, and a tag may begin with `v`. A constraint without a pre-release means none.

use std::cmp::Ordering;

/// What a list may hold in one constraint.
const MAX_PARTS: usize = 100;

/// A constraint: alternatives, of each of which all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Constraint(Vec<Vec<Comparison>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Version,
    /// How many of major, minor and patch were written.
    written: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// The same minor version, or where none was written the same major one.
    Tilde,
    /// The same leftmost part that is not 0.
    Caret,
}

/// As they are written, the longer ones first.
const OPERATORS: [(&str, Operator); 12] = [
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    ("~>", Operator::Tilde),
    ("==", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre_release: Vec<String>,
}

impl Constraint {
    /// Reads one.
    ///
    /// # Errors
    /// What of it is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let alternatives: Vec<_> = text.split("||").map(conjunction).collect::<Result<_, _>>()?;
        match alternatives.iter().map(Vec::len).sum::<usize>() > MAX_PARTS {
            true => Err(format!("it has more than {MAX_PARTS} comparisons")),
            false => Ok(Self(alternatives)),
        }
    }

    /// Whether a tag is a version that it means.
    pub(super) fn matches(&self, tag: &str) -> bool {
        // A tag has no part that could be any.
        let Some((version, _, false)) = Version::parse(tag) else {
            return false;
        };
        self.0
            .iter()
            .any(|all| all.iter().all(|comparison| comparison.holds(&version)))
    }
}

fn conjunction(text: &str) -> Result<Vec<Comparison>, String> {
    let mut words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).peekable();
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        // An operator may stand apart from its version.
        let is_operator = OPERATORS.iter().any(|(operator, _)| *operator == word);
        let whole = match is_operator {
            true => format!(
                "{word}{}",
                words.next().ok_or_else(|| format!("nothing follows {word}"))?
            ),
            false => word.to_owned(),
        };
        if words.next_if_eq(&"-").is_some() {
            let last = words.next().ok_or_else(|| format!("nothing follows {whole} -"))?;
            all.push(Comparison::parse(&format!(">={whole}"))?);
            all.push(Comparison::parse(&format!("<={last}"))?);
        } else {
            all.push(Comparison::parse(&whole)?);
        }
    }
    match all.is_empty() {
        true => Err(format!("{text:?} is no constraint")),
        false => Ok(all),
    }
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, String> {
        let found = OPERATORS
            .iter()
            .find_map(|(name, operator)| Some((*operator, text.strip_prefix(name)?)));
        let (operator, rest) = found.unwrap_or((Operator::Equal, text));
        let (version, written, _) = Version::parse(rest).ok_or_else(|| format!("{rest:?} is no version"))?;
        Ok(Self {
            operator,
            version,
            written,
        })
    }

    fn holds(&self, version: &Version) -> bool {
        if !version.pre_release.is_empty() && self.version.pre_release.is_empty() {
            return false;
        }
        // What was not written is any.
        let alike = || version.numbers[..self.written] == self.version.numbers[..self.written];
        let whole = self.written == 3;
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Equal if whole => order.is_eq(),
            Operator::Equal => alike(),
            Operator::NotEqual if whole => order.is_ne(),
            Operator::NotEqual => !alike(),
            Operator::Greater => order.is_gt() && (whole || !alike()),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le() || (!whole && alike()),
            Operator::Tilde => order.is_ge() && version.shares(&self.version, self.written.min(2)),
            Operator::Caret => {
                let leftmost = self.version.numbers.iter().position(|number| *number > 0);
                let kept = leftmost.map_or(3, |place| place + 1).min(self.written);
                order.is_ge() && version.shares(&self.version, kept)
            }
        }
    }
}

impl Version {
    /// A version, how many of its numbers were written, the first ones if not all, and whether others stand there as `x`.
    fn parse(text: &str) -> Option<(Self, usize, bool)> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text
            .split_once('+')
            .map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre_release) = text
            .split_once('-')
            .map_or((text, None), |(numbers, rest)| (numbers, Some(rest)));
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !build.is_none_or(|build| build.split('.').all(is_part)) {
            return None;
        }
        let pre_release: Vec<String> = match pre_release {
            Some(rest) if rest.split('.').all(is_part) => rest.split('.').map(str::to_owned).collect(),
            Some(_) => return None,
            None => Vec::new(),
        };
        let (mut read, mut written, mut is_open) = ([0; 3], 0, false);
        for (place, part) in numbers.split('.').enumerate() {
            let slot = read.get_mut(place)?;
            if matches!(part, "x" | "X" | "*") {
                is_open = true;
                continue;
            }
            if is_open || part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *slot = part.parse().ok()?;
            written += 1;
        }
        let version = Self {
            numbers: read,
            pre_release,
        };
        Some((version, written, is_open))
    }

    fn shares(&self, other: &Self, count: usize) -> bool {
        self.numbers[..count] == other.numbers[..count]
    }

    /// Semantic versioning 2.0.0, section 11.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_numbers = self.numbers.cmp(&other.numbers);
        by_numbers.then_with(|| match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.pre_release.iter().zip(&other.pre_release);
                let first = parts.map(|(one, other)| part(one, other)).find(|order| order.is_ne());
                first.unwrap_or_else(|| self.pre_release.len().cmp(&other.pre_release.len()))
            }
        })
    }
}

/// Numbers by what they are, and before words.
fn part(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_mean_these_tags_and_no_others() {
        for (constraint, yes, no) in [
            ("1.2.3", "1.2.3 v1.2.3 1.2.3+build", "1.2.4 1.2.3-rc1 1.2 latest"),
            ("= 1.2", "1.2.0 1.2.9 1.2", "1.3 2.2.0"),
            ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
            ("*", "0.0.0 9.1.0", "9.1.0-rc1 latest 1.2.3.4 1..2 v x 1.x"),
            ("!=1.2", "1.3.0 2.2.0", "1.2.0 1.2.7"),
            ("!=1.2.3", "1.2.4", "1.2.3"),
            (">1", "2.0.0", "1.0.1 1.9.9 0.9.0"),
            (">1.2", "1.3.0 2.0.0", "1.2.9"),
            ("> 1.2.3", "1.2.4", "1.2.3"),
            (">= 3.12.0", "3.12.0 4.0.0 v3.12.1", "3.11.9 3.13.0-rc1"),
            ("<2", "1.9.9", "2.0.0 2.0.0-rc1"),
            ("<=1.2", "1.2.9 1.0.0", "1.3.0"),
            ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
            ("~>1", "1.0.0 1.9.0", "2.0.0"),
            ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0 1.2.3"),
            ("^0.0.3", "0.0.3", "0.0.4 0.1.0"),
            ("^0.0", "0.0.9", "0.1.0"),
            ("^0", "0.9.1", "1.0.0"),
            ("1.2 - 1.4.5", "1.2.0 1.4.5", "1.4.6 1.1.9"),
            (">=1.2, <1.4 || 2.x", "1.3.9 2.7.0", "1.4.0 3.0.0"),
            (
                ">=1.0.0-beta.2",
                "1.0.0-beta.11 1.0.0-rc 1.0.0",
                "1.0.0-beta.1 1.0.0-alpha 1.0.0-2",
            ),
        ] {
            let read = Constraint::parse(constraint).expect(constraint);
            for tag in yes.split(' ') {
                assert!(read.matches(tag), "{constraint} means {tag}");
            }
            for tag in no.split(' ') {
                assert!(!read.matches(tag), "{constraint} does not mean {tag}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, why) in [
            ("", "\"\" is no constraint"),
            ("1 || ", "\" \" is no constraint"),
            (">=", "nothing follows >="),
            ("1 -", "nothing follows 1 -"),
            (">=latest", "\"latest\" is no version"),
            ("1.x.3", "\"1.x.3\" is no version"),
            ("99999999999999999999", "\"99999999999999999999\" is no version"),
        ] {
            assert_eq!(Constraint::parse(text), Err(why.to_owned()), "{text:?}");
        }
        let many = vec!["1"; MAX_PARTS + 1].join(" || ");
        assert_eq!(
            Constraint::parse(&many),
            Err("it has more than 100 comparisons".to_owned())
        );
    }
}
