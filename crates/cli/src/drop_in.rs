//! Called by the name `registry`: what does registry:2's command line ask for, in ours? Its words, its streams and its exit codes where a script
//! looks at them.

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    path::Path,
    process::ExitCode,
};

/// What we are, where registry:2 says what it is.
const VERSION: &str = concat!("registry github.com/teu-oci/teu ", env!("CARGO_PKG_VERSION"));

const HELP: &str = "\
`registry`, as teu answers to that name

Usage:
  registry [flags]
  registry [command]

Available Commands:
  garbage-collect `garbage-collect` deletes layers not referenced by any manifests
  help            Help about any command
  serve           `serve` stores and distributes Docker images

Flags:
  -h, --help      help for registry
  -v, --version   show the version and exit

Use \"registry [command] --help\" for more information about a command. The configuration is registry:2's, in YAML; what of it
means nothing here is said when it is read. `teu serve --distribution-config FILE --print-config` shows what it comes to.
";

const SERVE: &str = "\
`serve` stores and distributes Docker images.

Usage:
  registry serve <config> [flags]

Flags:
  -h, --help   help for serve
";

const COLLECT: &str = "\
`garbage-collect` deletes layers not referenced by any manifests

Usage:
  registry garbage-collect <config> [flags]

Flags:
  -m, --delete-untagged   delete manifests that are not currently referenced via tag
  -d, --dry-run           do everything except remove the blobs
  -h, --help              help for garbage-collect
  -q, --quiet             say nothing of what is removed
";

/// Whether the program was called as registry:2, by a link of that name.
pub(crate) fn is_called(called: Option<&OsStr>) -> bool {
    called.is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "registry"))
}

/// What is asked for: a command line of ours; else what is said, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Line(Vec<OsString>),
    Said(&'static str),
    Wrong(String, &'static str),
}

/// Reads registry:2's command line. `configured` is what the variable REGISTRY_CONFIGURATION_PATH says.
pub(crate) fn read(arguments: &[OsString], configured: Option<OsString>) -> Asked {
    let (mut words, mut flags) = (Vec::new(), Vec::new());
    for argument in arguments.iter().skip(1) {
        match argument.to_str() {
            Some(flag) if flag.starts_with("--") => flags.push(flag.to_owned()),
            // -dm is -d -m, and of -dm=false the last is false.
            Some(flag) if flag.starts_with('-') && flag.len() > 1 => {
                let (letters, value) = flag[1..].split_at(flag[1..].find('=').unwrap_or(flag.len() - 1));
                let last = letters.chars().count().saturating_sub(1);
                flags.extend(letters.chars().enumerate().map(|(place, letter)| {
                    let value = if place == last { value } else { "" };
                    format!("-{letter}{value}")
                }));
            }
            _ => words.push(argument.clone()),
        }
    }
    let asks = |names: [&str; 2]| flags.iter().any(|flag| names.contains(&flag.as_str()));
    let mut words = words.into_iter();
    let verb = words.next();
    let verb = match verb.as_deref().and_then(OsStr::to_str) {
        Some("help") => {
            return Asked::Said(match words.next().as_deref().and_then(OsStr::to_str) {
                Some("serve") => SERVE,
                Some("garbage-collect") => COLLECT,
                _ => HELP,
            });
        }
        Some(verb) => verb.to_owned(),
        None if asks(["-v", "--version"]) => return Asked::Said(VERSION),
        None => return Asked::Said(HELP),
    };
    let (usage, known): (_, &[(&str, Option<&str>)]) = match verb.as_str() {
        "serve" => (SERVE, &[]),
        "garbage-collect" => (
            COLLECT,
            &[
                ("-d", Some("--dry-run")),
                ("--dry-run", Some("--dry-run")),
                ("-m", Some("--untagged")),
                ("--delete-untagged", Some("--untagged")),
                ("-q", None),
                ("--quiet", None),
            ],
        ),
        other => {
            let why = format!("Error: unknown command {other:?} for \"registry\"\nRun 'registry --help' for usage.");
            return Asked::Wrong(why, "");
        }
    };
    if asks(["-h", "--help"]) {
        return Asked::Said(usage);
    }
    let mut line: Vec<OsString> = ["teu", "serve"].map(OsString::from).to_vec();
    if verb == "garbage-collect" {
        line.push("gc".into());
        // There what was pushed a moment ago goes too, where no server runs; ours does it with care where one does.
        line.push("--lease=0".into());
    }
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((&flag, "true"));
        match (known.iter().find(|(known, _)| *known == name), value) {
            (Some((_, ours)), "true") => line.extend(ours.map(OsString::from)),
            (Some(_), "false") => {}
            _ => return Asked::Wrong(format!("Error: unknown flag: {flag}"), usage),
        }
    }
    let Some(file) = words.next().or(configured).filter(|file| !file.is_empty()) else {
        return Asked::Wrong("configuration error: configuration path unspecified".to_owned(), usage);
    };
    line.push("--distribution-config".into());
    line.push(file);
    Asked::Line(line)
}

impl Asked {
    /// Says what there is to say.
    pub(crate) fn say(&self) -> ExitCode {
        // Where it cannot be said, the exit code is all there is.
        match self {
            Self::Line(_) => ExitCode::SUCCESS,
            Self::Said(text) => {
                let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
                ExitCode::SUCCESS
            }
            Self::Wrong(why, usage) => {
                let _ = writeln!(std::io::stderr(), "{}", format!("{why}\n{usage}").trim_end());
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    fn read_line(line: &str, configured: Option<&str>) -> Asked {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        read(&words, configured.map(OsString::from))
    }

    #[test]
    fn its_command_lines_are_ours() {
        for (line, configured, expected) in [
            ("registry serve c.yml", None, "teu serve --distribution-config c.yml"),
            ("registry serve", Some("d.yml"), "teu serve --distribution-config d.yml"),
            (
                "registry serve c.yml",
                Some("d.yml"),
                "teu serve --distribution-config c.yml",
            ),
            (
                "registry garbage-collect c.yml",
                None,
                "teu serve gc --lease=0 --distribution-config c.yml",
            ),
            (
                "registry garbage-collect -d --delete-untagged -q c.yml",
                None,
                "teu serve gc --lease=0 --dry-run --untagged --distribution-config c.yml",
            ),
            (
                "registry garbage-collect -dmq c.yml",
                None,
                "teu serve gc --lease=0 --dry-run --untagged --distribution-config c.yml",
            ),
            (
                "registry garbage-collect -md=false c.yml",
                None,
                "teu serve gc --lease=0 --untagged --distribution-config c.yml",
            ),
            (
                "registry garbage-collect --dry-run=false -m=true c.yml",
                None,
                "teu serve gc --lease=0 --untagged --distribution-config c.yml",
            ),
        ] {
            let expected: Vec<OsString> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(read_line(line, configured), Asked::Line(expected.clone()), "{line}");
            arguments::command()
                .try_get_matches_from(expected)
                .expect("a command line of ours");
        }
        for (line, expected) in [
            ("registry", HELP),
            ("registry --help", HELP),
            ("registry help", HELP),
            ("registry help serve", SERVE),
            ("registry serve --help", SERVE),
            ("registry garbage-collect -h", COLLECT),
            ("registry garbage-collect -mh", COLLECT),
            ("registry --version", VERSION),
            ("registry -v", VERSION),
        ] {
            assert_eq!(read_line(line, None), Asked::Said(expected), "{line}");
        }
        for (line, says) in [
            ("registry serve", "configuration error: configuration path unspecified"),
            (
                "registry garbage-collect",
                "configuration error: configuration path unspecified",
            ),
            ("registry bogus", "unknown command \"bogus\" for \"registry\""),
            ("registry serve --bogus c.yml", "unknown flag: --bogus"),
            ("registry garbage-collect -dx c.yml", "unknown flag: -x"),
            (
                "registry garbage-collect --dry-run=maybe c.yml",
                "unknown flag: --dry-run=maybe",
            ),
        ] {
            let Asked::Wrong(why, _) = read_line(line, None) else {
                panic!("{line} is not wrong");
            };
            assert!(why.contains(says), "{line}: {why}");
        }
    }

    #[test]
    fn it_is_called_by_one_name() {
        for (name, expected) in [
            ("registry", true),
            ("/usr/bin/registry", true),
            ("docker-registry", false),
            ("teu", false),
            ("", false),
        ] {
            assert_eq!(is_called(Some(OsStr::new(name))), expected, "{name}");
        }
        assert!(!is_called(None));
    }
}
