//! How does an image get new layers on top? [`Append`] is the [`Change`] that writes them, of archives and of files, and puts them there.
//!
//! A layer is written once, however many images of an index get it, unless their layers are compressed in different ways and nobody said how
//! this one is to be, or a directory that it says again is not the same in them. The same image, files and settings give the same image on every machine.

mod below;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{self, Arc, PoisonError},
    thread,
};

use teu_archive::Escaped;
use teu_rootfs::{
    Metadata, Node,
    walk::{self, Walk},
};
use teu_spec::{Descriptor, Format, History, LayerCompression};
use teu_store::{BoxFuture, Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::{
    change::{Change, Image, Stage},
    contents::{self, Cache},
    failure::of_files,
    layer::{self, Keep, Limits, NO_SOCKETS, PassedOver, Time, Times, Tree, Written},
    read::{self, Need},
    tree,
};

/// Adds layers to images.
#[derive(Debug)]
pub struct Append {
    layers: Vec<New>,
    settings: Settings,
    made: Mutex<Vec<(Key, Made)>>,
    /// What is hidden and was there in some image: the number of the layer, and the place of the path in it.
    hit: sync::Mutex<HashSet<(usize, usize)>>,
}

/// What a layer depends on, beside what is the same for all images.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    number: usize,
    /// The paths that its files have in the image.
    paths: Vec<Vec<u8>>,
    /// What the image has where its files go.
    top: Option<Box<Metadata>>,
    above: Above,
    compression: LayerCompression,
    keep: Keep,
}

/// Directories of the image, as they are in it.
type Above = BTreeMap<Vec<u8>, Metadata>;

/// Files with the paths that links of an image make of theirs.
struct Resolved {
    files: Files,
    /// The directories that it has above them.
    above: Above,
    /// Which of the paths that are hidden it has.
    hit: Vec<usize>,
}

/// A layer that was written, and how the layers below are looked into for what it needs of them; not at all where it needs nothing.
type Made = (Written, Option<Box<Resolve>>);

/// A layer to be.
#[derive(Clone, Debug)]
pub struct New {
    /// What is in it.
    pub content: Content,
    /// How it came to be, for the history; none where that is to say nothing of it.
    pub history: Option<History>,
}

/// What is in a layer to be.
#[derive(Clone, Debug)]
pub enum Content {
    /// A tar archive, plain or in gzip or zstd.
    Archive(Archive),
    /// Files, and what is hidden of lower layers.
    Files(Files),
}

/// A tar archive to be read.
#[derive(Clone)]
pub struct Archive {
    /// What it is called.
    pub name: String,
    /// Opens it. It is called again where one layer must be written in several ways.
    pub open: Open,
    /// Where its entries need something of the layers below, a file for a hard link or a directory that is no file, it is seen whether that is there, and
    /// refused where it is not. The image's layers are read for it, as far as it takes. Without it they are not.
    pub below: Option<Box<Resolve>>,
}

/// Opens something to read it.
pub type Open = Arc<dyn Fn() -> Result<Box<dyn Read + Send>> + Send + Sync>;

impl fmt::Debug for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Archive").field(&self.name).finish()
    }
}

/// Files that become a layer, and what is hidden of lower ones. Paths are as [`path_in_image`](crate::glob::path_in_image) gives them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Paths at which nothing of lower layers is to be seen.
    pub hidden: Vec<Vec<u8>>,
    /// Directories in which nothing of lower layers is to be seen; empty for the root.
    pub opaque: Vec<Vec<u8>>,
    /// A tree on the disk: a directory, or one file of any kind.
    pub tree: Option<(PathBuf, Tree)>,
    /// How much the tree may ask for.
    pub limits: walk::Limits,
    /// Whether what is mounted in the tree is left out.
    pub one_file_system: bool,
    /// Links of the image are followed on the way to where files go, and in paths that are hidden: what is put at `bin/app` stands in `usr/bin` where
    /// `bin` leads there. A directory that the image has where a tree goes stays what it is, as [`Tree::top`] has it, unless it is opaque; and so do
    /// those above, which the layer has too: engines that put layers over one another would make up what is missing of them. The image's layers are
    /// read for it, as far as it takes. Without it the entries have the paths as they are given, and a directory takes the place of such a link.
    pub resolve: Option<Box<Resolve>>,
}

/// How links of an image are followed.
#[derive(Clone, Debug, Default)]
pub struct Resolve {
    /// What layers have is looked up here, and kept.
    pub cache: Option<Cache>,
    /// How layers are read.
    pub contents: contents::Options,
    /// How the tree is made.
    pub tree: tree::Options,
}

/// How new layers are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How they are compressed. None means: as most layers of the image, and what is compressed already stays as it is.
    pub compression: Option<LayerCompression>,
    /// How hard it is tried; see [`layer::Options::level`].
    pub level: Option<i32>,
    /// Whether archives that are compressed as wanted are compressed anew all the same.
    pub anew: bool,
    /// How many threads compress.
    pub threads: NonZeroUsize,
    /// What becomes of the times of files; those in archives stay.
    pub times: Times,
    /// What entries may ask for, of archives and of files.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            compression: None,
            level: None,
            anew: false,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            times: Times::Keep,
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// How a new layer of this image is written.
    ///
    /// # Errors
    /// Why it can have none so: before the work is done for nothing.
    pub(crate) fn for_image(&self, image: &Image) -> Result<layer::Options> {
        let compression = self.compression.unwrap_or_else(|| image.usual_compression());
        image.diff_ids()?;
        image.layer_type(compression)?;
        Ok(layer::Options {
            compression,
            level: self.level,
            threads: self.threads,
            times: self.times,
            limits: self.limits.clone(),
            ..layer::Options::default()
        })
    }
}

impl Append {
    /// Adds these, the lowest first.
    #[must_use]
    pub fn new(layers: Vec<New>, settings: Settings) -> Self {
        Self {
            layers,
            settings,
            made: Mutex::default(),
            hit: sync::Mutex::default(),
        }
    }

    fn hit(&self) -> sync::MutexGuard<'_, HashSet<(usize, usize)>> {
        // No one leaves it half changed.
        self.hit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layer for this image, which may have been written for another one.
    async fn layer(&self, number: usize, image: &Image, stage: &Stage) -> Result<Made> {
        let new = &self.layers[number];
        let settings = &self.settings;
        let keep = match (settings.anew, settings.compression) {
            (true, _) => Keep::Nothing,
            // Docker's form has no word for zstd.
            (false, None) if image.format() == Format::Oci => Keep::AnyCompression,
            (false, _) => Keep::SameCompression,
        };
        let options = settings.for_image(image)?;
        let (content, above) = match &new.content {
            Content::Files(files) => {
                let Resolved { files, above, hit } = files.resolved(image, stage).await?;
                self.hit().extend(hit.into_iter().map(|place| (number, place)));
                (Content::Files(files), above)
            }
            archive => (archive.clone(), Above::new()),
        };
        let (paths, top) = match &content {
            Content::Files(files) => (
                files.paths(),
                files.tree.as_ref().and_then(|(_, tree)| tree.top.clone()),
            ),
            Content::Archive(_) => (Vec::new(), None),
        };
        let key = Key {
            number,
            paths,
            top,
            above,
            compression: options.compression,
            keep,
        };
        let mut made = self.made.lock().await;
        if let Some((_, made)) = made.iter().find(|(known, _)| *known == key) {
            return Ok(made.clone());
        }
        let new = match &content {
            Content::Archive(archive) => {
                let written = layer::from_tar(stage.target(), &options, (archive.open)()?, keep).await;
                let (written, is_whole) = written.map_err(|error| error.within(format!("reading {}", archive.name)))?;
                (written, archive.below.clone().filter(|_| !is_whole))
            }
            Content::Files(files) => (of_tree(files, &key.above, &options, stage).await?, None),
        };
        made.push((key, new.clone()));
        Ok(new)
    }
}

impl Change for Append {
    fn reads_new(&self) -> bool {
        let is_looked_into = |new: &New| matches!(&new.content, Content::Archive(archive) if archive.below.is_some());
        self.layers.iter().any(is_looked_into)
    }

    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for (number, new) in self.layers.iter().enumerate() {
                let (written, below) = self.layer(number, image, stage).await?;
                let layer = image.layer_of(&written)?;
                image.append_layer(&layer, new.history.as_ref())?;
                if let (Some(below), Content::Archive(archive)) = (below, &new.content) {
                    let checked = below::check(image, &below, stage).await;
                    checked.map_err(|error| error.within(format!("reading {}", archive.name)))?;
                }
            }
            Ok(())
        })
    }

    /// Who hides a path by its name and hits nothing in any image has misspelt it: what was to be hidden is seen.
    fn finish(&self, _: &Descriptor) -> Result<()> {
        let hit = self.hit();
        for (number, new) in self.layers.iter().enumerate() {
            let Content::Files(files) = &new.content else { continue };
            let mut hidden = files.hidden.iter().enumerate().filter(|_| files.resolve.is_some());
            if let Some((_, path)) = hidden.find(|(place, _)| !hit.contains(&(number, *place))) {
                let message = format!(
                    "/{}: nothing is there in the image that could be hidden; with --as-is it is hidden all the same",
                    Escaped(path)
                );
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        }
        Ok(())
    }
}

impl Files {
    /// All paths in the image.
    fn paths(&self) -> Vec<Vec<u8>> {
        let top = self.tree.iter().map(|(_, tree)| &tree.at);
        self.hidden.iter().chain(&self.opaque).chain(top).cloned().collect()
    }

    /// The same with the paths that links of the image make of these, and the directories that it has above them.
    async fn resolved(&self, image: &Image, stage: &Stage) -> Result<Resolved> {
        let mut files = self.clone();
        let Some(resolve) = &self.resolve else {
            return Ok(Resolved {
                files,
                above: Above::new(),
                hit: Vec::new(),
            });
        };
        let layers = image.read_layers()?;
        let mut options = resolve.contents.clone();
        options.layers.events = Arc::clone(stage.events());
        // A link is put there as a link, wherever it leads.
        let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let is_directory = self.tree.as_ref().is_some_and(|(path, _)| is_directory(path));
        // What the root is like, no layer of files says.
        let keeps = |at: &Vec<u8>| is_directory && !at.is_empty() && !self.opaque.contains(at);
        let keeps_top = self.tree.as_ref().is_some_and(|(_, tree)| keeps(&tree.at));
        // What is hidden, and a file, takes the place of a link; a directory goes where that leads. Only what is put there needs a directory.
        let mut paths: Vec<(&mut Vec<u8>, bool, bool)> = Vec::new();
        paths.extend(files.hidden.iter_mut().map(|path| (path, false, false)));
        paths.extend(files.opaque.iter_mut().map(|path| (path, true, false)));
        paths.extend(
            files
                .tree
                .iter_mut()
                .map(|(_, tree)| (&mut tree.at, is_directory, true)),
        );
        // A path, whether a link at its end is followed, and whether a directory there is to stay what it is.
        let mut asked: Vec<(Vec<u8>, bool, bool)> = paths
            .iter()
            .map(|(path, whole, is_put)| (directory_of(path, *whole).to_vec(), true, *is_put && keeps_top))
            .collect();
        // What these are themselves.
        let file = self.tree.iter().filter(|_| !is_directory).map(|(_, tree)| &tree.at);
        asked.extend(
            self.hidden
                .iter()
                .chain(file.clone())
                .map(|path| (path.clone(), false, false)),
        );
        asked.extend(file.clone().map(|path| (path.clone(), true, false)));
        let need = |tree: &tree::Tree, _: &contents::Contents| {
            for (path, follow, keeps_top) in &asked {
                match tree.answer(path, *follow) {
                    Ok(tree::Answer::Unknown) => return Ok(Need::Next),
                    // What it is like a lower layer may say.
                    Ok(tree::Answer::Found(_, file)) if *keeps_top && file.is_directory() && file.layer().is_none() => {
                        return Ok(Need::Next);
                    }
                    // What leads in circles is told of where it matters.
                    _ => {}
                }
            }
            Ok(Need::Nothing)
        };
        let source = stage.source();
        let tree = read::upper(
            &source,
            &layers,
            resolve.cache.as_ref(),
            &options,
            &resolve.tree,
            None,
            need,
        )
        .await?;
        let mut hit = Vec::new();
        for (place, path) in self.hidden.iter().enumerate() {
            if tree.find(path, false)?.is_some() {
                hit.push(place);
            }
        }
        for path in file.filter(|path| !self.hidden.contains(path)) {
            check_place(&tree, path)?;
        }
        for (path, whole, is_put) in paths {
            *path = real(&tree, path, whole, is_put)?;
        }
        if let Some((_, put)) = files.tree.as_mut().filter(|_| keeps_top)
            && let Some((_, file)) = tree.find(&put.at, false)?
            && file.is_directory()
        {
            put.top = Some(Box::new(said_again(file)?));
        }
        let above = files.above(&tree)?;
        Ok(Resolved { files, above, hit })
    }

    /// The directories that the image has above these paths, but for those of which it says nothing any more: they are hidden, or of the tree.
    fn above(&self, tree: &tree::Tree) -> Result<Above> {
        let top = self.tree.iter().map(|(_, tree)| &tree.at);
        let others: HashSet<&[u8]> = self.hidden.iter().chain(top).map(Vec::as_slice).collect();
        let mut above = Above::new();
        if others.contains(&b""[..]) {
            return Ok(above);
        }
        for path in self.paths() {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for directory in ends.map(|(end, _)| &path[..end]) {
                if others.contains(directory) {
                    break;
                }
                if above.contains_key(directory) {
                    continue;
                }
                match tree.find(directory, false)? {
                    Some((real, file)) if file.is_directory() => above.insert(real, said_again(file)?),
                    _ => break,
                };
            }
        }
        Ok(above)
    }
}

/// What a directory is like, for another layer to say it too.
fn said_again(directory: tree::File<'_>) -> Result<Metadata> {
    let mut metadata = directory.read()?.metadata;
    metadata.xattrs.retain(|name, _| !teu_rootfs::is_of_overlayfs(name));
    Ok(metadata)
}

/// A file takes no directory's place, nor that of a link to one, by accident.
fn check_place(tree: &tree::Tree, path: &[u8]) -> Result<()> {
    let is_directory = |found: Option<(Vec<u8>, tree::File<'_>)>| found.is_some_and(|(_, file)| file.is_directory());
    let what = match is_directory(tree.find(path, false)?) {
        true => "a directory",
        false if tree.find(path, true).is_ok_and(is_directory) => "a link to a directory",
        false => return Ok(()),
    };
    let path = Escaped(path);
    let message = format!(
        "/{path} is {what} in the image: write /{path}/ to put the file into it, or say --whiteout /{path} too to have the file in its place"
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// What of a path is followed: all of it, or all but its last name.
fn directory_of(path: &[u8], whole: bool) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        _ if whole => path,
        Some(slash) => &path[..slash],
        None => &[],
    }
}

/// Where a path leads: the directory that as much of it as is there leads to, and the rest of it.
///
/// # Errors
/// `Invalid` where something is put into what is no directory: nobody could unpack that.
fn real(tree: &tree::Tree, path: &[u8], whole: bool, is_put: bool) -> Result<Vec<u8>> {
    let mut directory = directory_of(path, whole);
    loop {
        match tree.find(directory, true)? {
            Some((real, file)) if file.is_directory() => {
                let rest = &path[directory.len()..];
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                return Ok(match (&real[..], rest) {
                    ([], rest) => rest.to_vec(),
                    (real, []) => real.to_vec(),
                    (real, rest) => [real, b"/", rest].concat(),
                });
            }
            // A directory takes the place of what has its own path.
            Some((real, _)) if is_put && directory.len() < path.len() => {
                let message = format!(
                    "/{}: the image has /{}, which is no directory, so that nothing can be put into it",
                    Escaped(path),
                    Escaped(&real)
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            _ => {}
        }
        if directory.is_empty() {
            return Ok(path.to_vec());
        }
        directory = directory_of(directory, false);
    }
}

async fn of_tree(files: &Files, above: &Above, options: &layer::Options, stage: &Stage) -> Result<Written> {
    let (files, above) = (files.clone(), above.clone());
    let work = move |writer: &mut layer::Writer<'_>| {
        for (directory, metadata) in &above {
            writer.append_node(directory, &Node::Directory, metadata, io::empty())?;
        }
        // What is hidden stands before what is put in its place.
        for directory in &files.opaque {
            writer.opaque(directory, Time::default())?;
        }
        for path in &files.hidden {
            writer.whiteout(path, Time::default())?;
        }
        let mut passed_over = PassedOver::default();
        if let Some((path, tree)) = &files.tree {
            let options = walk::Options {
                limits: files.limits.clone(),
                one_file_system: files.one_file_system,
                ..layer::walk_options()
            };
            let mut walk = Walk::open(path, options).map_err(of_files)?;
            writer
                .append_tree(&mut walk, tree, |path| passed_over.add(path))
                .map_err(|error| error.within(format!("reading {}", shown(path))))?;
        }
        Ok(passed_over)
    };
    let (written, passed_over) = layer::write(stage.target(), options, work).await?;
    if let Some(message) = passed_over.message(NO_SOCKETS) {
        stage.warn(message);
    }
    Ok(written)
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    Escaped(path.as_os_str().as_bytes()).to_string()
}
