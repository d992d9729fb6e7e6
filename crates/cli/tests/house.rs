//! Do the arrows of ARCHITECTURE.md fall? What each crate may use, of ours and of others', as cargo resolves it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

/// A library of ours.
struct Library {
    name: &'static str,
    /// What of ours it may use.
    uses: &'static [&'static str],
    /// What it never uses, not through others either.
    never: &'static [&'static [&'static str]],
}

const fn library(
    name: &'static str,
    uses: &'static [&'static str],
    never: &'static [&'static [&'static str]],
) -> Library {
    Library { name, uses, never }
}

/// Those that are not built yet have their places kept.
const HOUSE: &[Library] = &[
    library("teu-spec", &[], &[ASYNC, NETWORK, FILES]),
    library("teu-archive", &[], &[ASYNC, NETWORK, FILES]),
    library("teu-rootfs", &[], &[ASYNC, NETWORK]),
    // It reads and writes open files as the system does it best, and finds none by its name.
    library("teu-store", &["teu-spec", "teu-archive"], &[NETWORK, NAMES]),
    library(
        "teu-image",
        &["teu-spec", "teu-archive", "teu-rootfs", "teu-store"],
        &[NETWORK],
    ),
    library("teu-transport", &["teu-spec", "teu-archive", "teu-store"], &[]),
    library("teu-depot", &["teu-spec", "teu-store"], &[SERVER]),
    library("teu-registry", &["teu-spec", "teu-store"], &[]),
];

const ASYNC: &[&str] = &["tokio", "futures-util"];
const NETWORK: &[&str] = &["reqwest", "hyper", "h2", "rustls", "url"];
const FILES: &[&str] = &["rustix", "tempfile"];
const NAMES: &[&str] = &["tempfile"];
const SERVER: &[&str] = &["axum"];
/// What belongs to a program, and to no library.
const PROGRAM: &[&str] = &[
    "anyhow",
    "clap",
    "clap_builder",
    "crossterm",
    "dirs",
    "eyre",
    "gotmpl",
    "indicatif",
    "ratatui",
    "ratatui-core",
    "tracing-subscriber",
];

/// What every package of the workspace and below it uses, by name: at run time, or when it is built.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    // For this machine alone: a build fetches no other platform's packages, and what is not here `--offline` cannot read.
    command.args(["metadata", "--format-version=1", "--all-features", "--offline"]);
    command.args(["--filter-platform", "host-tuple"]);
    command
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let uses = nodes.iter().map(|node| {
        let used = list(&node["deps"]).into_iter().filter(|used| {
            let kinds = list(&used["dep_kinds"]);
            kinds.iter().any(|kind| kind["kind"] != "dev")
        });
        let used = used.map(|used| names[&text(&used["pkg"])].clone());
        (names[&text(&node["id"])].clone(), used.collect::<BTreeSet<_>>())
    });
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, used) in uses {
        graph.entry(name).or_default().extend(used);
    }
    graph
}

/// All that `name` uses, through others too.
fn below(graph: &BTreeMap<String, BTreeSet<String>>, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for used in graph.get(&name).into_iter().flatten() {
            if found.insert(used.clone()) {
                next.push(used.clone());
            }
        }
    }
    found
}

#[test]
fn arrows_only_fall() {
    let graph = graph();
    let ours = |name: &&String| name.starts_with("teu-");
    let drawn: BTreeSet<&str> = HOUSE.iter().map(|library| library.name).collect();
    for name in graph.keys().filter(ours) {
        assert!(
            drawn.contains(name.as_str()),
            "{name} has no place in the house: draw it in ARCHITECTURE.md and here"
        );
    }
    for Library { name, uses: may, never } in HOUSE {
        let Some(uses) = graph.get(*name) else { continue };
        for used in uses.iter().filter(ours) {
            assert!(
                may.contains(&used.as_str()),
                "{name} uses {used}: that arrow does not fall"
            );
        }
        let below = below(&graph, name);
        let never = never.iter().chain([&PROGRAM]).flat_map(|list| list.iter());
        for forbidden in never {
            assert!(
                !below.contains(*forbidden),
                "{name} uses {forbidden}, which its question leaves out"
            );
        }
    }
    // Whatever the table says: nothing leads back to the programs. `bench` stands beside the house, and measures it from outside.
    for program in ["teu", "bench"] {
        assert!(
            graph.values().all(|uses| !uses.contains(program)),
            "something uses the program {program}"
        );
    }
    let measured: Vec<&String> = graph["bench"].iter().filter(ours).collect();
    assert_eq!(measured, ["teu-spec"], "bench measures from outside");
    let known = ["teu-spec", "teu-archive", "teu-store", "teu-transport"];
    assert!(
        known.iter().all(|name| graph.contains_key(*name)),
        "cargo knows our crates"
    );
}

/// Whoever meets a crate for the first time has something to start from.
#[test]
fn every_library_has_an_example_that_its_front_page_names() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for library in HOUSE {
        let directory = crates.join(library.name.trim_start_matches("teu-"));
        let front = fs::read_to_string(directory.join("src/lib.rs")).expect("a front page");
        let examples = fs::read_dir(directory.join("examples")).expect("a directory of examples");
        let mut found = 0;
        for example in examples {
            found += 1;
            let path = example.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let named = format!("example `{stem}`");
            assert!(front.contains(&named), "{} does not name the {named}", library.name);
        }
        assert!(found > 0, "{} has no example", library.name);
    }
}

/// Where files of tests are modules of one program, none is left out: what is not named is not run.
#[test]
fn every_file_of_tests_is_run() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["cli", "registry", "transport"] {
        let read = |path: &str| fs::read_to_string(crates.join(name).join(path)).expect("it is there");
        let (package, modules) = (read("Cargo.toml"), read("tests/main.rs"));
        for entry in fs::read_dir(crates.join(name).join("tests")).expect("a directory") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let is_named = modules.contains(&format!("mod {stem};"))
                || package.contains(&format!("path = \"tests/{stem}.rs\""))
                || package.contains(&format!("path = \"tests/{stem}/main.rs\""));
            // What other files of tests bring in themselves.
            let is_part = path.is_dir() && !path.join("main.rs").exists();
            assert!(is_named || is_part, "tests/{stem} of {name} is run by nothing");
        }
    }
}
