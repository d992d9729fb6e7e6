//! `teu cat`: what is in a file of an image?

use std::{
    io::{self, Seek as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use teu_image::{
    contents::{self, Cache},
    read, tree,
};
use teu_store::Error;

use crate::{arguments::Cat, failure::Failure, places, progress::Shown, settings::Settings};

pub(super) async fn run(arguments: &Cat, settings: Arc<Settings>) -> Result<(), Failure> {
    let paths: Vec<Vec<u8>> = arguments.paths.iter().map(|path| path.as_bytes().to_vec()).collect();
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
    let trees = tree::Options::default();
    let files = read::find(&source, &image.layers, &paths, cache.as_ref(), &options, &trees).await?;
    // What is printed cannot be taken back, and is verified only at a layer's end.
    let within = |error: io::Error| Error::from(error).within(format!("a file in {}", settings.temporary.display()));
    let mut verified = tempfile::tempfile_in(&settings.temporary).map_err(within)?;
    for file in &files {
        let sink = verified.try_clone().map_err(within)?;
        read::copy(&source, &image.layers, file, sink, &options).await?;
    }
    shown.finish();
    verified.rewind().map_err(within)?;
    let mut out = io::stdout().lock();
    io::copy(&mut verified, &mut out)?;
    out.flush()?;
    Ok(())
}
