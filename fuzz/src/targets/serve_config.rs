//! Files of settings for `teu serve`: ours in TOML, and registry:2's in YAML with its variables. What is taken of either is a setting that there is,
//! and its value is taken or refused as a flag's.

use std::sync::LazyLock;

use clap::{Args, Command};

use crate::arguments::{access::Access, serving};

static COMMAND: LazyLock<Command> = LazyLock::new(|| {
    let command = serving::Configuration::augment_args(Command::new("serve"));
    let command = serving::Log::augment_args(serving::Reached::augment_args(command));
    Access::augment_args(serving::Limits::augment_args(command))
});

pub(crate) fn run(text: &str) {
    config::toml(text, &COMMAND);
    // Lines that begin as registry:2's variables are such.
    let (variables, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("REGISTRY_"));
    let variables = variables.into_iter().filter_map(|line| line.split_once('='));
    let variables: Vec<(String, String)> = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    config::yaml(&lines.join("\n"), &variables, &COMMAND);
}

/// The program's own files.
#[path = "../../../crates/cli/src/verbs/serve/config"]
#[allow(dead_code, reason = "the program's own files, of which a part is asked")]
mod config {
    mod distribution;
    mod file;
    mod meaningless;
    mod said;
    mod table;

    use std::path::Path;

    use clap::Command;

    use said::Said;
    use table::{Kind, Setting, Table};

    pub(super) fn toml(text: &str, command: &Command) {
        let table = Table::of(command);
        for said in file::read(text, Path::new("config.toml"), &table).unwrap_or_default() {
            check(&said, table.get(&said.name).expect("a setting that there is"));
        }
    }

    pub(super) fn yaml(text: &str, variables: &[(String, String)], command: &Command) {
        let table = Table::of(command);
        for has_data in [false, true] {
            let read = distribution::read(text, Path::new("config.yml"), variables, has_data);
            for said in read.unwrap_or_default().said {
                if let Some(setting) = table.get(&said.name) {
                    check(&said, setting);
                }
            }
        }
    }

    fn check(said: &Said, setting: &Setting<'_>) {
        // A name in an address is looked up.
        if !["listen", "metrics"].contains(&setting.name()) {
            said.values.iter().for_each(|value| drop(setting.check(value)));
        }
    }
}
