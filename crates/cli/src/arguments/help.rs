//! How does `teu` show its verbs? In groups, by what a person is about to do, which clap does not do by itself.

use clap::{Command, CommandFactory as _};

use super::{Teu, switches};

/// The verbs in the order in which they are shown.
const GROUPS: [(&str, &[&str]); 11] = [
    (
        "Copy and inspect, as skopeo does",
        &[
            "copy",
            "sync",
            "inspect",
            "list-tags",
            "delete",
            "manifest-digest",
            "login",
            "logout",
        ],
    ),
    ("Names", &["ls", "catalog", "tag", "untag", "digest"]),
    (
        "Look inside",
        &[
            "config",
            "history",
            "stat",
            "tree",
            "files",
            "cat",
            "referrers",
            "analyze",
            "diff",
            "explore",
            "verify",
        ],
    ),
    ("Bundles: an image as files", &["unpack", "extract", "export", "repack"]),
    ("Make images of files", &["new", "append", "insert"]),
    ("Change images", &["edit", "squash", "rebase"]),
    ("Indexes: images for several platforms", &["index"]),
    ("Content as it is", &["manifest", "blob", "raw"]),
    ("Layouts", &["init", "gc"]),
    ("A registry", &["serve"]),
    ("teu itself", &["completion", "man", "help"]),
];

/// Where what a verb does begins, in columns.
const COLUMN: usize = 30;

/// The whole command line, whose help shows the verbs in groups.
pub(crate) fn command() -> Command {
    let command = Teu::command();
    let mut template = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, verbs) in GROUPS {
        let lines: String = verbs.iter().filter_map(|verb| line(&command, verb)).collect();
        if !lines.is_empty() {
            template.push_str(&format!("\n\u{1b}[1m\u{1b}[4m{group}:\u{1b}[0m\n{lines}"));
        }
    }
    template.push_str("\n\u{1b}[1m\u{1b}[4mEverywhere:\u{1b}[0m\n{options}{after-help}");
    flowing(switches(command).help_template(template))
}

/// The same with paragraphs that are as wide as the terminal, and not as wide as the source.
fn flowing(command: Command) -> Command {
    let told = command.get_after_help().map(|told| paragraphs(&told.to_string()));
    let command = command.mut_subcommands(flowing);
    match told {
        Some(told) => command.after_help(told),
        None => command,
    }
}

/// One line for each paragraph. What is indented stays as it is, and so does the line above it.
fn paragraphs(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut before = "";
    for line in text.lines() {
        let is_one = |line: &str| line.is_empty() || line.starts_with(' ');
        match joined.is_empty() {
            true => {}
            false if is_one(before) || is_one(line) => joined.push('\n'),
            false => joined.push(' '),
        }
        joined.push_str(line);
        before = line;
    }
    joined
}

/// A verb with those below it, and what it does.
fn line(command: &Command, verb: &str) -> Option<String> {
    let (shown, about) = if verb == "help" {
        ("help VERB".to_owned(), "Show a verb by example".to_owned())
    } else {
        let found = command.find_subcommand(verb)?;
        let below: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
        let shown = if below.is_empty() {
            verb.to_owned()
        } else {
            format!("{verb} {}", below.join("|"))
        };
        (shown, found.get_about()?.to_string())
    };
    let indent = " ".repeat(COLUMN);
    let gap = match shown.len() + 4 > COLUMN {
        true => format!("\n{indent}"),
        false => " ".repeat(COLUMN - 2 - shown.len()),
    };
    Some(format!("  \u{1b}[1m{shown}\u{1b}[0m{gap}{about}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::tests::{examples, leaves, parses};

    #[test]
    fn a_paragraph_is_one_line_and_a_list_is_none() {
        let told = "One line\nand the next.\n\nTwo.\n\nExamples:\n  teu a\n  teu b\nThe end\nis here.\n";
        let expected = "One line and the next.\n\nTwo.\n\nExamples:\n  teu a\n  teu b\nThe end is here.";
        assert_eq!(paragraphs(told), expected);
    }

    #[test]
    fn every_verb_stands_in_one_group() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        for verb in Teu::command().get_subcommands() {
            let name = verb.get_name();
            let times = grouped.iter().filter(|grouped| **grouped == name).count();
            assert_eq!(times, 1, "{name} must stand in one of GROUPS");
        }
    }

    #[test]
    fn the_list_of_verbs_fits_a_terminal_of_80_columns() {
        let mut command = command();
        let text = command.render_help().to_string();
        for line in text.lines().take_while(|line| !line.starts_with("Everywhere")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn every_verb_has_an_example_and_every_example_is_right() {
        for (path, verb) in leaves() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let found = examples(&help);
            assert!(
                found
                    .iter()
                    .any(|words| words.join(" ").starts_with(&format!("teu {path}"))),
                "{path} has no example of itself"
            );
            found.iter().for_each(|example| parses(example));
        }
        let overview = Teu::command().get_after_help().expect("there is one").to_string();
        examples(&overview).iter().for_each(|example| parses(example));
    }

    /// Each row says in its last column what to do here: whole calls, and flags of theirs.
    #[test]
    fn what_others_call_otherwise_is_there() {
        let page = include_str!("../../../../docs/coming-from.md");
        let (mut rows, verbs) = (0, crate::arguments::tests::verbs());
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let row = row.replace("\\|", "\u{1}");
            let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next().expect("a column");
            let last = last.replace('\u{1}', "|");
            let code: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            let calls: Vec<Vec<String>> = code.iter().flat_map(|code| examples(code)).collect();
            assert!(!calls.is_empty(), "{row}");
            calls.iter().for_each(|call| parses(call));
            for flag in code.iter().filter_map(|code| code.strip_prefix("--")) {
                let flag = flag.split(' ').next().expect("a name");
                let is_there = calls.iter().any(|call| {
                    let words = call[1..].join(" ");
                    let verb = verbs.iter().rfind(|(path, _)| words.starts_with(&format!("{path} ")));
                    verb.is_some_and(|(_, verb)| {
                        verb.get_arguments().any(|argument| {
                            let others = argument.get_all_aliases().unwrap_or_default();
                            argument.get_long() == Some(flag) || others.contains(&flag)
                        })
                    })
                });
                let is_everywhere = ["output", "progress"].contains(&flag);
                assert!(is_there || is_everywhere, "--{flag} in {row}");
            }
            rows += 1;
        }
        assert!(rows > 60, "{rows}");
    }

    #[test]
    fn every_example_of_the_readme_is_right() {
        let readme = include_str!("../../../../README.md");
        let found = examples(readme);
        assert!(found.len() > 5, "{found:?}");
        found.iter().for_each(|example| parses(example));
    }
}
