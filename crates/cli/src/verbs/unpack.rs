//! `teu unpack`: an image becomes files.

use std::sync::Arc;

use serde_json::json;
use teu_image::{
    Image, bundle, layers,
    runtime::{self, Mapping},
    unpack::{self, Options, Owners},
};
use teu_spec::Platform;

use super::passed_over;
use crate::{
    arguments::{Map, Unpack},
    failure::Failure,
    limits::{self, Limits},
    output,
    places::{Places, absolute, reference},
    progress::Shown,
    settings::Settings,
};

pub(super) async fn run(arguments: &Unpack, settings: Arc<Settings>) -> Result<(), Failure> {
    let wanted: Option<Platform> = arguments.platform.as_deref().map(str::parse).transpose()?;
    let wanted = wanted.unwrap_or_else(|| settings.platform());
    let mut how = options(arguments, &settings)?;
    let place = reference(&arguments.image)?;
    how.name = absolute(&place);
    settings.check_policy(&place)?;
    let reached = arguments.one.options();
    let shown = Shown::start(&settings, false);
    how.layers.events = shown.events();
    let (source, pick) = Places::new(Arc::clone(&settings), &reached, shown.events()).source(&place, &reached)?;
    let image = Image::find(&*source, &pick, &wanted).await?;
    let report = unpack::unpack(&source, &image, &arguments.destination, &how).await?;
    shown.finish();
    if !settings.json {
        passed_over::warn(&report, "; --devices makes them, as root", &settings);
    }
    output::done(&settings, || {
        json!({
            "digest": image.descriptor.digest,
            "destination": arguments.destination.display().to_string(),
            "layers": image.layers.len(),
            "entries": report.entries,
            "bytes": report.bytes,
            "passedOver": passed_over::as_json(&report),
        })
    })
}

fn options(arguments: &Unpack, settings: &Settings) -> Result<Options, Failure> {
    let user = rustix::process::geteuid();
    let maps = (&arguments.uid_map[..], &arguments.gid_map[..]);
    let mapped = !arguments.uid_map.is_empty() || !arguments.gid_map.is_empty();
    if !user.is_root() && !arguments.rootless && !mapped {
        let message = "only root can give files to others; --rootless makes all files your own";
        return Err(Failure::Usage(message.to_owned()));
    }
    let owners = match (arguments.rootless, mapped) {
        (true, _) => Owners::Recorded,
        (false, false) => Owners::Kept,
        (false, true) => Owners::Mapped {
            users: bundle::ranges(&mappings(maps.0)),
            groups: bundle::ranges(&mappings(maps.1)),
        },
    };
    let mut options = Options {
        owners,
        devices: arguments.devices,
        keep_directory_links: arguments.keep_dirlinks,
        bundle: (!arguments.rootfs_only).then(|| for_runtime(arguments.rootless, maps, arguments.terminal)),
        sync: arguments.sync,
        layers: layers::Options::default(),
        stop: settings.stop.clone(),
        ..Options::default()
    };
    limits::set(
        &arguments.limits,
        Limits {
            budget: Some(&mut options.budget),
            tar: Some(&mut options.tar),
            codec: Some(&mut options.layers.limits),
            ..Limits::default()
        },
    )?;
    Ok(options)
}

/// What a runtime is told; `maps` are those of users and of groups.
pub(super) fn for_runtime(rootless: bool, maps: (&[Map], &[Map]), terminal: bool) -> runtime::Options {
    let map = |given: &[Map], own| match (given, rootless) {
        ([], true) => vec![Mapping {
            container: 0,
            host: own,
            size: 1,
        }],
        (given, _) => mappings(given),
    };
    runtime::Options {
        rootless,
        uid_map: map(maps.0, rustix::process::geteuid().as_raw()),
        gid_map: map(maps.1, rustix::process::getegid().as_raw()),
        terminal,
    }
}

fn mappings(maps: &[Map]) -> Vec<Mapping> {
    maps.iter().map(mapping).collect()
}

fn mapping(map: &Map) -> Mapping {
    Mapping {
        container: map.container,
        host: map.host,
        size: map.size,
    }
}
