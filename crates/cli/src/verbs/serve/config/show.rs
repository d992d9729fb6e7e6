//! How are all settings shown? As a file that can be read again: what was said as it is, what was not as a comment with its default.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use toml::Value as Toml;

use super::table::{Kind, Setting, Table, tables};
use crate::{
    arguments::{self, Given},
    failure::Failure,
    output,
    settings::Settings,
};

const HEAD: &str = "\
# What `teu serve --config FILE` reads. Each setting is a flag too, tls.key is --tls-key, and a variable, TEU_SERVE_TLS_KEY;
# a flag counts before a variable, and that before this file. What is a comment here is not set, and has its default.
";

/// Prints all settings.
pub(in super::super) fn show(effective: &[Given], settings: &Settings) -> Result<(), Failure> {
    let command = arguments::command();
    let Some(serve) = command.find_subcommand("serve") else {
        return Ok(());
    };
    let table = Table::of(serve);
    if settings.json {
        let pairs = effective.iter().filter_map(|given| {
            let setting = table.get(&given.name)?;
            Some((
                setting.key(),
                value(setting, &given.values).map_or(Value::Null, |value| json!(value)),
            ))
        });
        return output::json(&Value::Object(pairs.collect::<Map<_, _>>()));
    }
    output::line(text(&table, effective).trim_end())
}

fn text(table: &Table<'_>, effective: &[Given]) -> String {
    let mut out = String::from(HEAD);
    for (name, settings) in tables(table) {
        if let Some(name) = name {
            // Writing to a text does not fail.
            let _ = write!(out, "\n[{name}]\n");
        }
        for setting in settings {
            let given = effective.iter().find(|given| given.name == setting.name());
            let values = given.map_or(&[][..], |given| &given.values);
            let mark = match given.is_some_and(|given| given.is_said) {
                true => "",
                false => "# ",
            };
            let shown = match value(setting, values) {
                Some(value) => value.to_string(),
                // What it would be.
                None => Toml::String(setting.value_name()).to_string(),
            };
            let _ = write!(out, "\n# {}\n{mark}{} = {shown}\n", setting.help(), setting.place().1);
        }
    }
    out
}

fn value(setting: &Setting<'_>, values: &[String]) -> Option<Toml> {
    let first = values.first().cloned();
    match setting.kind() {
        Kind::List => Some(Toml::Array(values.iter().cloned().map(Toml::String).collect())),
        // What was said otherwise, `yes` or `1`, is what it is read as.
        Kind::Switch => first.map(|value| Toml::Boolean(is_true(&value))),
        Kind::Number => first.map(|value| value.parse().map_or(Toml::String(value), Toml::Integer)),
        Kind::Text => first.map(Toml::String),
    }
}

fn is_true(text: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        let command = arguments::command();
        let serve = command.find_subcommand("serve").expect("a verb");
        let table = Table::of(serve);
        let given = |setting: &Setting<'_>| Given {
            name: setting.name().to_owned(),
            values: vec![match setting.kind() {
                Kind::Switch => "true".to_owned(),
                Kind::Number => "7".to_owned(),
                _ => "a \"b\"\\c\u{1b}é".to_owned(),
            }],
            is_said: true,
        };
        let all: Vec<Given> = table.iter().map(given).collect();
        let shown = text(&table, &all);
        let read = super::super::file::read(&shown, Path::new("f"), &table).expect("settings");
        assert_eq!(read.len(), all.len());
        for said in read {
            let given = all.iter().find(|given| given.name == said.name).expect("it was given");
            assert_eq!(said.values, given.values, "{}", said.name);
        }
        // Nothing is set where nothing was said, and the defaults stand there.
        let shown = text(&table, &[]);
        let read = super::super::file::read(&shown, Path::new("f"), &table).expect("settings");
        assert_eq!(read, []);
        assert!(shown.lines().all(|line| line.len() <= 160), "{shown}");
    }
}
