//! `teu unpack`: an image becomes files.

use std::sync::Arc;

use serde_json::json;
use teu_image::{
    Image, layers,
    runtime::{self, Mapping},
    unpack::{self, Options, Owners, PassedOver, Report},
};
use teu_rootfs::Range;
use teu_spec::Platform;

use crate::{
    arguments::{Limit, Map, Unpack},
    failure::Failure,
    output::{self, plain},
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
    let top = source.resolve(&pick).await?;
    let image = Image::read(&*source, &top, &wanted).await?;
    let report = unpack::unpack(&source, &image, &arguments.destination, &how).await?;
    shown.finish();
    if !settings.json {
        warn(&report, &settings);
    }
    output::done(&settings, || {
        json!({
            "digest": image.descriptor.digest,
            "destination": arguments.destination.display().to_string(),
            "layers": image.layers.len(),
            "entries": report.entries,
            "bytes": report.bytes,
            "passedOver": {
                "devices": report.devices.count,
                "xattrs": report.xattrs.count,
                "setId": report.set_id.count,
                "owners": report.owners.count,
            },
        })
    })
}

fn options(arguments: &Unpack, settings: &Settings) -> Result<Options, Failure> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid().as_raw());
    let mapped = !arguments.uid_map.is_empty() || !arguments.gid_map.is_empty();
    if !user.is_root() && !arguments.rootless && !mapped {
        let message = "only root can give files to others; --rootless makes all files your own";
        return Err(Failure::Usage(message.to_owned()));
    }
    let owners = match (arguments.rootless, mapped) {
        (true, _) => Owners::Recorded,
        (false, false) => Owners::Kept,
        (false, true) => Owners::Mapped {
            users: ranges(&arguments.uid_map),
            groups: ranges(&arguments.gid_map),
        },
    };
    let own = |number| Mapping {
        container: 0,
        host: number,
        size: 1,
    };
    let map = |given: &[Map], number| match (given, arguments.rootless) {
        ([], true) => vec![own(number)],
        (given, _) => given.iter().map(mapping).collect(),
    };
    let mut options = Options {
        owners,
        devices: arguments.devices,
        keep_directory_links: arguments.keep_dirlinks,
        bundle: (!arguments.rootfs_only).then(|| runtime::Options {
            rootless: arguments.rootless,
            uid_map: map(&arguments.uid_map, user.as_raw()),
            gid_map: map(&arguments.gid_map, group),
            terminal: arguments.terminal,
        }),
        sync: arguments.sync,
        layers: layers::Options::default(),
        stop: settings.stop.clone(),
        ..Options::default()
    };
    for limit in &arguments.limit {
        set(&mut options, limit)?;
    }
    Ok(options)
}

fn ranges(maps: &[Map]) -> Vec<Range> {
    let whole = Range {
        inside: 0,
        outside: 0,
        count: u32::MAX,
    };
    match maps {
        // Of what no map speaks stays.
        [] => vec![whole],
        maps => maps
            .iter()
            .map(|map| Range {
                inside: map.container,
                outside: map.host,
                count: map.size,
            })
            .collect(),
    }
}

fn mapping(map: &Map) -> Mapping {
    Mapping {
        container: map.container,
        host: map.host,
        size: map.size,
    }
}

/// Sets a limit by the name that errors give it, wherever there is one of that name.
fn set(options: &mut Options, limit: &Limit) -> Result<(), Failure> {
    let value = limit.value;
    let small = usize::try_from(value).unwrap_or(usize::MAX);
    let (budget, tar, codec) = (&mut options.budget, &mut options.tar, &mut options.layers.limits);
    match limit.name.as_str() {
        "entries" => (budget.entries, tar.entries) = (value, value),
        "bytes" => budget.bytes = value,
        "file_bytes" => budget.file_bytes = value,
        "name_bytes" => {
            budget.name_bytes = small;
            tar.name_bytes = tar.name_bytes.max(value);
        }
        "path_bytes" => {
            budget.path_bytes = small;
            tar.name_bytes = tar.name_bytes.max(value);
        }
        "depth" => budget.depth = small,
        "metadata_bytes" => tar.metadata_bytes = value,
        "sparse_segments" => tar.sparse_segments = value,
        "hole_bytes" => tar.hole_bytes = value,
        "total_bytes" => tar.total_bytes = value,
        "output_bytes" => codec.output_bytes = value,
        "ratio" => codec.ratio = value,
        "ratio_from" => codec.ratio_from = value,
        "window_bytes" => codec.window_bytes = value,
        "header_bytes" => codec.header_bytes = value,
        name => {
            let message = format!(
                "there is no limit \"{}\"; there are entries, bytes, file_bytes, name_bytes, path_bytes, depth, \
                 metadata_bytes, sparse_segments, hole_bytes, total_bytes, output_bytes, ratio, ratio_from, window_bytes and \
                 header_bytes",
                plain(name)
            );
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

/// Says what the image asked for and did not get.
fn warn(report: &Report, settings: &Settings) {
    let say = |passed: &PassedOver, what: &str, why: &str| {
        if let Some(first) = passed.examples.first() {
            let more = match passed.count {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            settings.warn(&format!("{what}: {}{more}{why}", teu_archive::Escaped(first)));
        }
    };
    say(&report.devices, "devices not made", "; --devices makes them, as root");
    say(&report.xattrs, "extended attributes not set", "");
    say(&report.set_id, "set-id bits not set", "");
    say(&report.owners, "owners neither set nor written down", "");
}
