//! Does docs/attacks.md tell the truth about its tests? Each threat from 1 to 106 has its line, those to 55 with their outcome, and each test that a line names is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What is to come of each: R refused, C inside the root (or refused), O works.
const OUTCOMES: [&str; 55] = [
    "C", "C", "C", "C", "C", "C", "C", "R", "R", "R", "R", "C", "O", "O", "R, C", // names
    "C", "C", "C", "C", "C", "C", "C", "C", "C", "R", "R", "R", // links
    "R", "C", "C", "O", "O", "C", "C", "O", // whiteouts
    "O", "O", "O", "R", "R, C", "O", "R", // nodes
    "R, O", "R", "O", "R", "R", "O", "R", "R, O", // archives
    "R", "R", "R", "R", "R", // documents and layouts
];

#[test]
fn every_threat_has_its_tests_and_its_outcome_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/attacks.md")).expect("docs/attacks.md");
    let tests = tests_below(&root.join("crates"));
    let mut seen = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, outcome, here, others] = cells[..] else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else { continue };
        assert!(
            seen.insert(number, outcome.to_owned()).is_none(),
            "{number} stands twice"
        );
        let named = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        assert!(!named(here).is_empty(), "{number} has no test of the whole program");
        for test in named(here) {
            assert!(test.starts_with(&format!("threat_{number:02}_")), "{number}: {test}");
            let there = tests
                .get(&test)
                .is_some_and(|files| files.iter().any(|file| file.contains("cli/tests/threats")));
            assert!(there, "{number}: there is no test {test} in cli/tests/threats");
        }
        for test in named(others) {
            let (file, name) = test.split_once("::").expect("a file and a test");
            let there = tests
                .get(name)
                .is_some_and(|files| files.iter().any(|path| path.ends_with(file)));
            assert!(there, "{number}: there is no test {name} in {file}");
        }
    }
    let numbers: Vec<usize> = seen.keys().copied().collect();
    assert_eq!(numbers, (1..=OUTCOMES.len()).collect::<Vec<_>>());
    let outcomes: Vec<&str> = seen.values().map(String::as_str).collect();
    assert_eq!(outcomes, OUTCOMES);
    // And none that the table leaves out.
    let named: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    for (test, files) in &tests {
        let ours = files.iter().any(|file| file.contains("cli/tests/threats"));
        assert!(
            !ours || !test.starts_with("threat_") || named.contains(&test[..]),
            "the table leaves out {test}"
        );
    }
}

#[test]
fn every_threat_of_registries_has_its_tests_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/attacks.md")).expect("docs/attacks.md");
    let tests = tests_below(&root.join("crates"));
    let mut seen = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, what, outcome, named] = cells[..] else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else { continue };
        seen.push(number);
        assert!(!what.is_empty() && !outcome.is_empty(), "{number}");
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{number} has no test");
        for test in named {
            let (file, name) = test.split_once("::").expect("a file and a test");
            let there = tests
                .get(name)
                .is_some_and(|files| files.iter().any(|path| path.ends_with(file)));
            assert!(there, "{number}: there is no test {name} in {file}");
        }
    }
    assert_eq!(seen, (OUTCOMES.len() + 1..=106).collect::<Vec<_>>());
}

/// The names of all tests, and the files that have one of that name.
fn tests_below(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut wait = vec![directory.to_owned()];
    while let Some(path) = wait.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            wait.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            let file = path.to_str().expect("UTF-8").to_owned();
            for part in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
                // What is ignored is run by nobody who changes something.
                let found = part
                    .split_once("fn ")
                    .filter(|(before, _)| !before.contains("#[ignore"));
                if let Some((name, _)) = found.and_then(|(_, rest)| rest.split_once('(')) {
                    tests.entry(name.to_owned()).or_default().push(file.clone());
                }
            }
        }
    }
    tests
}
