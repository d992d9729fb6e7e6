//! What do files say that the command line does not? A flag counts before a variable, and that before a file.
//!
//! What a file says is put into the command line as flags, where no flag or variable says it, and is read again as that: so there is one reader of
//! values, one set of defaults, and one table of all settings, the flags' own definitions.

mod distribution;
mod file;
mod meaningless;
mod said;
mod show;
mod table;
mod unknown;

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use clap::{
    ArgMatches, Command, FromArgMatches as _,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use teu_store::{Error, ErrorKind};

use said::Said;
pub(super) use show::show;
use table::{Kind, Setting, Table};

use crate::{
    arguments::{Given, Teu, Verb},
    failure::Failure,
    say,
    settings::variables,
};

/// The longest file that is read, in bytes.
const MAX: u64 = 1 << 20;

/// Why a command line is not understood.
#[derive(Debug)]
pub(crate) enum Unread {
    /// For what is in it.
    Line(clap::Error),
    /// For what is in a file that it names.
    File(Failure),
}

impl From<clap::Error> for Unread {
    fn from(error: clap::Error) -> Self {
        Self::Line(error)
    }
}

/// Reads a command line, and the file of settings that it names.
///
/// # Errors
/// For what cannot be understood of either.
pub(crate) fn parse(command: &mut Command, mut arguments: Vec<OsString>) -> Result<Teu, Unread> {
    let read = command.try_get_matches_from_mut(&arguments);
    let matches = read.map_err(|error| of_variable(error, command))?;
    let Some(served) = Served::of(command, &matches) else {
        return Ok(Teu::from_arg_matches(&matches)?);
    };
    for warning in unknown::warnings(served.serve, &variables(unknown::BEGIN)) {
        say::warn(false, &warning);
    }
    let said = served.said().map_err(Unread::File)?;
    let shows = served.shows();
    let more = served.missing(said).map_err(Unread::File)?;
    let end = arguments.iter().position(|argument| argument == "--");
    let end = end.unwrap_or(arguments.len());
    arguments.splice(end..end, more);
    let matches = command.try_get_matches_from_mut(&arguments)?;
    let mut teu = Teu::from_arg_matches(&matches)?;
    if let (Verb::Serve(arguments), true) = (&mut teu.verb, shows)
        && let Some(served) = Served::of(command, &matches)
    {
        arguments.effective = served.effective();
    }
    Ok(teu)
}

/// The same error, which names the variable that said what is wrong.
fn of_variable(mut error: clap::Error, command: &Command) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(flag), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        return error;
    };
    let variables = variables(unknown::BEGIN);
    let is_said = |name: Option<&OsStr>| {
        variables
            .iter()
            .any(|(said, is)| name == Some(OsStr::new(said)) && *is == value)
    };
    let serve = command.find_subcommand("serve");
    let mut all = serve.into_iter().flat_map(Command::get_arguments);
    // The text of an argument is made of its command once that is built, which it is where its verb was read alone.
    let long = flag
        .split([' ', '=', '['])
        .next()
        .and_then(|flag| flag.strip_prefix("--"));
    let said = all.find(|argument| long.is_some() && argument.get_long() == long && is_said(argument.get_env()));
    if let Some(name) = said.and_then(clap::Arg::get_env) {
        let how = format!(
            "the variable {} says that; unset it where it is to say nothing",
            name.display()
        );
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![how.into()]));
    }
    error
}

/// A command line of `serve`, or of a verb below it.
struct Served<'a> {
    serve: &'a Command,
    /// The verb itself, and what was said to it.
    verb: &'a Command,
    matches: &'a ArgMatches,
}

impl<'a> Served<'a> {
    fn of(command: &'a Command, matches: &'a ArgMatches) -> Option<Self> {
        let serve = command.find_subcommand("serve")?;
        let mut served = Self {
            serve,
            verb: serve,
            matches: matches.subcommand_matches("serve")?,
        };
        while let Some((name, matches)) = served.matches.subcommand() {
            served.verb = served.verb.find_subcommand(name)?;
            served.matches = matches;
        }
        Some(served)
    }

    /// A file that is named.
    fn file(&self, id: &str) -> Option<&PathBuf> {
        // What the verb does not have it was not told.
        self.matches.try_get_one(id).ok().flatten()
    }

    /// All that files say. What is to be known of them beside is said at once.
    fn said(&self) -> Result<Vec<Said>, Failure> {
        let is_server = std::ptr::eq(self.verb, self.serve);
        if is_server && self.file("distribution_config").is_none() {
            unknown::distribution(&variables("REGISTRY_"))?;
        }
        if let Some(path) = self.file("config") {
            return file::read(&text(path)?, path, &Table::of(self.serve));
        }
        let Some(path) = self.file("distribution_config") else {
            return Ok(Vec::new());
        };
        let own = Table::of(self.verb);
        let has_data = own.get("data").is_some_and(|setting| self.is_said(setting));
        let read = distribution::read(&text(path)?, path, &variables("REGISTRY_"), has_data);
        let translated = read.map_err(Failure::Usage)?;
        for warning in translated.warnings {
            say::warn(false, &warning);
        }
        Ok(translated.said)
    }

    /// As flags, what nobody said otherwise. A verb below `serve` takes what it has a flag for.
    fn missing(&self, said: Vec<Said>) -> Result<Vec<OsString>, Failure> {
        let all = Table::of(self.serve);
        let own = Table::of(self.verb);
        let mut flags = Vec::new();
        for Said { name, values, place } in said {
            let known = all.get(&name);
            for value in &values {
                let checked = known.map_or(Ok(()), |setting| setting.check(value));
                checked.map_err(|why| Failure::Usage(format!("{place}: {why}")))?;
            }
            let Some(setting) = own.get(&name).filter(|setting| !self.is_said(setting)) else {
                continue;
            };
            flags.extend(values.into_iter().map(|value| match setting.is_positional() {
                true => OsString::from(value),
                false => OsString::from(format!("--{name}={value}")),
            }));
        }
        Ok(flags)
    }

    fn is_said(&self, setting: &Setting<'_>) -> bool {
        let source = self.matches.value_source(setting.id());
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }

    fn shows(&self) -> bool {
        matches!(self.matches.try_get_one("print_config"), Ok(Some(true)))
    }

    fn effective(&self) -> Vec<Given> {
        let given = |setting: &Setting<'_>| {
            let raw = self.matches.get_raw(setting.id());
            let values = raw.into_iter().flatten();
            Given {
                name: setting.name().to_owned(),
                values: values.map(|value| value.to_string_lossy().into_owned()).collect(),
                is_said: self.is_said(setting),
            }
        };
        Table::of(self.serve).iter().map(given).collect()
    }
}

/// What a file has.
fn text(path: &Path) -> Result<String, Failure> {
    let unread = |why: String| {
        let message = format!("{} cannot be read: {why}", path.display());
        Error::new(ErrorKind::Invalid, message)
    };
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX + 1).read_to_string(&mut text));
    read.map_err(|error| unread(error.to_string()))?;
    match text.len() as u64 > MAX {
        true => Err(unread(format!("it has more than {MAX} bytes")).into()),
        false => Ok(text),
    }
}
