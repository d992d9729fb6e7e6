//! `teu new`, `append`, `insert`: images made of files.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use teu_image::{
    append::{self, Archive, Content, Files, Open, Resolve, Settings as LayerSettings},
    contents::Cache,
    glob,
    layer::{Limits as LayerLimits, Owners, Time, Times, Tree},
    new,
};
use teu_rootfs::{self as rootfs, Budget, walk};
use teu_spec::{History, Platform, Timestamp};
use teu_store::{Error, ErrorKind, Expect, silent};

use super::changed;
use crate::{
    arguments::{Append, Insert, LayerOptions, New, Owner, TreeOptions},
    failure::Failure,
    limits::{self, Limits},
    listed, output,
    places::{Places, reference},
    settings::Settings,
};

pub(super) async fn new(arguments: &New, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.image)?;
    let platform = match &arguments.platform {
        Some(platform) => platform.parse::<Platform>()?,
        None => settings.platform(),
    };
    let created = match &arguments.created {
        Some(created) => Some(moment(created)?),
        None => epoch(arguments.epoch.seconds())?,
    };
    let image = new::New {
        platform,
        created,
        author: arguments.author.clone(),
    };
    let options = arguments.one.options();
    let places = Places::new(Arc::clone(&settings), &options, silent());
    let (target, names) = places.target(&place, &options, Vec::new())?;
    let expect = match arguments.force {
        true => Expect::Any,
        false => Expect::Absent,
    };
    let made = new::create(&image, Arc::clone(&target), &names, expect, &silent()).await;
    let made = made.map_err(|error| match (error.kind(), arguments.force) {
        (ErrorKind::Conflict, false) => {
            let message = format!("{place} is there already; --force gives its name to the new image");
            Error::new(ErrorKind::Conflict, message)
        }
        _ => error,
    })?;
    target.finish().await?;
    match settings.json {
        true => output::json(&json!({"digest": made.digest, "names": names, "platform": image.platform})),
        false if arguments.quiet => Ok(()),
        false => output::line(&made.digest.to_string()),
    }
}

pub(super) async fn append(arguments: &Append, settings: Arc<Settings>) -> Result<(), Failure> {
    let inputs = arguments.content.iter().filter(|path| is_standard_input(path)).count();
    if inputs > 1 {
        return Err(Failure::Usage("standard input (-) can be read once only".to_owned()));
    }
    let history = said(arguments.no_history, history(&arguments.layer, "teu append")?);
    let (mut of_archives, mut of_trees) = (LayerLimits::default(), walk::Limits::default());
    let is_tree = |path: &PathBuf| path.is_dir() && !is_standard_input(path);
    let any_archive = !arguments.content.iter().all(is_tree);
    let any_tree = arguments.content.iter().any(is_tree);
    let mut below = Resolve {
        cache: settings.contents().map(Cache::new),
        ..Resolve::default()
    };
    // What is looked into below the layers of archives is held to the same.
    limits::set(
        &arguments.limits,
        Limits {
            budget: Some(&mut of_archives.budget),
            one_by_one: true,
            tar: any_archive.then_some(&mut of_archives.tar),
            codec: any_archive.then_some(&mut of_archives.codec),
            walk: any_tree.then_some(&mut of_trees),
            contents_bytes: any_archive.then_some(&mut below.contents.contents_bytes),
            tree: any_archive.then_some(&mut below.tree.limits),
            ..Limits::default()
        },
    )?;
    below.contents.budget = of_archives.budget.clone();
    below.contents.tar = of_archives.tar.clone();
    below.contents.layers.limits = of_archives.codec.clone();
    let below = (!arguments.as_is).then(|| Box::new(below));
    if !any_tree {
        let options = [
            ("--owner", arguments.tree.owner.is_some()),
            ("--one-file-system", arguments.tree.one_file_system),
        ];
        if let Some((name, _)) = options.iter().find(|(_, given)| *given) {
            let message = format!(
                "{name} is for directories: the files of an archive are as it says; unpack it, and append the directory, to have them otherwise"
            );
            return Err(Failure::Usage(message));
        }
    }
    let mut layers = Vec::new();
    for path in &arguments.content {
        let content = match is_tree(path) {
            true => Content::Files(Files {
                // With a dot behind it, a link to a directory leads there.
                tree: Some((path.join("."), tree(&arguments.tree, Vec::new()))),
                one_file_system: arguments.tree.one_file_system,
                limits: of_trees.clone(),
                ..Files::default()
            }),
            false => Content::Archive(Archive {
                below: below.clone(),
                ..archive(path)
            }),
        };
        let history = history.clone();
        layers.push(append::New { content, history });
    }
    let settings_of_layers = LayerSettings {
        anew: arguments.recompress,
        limits: of_archives,
        ..layer_settings(&arguments.layer)?
    };
    let change = append::Append::new(layers, settings_of_layers);
    changed::run(&arguments.image, &arguments.to, &change, &settings).await
}

pub(super) async fn insert(arguments: &Insert, settings: Arc<Settings>) -> Result<(), Failure> {
    let (mut resolve, mut of_trees) = (Resolve::default(), walk::Limits::default());
    limits::set(
        &arguments.limits,
        match arguments.as_is {
            true => Limits {
                walk: Some(&mut of_trees),
                budget: Some(&mut resolve.contents.budget),
                one_by_one: true,
                ..Limits::default()
            },
            false => Limits {
                walk: Some(&mut of_trees),
                ..Limits::inside(&mut resolve.contents, &mut resolve.tree.limits)
            },
        },
    )?;
    resolve.cache = settings.contents().map(Cache::new);
    let budget = resolve.contents.budget.clone();
    let mut files = Files {
        one_file_system: arguments.tree.one_file_system,
        limits: of_trees,
        resolve: (!arguments.as_is).then(|| Box::new(resolve)),
        ..Files::default()
    };
    let mut made_by = "teu insert".to_owned();
    for path in &arguments.whiteout {
        let path = glob::path_in_image(path.as_bytes(), &budget)?;
        if path.is_empty() {
            let message = "the root of an image cannot be hidden; what is in it can: --whiteout /NAME";
            return Err(Failure::Usage(message.to_owned()));
        }
        made_by.push_str(&format!(" --whiteout {}", listed::path(&path)));
        files.hidden.push(path);
    }
    if let (Some(source), Some(destination)) = (&arguments.source, &arguments.destination) {
        let at = destination_of(source, destination, &budget)?;
        if arguments.opaque {
            if !source.is_dir() {
                let message = "--opaque is for a directory; a file takes the place of what is there as it is";
                return Err(Failure::Usage(message.to_owned()));
            }
            made_by.push_str(" --opaque");
            files.opaque.push(at.clone());
        }
        made_by.push_str(&format!(" {}", listed::path(&at)));
        files.tree = Some((source.clone(), tree(&arguments.tree, at)));
    }
    let layer = append::New {
        content: Content::Files(files),
        history: said(arguments.no_history, history(&arguments.layer, &made_by)?),
    };
    let mut settings_of_layer = layer_settings(&arguments.layer)?;
    settings_of_layer.limits.budget = budget;
    let change = append::Append::new(vec![layer], settings_of_layer);
    changed::run(&arguments.image, &arguments.to, &change, &settings).await
}

/// Where a file goes: at the path, or into it where that ends in a slash and the file is no directory.
fn destination_of(source: &Path, destination: &OsStr, budget: &Budget) -> Result<Vec<u8>, Failure> {
    if destination.is_empty() {
        let message = "DESTINATION is empty, as of a variable that is not set; / is the root of the image";
        return Err(Failure::Usage(message.to_owned()));
    }
    let destination = destination.as_bytes();
    let at = glob::path_in_image(destination, budget)?;
    let found = source.symlink_metadata();
    let found = found.map_err(|error| Error::from(error).within(format!("reading {}", source.display())))?;
    if destination.ends_with(b"/") && !found.is_dir() {
        let Some(name) = source.file_name() else {
            return Err(Failure::Usage(format!("{} has no name of its own", source.display())));
        };
        return Ok(glob::path_in_image(&[destination, name.as_bytes()].concat(), budget)?);
    }
    Ok(at)
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An archive that is opened when it is read.
fn archive(path: &Path) -> Archive {
    if is_standard_input(path) {
        let input = Mutex::new(Some(std::io::stdin()));
        let open: Open = Arc::new(move || {
            let input = input.lock().unwrap_or_else(PoisonError::into_inner).take();
            let again = || {
                let message = "standard input is read already; say --compress, so that all images of the index get the same layer";
                Error::new(ErrorKind::Unsupported, message)
            };
            Ok(Box::new(input.ok_or_else(again)?) as Box<dyn Read + Send>)
        });
        return Archive {
            name: "standard input".to_owned(),
            open,
            below: None,
        };
    }
    let owned: PathBuf = path.to_owned();
    let open: Open = Arc::new(move || {
        let opened = std::fs::File::open(&owned);
        let opened = opened.map_err(|error| Error::from(error).within(format!("reading {}", owned.display())))?;
        Ok(Box::new(opened) as Box<dyn Read + Send>)
    });
    Archive {
        name: path.display().to_string(),
        open,
        below: None,
    }
}

fn tree(options: &TreeOptions, at: Vec<u8>) -> Tree {
    let owners = match options.owner {
        Some(Owner::Keep) => Owners::default(),
        Some(Owner::Set(uid, gid)) => Owners::Set { uid, gid },
        None => Owners::Undo {
            owners: rootfs::Owners::Recorded,
            own: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        },
    };
    Tree {
        at,
        top: None,
        owners,
        fractions: false,
    }
}

pub(super) fn layer_settings(options: &LayerOptions) -> Result<LayerSettings, Failure> {
    let compression = options.compress.as_deref().map(str::parse).transpose()?;
    let mut settings = LayerSettings {
        compression,
        level: options.compress_level,
        ..LayerSettings::default()
    };
    if let Some(threads) = options.threads {
        settings.threads = threads;
    }
    if let Some(seconds) = options.epoch.seconds() {
        settings.times = Times::Clamp(Time {
            seconds,
            nanoseconds: 0,
        });
    }
    Ok(settings)
}

/// The history of a new layer, unless nothing is to be said of it.
pub(super) fn said(no_history: bool, history: History) -> Option<History> {
    (!no_history).then_some(history)
}

pub(super) fn history(options: &LayerOptions, made_by: &str) -> Result<History, Failure> {
    let created = match &options.history_created {
        Some(created) => Some(moment(created)?),
        None => epoch(options.epoch.seconds())?,
    };
    let given = options.history_created_by.clone();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(History {
        created,
        created_by: given.unwrap_or_else(|| made_by.to_owned()),
        author: text(&options.history_author),
        comment: text(&options.history_comment),
        empty_layer: false,
    })
}

/// A moment that a person gave, as documents have it.
pub(super) fn moment(text: &str) -> Result<String, Failure> {
    match text.parse::<Timestamp>() {
        Ok(moment) => Ok(moment.to_string()),
        Err(_) => Err(Failure::Usage(format!(
            "{text:?} is no time; write one as 2026-01-31T12:00:00Z"
        ))),
    }
}

/// The moment that no file is to be later than, as documents have it.
pub(super) fn epoch(seconds: Option<i64>) -> Result<Option<String>, Failure> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    match Timestamp::from_unix(seconds, 0) {
        Some(moment) => Ok(Some(moment.to_string())),
        None => Err(Failure::Usage(format!(
            "SOURCE_DATE_EPOCH {seconds} lies outside the years 0 to 9999"
        ))),
    }
}
