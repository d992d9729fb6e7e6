//! What tests of the command line's definitions share: all verbs, and the examples of a text, read as a shell reads them.

use clap::{Command, CommandFactory as _, error::ErrorKind};
use teu_spec::Reference;

use super::Teu;

/// Every verb that can be called, with its path from `teu` down; some do something themselves beside those below them.
pub(crate) fn leaves() -> Vec<(String, Command)> {
    let mut found = verbs();
    found.retain(|(_, verb)| !verb.is_subcommand_required_set());
    found
}

/// Every verb, also those that only have verbs below them. What is hidden is another name of one that is told of.
pub(crate) fn verbs() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    for verb in Teu::command().get_subcommands() {
        collect(verb, verb.get_name().to_owned(), &mut found);
    }
    found
}

fn collect(verb: &Command, path: String, found: &mut Vec<(String, Command)>) {
    found.push((path.clone(), verb.clone()));
    for below in verb.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, format!("{path} {}", below.get_name()), found);
    }
}

/// The calls of `teu` in a text, word by word: the lines that begin with it, and what follows a pipe in those.
pub(crate) fn examples(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("teu "));
    lines.flat_map(calls).filter(|words| words[0] == "teu").collect()
}

/// The simple commands of a line, without redirections and comments.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut calls = vec![Vec::new()];
    // None between words: '' is one, though nothing is in it.
    let mut word: Option<String> = None;
    let mut quoted = None;
    for c in line.chars().chain([' ']) {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (None, '\'' | '"') => {
                quoted = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => match (word.take(), calls.last_mut()) {
                (Some(word), _) if word == "|" || word == "&&" => calls.push(Vec::new()),
                (Some(word), Some(call)) => call.push(word),
                _ => {}
            },
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    for call in &mut calls {
        if let Some(place) = call.iter().position(|word| word == ">" || word == "<") {
            call.truncate(place);
        }
    }
    calls
}

/// Fails unless the command line takes this call, and its references are references.
#[track_caller]
pub(crate) fn parses(words: &[String]) {
    let digest = format!("sha256:{}", "0".repeat(64));
    let words: Vec<String> = words.iter().map(|word| word.replace("sha256:…", &digest)).collect();
    match Teu::command().try_get_matches_from(&words) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
        // `teu help VERB` stands for any verb.
        Err(_) if words[1..] == ["help", "VERB"] => {}
        Err(error) => panic!("{words:?}: {error}"),
    }
    let transports = ["docker://", "oci:", "oci-archive:", "docker-archive:", "dir:"];
    for word in &words {
        if transports.iter().any(|transport| word.starts_with(transport)) {
            Reference::parse(word).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
    }
}

#[test]
fn the_definitions_hold_together() {
    super::command().debug_assert();
}

/// What stands between backticks in a line.
fn code(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Of each verb docs/output.md says what it prints, once but for its flags, and it knows no verb that is not there.
#[test]
fn of_every_verb_it_is_told_what_it_prints() {
    let page = include_str!("../../../../docs/output.md");
    let (_, rest) = page.split_once("## `-o json`\n").expect("where it begins");
    let (told, _) = rest.split_once("\n## ").expect("where it ends");
    let known: Vec<String> = leaves().into_iter().map(|(path, _)| path).collect();
    let mut named: Vec<String> = Vec::new();
    let (rows, others): (Vec<&str>, Vec<&str>) = told.lines().partition(|line| line.starts_with('|'));
    let mut rows: Vec<&str> = rows.iter().filter_map(|row| row.split('|').nth(1)).skip(2).collect();
    assert!(rows.len() > 30, "{rows:?}");
    // Behind the table, verbs whose output is of another kind.
    let others = others.join("\n");
    let others = others
        .split("\n\n")
        .map(str::trim_start)
        .filter(|paragraph| paragraph.starts_with('`'));
    rows.extend(others);
    for row in rows {
        let mut family = "";
        for verb in code(row) {
            let (verb, flags) = verb.split_once(" --").unwrap_or((verb, ""));
            if !flags.is_empty() || verb.starts_with("--") {
                continue;
            }
            // `index create`, `add`: the first says whose verbs the others are.
            let whole = match known.iter().any(|known| known == verb) {
                true => verb.to_owned(),
                false => format!("{family} {verb}"),
            };
            assert!(
                known.contains(&whole),
                "docs/output.md tells of {verb:?}, which is no verb: {row}"
            );
            family = verb.split_once(' ').map_or(family, |(family, _)| family);
            named.push(whole);
        }
    }
    for verb in &known {
        let times = named.iter().filter(|named| *named == verb).count();
        assert_eq!(times, 1, "docs/output.md must tell once what {verb} prints");
    }
}

/// Every call of the operator's guide, in blocks and in sentences.
#[test]
fn every_call_of_the_operators_guide_is_right() {
    let page = include_str!("../../../../docs/serve.md");
    let blocks = examples(page);
    assert!(blocks.len() > 15, "{blocks:?}");
    blocks.iter().for_each(|call| parses(call));
    // What is between the blocks; a verb may be named there without what it takes.
    let known: Vec<String> = verbs().into_iter().map(|(path, _)| path).collect();
    let calls = page.split("```").step_by(2).flat_map(code).flat_map(examples);
    let (names, calls): (Vec<_>, Vec<_>) = calls.partition(|call| known.contains(&call[1..].join(" ")));
    assert!(names.len() > 5 && calls.len() > 3, "{names:?} {calls:?}");
    calls.iter().for_each(|call| parses(call));
}

#[test]
fn examples_are_read_as_a_shell_reads_them() {
    let text = "words\n  teu a 'b c' > d   # teu e\n  teu f '' | g && teu h -\nteux";
    let expected = [vec!["teu", "a", "b c"], vec!["teu", "f", ""], vec!["teu", "h", "-"]];
    assert_eq!(examples(text), expected);
}
