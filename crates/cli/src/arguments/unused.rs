//! Which of the flags that stand everywhere does a verb not use? It takes them, so that scripts need not know, and its help does not list
//! them.

use clap::{Command, CommandFactory as _};

use super::Teu;

const PROGRESS: &[&str] = &["progress"];
const OUTPUT: &[&str] = &["output"];
const POLICY: &[&str] = &["policy", "insecure_policy"];
const REGISTRIES: &[&str] = &["registries_conf", "user_agent_prefix", "token_realms"];
const PLATFORM: &[&str] = &["override_arch", "override_os", "override_variant"];
const TEMPORARY: &[&str] = &["tmpdir"];
const RUN: &[&str] = &["debug", "command_timeout"];

/// What verbs do not use, by their paths. A verb that is not here uses all.
const UNUSED: &[(&[&str], &[&[&str]])] = &[
    (
        &["inspect", "tree", "manifest get", "config", "history"],
        &[PROGRESS, POLICY],
    ),
    (
        &[
            "list-tags",
            "ls",
            "digest",
            "referrers",
            "verify",
            "blob get",
            "blob head",
        ],
        &[PROGRESS, POLICY, PLATFORM],
    ),
    (
        &[
            "delete",
            "login",
            "logout",
            "catalog",
            "tag",
            "untag",
            "index rm",
            "index filter",
            "index annotate",
            "manifest put",
            "manifest rm",
            "blob put",
            "blob mount",
            "blob rm",
        ],
        &[PROGRESS, POLICY, PLATFORM, TEMPORARY],
    ),
    (&["index create", "index add"], &[PLATFORM]),
    (&["new"], &[PROGRESS, POLICY]),
    (&["files"], &[POLICY]),
    (&["cat"], &[POLICY, OUTPUT]),
    (&["export"], &[OUTPUT, POLICY]),
    (&["append", "insert", "edit", "rebase"], &[PLATFORM]),
    (&["serve"], &[POLICY, PLATFORM, TEMPORARY, REGISTRIES]),
    (&["init", "gc"], &[PROGRESS, POLICY, PLATFORM, TEMPORARY, REGISTRIES]),
    (
        &["manifest-digest"],
        &[PROGRESS, POLICY, PLATFORM, TEMPORARY, REGISTRIES, RUN],
    ),
    (
        &["completion", "man"],
        &[PROGRESS, POLICY, PLATFORM, TEMPORARY, REGISTRIES, RUN, OUTPUT],
    ),
];

/// The command line as it is shown, in help, manual pages and completions. What is parsed needs none of this.
pub(crate) fn shown(command: Command) -> Command {
    let every = Teu::command();
    let mut shown = command;
    for (verbs, unused) in UNUSED {
        for verb in *verbs {
            let path: Vec<&str> = verb.split(' ').collect();
            shown = hidden(shown, &path, unused, &every);
        }
    }
    shown
}

fn hidden(command: Command, path: &[&str], unused: &[&[&str]], every: &Command) -> Command {
    let [verb, below @ ..] = path else {
        let flags = every
            .get_arguments()
            .filter(|flag| unused.iter().any(|ids| ids.contains(&flag.get_id().as_str())));
        // A verb that has a flag of this name itself does not get the one of all.
        return command.args(flags.map(|flag| flag.clone().hide(true)));
    };
    command.mut_subcommand(verb, |verb| hidden(verb, below, unused, every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{command, tests::leaves};

    fn help(path: &str) -> String {
        let words = std::iter::once("teu").chain(path.split(' ')).chain(["--help"]);
        let asked = shown(command()).try_get_matches_from(words);
        asked.expect_err("help is no command").to_string()
    }

    #[test]
    fn what_is_unused_is_there_and_hidden() {
        let verbs: Vec<String> = leaves().into_iter().map(|(path, _)| path).collect();
        let every = Teu::command();
        for (paths, unused) in UNUSED {
            for path in *paths {
                assert!(verbs.iter().any(|verb| verb == path), "there is no verb {path}");
                let help = help(path);
                for id in unused.iter().copied().flatten() {
                    let flag = every.get_arguments().find(|flag| flag.get_id() == id);
                    let flag = flag
                        .and_then(clap::Arg::get_long)
                        .unwrap_or_else(|| panic!("there is no {id}"));
                    assert!(!help.contains(&format!("--{flag}")), "{path}: {flag}\n{help}");
                }
            }
        }
        assert!(help("copy").contains("--progress") && help("copy").contains("--override-arch"));
        assert!(help("gc").contains("--output") && help("ls").contains("--registries-conf"));
    }

    #[test]
    fn what_is_unused_is_taken_nevertheless() {
        for form in [command(), shown(command())] {
            let words = [
                "teu",
                "--debug",
                "gc",
                "--progress=none",
                "--policy=p",
                "oci:x",
                "--override-os",
                "linux",
            ];
            let matches = form.try_get_matches_from(words).expect("it parses");
            let policy = matches.get_one::<std::path::PathBuf>("policy");
            assert_eq!(policy.map(|policy| policy.as_os_str()), Some("p".as_ref()));
        }
    }
}
