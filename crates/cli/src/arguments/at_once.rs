//! What does a command line say that says all itself, and has no mistake? It is read without what the verbs take that it does not name: to put
//! that together takes longer than most of what is asked for.

use std::{ffi::OsString, marker::PhantomData, mem::ManuallyDrop};

use clap::{ArgMatches, Args as _, Command, Error, FromArgMatches, Subcommand, error::ErrorKind};

use super::*;

all_verbs!(
    /// The same verbs, of which only the names are put together until one is parsed.
    #[command(defer = true)]
    #[allow(dead_code, reason = "it is there for its command")]
    Late,
    Later
);

/// Verbs of a verb that are put together when it is parsed.
#[derive(Debug)]
pub(crate) struct Later<T>(PhantomData<T>);

impl<T: Subcommand> Subcommand for Later<T> {
    fn augment_subcommands(command: Command) -> Command {
        command.defer(T::augment_subcommands)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

/// It is read as what it stands for, never as this.
impl<T> FromArgMatches for Later<T> {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(PhantomData))
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        Ok(())
    }
}

/// What it says, or the version that it asks for; none where somebody is to be told something else, or `serve` may have files that say more. `called`
/// gives the program its name.
pub(crate) fn at_once(arguments: &[OsString], called: impl FnOnce(Command) -> Command) -> Option<Result<Teu, Error>> {
    let has = |name: &str| arguments.iter().skip(1).any(|argument| argument == name);
    if ["serve", "help"].into_iter().any(has) {
        return None;
    }
    let command = Command::new("teu").version(env!("CARGO_PKG_VERSION"));
    // They live as long as the process: to take them apart would take as long as to put them together.
    let verbs = ManuallyDrop::new(Late::augment_subcommands(Command::new("teu")));
    // Whatever the verb turns out to be, it is among the words.
    let named = verbs.get_subcommands().filter(|verb| has(verb.get_name())).cloned();
    let command = Global::augment_args(called(command).subcommand_required(true)).subcommands(named);
    let mut command = ManuallyDrop::new(command);
    match command.try_get_matches_from_mut(arguments) {
        Ok(matches) => Some(Teu::from_arg_matches(&matches)),
        Err(error) if error.kind() == ErrorKind::DisplayVersion => Some(Err(error)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::tests::{examples, leaves};

    fn whole(words: &[String]) -> Option<Teu> {
        let matches = Teu::command().try_get_matches_from(words).ok()?;
        Teu::from_arg_matches(&matches).ok()
    }

    fn quickly(words: &[String]) -> Option<Teu> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        at_once(&words, |command| command)?.ok()
    }

    #[test]
    fn it_is_what_the_whole_command_line_says() {
        let help = |verb: &Command| verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let told = leaves().into_iter().flat_map(|(_, verb)| examples(&help(&verb)));
        let mut read = 0;
        for mut words in told {
            words.push("--debug".to_owned());
            if let Some(teu) = quickly(&words) {
                assert_eq!(format!("{:?}", Some(&teu)), format!("{:?}", whole(&words)), "{words:?}");
                read += 1;
            } else {
                let is_left = words.iter().any(|word| word == "serve" || word == "help");
                assert!(is_left || whole(&words).is_none(), "{words:?}");
            }
        }
        assert!(read > 60, "{read}");
    }

    #[test]
    fn a_verb_may_stand_behind_flags_and_a_word_may_be_one_by_chance() {
        for line in [
            "teu --policy copy inspect oci:x",
            "teu --debug manifest get oci:copy",
            "teu -o json copy --src-tls-verify=false copy inspect",
            "teu inspect --raw -- tag",
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let teu = quickly(&words).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(format!("{:?}", Some(&teu)), format!("{:?}", whole(&words)), "{line}");
        }
    }

    #[test]
    fn what_somebody_is_to_be_told_is_left_to_the_whole_command_line() {
        for line in [
            "teu copy --help",
            "teu help copy",
            "teu copy a",
            "teu inspect --all=true oci:x",
            "teu cpoy a b",
            "teu serve --listen :5000",
            "teu copy --version",
            "teu",
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(quickly(&words).is_none(), "{line}");
        }
    }

    #[test]
    fn a_version_is_that_of_the_whole_command_line() {
        for flag in ["--version", "-V"] {
            let words = ["teu", flag];
            let quick = at_once(&words.map(OsString::from), |command| command);
            let quick = quick.expect("it is told").expect_err("no verb");
            let whole = Teu::command().try_get_matches_from(words).expect_err("no verb");
            assert_eq!((quick.kind(), quick.to_string()), (whole.kind(), whole.to_string()));
        }
    }
}
