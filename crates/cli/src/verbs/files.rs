//! `teu files`: which files has an image, or a layer?

use std::{borrow::Cow, io::Write, os::unix::ffi::OsStrExt as _, sync::Arc};

use serde_json::{Value, json};
use teu_archive::Escaped;
use teu_image::{
    contents::{self, Contents, Entry, What},
    edit::WhichLayer,
    glob::{self, Pattern},
    read,
    tree::{File, Tree},
};
use teu_rootfs::{Metadata, Node, Time};
use teu_store::{Error, ErrorKind};

use crate::{
    arguments::Files,
    failure::Failure,
    inside::Inside,
    limits,
    listed::{self, path as shown_path, put, put_path},
    output::{self, Columns},
    progress::Shown,
    settings::Settings,
};

pub(super) async fn run(arguments: &Files, settings: Arc<Settings>) -> Result<(), Failure> {
    let patterns = Pattern::all(arguments.globs.iter().map(|glob| glob.as_bytes()))?;
    let which: Option<WhichLayer> = arguments.layer.as_deref().map(str::parse).transpose()?;
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let mut inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    limits::set(&arguments.limits, inside.limits())?;
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
            let listing = read::listing(&source, &image.layers, &patterns, cache, &inside.contents, &inside.tree);
            Listed::Tree(listing.await?)
        }
    };
    shown.finish();
    let (mut columns, mut rows) = (Columns::default(), Rows::default());
    let in_columns = arguments.long && !settings.json;
    // Before anything is printed, every pattern has to mean something, and columns have their widths.
    if !patterns.is_empty() || in_columns {
        let mut met = vec![false; patterns.len()];
        listed.each(&patterns, &mut met, |found| {
            if in_columns {
                columns.take(rows.add(&found.row()?));
            }
            Ok(())
        })?;
        if let Some((pattern, _)) = patterns.iter().zip(&met).find(|(_, met)| !**met) {
            let message = format!("nothing in the image is meant by \"{}\"", Escaped(pattern.as_bytes()));
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
    let mut line = String::new();
    let mut print = |line: &mut String| -> Result<(), Failure> {
        line.push('\n');
        out.write_all(line.as_bytes())?;
        line.clear();
        Ok(())
    };
    if in_columns && !rows.forgot {
        for row in 0..rows.count() {
            columns.line(rows.row(row), &mut line);
            print(&mut line)?;
        }
    } else {
        listed.each(&patterns, &mut met, |found| {
            match arguments.long {
                true => columns.line(rows.add(&found.row()?), &mut line),
                false => put_path(&mut line, &found.path()),
            }
            print(&mut line)
        })?;
    }
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
    File(&'f [u8], File<'f>),
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
                let mut walk = tree.walk();
                walk.next_file()?;
                while let Some((path, file)) = walk.next_file()? {
                    if is_wanted(path) {
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
    fn path(&self) -> Cow<'_, [u8]> {
        match self {
            Self::File(path, _) => Cow::Borrowed(path),
            Self::Entry(entry, _) => Cow::Owned(glob::clean(&entry.path)),
        }
    }

    fn row(&self) -> Result<Row<'_>, Failure> {
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
struct Row<'f> {
    path: Cow<'f, [u8]>,
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

impl Row<'_> {
    /// Adds [`COLUMNS`] cells.
    fn cells(&self, cells: &mut Rows) {
        let letter = self.kind.letter();
        match &self.metadata {
            Some(metadata) => {
                cells.cell(|text| {
                    text.push(letter);
                    listed::put_permissions(text, metadata.mode);
                });
                cells.cell(|text| put(text, format_args!("{}:{}", metadata.uid, metadata.gid)));
            }
            None => {
                cells.cell(|text| put(text, format_args!("{letter}---------")));
                cells.none();
            }
        }
        match &self.kind {
            Kind::Node(Node::File(size)) => cells.cell(|text| put(text, size)),
            Kind::Node(Node::CharDevice(device) | Node::BlockDevice(device)) => {
                cells.cell(|text| put(text, format_args!("{},{}", device.major, device.minor)));
            }
            _ => cells.none(),
        }
        match &self.metadata {
            Some(metadata) => cells.cell(|text| {
                let time = Time {
                    nanoseconds: 0,
                    ..metadata.mtime
                };
                listed::put_time(text, time);
            }),
            None => cells.none(),
        }
        match self.layer {
            Some(layer) => cells.cell(|text| put(text, layer)),
            None => cells.none(),
        }
        cells.cell(|text| {
            put_path(text, &self.path);
            match &self.kind {
                Kind::Node(Node::Symlink(target)) => put(text, format_args!(" -> {}", Escaped(target))),
                Kind::HardLink(target) => put(text, format_args!(" link to {}", shown_path(target))),
                Kind::Remove(hidden) => put(text, format_args!(" hides {}", shown_path(hidden))),
                Kind::Clear(hidden) => put(text, format_args!(" hides all in {}", shown_path(hidden))),
                Kind::Node(_) => {}
            }
        });
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

/// How many cells a row has.
const COLUMNS: usize = 6;
/// How many bytes of rows are held: so many are put together once, and more of them again when they are printed.
const HELD: usize = 16 << 20;

/// The cells of one row behind the other, in memory that they share.
#[derive(Default)]
struct Rows {
    text: String,
    /// Where each cell ends.
    ends: Vec<u32>,
    /// There were more than are held.
    forgot: bool,
}

impl Rows {
    /// Adds a row, whose cells it gives.
    fn add(&mut self, row: &Row<'_>) -> impl Iterator<Item = &str> {
        if self.forgot {
            self.text.clear();
            self.ends.clear();
        } else if self.text.len() + size_of_val(&self.ends[..]) > HELD {
            // Not cleared, so that the memory goes back.
            (self.text, self.ends, self.forgot) = (String::new(), Vec::new(), true);
        }
        row.cells(self);
        self.row(self.count() - 1)
    }

    /// How many are held.
    fn count(&self) -> usize {
        self.ends.len() / COLUMNS
    }

    fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        let cells = row * COLUMNS..(row + 1) * COLUMNS;
        let end = |cell: usize| self.ends[cell] as usize;
        cells.map(move |cell| &self.text[cell.checked_sub(1).map_or(0, end)..end(cell)])
    }

    fn cell(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.ends.push(self.text.len() as u32);
    }

    fn none(&mut self) {
        self.cell(|text| text.push('-'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_held_as_long_as_they_are_few() {
        let row = |path: &'static str, layer| Row {
            path: path.as_bytes().into(),
            kind: Kind::Node(Node::File(7)),
            metadata: None,
            names: None,
            layer,
        };
        let (first, second) = (row("a", Some(0)), row("b", None));
        let expected = [
            ["----------", "-", "7", "-", "0", "/a"],
            ["----------", "-", "7", "-", "-", "/b"],
        ];
        let mut rows = Rows::default();
        assert!(rows.add(&first).eq(expected[0]) && rows.add(&second).eq(expected[1]));
        assert_eq!((rows.count(), rows.forgot), (2, false));
        assert!(rows.row(0).eq(expected[0]) && rows.row(1).eq(expected[1]));
        while !rows.forgot {
            assert!(rows.text.len() <= HELD + 100);
            rows.add(&first).for_each(drop);
        }
        assert!(rows.add(&second).eq(expected[1]) && rows.add(&first).eq(expected[0]));
        assert_eq!(rows.count(), 1);
    }
}
