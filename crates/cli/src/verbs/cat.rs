//! `teu cat`: what is in a file of an image?

use std::{io::Write as _, os::unix::ffi::OsStrExt as _, sync::Arc};

use teu_image::read;

use super::extract;
use crate::{
    arguments::Cat,
    failure::Failure,
    inside::Inside,
    limits::{self, Limits},
    output,
    progress::Shown,
    settings::Settings,
};

/// How much is kept of what is in files before it is printed; holes of sparse files are not counted.
const CONTENT_BYTES: u64 = 64 << 30;

pub(super) async fn run(arguments: &Cat, settings: Arc<Settings>) -> Result<(), Failure> {
    let paths: Vec<Vec<u8>> = arguments.paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let mut inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    let mut content_bytes = CONTENT_BYTES;
    limits::set(
        &arguments.limits,
        Limits {
            content_bytes: Some(&mut content_bytes),
            ..inside.limits()
        },
    )?;
    let Inside {
        source,
        image,
        contents,
        tree: trees,
        cache,
    } = inside;
    // What is printed cannot be taken back, and is verified only at a layer's end.
    let kept = extract::kept(&settings, content_bytes)?;
    let files = read::keep(&source, &image.layers, &paths, cache.as_ref(), &contents, &trees, &kept).await?;
    shown.finish();
    let mut out = output::stream();
    for file in &files {
        kept.copy(&image.layers, file, &mut out)?;
    }
    out.flush()?;
    Ok(())
}
