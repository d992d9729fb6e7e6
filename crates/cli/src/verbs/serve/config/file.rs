//! What does teu's own file say? TOML, in which a key is a flag's name; those that begin alike stand in a table of that beginning, or as they are.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Kind, Said, Setting, Table};
use crate::failure::Failure;

/// Reads a file of settings.
///
/// # Errors
/// Where it is no TOML; for a key that no setting has, with the nearest that one has; and for a value that is of another kind.
pub(super) fn read(text: &str, path: &Path, settings: &Table<'_>) -> Result<Vec<Said>, Failure> {
    let wrong = |message: String| Failure::Usage(format!("{}: {message}", path.display()));
    let parsed = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let hint = match path.extension().is_some_and(|kind| kind == "yml" || kind == "yaml") {
            true => "; it is TOML that is read here, and --distribution-config reads registry:2's YAML",
            false => "",
        };
        wrong(format!("line {line}: {}{hint}", error.message()))
    })?;
    let mut file = File {
        text,
        path,
        settings,
        said: Vec::new(),
    };
    file.table("", parsed.get_ref()).map_err(wrong)?;
    Ok(file.said)
}

struct File<'a, 't> {
    text: &'a str,
    path: &'a Path,
    settings: &'a Table<'t>,
    said: Vec<Said>,
}

impl File<'_, '_> {
    fn table(&mut self, above: &str, table: &DeTable<'_>) -> Result<(), String> {
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in pairs {
            let line = line_of(self.text, key.span().start);
            let shown = match above {
                "" => key.get_ref().to_string(),
                above => format!("{above}.{}", key.get_ref()),
            };
            if let (DeValue::Table(below), "") = (value.get_ref(), above) {
                self.table(&shown, below)?;
                continue;
            }
            let name = shown.replace('.', "-");
            let Some(setting) = self.settings.get(&name).filter(|_| shown.matches('.').count() < 2) else {
                return Err(format!("line {line}: {}", unknown(&shown, self.settings)));
            };
            if self.said.iter().any(|said| said.name == name) {
                return Err(format!("line {line}: {} is said twice", setting.key()));
            }
            let values = values(setting, value);
            let values = values.map_err(|why| format!("line {line}: {} {why}", setting.key()))?;
            self.said.push(Said {
                name,
                values,
                place: format!("{}: line {line}: {}", self.path.display(), setting.key()),
            });
        }
        Ok(())
    }
}

/// The line, from 1, of a place in a text.
fn line_of(text: &str, place: usize) -> usize {
    text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1
}

fn unknown(key: &str, settings: &Table<'_>) -> String {
    match settings.nearest(key) {
        Some(near) => format!("there is no setting {key}; {near} is the nearest"),
        None => format!("there is no setting {key}; teu serve --print-config shows those that there are"),
    }
}

/// The values, as flags have them.
fn values(setting: &Setting<'_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        _ => None,
    };
    let wrong = |wanted: &str, found: &DeValue<'_>| Err(format!("is {wanted}, and no {}", found.type_str()));
    match (setting.kind(), value.get_ref()) {
        (Kind::Switch, DeValue::Boolean(is)) => Ok(vec![is.to_string()]),
        (Kind::Switch, found) => wrong("true or false", found),
        (Kind::List, DeValue::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            texts.ok_or_else(|| "is a list of texts".to_owned())
        }
        (Kind::List, found) => {
            scalar(found).map_or_else(|| wrong("a text, or a list of them", found), |one| Ok(vec![one]))
        }
        (kind, found) => match scalar(found) {
            Some(one) => Ok(vec![one]),
            None if kind == Kind::Number => wrong("a number", found),
            None => wrong("a text", found),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    fn read(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
        let command = arguments::command();
        let table = Table::of(command.find_subcommand("serve").expect("a verb"));
        let said = super::read(text, Path::new("f"), &table).map_err(|failure| failure.to_string())?;
        Ok(said.into_iter().map(|said| (said.name, said.values)).collect())
    }

    #[test]
    fn keys_stand_in_tables_or_as_flags_are_called() {
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        for (text, expected) in [
            ("", vec![]),
            ("listen = \":5000\"", vec![one("listen", ":5000")]),
            ("[tls]\nkey = \"k\"", vec![one("tls-key", "k")]),
            ("tls.key = \"k\"", vec![one("tls-key", "k")]),
            ("tls-key = 'k'", vec![one("tls-key", "k")]),
            (
                "deletes = true\n[max]\npage = 1_000",
                vec![one("deletes", "true"), one("max-page", "1000")],
            ),
            ("max = { manifest = 4096 }", vec![one("max-manifest", "4096")]),
            ("immutable = \"a:*\"", vec![one("immutable", "a:*")]),
            (
                "immutable = [\"a:*\", \"b:*\"]",
                vec![("immutable".to_owned(), vec!["a:*".to_owned(), "b:*".to_owned()])],
            ),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_no_setting_is_called_or_can_be_is_named() {
        for (text, says) in [
            ("\nlisten = ", "f: line 2: "),
            ("listen = \":1\"\nlisten = \":2\"", "f: line 2: "),
            (
                "deletes = true\n\nlisstn = 1",
                "f: line 3: there is no setting lisstn; listen is the nearest",
            ),
            (
                "[tls]\nkye = 1",
                "f: line 2: there is no setting tls.kye; tls.key is the nearest",
            ),
            ("[tls.key]\nkey = 1", "f: line 1: tls.key is a text, and no table"),
            (
                "[a.b]\nc = 1",
                "f: line 1: there is no setting a.b; teu serve --print-config shows",
            ),
            ("max-page = 1\n[max]\npage = 1", "f: line 3: max.page is said twice"),
            (
                "deletes = \"yes\"",
                "f: line 1: deletes is true or false, and no string",
            ),
            ("[max]\npage = 1.5", "f: line 2: max.page is a number, and no float"),
            ("listen = true", "f: line 1: listen is a text, and no boolean"),
            ("immutable = [1.5]", "f: line 1: immutable is a list of texts"),
            ("config = \"x\"", "f: line 1: there is no setting config"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
