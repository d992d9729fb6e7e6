//! `teu files`: which files has an image, or a layer?

use std::{io::Write, sync::Arc};

use serde_json::{Value, json};
use teu_archive::Escaped;
use teu_image::{
    contents::{self, Contents, Entry, What},
    edit::WhichLayer,
    glob::{self, Pattern},
    tree::{self, File, Tree},
};
use teu_rootfs::{Metadata, Node, Time};
use teu_store::{Error, ErrorKind};

use crate::{
    arguments::Files,
    failure::Failure,
    inside::Inside,
    listed::{self, path as shown_path},
    output::{self, Columns},
    progress::Shown,
    settings::Settings,
};

pub(super) async fn run(arguments: &Files, settings: Arc<Settings>) -> Result<(), Failure> {
    let patterns = arguments
        .globs
        .iter()
        .map(|glob| Pattern::new(glob))
        .collect::<Result<Vec<_>, _>>()?;
    let which: Option<WhichLayer> = arguments.layer.as_deref().map(str::parse).transpose()?;
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    let (source, image, cache) = (inside.source, inside.image, inside.cache.as_ref());
    let listed = match which {
        Some(which) => {
            let layer = which.find(&image)?;
            Listed::Layer(
                contents::of(&source, layer, cache, &inside.contents).await?,
                layer.position,
            )
        }
        None => {
            let tables = contents::of_all(&source, &image.layers, cache, &inside.contents).await?;
            Listed::Tree(Tree::of(&tables, &tree::Options::default())?)
        }
    };
    shown.finish();
    let mut columns = Columns::default();
    // Before anything is printed, every pattern has to mean something, and columns have their widths.
    if !patterns.is_empty() || (arguments.long && !settings.json) {
        let mut met = vec![false; patterns.len()];
        listed.each(&patterns, &mut met, |found| {
            if arguments.long && !settings.json {
                columns.take(&found.row()?.as_cells());
            }
            Ok(())
        })?;
        if let Some((pattern, _)) = patterns.iter().zip(&met).find(|(_, met)| !**met) {
            let message = format!("nothing in the image is meant by {:?}", pattern.as_str());
            return Err(Error::new(ErrorKind::NotFound, message).into());
        }
    }
    let mut met = vec![false; patterns.len()];
    if settings.json {
        let told = json!({"digest": image.descriptor.digest, "files": []});
        let mut files = output::JsonList::begin(&told, "files")?;
        listed.each(&patterns, &mut met, |found| files.value(&found.row()?.as_json()))?;
        return files.end();
    }
    let mut out = output::stream();
    listed.each(&patterns, &mut met, |found| {
        match arguments.long {
            true => writeln!(out, "{}", columns.line(&found.row()?.as_cells()))?,
            false => writeln!(out, "{}", shown_path(&found.path()))?,
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(())
}

/// What is listed: gone over more than once, and never held.
enum Listed {
    Tree(Tree),
    /// A layer's own entries, and its position.
    Layer(Contents, usize),
}

/// One of what is listed.
enum Found<'f> {
    File(Vec<u8>, File<'f>),
    Entry(&'f Entry, usize),
}

impl Listed {
    /// Gives all that is wanted to `take`; of each pattern it is noted whether it means something.
    fn each(
        &self,
        patterns: &[Pattern],
        met: &mut [bool],
        mut take: impl FnMut(Found<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut is_wanted = |path: &[u8]| {
            let mut wanted = patterns.is_empty();
            for (pattern, met) in patterns.iter().zip(&mut *met) {
                if pattern.covers(path) {
                    (wanted, *met) = (true, true);
                }
            }
            wanted
        };
        match self {
            Self::Tree(tree) => {
                // The root has no name.
                for found in tree.walk().skip(1) {
                    let (path, file) = found?;
                    if is_wanted(&path) {
                        take(Found::File(path, file))?;
                    }
                }
            }
            Self::Layer(table, position) => {
                for entry in table.entries() {
                    let entry = entry?;
                    let path = glob::clean(&entry.path);
                    let wanted = match &entry.what {
                        // By its own name, or by that of what it hides.
                        What::Remove(hidden) | What::Clear(hidden) => is_wanted(&path) | is_wanted(hidden),
                        _ => is_wanted(&path),
                    };
                    if wanted {
                        take(Found::Entry(&entry, *position))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Found<'_> {
    fn path(&self) -> Vec<u8> {
        match self {
            Self::File(path, _) => path.clone(),
            Self::Entry(entry, _) => glob::clean(&entry.path),
        }
    }

    fn row(&self) -> Result<Row, Failure> {
        let path = self.path();
        Ok(match self {
            Self::File(_, file) => {
                let described = file.read()?;
                Row {
                    path,
                    kind: Kind::Node(described.node),
                    metadata: Some(described.metadata),
                    names: Some(file.names()),
                    layer: file.layer(),
                }
            }
            Self::Entry(entry, layer) => {
                let kind = Kind::of(&entry.what);
                let says_metadata = !matches!(kind, Kind::Remove(_) | Kind::Clear(_));
                Row {
                    path,
                    kind,
                    metadata: says_metadata.then(|| entry.metadata.clone()),
                    names: None,
                    layer: Some(*layer),
                }
            }
        })
    }
}

/// What is told of a file.
struct Row {
    path: Vec<u8>,
    kind: Kind,
    metadata: Option<Metadata>,
    names: Option<u32>,
    layer: Option<usize>,
}

enum Kind {
    Node(Node),
    HardLink(Vec<u8>),
    Remove(Vec<u8>),
    Clear(Vec<u8>),
}

impl Kind {
    fn of(what: &What) -> Self {
        match what {
            What::Make(node) => Self::Node(node.clone()),
            What::HardLink(target) => Self::HardLink(glob::clean(target)),
            What::Remove(path) => Self::Remove(path.clone()),
            What::Clear(path) => Self::Clear(path.clone()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Node(node) => listed::word(node),
            Self::HardLink(_) => "hardlink",
            Self::Remove(_) => "whiteout",
            Self::Clear(_) => "opaque-whiteout",
        }
    }

    /// The letter that `ls` has for it, `h` as tar has it for another name.
    fn letter(&self) -> char {
        match self {
            Self::Node(node) => listed::letter(node),
            Self::HardLink(_) => 'h',
            Self::Remove(_) | Self::Clear(_) => 'w',
        }
    }
}

impl Row {
    fn as_cells(&self) -> Vec<String> {
        let none = || "-".to_owned();
        let (mode, owner, time) = match &self.metadata {
            Some(metadata) => (
                format!("{}{}", self.kind.letter(), listed::permissions(metadata.mode)),
                format!("{}:{}", metadata.uid, metadata.gid),
                listed::time(Time {
                    nanoseconds: 0,
                    ..metadata.mtime
                }),
            ),
            None => (format!("{}---------", self.kind.letter()), none(), none()),
        };
        let size = match &self.kind {
            Kind::Node(Node::File(size)) => size.to_string(),
            Kind::Node(Node::CharDevice(device) | Node::BlockDevice(device)) => {
                format!("{},{}", device.major, device.minor)
            }
            _ => none(),
        };
        let leads = match &self.kind {
            Kind::Node(Node::Symlink(target)) => format!(" -> {}", Escaped(target)),
            Kind::HardLink(target) => format!(" link to {}", shown_path(target)),
            Kind::Remove(hidden) => format!(" hides {}", shown_path(hidden)),
            Kind::Clear(hidden) => format!(" hides all in {}", shown_path(hidden)),
            Kind::Node(_) => String::new(),
        };
        let layer = self.layer.map_or_else(none, |layer| layer.to_string());
        vec![mode, owner, size, time, layer, shown_path(&self.path) + &leads]
    }

    fn as_json(&self) -> Value {
        let mut told = json!({"type": self.kind.word(), "layer": self.layer});
        listed::name(&mut told, "path", &self.path, "/");
        if let Some(metadata) = &self.metadata {
            listed::metadata(&mut told, metadata);
        }
        if let Some(names) = self.names {
            told["names"] = names.into();
        }
        match &self.kind {
            Kind::Node(node) => listed::node(&mut told, node),
            Kind::HardLink(target) => listed::name(&mut told, "target", target, "/"),
            Kind::Remove(hidden) | Kind::Clear(hidden) => listed::name(&mut told, "hides", hidden, "/"),
        }
        told
    }
}
