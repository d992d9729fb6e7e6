//! `teu completion`, `teu man`: made from the same definitions as the help.

use std::{fs, io, path::Path};

use clap::{Command, builder::Resettable};
use teu_store::Error;

use crate::{
    arguments::{self, Completion, Man},
    failure::Failure,
    output,
};

pub(super) fn completion(arguments: &Completion) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut arguments::shown(arguments::command()),
        "teu",
        &mut script,
    );
    output::bytes(&script)
}

pub(super) fn pages(arguments: &Man) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let failed = |error: std::io::Error| Error::from(error).within(format!("writing to {}", directory.display()));
    fs::create_dir_all(directory).map_err(failed)?;
    let mut command = arguments::shown(arguments::command()).disable_help_subcommand(true);
    command.build();
    write_pages(&command, directory).map_err(failed)?;
    Ok(())
}

/// Writes the page of a verb, and those of the verbs below it.
fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, directory)?;
    }
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let examples = command.get_after_help().map(ToString::to_string);
    // The renderer would fill the lines of examples as if they were sentences.
    let plain = command.clone().after_help(Resettable::Reset);
    let mut page = Vec::new();
    clap_mangen::Man::new(plain).title(&name).render(&mut page)?;
    page.extend(as_roff(&examples.unwrap_or_default()).into_bytes());
    fs::write(directory.join(format!("{name}.1")), page)
}

/// What stands behind a help, line by line.
fn as_roff(text: &str) -> String {
    let section = match text.starts_with("Example") {
        true => "EXAMPLES",
        false => "NOTES AND EXAMPLES",
    };
    let mut roff = format!(".SH {section}\n");
    let mut is_filled = true;
    for line in text.lines().filter(|line| !line.starts_with("Example")) {
        // A paragraph is one line, and is filled; examples and lists begin further in, and stay as they are.
        let fills = !line.starts_with(' ') && !line.is_empty();
        if fills != is_filled && !line.is_empty() {
            roff.push_str(if fills { ".fi\n" } else { ".nf\n" });
            is_filled = fills;
        }
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // What begins with one of these would be a request.
        if line.starts_with(['.', '\'']) {
            roff.push_str("\\&");
        }
        roff.push_str(&line);
        roff.push('\n');
    }
    if !is_filled {
        roff.push_str(".fi\n");
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use clap_complete::Shell;

    use super::*;
    use crate::arguments::tests::{leaves, verbs};

    /// Runs a program that may be missing: its standard output, its standard error, whether it succeeded.
    fn run(test: &str, program: &mut Program) -> Option<(String, String, bool)> {
        let Ok(output) = program.output() else {
            let message = format!("SKIPPED {test}: {:?} is missing\n", program.get_program());
            let _ = io::Write::write_all(&mut io::stderr(), message.as_bytes());
            return None;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(&output.stdout), text(&output.stderr), output.status.success()))
    }

    fn script(shell: Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut arguments::command(), "teu", &mut script);
        String::from_utf8(script).expect("UTF-8")
    }

    #[test]
    fn every_verb_has_a_page_with_its_examples() {
        let directory = tempfile::tempdir().expect("a directory");
        let man = Man {
            directory: directory.path().to_owned(),
        };
        pages(&man).expect("written");
        let paths: Vec<String> = verbs().into_iter().map(|(path, _)| path).collect();
        for path in &paths {
            let page = directory.path().join(format!("teu-{}.1", path.replace(' ', "-")));
            let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(page.contains(&format!("teu {path}").replace('-', "\\-")), "{path}");
        }
        let pages: Vec<_> = fs::read_dir(directory.path())
            .expect("a directory")
            .map(|page| page.expect("a page").path())
            .collect();
        assert_eq!(pages.len(), paths.len() + 1);
        for name in ["teu.1", "teu-copy.1", "teu-index-annotate.1", "teu-verify.1"] {
            let page = directory.path().join(name);
            let mut man = Program::new("man");
            man.args(["--warnings", "-E", "UTF-8", "-l"])
                .arg(&page)
                .env("LC_ALL", "C.UTF-8")
                .env("MANPAGER", "cat")
                .env("MANWIDTH", "80");
            let Some((shown, complaints, succeeded)) = run("man", &mut man) else {
                return;
            };
            assert!(
                succeeded && complaints.is_empty() && !shown.is_empty(),
                "{page:?}: {complaints}"
            );
            // Paragraphs are filled; examples and lists, which stand further in, are as long as they are.
            let is_list = |line: &str| line.starts_with(&" ".repeat(9));
            let long = shown.lines().find(|line| line.chars().count() > 80 && !is_list(line));
            assert_eq!(long, None, "{page:?}");
        }
    }

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for (path, _) in leaves() {
                for word in path.split(' ') {
                    assert!(script.contains(word), "{shell}: {path}");
                }
            }
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("completion");
            fs::write(&file, script).expect("written");
            let Some((_, complaints, succeeded)) =
                run("completions", Program::new(shell.to_string()).arg("-n").arg(&file))
            else {
                continue;
            };
            assert!(succeeded && complaints.is_empty(), "{shell}: {complaints}");
        }
    }

    #[test]
    fn bash_completes() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("completion");
        fs::write(&file, script(Shell::Bash)).expect("written");
        for (words, expected) in [
            ("teu manif", "manifest manifest-digest"),
            ("teu blob m", "mount"),
            ("teu copy --dest-compress-l", "--dest-compress-level"),
        ] {
            let typed: Vec<&str> = words.split(' ').collect();
            let (last, before) = (typed[typed.len() - 1], typed[typed.len() - 2]);
            let ask = format!(
                "source {}; COMP_WORDS=({words}); COMP_CWORD={}; _teu teu {last} {before}; echo \"${{COMPREPLY[*]}}\"",
                file.display(),
                typed.len() - 1
            );
            let Some((answer, complaints, _)) = run("bash_completes", Program::new("bash").args(["-c", &ask])) else {
                return;
            };
            let mut answer: Vec<&str> = answer.split_whitespace().collect();
            answer.sort_unstable();
            assert_eq!(answer.join(" "), expected, "{words}: {complaints}");
        }
    }
}
