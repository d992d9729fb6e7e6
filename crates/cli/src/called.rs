//! By which name are we called, and what does that change of the command line? As `skopeo`, its words for what is wrong, on its streams.
//! By either name, what skopeo's command lines may hold is understood, or refused by name.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

use clap::{
    ArgAction, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{arguments::Verb, failure::Failure, say};

/// What scripts that ask are told: the newest skopeo that we follow, and what we are.
const VERSION: &str = concat!("version 1.22.0 (teu ", env!("CARGO_PKG_VERSION"), ")");

/// What skopeo has and we do not, and what to do.
const NOT_YET: [(&str, &str); 18] = [
    ("standalone-sign", SIGNATURES),
    ("standalone-verify", SIGNATURES),
    ("generate-sigstore-key", SIGNATURES),
    ("layers", "was retired; copy the image to dir:DIRECTORY"),
    (
        "experimental-image-proxy",
        "is not built; programs that speak with it need skopeo itself",
    ),
    ("--require-signed", SIGNATURES),
    ("--sign-by", SIGNATURES),
    ("--sign-by-sq-fingerprint", SIGNATURES),
    ("--sign-by-sigstore", SIGNATURES),
    ("--sign-by-sigstore-private-key", SIGNATURES),
    ("--sign-passphrase-file", SIGNATURES),
    ("--sign-identity", SIGNATURES),
    ("--encryption-key", ENCRYPTION),
    ("--encrypt-layer", ENCRYPTION),
    ("--decryption-key", ENCRYPTION),
    (
        "--tls-details",
        "is not built; TLS 1.2 and 1.3 are spoken, with the suites that rustls holds for safe",
    ),
    ("--src-decompress", "changes nothing; use --dest-decompress"),
    ("--src-compress", "changes nothing; use --dest-compress"),
];
const SIGNATURES: &str = "is not built yet: signatures are neither made nor checked; cosign or skopeo itself can sign";
const ENCRYPTION: &str = "is not built: layers are neither encrypted nor decrypted; skopeo itself can";

/// Whether the program was called as skopeo, by a link of that name.
pub(crate) fn as_skopeo(called: Option<&OsStr>) -> bool {
    called.is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "skopeo"))
}

/// The command line under skopeo's name.
pub(crate) fn renamed(command: Command) -> Command {
    command.name("skopeo").bin_name("skopeo").version(VERSION)
}

/// The arguments with Go's form of flags that are or are not, `--all=true`, in ours.
pub(crate) fn plain(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut behind = false;
    let plain = arguments.into_iter().filter_map(|argument| {
        behind |= argument == "--";
        let said = argument
            .to_str()
            .filter(|_| !behind)
            .and_then(|text| text.strip_prefix("--")?.split_once('='));
        match said {
            Some((name, value)) if is_switch(command, name) => match value {
                "true" | "TRUE" | "True" | "t" | "T" | "1" => Some(format!("--{name}").into()),
                "false" | "FALSE" | "False" | "f" | "F" | "0" => None,
                _ => Some(argument),
            },
            _ => Some(argument),
        }
    });
    plain.collect()
}

/// Whether a flag of this name takes no value, whatever verb has it. Nothing is kept of all the others: this runs before everything else.
fn is_switch(command: &Command, name: &str) -> bool {
    let mut found = false;
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            let is_called = argument.get_long() == Some(name)
                || argument
                    .get_all_aliases()
                    .is_some_and(|aliases| aliases.contains(&name));
            match argument.get_action() {
                ArgAction::SetTrue => found |= is_called,
                _ if is_called => return false,
                _ => {}
            }
        }
        commands.extend(command.get_subcommands());
    }
    found
}

/// Says what is wrong with a command line, or the help that it asks for.
pub(crate) fn answer(error: &clap::Error, as_skopeo: bool) -> ExitCode {
    if !error.use_stderr() {
        // Help and version go to standard output, and are no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let unknown = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => Some(name.as_str()),
            _ => None,
        });
    let is_unknown = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    let name = unknown.filter(|_| is_unknown).unwrap_or_default();
    let bare = name.split('=').next().unwrap_or_default();
    let refused = NOT_YET.iter().find(|(known, _)| *known == bare);
    if let Some((name, why)) = refused {
        say::complain(as_skopeo, &format!("{name} {why}"));
    } else if as_skopeo {
        let words = in_its_words(error, name);
        say::complain_in(true, &words.lines().collect::<Vec<_>>());
    } else {
        let _ = error.print();
    }
    ExitCode::from(if as_skopeo { 1 } else { 2 })
}

/// As skopeo says it.
fn in_its_words(error: &clap::Error, name: &str) -> String {
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("Unrecognized command `skopeo {name}`\nTry 'skopeo --help' for more information")
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "Missing command 'skopeo COMMAND'\nTry 'skopeo --help' for more information".to_owned()
        }
        ErrorKind::UnknownArgument if name.starts_with("--") => {
            format!("unknown flag: {}", name.split('=').next().unwrap_or(name))
        }
        ErrorKind::UnknownArgument if name.len() > 1 && name.starts_with('-') => format!(
            "unknown shorthand flag: {:?} in {name}",
            name.chars().nth(1).unwrap_or('-')
        )
        .replace('"', "'"),
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => arguments_expected(error),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

fn arguments_expected(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    match usage.contains("<DESTINATION>") {
        true => "Exactly two arguments expected".to_owned(),
        false => "Exactly one argument expected".to_owned(),
    }
}

/// Refuses, where we are called as skopeo, what is no reference for it: it has no transport that is meant without being named.
pub(crate) fn check_names(verb: &Verb) -> Result<(), Failure> {
    let named: Vec<(&str, &str)> = match verb {
        Verb::Copy(copy) => vec![
            ("Invalid source name ", &copy.source),
            ("Invalid destination name ", &copy.destination),
        ],
        Verb::Inspect(inspect) => vec![("Error parsing image name ", &inspect.image)],
        Verb::ListTags(list) => vec![("", &list.repository)],
        Verb::Delete(delete) => vec![("Invalid source name ", &delete.image)],
        _ => Vec::new(),
    };
    for (what, name) in named {
        let wrong = match name.split_once(':') {
            None if what.is_empty() => format!("Invalid {name:?}: does not specify a transport"),
            None => format!("Invalid image name {name:?}, expected colon-separated transport:reference"),
            Some((transport, _)) if !is_transport(transport) && what.is_empty() => {
                format!("Invalid {name:?}: does not specify a transport")
            }
            Some((transport, _)) if !is_transport(transport) => {
                format!("Invalid image name {name:?}, unknown transport {transport:?}")
            }
            Some(_) => continue,
        };
        let wrong = match what {
            "" => wrong,
            what if what.ends_with("image name ") => format!("{what}{name:?}: {wrong}"),
            what => format!("{what}{name}: {wrong}"),
        };
        return Err(Failure::Usage(wrong));
    }
    Ok(())
}

fn is_transport(name: &str) -> bool {
    // What is retired, or not built, is refused by its name where it is opened.
    [
        "docker",
        "oci",
        "oci-archive",
        "docker-archive",
        "dir",
        "docker-daemon",
        "containers-storage",
        "ostree",
        "sif",
        "atomic",
        "tarball",
    ]
    .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    /// Every flag of skopeo's (its newest), as its users write them; the global ones stand before the verb.
    #[test]
    fn every_flag_of_skopeos_is_understood_or_refused_by_name() {
        const GLOBAL: &str = "--command-timeout=1m --debug --insecure-policy --policy=f --registries.d=d --override-arch=a \
            --override-os=o --override-variant=v --tmpdir=d --user-agent-prefix=p --registries-conf=f --tls-verify=false \
            --require-signed --tls-details=f";
        const IMAGE: &str = "--PREauthfile=f --PREcreds=u:p --PREusername=u --PREpassword=p --PREregistry-token=t --PREno-creds \
            --PREcert-dir=d --PREtls-verify=false --PREtls-verify --PREshared-blob-dir=d --PREdaemon-host=h";
        const COPY: &str = "-a --all --multi-arch=system --multi-arch=all --multi-arch=index-only -foci --format=v2s2 \
            --preserve-digests --remove-signatures --sign-by=k --sign-by-sq-fingerprint=k --sign-by-sigstore=f \
            --sign-by-sigstore-private-key=f --sign-passphrase-file=f --sign-identity=i --digestfile=f -q --quiet \
            --additional-tag=a:b --encryption-key=k --encrypt-layer=0 --decryption-key=k --image-parallel-copies=2 --dest-compress \
            --dest-decompress --dest-oci-accept-uncompressed-layers --dest-compress-format=gzip --dest-compress-format=zstd \
            --dest-compress-level=3 --dest-precompute-digests --screds=u:p --dcreds=u:p --authfile=f --retry-times=2 --retry-delay=1s";
        const INSPECT: &str =
            "--config --raw -fx --format=x -n --no-tags --manifest-digest=sha256 --retry-times=2 --retry-delay=1s";
        const LOGIN: &str = "-uu -pp --username=u --password=p --password-stdin --get-login -v --verbose --compat-auth-file=f \
            --authfile=f --cert-dir=d --tls-verify=false";
        let words = |text: &str, prefix: &str| -> Vec<String> {
            text.replace("PRE", prefix)
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let mut lines: Vec<Vec<String>> = Vec::new();
        for flag in words(GLOBAL, "") {
            lines.push(vec![flag.clone(), "copy".to_owned(), "a".to_owned(), "b".to_owned()]);
            if !flag.contains("tls") {
                lines.push(vec!["copy".to_owned(), "a".to_owned(), "b".to_owned(), flag]);
            }
        }
        for (verb, flags, arguments) in [
            (
                "copy",
                [words(COPY, ""), words(IMAGE, "src-"), words(IMAGE, "dest-")].concat(),
                &["a", "b"][..],
            ),
            ("inspect", [words(INSPECT, ""), words(IMAGE, "")].concat(), &["a"]),
            (
                "list-tags",
                [words("--retry-times=2 --retry-delay=1s", ""), words(IMAGE, "")].concat(),
                &["a"],
            ),
            (
                "delete",
                [words("--retry-times=2 --retry-delay=1s", ""), words(IMAGE, "")].concat(),
                &["a"],
            ),
            ("login", words(LOGIN, ""), &["a"]),
            (
                "logout",
                words("-a --all --authfile=f --compat-auth-file=f --tls-verify=false", ""),
                &[],
            ),
            ("manifest-digest", Vec::new(), &["a"]),
        ] {
            let line = |flag: Option<&String>| {
                let words = [verb.to_owned()].into_iter().chain(flag.cloned());
                words
                    .chain(arguments.iter().map(|argument| (*argument).to_owned()))
                    .collect::<Vec<_>>()
            };
            lines.push(line(None));
            lines.extend(flags.iter().map(|flag| line(Some(flag))));
        }
        let command = renamed(arguments::command());
        for line in lines {
            let whole = std::iter::once("skopeo".to_owned())
                .chain(line.iter().cloned())
                .map(OsString::from);
            let parsed = command.clone().try_get_matches_from(plain(&command, whole.collect()));
            let Err(error) = parsed else { continue };
            let flag = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(flag)) => flag.split('=').next().unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            assert!(NOT_YET.iter().any(|(name, _)| *name == flag), "{line:?}: {error}");
        }
    }

    #[test]
    fn flags_may_be_written_as_go_has_them() {
        let command = arguments::command();
        let plain = |line: &str| {
            let plain = plain(&command, line.split(' ').map(Into::into).collect());
            plain.join(OsStr::new(" ")).into_string().expect("UTF-8")
        };
        assert_eq!(
            plain(
                "skopeo --insecure-policy=true copy --all=false -q=x --src-no-creds=1 --src-tls-verify=false a -- --all=true"
            ),
            "skopeo --insecure-policy copy -q=x --src-no-creds --src-tls-verify=false a -- --all=true"
        );
        assert_eq!(
            plain("skopeo copy --format=true --all=maybe"),
            "skopeo copy --format=true --all=maybe"
        );
    }
}
