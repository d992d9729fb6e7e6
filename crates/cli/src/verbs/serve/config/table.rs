//! Which settings are there? All flags of `serve` that are variables too, by the names that they have in files.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command, builder::ValueParser, error::ErrorKind};

/// The tables of the file: the beginnings of names that several settings share.
const TABLES: [&str; 7] = ["tls", "token", "gc", "log", "max", "idle", "time"];
/// Variables that say where settings are, and are none.
const FILES: [&str; 2] = ["config", "distribution-config"];

/// All settings, in the order of their definitions.
pub(super) struct Table<'a>(Vec<Setting<'a>>);

/// A setting.
pub(super) struct Setting<'a>(&'a Arg);

/// What a setting is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    Number,
    /// A text, or several.
    List,
    Text,
}

impl<'a> Table<'a> {
    pub(super) fn of(command: &'a Command) -> Self {
        let arguments = command.get_arguments();
        let settings = arguments.filter(|argument| argument.get_env().is_some()).map(Setting);
        Self(settings.filter(|setting| !FILES.contains(&setting.name())).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting<'a>> {
        self.0.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Setting<'a>> {
        self.0.iter().find(|setting| setting.name() == name)
    }

    /// The setting whose name in files is nearest to this, if one is near.
    pub(super) fn nearest(&self, key: &str) -> Option<String> {
        nearest(key, self.0.iter().map(Setting::key))
    }
}

/// Which of these is nearest to a name, if one is near.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let near = known.map(|known| (distance(name, &known), known)).min()?;
    let (distance, known) = near;
    (distance <= name.chars().count().max(6) / 3).then_some(known)
}

/// The tables that there are, with the settings of each; those in none come first.
pub(super) fn tables<'t, 'a>(table: &'t Table<'a>) -> Vec<(Option<&'static str>, Vec<&'t Setting<'a>>)> {
    let names = [None].into_iter().chain(TABLES.map(Some));
    let of = |name: Option<&str>| table.iter().filter(|setting| setting.place().0 == name).collect();
    names.map(|name| (name, of(name))).collect()
}

impl Setting<'_> {
    /// The flag's name, or that of what stands without one.
    pub(super) fn name(&self) -> &str {
        self.0.get_long().unwrap_or_else(|| self.0.get_id().as_str())
    }

    pub(super) fn id(&self) -> &str {
        self.0.get_id().as_str()
    }

    pub(super) fn is_positional(&self) -> bool {
        self.0.is_positional()
    }

    /// The table that it stands in, and what it is called there.
    pub(super) fn place(&self) -> (Option<&'static str>, &str) {
        let name = self.name();
        let found = TABLES.into_iter().find_map(|table| {
            let rest = name.strip_prefix(table)?.strip_prefix('-')?;
            Some((Some(table), rest))
        });
        found.unwrap_or((None, name))
    }

    /// The name in files, with that of its table.
    pub(super) fn key(&self) -> String {
        match self.place() {
            (Some(table), name) => format!("{table}.{name}"),
            (None, name) => name.to_owned(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        let is = |id: TypeId| self.0.get_value_parser().type_id() == id;
        if matches!(self.0.get_action(), ArgAction::Append) {
            Kind::List
        } else if is(TypeId::of::<bool>()) {
            Kind::Switch
        } else if [TypeId::of::<usize>(), TypeId::of::<u32>(), TypeId::of::<u64>()]
            .into_iter()
            .any(is)
        {
            Kind::Number
        } else {
            Kind::Text
        }
    }

    /// What its values are, in a word.
    pub(super) fn value_name(&self) -> String {
        let names = self.0.get_value_names().unwrap_or_default();
        names.first().map_or_else(String::new, ToString::to_string)
    }

    pub(super) fn help(&self) -> String {
        self.0.get_help().map_or_else(String::new, ToString::to_string)
    }

    /// Whether the flag takes this value; else why not.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        let parser: ValueParser = self.0.get_value_parser().clone();
        let alone = Arg::new("value").value_parser(parser).allow_hyphen_values(true);
        let read = Command::new("check").no_binary_name(true).arg(alone.required(true));
        let Err(error) = read.disable_help_flag(true).try_get_matches_from(["--", value]) else {
            return Ok(());
        };
        Err(match std::error::Error::source(&error) {
            _ if self.kind() == Kind::Number => format!("{value:?} is no number that it can be"),
            Some(why) if error.kind() == ErrorKind::ValueValidation => why.to_string(),
            _ => {
                let known = self.0.get_possible_values();
                let names: Vec<&str> = known.iter().map(|value| value.get_name()).collect();
                match names[..] {
                    [] => format!("{value:?} cannot be its value"),
                    _ => format!("{value:?} is none of {}", names.join(", ")),
                }
            }
        })
    }
}

/// How many letters make of one text another: put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (place, known) in other.iter().enumerate() {
            let changed = corner + usize::from(letter != *known);
            corner = row[place + 1];
            row[place + 1] = changed.min(corner + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    #[test]
    fn names_follow_one_rule() {
        let command = arguments::command();
        let serve = command.find_subcommand("serve").expect("a verb");
        let table = Table::of(serve);
        assert!(table.iter().count() > 40);
        for setting in table.iter() {
            let expected = format!("TEU_SERVE_{}", setting.name().replace('-', "_").to_uppercase());
            let variable = setting.0.get_env().map(|name| name.to_string_lossy().into_owned());
            assert_eq!(variable, Some(expected), "{}", setting.name());
            assert!(!setting.help().is_empty(), "{}", setting.name());
            for value in setting.0.get_default_values() {
                setting.check(&value.to_string_lossy()).expect("its own default");
            }
        }
        // Each flag of `serve` is a setting, but for those that say where settings are, or ask for something else.
        let others = serve.get_arguments().filter(|argument| argument.get_env().is_none());
        let names: Vec<&str> = others.filter_map(Arg::get_long).collect();
        assert_eq!(names, ["print-config"]);
        for (name, key) in [
            ("tls-key", "tls.key"),
            ("tokens", "tokens"),
            ("token-url", "token.url"),
            ("max-uploads-kept", "max.uploads-kept"),
            ("layouts", "layouts"),
        ] {
            assert_eq!(table.get(name).expect("a setting").key(), key);
        }
    }

    /// What docs/serve.md says of a setting.
    fn row(setting: &Setting<'_>) -> String {
        let default = setting
            .0
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned());
        let default = default.map_or_else(String::new, |value| format!("`{value}`"));
        let help = setting
            .help()
            .replace('|', "\\|")
            .replace('*', "\\*")
            .replace('<', "\\<");
        format!("| `{}` | {default} | {help} |", setting.key())
    }

    #[test]
    fn the_operators_guide_has_all_of_them() {
        let guide = include_str!("../../../../../../docs/serve.md");
        let command = arguments::command();
        let table = Table::of(command.find_subcommand("serve").expect("a verb"));
        let mut rows = String::from("| setting | default | |\n|---|---|---|\n");
        for setting in tables(&table).into_iter().flat_map(|(_, settings)| settings) {
            rows.push_str(&row(setting));
            rows.push('\n');
        }
        let (_, rest) = guide
            .split_once("holds this table to the code -->\n")
            .expect("where it begins");
        let (found, _) = rest.split_once("<!-- end of settings -->").expect("where it ends");
        assert!(
            found.trim() == rows.trim(),
            "docs/serve.md has another table of settings than the code:\n{rows}"
        );
    }

    #[test]
    fn what_is_nearly_right_is_found() {
        let command = arguments::command();
        let table = Table::of(command.find_subcommand("serve").expect("a verb"));
        for (key, expected) in [
            ("tls.certficate", Some("tls.certificate")),
            ("tls.cert", None),
            ("listne", Some("listen")),
            ("max.upload", Some("max.uploads")),
            ("nothing-like-it", None),
            ("", None),
        ] {
            assert_eq!(table.nearest(key).as_deref(), expected, "{key}");
        }
        for (one, other, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("é", "e", 1)] {
            assert_eq!(distance(one, other), expected);
        }
    }
}
