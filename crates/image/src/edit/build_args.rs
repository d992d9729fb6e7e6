//! How is a build argument taken out of the history? Builders write there what they were given, secrets too: `ARG TOKEN=secret`, which makes no
//! layer, and before each command the arguments that it had, `|1 TOKEN=secret /bin/sh -c make`.

use teu_spec::History;
use teu_store::{Error, ErrorKind, Result};

/// The shells that builders use where nobody says another.
const SHELLS: [&str; 3] = ["/bin/sh -c", "cmd /S /C", "powershell -Command"];

/// What becomes of an entry of the history without the argument `name`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It does not have it.
    Same,
    /// It was about nothing else.
    Gone,
    /// It was made by this then.
    MadeBy(String),
}

/// Takes the argument out. Where the value ends is not always to be seen, as nothing is quoted: where the arguments that are seen are not as many
/// as there should be, all of them go.
///
/// # Errors
/// `Unsupported` where it is not to be seen where the command begins.
pub(super) fn without(entry: &History, name: &str, shell: Option<&[String]>) -> Result<Becomes> {
    let made_by = entry.created_by.as_str();
    let nop = made_by.strip_prefix("/bin/sh -c #(nop) ").map(str::trim_start);
    if let Some(argument) = nop.unwrap_or(made_by).strip_prefix("ARG ") {
        return Ok(match entry.empty_layer && words(argument).any(|word| is(word, name)) {
            // Of several that one instruction names, the others are no loss.
            true => Becomes::Gone,
            false => Becomes::Same,
        });
    }
    let run = made_by.strip_prefix("RUN ");
    let Some((count, rest)) = run
        .unwrap_or(made_by)
        .strip_prefix('|')
        .and_then(|rest| rest.split_once(' '))
    else {
        return Ok(Becomes::Same);
    };
    let Ok(count) = count.parse::<usize>() else {
        return Ok(Becomes::Same);
    };
    if !starts(rest).any(|(_, begun)| is(begun, name)) {
        return Ok(Becomes::Same);
    }
    let own = shell.map(|shell| shell.join(" "));
    let shells = own.as_deref().into_iter().chain(SHELLS);
    let command = shells.filter_map(|shell| rest.find(&format!(" {shell} "))).min();
    let Some(command) = command else {
        let message = format!(
            "the history has the build argument {name} in {made_by:?}, and where its value ends is not to be seen; clear the history"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    let (arguments, command) = (&rest[..command], &rest[command + 1..]);
    let begun: Vec<usize> = starts(arguments).map(|(at, _)| at).collect();
    let mut kept = Vec::new();
    if begun.len() == count {
        for (number, at) in begun.iter().enumerate() {
            let end = begun.get(number + 1).copied().unwrap_or(arguments.len());
            let argument = arguments[*at..end].trim_end();
            if !is(argument, name) {
                kept.push(argument);
            }
        }
    }
    let mut new = String::from(if run.is_some() { "RUN " } else { "" });
    if !kept.is_empty() {
        new.push_str(&format!("|{} {} ", kept.len(), kept.join(" ")));
    }
    new.push_str(command);
    Ok(Becomes::MadeBy(new))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// Whether this is the argument, with a value or none.
fn is(argument: &str, name: &str) -> bool {
    argument.split('=').next().unwrap_or_default() == name
}

/// The places at which `NAME=` begins, and what begins there.
fn starts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let places = std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at + 1));
    places.map(|at| (at, &text[at..])).filter(|(_, rest)| {
        let name = rest.split('=').next().unwrap_or_default();
        name.len() < rest.len()
            && !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(made_by: &str, empty_layer: bool) -> History {
        History {
            created_by: made_by.to_owned(),
            empty_layer,
            ..History::default()
        }
    }

    #[test]
    fn an_argument_goes_from_where_builders_write_it() {
        let made_by = |text: &str| Becomes::MadeBy(text.to_owned());
        for (before, empty, after) in [
            ("ARG TOKEN=secret", true, Becomes::Gone),
            ("ARG TOKEN", true, Becomes::Gone),
            ("ARG A=1 TOKEN=x", true, Becomes::Gone),
            ("/bin/sh -c #(nop)  ARG TOKEN=secret", true, Becomes::Gone),
            ("ARG TOKENS=secret", true, Becomes::Same),
            ("ENV TOKEN=secret", true, Becomes::Same),
            ("RUN /bin/sh -c TOKEN=x make", false, Becomes::Same),
            ("|1 OTHER=x /bin/sh -c TOKEN", false, Becomes::Same),
            (
                "|1 TOKEN=secret /bin/sh -c make # x",
                false,
                made_by("/bin/sh -c make # x"),
            ),
            (
                "RUN |3 A=1 TOKEN=two words B=2 /bin/sh -c make",
                false,
                made_by("RUN |2 A=1 B=2 /bin/sh -c make"),
            ),
            // What looks like another argument may be the rest of the secret.
            (
                "RUN |2 A=1 TOKEN=a b=c /bin/sh -c make",
                false,
                made_by("RUN /bin/sh -c make"),
            ),
        ] {
            let found = without(&entry(before, empty), "TOKEN", None);
            assert_eq!(found.expect("it is seen"), after, "{before}");
        }
    }

    #[test]
    fn a_value_without_an_end_is_refused() {
        let entry = entry("RUN |1 TOKEN=secret /bin/bash -c make", false);
        let error = without(&entry, "TOKEN", None).expect_err("whose shell?");
        assert_eq!(*error.kind(), ErrorKind::Unsupported);
        let shell = ["/bin/bash".to_owned(), "-c".to_owned()];
        let found = without(&entry, "TOKEN", Some(&shell)).expect("it is seen");
        assert_eq!(found, Becomes::MadeBy("RUN /bin/bash -c make".to_owned()));
    }
}
