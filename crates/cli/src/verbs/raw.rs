//! `teu raw`: parts of what other verbs do at once.

use std::{io::Write, sync::Arc};

use teu_image::{
    runtime::{self, Accounts},
    tree,
};

use super::unpack::Maps;
use crate::{
    arguments::{RuntimeConfig, Unpack},
    beside::Beside,
    failure::Failure,
    inside, output, places,
    progress::Shown,
    settings::Settings,
};

/// What `umoci raw unpack` unpacks.
pub(super) fn files_alone(arguments: Unpack) -> Unpack {
    Unpack {
        rootfs_only: true,
        ..arguments
    }
}

pub(super) async fn runtime_config(arguments: &RuntimeConfig, settings: Arc<Settings>) -> Result<(), Failure> {
    let maps = Maps::of(&arguments.uid_map, &arguments.gid_map)?;
    let options = maps.for_runtime(arguments.rootless, arguments.terminal)?;
    let shown = Shown::start(&settings, false);
    let (source, image) = places::image(
        &arguments.image,
        arguments.platform.as_deref(),
        &arguments.one.options(),
        &settings,
        shown.events(),
    )
    .await?;
    let accounts = match &arguments.rootfs {
        Some(directory) => {
            Accounts::at(directory).map_err(|error| error.within(format!("in {}", directory.display())))?
        }
        None => {
            let contents = inside::contents_options(&settings, shown.events());
            let cache = inside::cache(&settings);
            let trees = tree::Options::default();
            Accounts::of_image(&source, &image.layers, cache.as_ref(), &contents, &trees).await?
        }
    };
    let config = runtime::configuration(&image.config, &accounts, &options)?;
    shown.finish();
    match arguments.file.as_ref().filter(|path| path.as_os_str() != "-") {
        None => output::bytes(&config),
        Some(path) => {
            let beside = Beside::new(path)?;
            beside.file()?.write_all(&config)?;
            beside.finish()
        }
    }
}
