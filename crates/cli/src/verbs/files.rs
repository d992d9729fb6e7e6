//! `teu files`: which files has an image, or a layer?

use std::sync::Arc;

use serde_json::{Value, json};
use teu_archive::Escaped;
use teu_image::{
    contents::{self, Cache, Entry, What},
    edit::WhichLayer,
    glob::{self, Pattern},
    tree::{self, File, Tree},
};
use teu_rootfs::{Metadata, Node, Time};
use teu_store::{Error, ErrorKind};

use crate::{
    arguments::Files,
    failure::Failure,
    listed::{self, path as shown_path},
    output, places,
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
    let (source, image) = places::image(
        &arguments.image,
        arguments.platform.as_deref(),
        &arguments.one.options(),
        &settings,
        shown.events(),
    )
    .await?;
    let mut options = contents::Options::default();
    options.layers.events = shown.events();
    let cache = settings.contents().map(Cache::new);
    let mut found = Found::new(&patterns);
    if let Some(which) = which {
        let layer = which.find(&image)?;
        let table = contents::of(&source, layer, cache.as_ref(), &options).await?;
        shown.finish();
        for entry in table.entries() {
            found.entry(&entry, layer.position);
        }
    } else {
        let tables = contents::of_all(&source, &image.layers, cache.as_ref(), &options).await?;
        let tree = Tree::of(&tables, &tree::Options::default())?;
        shown.finish();
        // The root has no name.
        for (path, file) in tree.walk().skip(1) {
            found.file(path, file);
        }
    }
    let rows = found.all()?;
    if settings.json {
        let files: Vec<Value> = rows.iter().map(Row::as_json).collect();
        return output::json(&json!({"digest": image.descriptor.digest, "files": files}));
    }
    match arguments.long {
        true => output::table(&rows.iter().map(Row::as_cells).collect::<Vec<_>>()),
        false => output::bytes(
            rows.iter()
                .map(|row| shown_path(&row.path) + "\n")
                .collect::<String>()
                .as_bytes(),
        ),
    }
}

/// What was asked for and is there.
struct Found<'p> {
    patterns: &'p [Pattern],
    /// Of each pattern, whether it means something.
    met: Vec<bool>,
    rows: Vec<Row>,
}

impl<'p> Found<'p> {
    fn new(patterns: &'p [Pattern]) -> Self {
        Self {
            patterns,
            met: vec![false; patterns.len()],
            rows: Vec::new(),
        }
    }

    fn is_wanted(&mut self, path: &[u8]) -> bool {
        let mut wanted = self.patterns.is_empty();
        for (pattern, met) in self.patterns.iter().zip(&mut self.met) {
            if pattern.covers(path) {
                (wanted, *met) = (true, true);
            }
        }
        wanted
    }

    fn file(&mut self, path: Vec<u8>, file: File<'_>) {
        if self.is_wanted(&path) {
            self.rows.push(Row {
                path,
                kind: Kind::Node(file.kind().clone()),
                metadata: Some(file.metadata().clone()),
                names: Some(file.names()),
                layer: file.layer(),
            });
        }
    }

    fn entry(&mut self, entry: &Entry, layer: usize) {
        let (path, kind) = (glob::clean(&entry.path), Kind::of(&entry.what));
        let wanted = match &kind {
            // By its own name, or by that of what it hides.
            Kind::Remove(hidden) | Kind::Clear(hidden) => self.is_wanted(&path) | self.is_wanted(hidden),
            _ => self.is_wanted(&path),
        };
        if wanted {
            let says_metadata = !matches!(kind, Kind::Remove(_) | Kind::Clear(_));
            self.rows.push(Row {
                path,
                kind,
                metadata: says_metadata.then(|| entry.metadata.clone()),
                names: None,
                layer: Some(layer),
            });
        }
    }

    /// # Errors
    /// Where a pattern means nothing.
    fn all(self) -> Result<Vec<Row>, Failure> {
        match self.patterns.iter().zip(&self.met).find(|(_, met)| !**met) {
            Some((pattern, _)) => {
                let message = format!("nothing in the image is meant by {:?}", pattern.as_str());
                Err(Error::new(ErrorKind::NotFound, message).into())
            }
            None => Ok(self.rows),
        }
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
