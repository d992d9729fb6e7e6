//! How are files taken out of an image, without all the others? [`extract`] finds what is meant, reads the layers that have it and no others, and puts
//! the files into a directory: by the door of [`teu_rootfs`], in a temporary directory within that one first, and to their places when all are whole
//! and what their digests say.
//!
//! What is meant is said as to `cp`: paths in the image and where they go. Links on the way to a path are followed inside the image, and so is one that
//! a path itself leads to; links within a directory are taken as links, wherever they lead, and nothing is ever written through one.

mod failure;
mod meant;
mod plan;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use teu_rootfs::{self as rootfs, Budget, ErrorKind as Kind, Node, Root, Staged};
use teu_store::{Error, ErrorKind, Result, Side, Source};

use crate::{
    Layer,
    contents::{self, Cache, Contents},
    failure::of_files,
    layers::Layers,
    read::{self, Kept, Need},
    tree::{self, Answer, Tree},
    unpack::{Owners, Report, Stop, stop},
};

use meant::Target;
use plan::Plan;

pub use failure::Failure;
pub use meant::Request;
pub use plan::Files;

/// How files are taken.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How layers are read, both for what is in them and for the files.
    pub contents: contents::Options,
    /// How much the tree may take.
    pub tree: tree::Limits,
    /// How much what is taken may ask for.
    pub budget: Budget,
    /// Whom the files belong to. Unless it is [`Owners::Kept`] files lose their set-id bits, which were meant for others.
    pub owners: Owners,
    /// A link that a path leads to is taken itself, and not what it leads to.
    pub keep_links: bool,
    /// What is taken keeps the path that it has in the image, below the destination.
    pub parents: bool,
    /// A file at the destination that is no directory may be replaced.
    pub replace: bool,
    /// Only what this layer has is there, of those that are given.
    pub layer: Option<usize>,
    /// Who wants it to stop.
    pub stop: Stop,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// The directory that files were put into: the destination, or the one that has its name now.
    pub directory: PathBuf,
    /// What was made.
    pub files: Files,
    /// What was passed over.
    pub report: Report,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it is, in [`Extracted::directory`].
    pub path: Vec<u8>,
    /// What it is called in the image.
    pub from: Vec<u8>,
    /// What it is.
    pub node: Node,
    /// Another name of what is at this path, made before it.
    pub same_as: Option<Vec<u8>>,
    /// The layer that made the name; none for a directory that no layer describes.
    pub layer: Option<usize>,
}

/// Takes what `requests` mean out of the image with these layers, the lowest first, within a tokio runtime.
///
/// Where `destination` is a directory, ends in a slash, or is for several paths or a pattern, files go into it by their last names, and it is made where
/// nothing is; else it is the new name of the one file or directory. A directory that is there keeps mode, owner and time, and takes what is new. With
/// `kept` a layer that nobody knew is read once, as far as there is room, and little of one whose [places](crate::layers::Options::places) are known is
/// read from these.
///
/// # Errors
/// [`Failure::Replaceable`] where a file is in the way that [`Options::replace`] would replace, and [`Failure::SameName`] where two files would have one
/// name, both of the kind `Conflict`. [`Failure::Other`]: `NotFound` where something that is asked for is not in the image; `Conflict` where anything
/// else is in the way, which stays; `Invalid` and `TooLarge` for what no honest image asks for; what [`contents::of`] says, and the file system. Nothing new is at the
/// destination then; only where the file system fails while files are moved to their places, some may be there, each of them whole. Who is killed
/// leaves a directory `.teu-staged.….unfinished`, which the next one there removes.
pub async fn extract(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    requests: &[Request],
    destination: &Path,
    cache: Option<&Cache>,
    kept: Option<&Kept>,
    options: &Options,
) -> Result<Extracted, Failure> {
    let tree = known(source, layers, requests, cache, kept, options).await?;
    let target = Target::of(destination, requests, options);
    let plan = Plan::new(tree, requests, &target, options)?;
    if let Some(kept) = kept {
        for (layer, files) in layers.iter().zip(plan.little(layers, kept)?) {
            if !files.is_empty() {
                // What is not kept then is read with its whole layer.
                kept.keep_some(source, layer, &options.contents, files).await;
            }
        }
    }
    let (read, waits) = plan.sources(layers, kept)?;
    let opened = Layers::open(source, read, &options.contents.layers);
    let all = layers.to_vec();
    let options = options.clone();
    let stop = options.stop.clone();
    stop::on_a_thread(&stop, move || {
        let mut extracted = whole(&target, &options, |root| {
            plan.write(root, opened, waits, &all, &options)
        })?;
        extracted.directory = target.directory().to_owned();
        Ok(extracted)
    })
    .await
}

/// The tree of as many layers as it takes to know all that is asked for.
async fn known(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    requests: &[Request],
    cache: Option<&Cache>,
    kept: Option<&Kept>,
    options: &Options,
) -> Result<Tree> {
    let of_tree = tree::Options {
        limits: options.tree.clone(),
        hidden: false,
    };
    let visitor = kept.map(|kept| kept.visitor(meant::speculation(requests)));
    let visitor = visitor.as_ref();
    if let Some(position) = options.layer {
        let layer = layers.get(position).ok_or_else(|| {
            let message = format!("there is no layer {position}; the image has {}", layers.len());
            Error::new(ErrorKind::NotFound, message)
        })?;
        let table = contents::of_with(source, layer, cache, &options.contents, visitor).await?;
        return alone(position, &table, &of_tree);
    }
    if requests.iter().any(Request::may_be_pattern) {
        let tables = contents::of_all_with(source, layers, cache, &options.contents, visitor).await?;
        return Tree::of(&tables, &of_tree);
    }
    let last = OnceLock::new();
    let need = |tree: &Tree, highest: &Contents| {
        // What lies on the way to the file that is made last no other layer has to say, unless the directories on it are wanted too.
        if let ([request], false) = (requests, options.parents)
            && matches!(tree.answer(request.path(), true)?, Answer::Unknown)
            && read::last_made(highest, layers.len() - 1)?.is_some_and(|made| made.is_at(request.path()))
            && let Ok(tree) = alone(layers.len() - 1, highest, &of_tree)
            && last.set(tree).is_ok()
        {
            return Ok(Need::Nothing);
        }
        let mut need = Need::Nothing;
        for request in requests {
            match tree.answer(request.path(), !options.keep_links)? {
                Answer::Found(_, file) if tree.is_certain(file)? => {}
                // Every layer may have something in a directory.
                Answer::Found(..) => return Ok(Need::All),
                Answer::Unknown => need = Need::Next,
                Answer::Absent => return Err(read::absent(request.path())),
            }
        }
        Ok(need)
    };
    let tree = read::upper(source, layers, cache, &options.contents, &of_tree, visitor, need).await?;
    Ok(last.into_inner().unwrap_or(tree))
}

/// The tree of one layer, which is the image's at `position`.
fn alone(position: usize, layer: &Contents, options: &tree::Options) -> Result<Tree> {
    let mut builder = tree::Builder::new(options);
    builder.layer(position, layer)?;
    Ok(builder.finish())
}

/// Has `write` make files, and puts them to their places.
fn whole(
    target: &Target,
    options: &Options,
    write: impl FnOnce(&Root) -> Result<Extracted> + Send,
) -> Result<Extracted, Failure> {
    let made = target.makes_directory()?;
    let outcome = staged(target, options, write);
    if outcome.is_err() && made {
        // It was made for what did not come; where somebody has put something into it, it stays.
        let _ = fs::remove_dir(target.directory());
    }
    outcome
}

fn staged(
    target: &Target,
    options: &Options,
    write: impl FnOnce(&Root) -> Result<Extracted> + Send,
) -> Result<Extracted, Failure> {
    let of_place = |error: rootfs::Error| {
        let place = format!("in {}", target.directory().display());
        let in_the_way = |error| Error::new(ErrorKind::Conflict, format!("{place}: {error}"));
        match error.kind() {
            Kind::Replaceable => Failure::Replaceable(in_the_way(error)),
            Kind::Exists => in_the_way(error).into(),
            _ => of_files(error).within(place).on(Side::Destination).into(),
        }
    };
    let staged = Staged::within(target.directory()).map_err(|error| match error.kind() {
        Kind::NotFound => meant::missing(target.directory()).into(),
        _ => of_place(error),
    })?;
    // A second wall: the kernel lets these threads change nothing outside of the new directory, and then of the destination.
    let written = rootfs::confined(&[staged.root()], |_| write(staged.root())).map_err(of_files);
    match written.and_then(|written| written) {
        Ok(extracted) => {
            options.stop.check()?;
            let directory = staged.directory().try_clone().map_err(of_files)?;
            let placed = rootfs::confined(&[&directory], |_| staged.place(options.replace));
            placed.and_then(|placed| placed).map_err(of_place)?;
            Ok(extracted)
        }
        Err(error) => match staged.discard() {
            Ok(()) => Err(error.into()),
            Err(left) => Err(error.within(format!("{left}; and before that")).into()),
        },
    }
}
