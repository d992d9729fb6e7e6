//! How are the flags called by which the place is reached that an error is about? A verb with several places has them for each, and an error knows its
//! side; the libraries say only how they are called where there is one.

use std::ffi::OsString;

use clap::Command;
use teu_store::{Error, Side};

use crate::failure::Failure;

/// The flags that errors name.
const NAMED: [&str; 2] = ["cert-dir", "tls-verify=false"];

/// The same failure, with the flags of the place that it is about, of those that the verb of this line has.
pub(crate) fn named(failure: Failure, command: &Command, arguments: &[OsString]) -> Failure {
    match failure {
        Failure::Store(error) => {
            let prefixes = prefixes(command, arguments, error.side());
            Failure::Store(renamed(error, &prefixes))
        }
        other => other,
    }
}

fn renamed(error: Error, prefixes: &[&str]) -> Error {
    if prefixes == [""] || prefixes.is_empty() {
        return error;
    }
    error.rewritten(|text| {
        NAMED.iter().fold(text.to_owned(), |text, flag| {
            let own: Vec<String> = prefixes.iter().map(|prefix| format!("--{prefix}{flag}")).collect();
            text.replace(&format!("--{flag}"), &own.join(" or "))
        })
    })
}

/// What the flags begin with for the places of the verb that are on this side.
fn prefixes(command: &Command, arguments: &[OsString], side: Option<Side>) -> Vec<&'static str> {
    let mut verb = command;
    for argument in arguments.iter().skip(1) {
        verb = verb.find_subcommand(argument).unwrap_or(verb);
    }
    let has = |prefix: &str| {
        let flag = format!("{prefix}tls-verify");
        verb.get_arguments().any(|known| known.get_long() == Some(&*flag))
    };
    // Where it has both, the destination is another place only with --to.
    let to = |argument: &OsString| {
        argument
            .to_str()
            .is_some_and(|text| text == "--to" || text.starts_with("--to="))
    };
    let is_elsewhere = !has("") || arguments.iter().any(to);
    let is_of = |prefix: &str| match side {
        None => true,
        Some(Side::Source) => prefix != "dest-",
        Some(Side::Destination) => prefix == if is_elsewhere { "dest-" } else { "" },
    };
    let all = ["", "src-", "dest-", "base-"].into_iter();
    all.filter(|prefix| has(prefix) && is_of(prefix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    #[test]
    fn each_verb_has_flags_for_its_places() {
        let (source, destination) = (Some(Side::Source), Some(Side::Destination));
        for (line, side, expected) in [
            ("teu copy a b", source, &["src-"][..]),
            ("teu copy a b", destination, &["dest-"]),
            ("teu copy a b", None, &["src-", "dest-"]),
            ("teu index create a b", destination, &["dest-"]),
            ("teu blob mount a b c", source, &["src-"]),
            ("teu inspect a", None, &[""]),
            ("teu edit --env A=b a", source, &[""]),
            ("teu edit --env A=b a", destination, &[""]),
            ("teu edit --env A=b --to b a", destination, &["dest-"]),
            ("teu append --to=b a c", destination, &["dest-"]),
            ("teu rebase a", source, &["", "base-"]),
            ("teu serve gc", None, &[]),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(prefixes(&arguments::command(), &arguments, side), expected, "{line}");
        }
    }

    #[test]
    fn the_flags_of_the_place_are_named() {
        let said = "--cert-dir names it, --tls-verify=false takes any";
        let error = || Error::new(teu_store::ErrorKind::Io, said);
        for (prefixes, expected) in [
            (&[""][..], said),
            (&[], said),
            (&["src-"], "--src-cert-dir names it, --src-tls-verify=false takes any"),
            (
                &["", "base-"],
                "--cert-dir or --base-cert-dir names it, --tls-verify=false or --base-tls-verify=false takes any",
            ),
        ] {
            assert_eq!(renamed(error(), prefixes).to_string(), expected);
        }
    }
}
