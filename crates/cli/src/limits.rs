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
    for limit in &limits.limit {
        if !into.set(&limit.name, limit.value) {
            let message = format!(
                "there is no limit \"{}\"; there are {}",
                plain(&limit.name),
                into.names().join(", ")
            );
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

const BUDGET: [&str; 6] = ["entries", "bytes", "file_bytes", "name_bytes", "path_bytes", "depth"];
const TAR: [&str; 6] = [
    "entries",
    "name_bytes",
    "metadata_bytes",
    "sparse_segments",
    "hole_bytes",
    "total_bytes",
];
const TREE: [&str; 3] = ["tree_bytes", "depth", "path_bytes"];
const WALK: [&str; 3] = ["entries", "path_bytes", "memory_bytes"];
const MTREE: [&str; 2] = ["line_bytes", "total_bytes"];
const TEXTS: [&str; 3] = ["text_file_bytes", "text_bytes", "text_files"];
const CODEC: [&str; 5] = ["output_bytes", "ratio", "ratio_from", "window_bytes", "header_bytes"];

impl Limits<'_> {
    fn set(&mut self, name: &str, value: u64) -> bool {
        let small = usize::try_from(value).unwrap_or(usize::MAX);
        let mut set = false;
        if let Some(budget) = &mut self.budget {
            set |= BUDGET.contains(&name);
            match name {
                "entries" => budget.entries = value,
                "bytes" => budget.bytes = value,
                "file_bytes" => budget.file_bytes = value,
                "name_bytes" => budget.name_bytes = small,
                "path_bytes" => budget.path_bytes = small,
                "depth" => budget.depth = small,
                _ => {}
            }
        }
        if let Some(tar) = &mut self.tar {
            set |= TAR.contains(&name);
            match name {
                "entries" => tar.entries = value,
                // A name of an archive is a whole path.
                "name_bytes" | "path_bytes" => tar.name_bytes = tar.name_bytes.max(value),
                "metadata_bytes" => tar.metadata_bytes = value,
                "sparse_segments" => tar.sparse_segments = value,
                "hole_bytes" => tar.hole_bytes = value,
                "total_bytes" => tar.total_bytes = value,
                _ => {}
            }
        }
        if let Some(codec) = &mut self.codec {
            set |= CODEC.contains(&name);
            match name {
                "output_bytes" => codec.output_bytes = value,
                "ratio" => codec.ratio = value,
                "ratio_from" => codec.ratio_from = value,
                "window_bytes" => codec.window_bytes = value,
                "header_bytes" => codec.header_bytes = value,
                _ => {}
            }
        }
        if let Some(tree) = &mut self.tree {
            set |= TREE.contains(&name);
            match name {
                "tree_bytes" => tree.tree_bytes = small,
                "depth" => tree.depth = small,
                "path_bytes" => tree.path_bytes = small,
                _ => {}
            }
        }
        if let Some(walk) = &mut self.walk {
            set |= WALK.contains(&name);
            match name {
                "entries" => walk.entries = value,
                "path_bytes" => walk.path_bytes = small,
                "memory_bytes" => walk.memory_bytes = small,
                _ => {}
            }
        }
        if let Some(mtree) = &mut self.mtree {
            set |= MTREE.contains(&name);
            match name {
                "line_bytes" => mtree.line_bytes = value,
                "total_bytes" => mtree.total_bytes = value,
                _ => {}
            }
        }
        if let Some(texts) = &mut self.texts {
            set |= TEXTS.contains(&name);
            match name {
                "text_file_bytes" => texts.text_file_bytes = value,
                "text_bytes" => texts.text_bytes = value,
                "text_files" => texts.text_files = value,
                _ => {}
            }
        }
        match (name, &mut self.content_bytes, &mut self.contents_bytes) {
            ("content_bytes", Some(limit), _) => **limit = value,
            ("contents_bytes", _, Some(limit)) => **limit = small,
            _ => return set,
        }
        true
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        let lists = [
            (self.budget.is_some(), &BUDGET[..]),
            (self.tar.is_some(), &TAR),
            (self.codec.is_some(), &CODEC),
            (self.tree.is_some(), &TREE),
            (self.walk.is_some(), &WALK),
            (self.mtree.is_some(), &MTREE),
            (self.texts.is_some(), &TEXTS),
            (self.content_bytes.is_some(), &["content_bytes"]),
            (self.contents_bytes.is_some(), &["contents_bytes"]),
        ];
        for name in lists.into_iter().filter(|(there, _)| *there).flat_map(|(_, list)| list) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        names
    }
}
