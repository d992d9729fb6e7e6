//! How is a limit set by the name that errors give it? Wherever there is one of that name.

use teu_archive::{codec, tar};
use teu_image::{bundle::MtreeLimits, contents, diff::TextLimits, tree};
use teu_rootfs::{Budget, walk};

use crate::{arguments::LimitOptions, failure::Failure, output::plain};

/// The limits of what a verb does; none for those that it has not.
#[derive(Default)]
pub(crate) struct Limits<'a> {
    /// What files may ask for.
    pub(crate) budget: Option<&'a mut Budget>,
    /// Layers are read one by one: how much all of them have together is not held to anything.
    pub(crate) one_by_one: bool,
    /// What an archive may ask for.
    pub(crate) tar: Option<&'a mut tar::Limits>,
    /// What a compressed layer may ask for.
    pub(crate) codec: Option<&'a mut codec::Limits>,
    /// How much is kept of what is in files.
    pub(crate) content_bytes: Option<&'a mut u64>,
    /// How large a layer's table of contents may be.
    pub(crate) contents_bytes: Option<&'a mut usize>,
    /// How much a merged tree may take.
    pub(crate) tree: Option<&'a mut tree::Limits>,
    /// How much a directory on the disk may ask for.
    pub(crate) walk: Option<&'a mut walk::Limits>,
    /// How much umoci's record of a bundle may ask for.
    pub(crate) mtree: Option<&'a mut MtreeLimits>,
    /// How much is shown of how texts differ.
    pub(crate) texts: Option<&'a mut TextLimits>,
}

impl<'a> Limits<'a> {
    /// Those of who looks at what is in layers.
    pub(crate) fn inside(contents: &'a mut contents::Options, tree: &'a mut tree::Limits) -> Self {
        Self {
            budget: Some(&mut contents.budget),
            one_by_one: true,
            tar: Some(&mut contents.tar),
            codec: Some(&mut contents.layers.limits),
            contents_bytes: Some(&mut contents.contents_bytes),
            tree: Some(tree),
            ..Self::default()
        }
    }
}

/// Sets these limits.
///
/// # Errors
/// A usage error for a name that the verb has no limit of.
pub(crate) fn set(limits: &LimitOptions, mut into: Limits<'_>) -> Result<(), Failure> {
    let names = into.names();
    for limit in &limits.limit {
        if !into.set(&limit.name, limit.value) {
            let message = format!(
                "there is no limit \"{}\"; there are {}",
                plain(&limit.name),
                names.join(", ")
            );
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

/// A limit, whatever holds it.
enum Value<'a> {
    Wide(&'a mut u64),
    Small(&'a mut usize),
}

impl Value<'_> {
    fn get(&self) -> u64 {
        match self {
            Self::Wide(value) => **value,
            Self::Small(value) => u64::try_from(**value).unwrap_or(u64::MAX),
        }
    }

    fn set(&mut self, to: u64) {
        match self {
            Self::Wide(value) => **value = to,
            Self::Small(value) => **value = usize::try_from(to).unwrap_or(usize::MAX),
        }
    }
}

impl Limits<'_> {
    /// All that there are, by the names that errors give them; several may have one name.
    fn all(&mut self) -> Vec<(&'static str, Value<'_>)> {
        use Value::{Small, Wide};
        let mut all = Vec::new();
        if let Some(budget) = &mut self.budget {
            if !self.one_by_one {
                all.extend([
                    ("entries", Wide(&mut budget.entries)),
                    ("bytes", Wide(&mut budget.bytes)),
                ]);
            }
            all.extend([
                ("file_bytes", Wide(&mut budget.file_bytes)),
                ("name_bytes", Small(&mut budget.name_bytes)),
                ("path_bytes", Small(&mut budget.path_bytes)),
                ("depth", Small(&mut budget.depth)),
            ]);
        }
        if let Some(tar) = &mut self.tar {
            all.extend([
                ("entries", Wide(&mut tar.entries)),
                (NAME_BYTES, Wide(&mut tar.name_bytes)),
                ("metadata_bytes", Wide(&mut tar.metadata_bytes)),
                ("sparse_segments", Wide(&mut tar.sparse_segments)),
                ("hole_bytes", Wide(&mut tar.hole_bytes)),
                ("total_bytes", Wide(&mut tar.total_bytes)),
            ]);
        }
        if let Some(codec) = &mut self.codec {
            all.extend([
                ("output_bytes", Wide(&mut codec.output_bytes)),
                ("ratio", Wide(&mut codec.ratio)),
                ("ratio_from", Wide(&mut codec.ratio_from)),
                ("window_bytes", Wide(&mut codec.window_bytes)),
                ("header_bytes", Wide(&mut codec.header_bytes)),
            ]);
        }
        if let Some(tree) = &mut self.tree {
            all.extend([
                ("tree_bytes", Small(&mut tree.tree_bytes)),
                ("depth", Small(&mut tree.depth)),
                ("path_bytes", Small(&mut tree.path_bytes)),
            ]);
        }
        if let Some(walk) = &mut self.walk {
            all.extend([
                ("entries", Wide(&mut walk.entries)),
                ("path_bytes", Small(&mut walk.path_bytes)),
                ("memory_bytes", Small(&mut walk.memory_bytes)),
            ]);
        }
        if let Some(mtree) = &mut self.mtree {
            all.extend([
                ("line_bytes", Wide(&mut mtree.line_bytes)),
                ("total_bytes", Wide(&mut mtree.total_bytes)),
            ]);
        }
        if let Some(texts) = &mut self.texts {
            all.extend([
                ("text_file_bytes", Wide(&mut texts.text_file_bytes)),
                ("text_bytes", Wide(&mut texts.text_bytes)),
                ("text_files", Wide(&mut texts.text_files)),
            ]);
        }
        if let Some(content) = &mut self.content_bytes {
            all.push(("content_bytes", Wide(content)));
        }
        if let Some(contents) = &mut self.contents_bytes {
            all.push(("contents_bytes", Small(contents)));
        }
        all
    }

    fn set(&mut self, name: &str, value: u64) -> bool {
        let longest = self.tar.as_ref().map(|tar| tar.name_bytes);
        let mut set = false;
        for (_, mut limit) in self.all().into_iter().filter(|(known, _)| *known == name) {
            limit.set(value);
            set = true;
        }
        // A name of an archive is a whole path.
        if let (Some(tar), Some(longest)) = (&mut self.tar, longest)
            && matches!(name, NAME_BYTES | "path_bytes")
        {
            tar.name_bytes = longest.max(value);
        }
        set
    }

    /// Their names and what they are, each name once: the first of that name is the one that is reached first.
    fn names(&mut self) -> Vec<String> {
        let mut known: Vec<&str> = Vec::new();
        let mut told = Vec::new();
        for (name, value) in self.all() {
            if !known.contains(&name) {
                known.push(name);
                told.push(format!("{name} ({})", value.get()));
            }
        }
        told
    }
}

/// The name of two limits: of a name in a tree, and of a path in an archive.
const NAME_BYTES: &str = "name_bytes";

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation says of them.
    const TABLE: &str = include_str!("../../../docs/output.md");

    #[test]
    fn the_documentation_has_all_limits_and_what_they_are() {
        let (mut budget, mut tar, mut codec) = (Budget::default(), tar::Limits::default(), codec::Limits::default());
        let (mut tree, mut walk, mut mtree) =
            (tree::Limits::default(), walk::Limits::default(), MtreeLimits::default());
        let (mut texts, mut contents) = (TextLimits::default(), contents::Options::default().contents_bytes);
        // That of `extract`.
        let mut content = 4 << 30;
        let mut all = Limits {
            budget: Some(&mut budget),
            one_by_one: false,
            tar: Some(&mut tar),
            codec: Some(&mut codec),
            content_bytes: Some(&mut content),
            contents_bytes: Some(&mut contents),
            tree: Some(&mut tree),
            walk: Some(&mut walk),
            mtree: Some(&mut mtree),
            texts: Some(&mut texts),
        };
        let known = all.all().into_iter().map(|(name, value)| (name, value.get()));
        for (name, value) in known.collect::<Vec<_>>() {
            let grouped = value.to_string();
            let grouped: Vec<&str> = grouped
                .as_bytes()
                .rchunks(3)
                .rev()
                .map(|digits| std::str::from_utf8(digits).expect("digits"))
                .collect();
            let value = grouped.join(",");
            let row = format!("| `{name}` |");
            let line = TABLE.lines().find(|line| line.starts_with(&row));
            let line = line.unwrap_or_else(|| panic!("{name} is not in the table"));
            assert!(line.contains(&value), "{name} is {value}: {line}");
        }
    }

    #[test]
    fn a_limit_is_set_wherever_it_is_and_names_keep_their_room() {
        let (mut budget, mut tar) = (Budget::default(), tar::Limits::default());
        let mut limits = Limits {
            budget: Some(&mut budget),
            tar: Some(&mut tar),
            ..Limits::default()
        };
        assert!(limits.set("entries", 7) && limits.set("name_bytes", 9) && limits.set("path_bytes", 5000));
        assert!(!limits.set("tree_bytes", 1) && !limits.set("", 1));
        assert_eq!((budget.entries, budget.name_bytes, budget.path_bytes), (7, 9, 5000));
        assert_eq!((tar.entries, tar.name_bytes), (7, 5000));
    }
}
