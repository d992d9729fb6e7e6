//! What does one file of registries say? The TOML of containers-registries.conf(5), version 2, checked in itself; what several files say
//! together is the question of [`super::registries`].

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use teu_spec::{RegistryReference, Repository};
use teu_store::{Error, ErrorKind, Result};

use super::{
    credential_helper::HelperName,
    registries::{MAX_FILE, ShortNames},
};

/// What `credential-helpers` calls the files of credentials, in the place of a helper.
const FILES: &str = "containers-auth.json";

/// A file, read.
#[derive(Debug, Default)]
pub(super) struct File {
    /// By prefix.
    pub(super) rules: BTreeMap<String, Rules>,
    pub(super) search: Option<Vec<String>>,
    pub(super) mode: Option<ShortNames>,
    /// What short names mean; none where one is to mean nothing any more.
    pub(super) aliases: BTreeMap<String, Option<Repository>>,
    /// A helper, or none for the files of credentials.
    pub(super) helpers: Vec<Option<HelperName>>,
    /// Keys that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// What holds for the names of one prefix.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What stands in the place of the prefix; without it, the names stay as they are.
    pub(super) location: Option<String>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
}

/// A place that has the same images.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pulls: Pulls,
}

/// What a mirror is asked for: `pull-from-mirror`, and `mirror-by-digest-only` for all of a registry's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pulls {
    #[default]
    All,
    Digests,
    Tags,
}

impl Mirror {
    /// Whether it is asked for an image that is named by a digest, or by a tag alone.
    pub(super) fn serves(&self, by_digest: bool) -> bool {
        match self.pulls {
            Pulls::All => true,
            Pulls::Digests => by_digest,
            Pulls::Tags => !by_digest,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Toml {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    #[serde(default)]
    credential_helpers: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    registry: Vec<RegistryTable>,
    /// Version 1's table.
    registries: Option<IgnoredAny>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryTable {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

/// Whether a file says nothing but what short names mean, or nothing at all, told without reading it: all tables begin on lines of their own, and it begins
/// none but that one.
pub(super) fn has_only_aliases(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    let mut said = lines.by_ref().filter(|line| !line.is_empty() && !line.starts_with('#'));
    said.next().is_none_or(|first| first.trim_end() == "[aliases]") && said.all(|line| !line.starts_with('['))
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<File> {
    if text.len() as u64 > MAX_FILE {
        return Err(invalid(format!(
            "{} bytes are more than the limit of {MAX_FILE}",
            text.len()
        )));
    }
    let toml: Toml =
        toml::from_str(text).map_err(|error| invalid(format!("not valid: {}", error.to_string().trim_end())))?;
    if toml.registries.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "[registries.…] is version 1, which is not supported any more: write unqualified-search-registries = […] in place of \
             [registries.search], and a [[registry]] with insecure = true or blocked = true for each one of [registries.insecure] \
             and [registries.block]",
        ));
    }
    let helper = |name: String| (name != FILES).then(|| name.parse()).transpose();
    let mut file = File {
        helpers: toml.credential_helpers.into_iter().map(helper).collect::<Result<_>>()?,
        mode: toml.short_name_mode.map(|mode| short_names(&mode)).transpose()?,
        ignored: toml.others.into_keys().collect(),
        ..File::default()
    };
    let search = toml.unqualified_search_registries;
    file.search = search
        .map(|search| search.iter().map(|name| registry(name)).collect())
        .transpose()?;
    for (short, meaning) in toml.aliases {
        let meaning = alias(&short, &meaning)?;
        file.aliases.insert(short, meaning);
    }
    // By where names lead: all that lead to one place must agree on how it is spoken to.
    let mut manners: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for table in toml.registry {
        let (prefix, rules) = rules(table, &mut file.ignored)?;
        let place = rules.location.clone().unwrap_or_else(|| prefix.clone());
        let manner = (rules.insecure, rules.blocked);
        if *manners.entry(place.clone()).or_insert(manner) != manner {
            let message = format!("the registry {place} stands twice, and differs in \"insecure\" or \"blocked\"");
            return Err(invalid(message));
        }
        file.rules.insert(prefix, rules);
    }
    Ok(file)
}

fn rules(table: RegistryTable, ignored: &mut Vec<String>) -> Result<(String, Rules)> {
    let location = location(&table.location)?;
    let prefix = match (table.prefix.as_str(), location.as_str()) {
        ("", "") => return Err(invalid("a [[registry]] has neither a prefix nor a location".to_owned())),
        ("", location) => location.to_owned(),
        (prefix, "") if !prefix.starts_with("*.") => {
            let message =
                format!("the [[registry]] {prefix} has no location, which only one of *.DOMAIN can do without");
            return Err(invalid(message));
        }
        (prefix, _) => self::location(prefix)?,
    };
    let unknown = table
        .others
        .keys()
        .map(|key| format!("{key} of the [[registry]] {prefix}"));
    ignored.extend(unknown);
    let mirrors = table.mirror.into_iter().map(|mirror| {
        let unknown = mirror.others.keys().map(|key| format!("{key} of a mirror of {prefix}"));
        ignored.extend(unknown);
        self::mirror(mirror, &prefix, table.mirror_by_digest_only)
    });
    let rules = Rules {
        mirrors: mirrors.collect::<Result<_>>()?,
        location: (!location.is_empty()).then_some(location),
        insecure: table.insecure,
        blocked: table.blocked,
    };
    Ok((prefix, rules))
}

fn mirror(table: MirrorTable, of: &str, digests_only: bool) -> Result<Mirror> {
    if table.location.is_empty() {
        return Err(invalid(format!("a mirror of {of} has no location")));
    }
    if digests_only && !table.pull_from_mirror.is_empty() {
        let message = format!(
            "{of} has mirror-by-digest-only, so its mirror {} cannot have pull-from-mirror",
            table.location
        );
        return Err(invalid(message));
    }
    let pulls = match table.pull_from_mirror.as_str() {
        _ if digests_only => Pulls::Digests,
        "" | "all" => Pulls::All,
        "digest-only" => Pulls::Digests,
        "tag-only" => Pulls::Tags,
        other => {
            let message =
                format!("pull-from-mirror of a mirror of {of} is {other:?}; all, digest-only and tag-only are known");
            return Err(invalid(message));
        }
    };
    Ok(Mirror {
        location: location(&table.location)?,
        insecure: table.insecure,
        pulls,
    })
}

fn location(text: &str) -> Result<String> {
    if text.contains("://") {
        return Err(invalid(format!(
            "{text:?} has a scheme; registries are host[:port][/path], with insecure = true for plain HTTP"
        )));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A registry that short names are looked for in, with the path under it where one was given.
fn registry(name: &str) -> Result<String> {
    let name = location(name)?;
    // Any path would do: it is what stands before that is checked.
    match format!("{name}/check").parse::<RegistryReference>() {
        Ok(checked) if checked.short.is_none() => Ok(name),
        _ => Err(invalid(format!(
            "{name:?} in unqualified-search-registries is no registry"
        ))),
    }
}

fn short_names(mode: &str) -> Result<ShortNames> {
    match mode {
        "enforcing" => Ok(ShortNames::Enforcing),
        "permissive" => Ok(ShortNames::Permissive),
        "disabled" => Ok(ShortNames::Disabled),
        _ => Err(invalid(format!(
            "short-name-mode is {mode:?}; enforcing, permissive and disabled are known"
        ))),
    }
}

fn alias(short: &str, meaning: &str) -> Result<Option<Repository>> {
    let wrong = |why: String| invalid(format!("the alias {short:?} {why}"));
    match short.parse::<RegistryReference>() {
        Ok(name) if name.short.as_deref() == Some(short) => {}
        _ => {
            return Err(wrong(
                "is no short name: it must have neither a registry nor a tag or digest".to_owned(),
            ));
        }
    }
    if meaning.is_empty() {
        return Ok(None);
    }
    match meaning.parse::<RegistryReference>() {
        Ok(name) if name.short.is_none() && name.tag.is_none() && name.digest.is_none() => Ok(Some(name.repository)),
        _ => Err(wrong(format!(
            "is {meaning:?}, which must be registry/repository without a tag or digest"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_nothing_but_aliases_is_told_from_others() {
        for (text, only) in [
            ("", true),
            ("# nothing\n\n  # here\n", true),
            ("# names\n[aliases]\n  # one\n  \"a\" = \"r.example/a\"\n", true),
            ("[aliases] \r\na = \"r.example/a\"\r\n", true),
            (
                "[aliases]\na = \"r.example/a\"\n\n  [[registry]]\nlocation = \"r.example\"\n",
                false,
            ),
            ("[[registry]]\nlocation = \"r.example\"\n[aliases]\n", false),
            ("unqualified-search-registries = []\n[aliases]\n", false),
            ("short-name-mode = \"disabled\"\n", false),
            ("aliases = { a = \"r.example/a\" }\n", false),
            ("[aliases]\na = [\n[]]\n", false),
            ("[ aliases ]\n", false),
        ] {
            assert_eq!(has_only_aliases(text), only, "{text:?}");
        }
    }
}
