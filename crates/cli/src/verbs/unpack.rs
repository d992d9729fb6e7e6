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
    let maps = Maps::of(&arguments.uid_map, &arguments.gid_map)?;
    let mapped = !arguments.uid_map.is_empty() || !arguments.gid_map.is_empty();
    if !user.is_root() && !arguments.rootless && !mapped {
        let message = "only root can give files to others; --rootless makes all files your own";
        return Err(Failure::Usage(message.to_owned()));
    }
    let owners = match (arguments.rootless, mapped) {
        (true, _) => Owners::Recorded,
        (false, false) => Owners::Kept,
        (false, true) => Owners::Mapped {
            users: bundle::ranges(&maps.users),
            groups: bundle::ranges(&maps.groups),
        },
    };
    let mut options = Options {
        owners,
        devices: arguments.devices,
        keep_directory_links: arguments.keep_dirlinks,
        bundle: match arguments.rootfs_only {
            true => None,
            false => Some(maps.for_runtime(arguments.rootless, arguments.terminal)?),
        },
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

/// Whose numbers become whose.
pub(super) struct Maps {
    users: Vec<Mapping>,
    groups: Vec<Mapping>,
}

impl Maps {
    /// As flags say it; refused where a number would have two meanings, on either side.
    pub(super) fn of(users: &[Map], groups: &[Map]) -> Result<Self, Failure> {
        Ok(Self {
            users: mappings("--uid-map", users)?,
            groups: mappings("--gid-map", groups)?,
        })
    }

    /// What a runtime is told. It maps both users and groups or neither, as the kernel has it.
    pub(super) fn for_runtime(self, rootless: bool, terminal: bool) -> Result<runtime::Options, Failure> {
        let missing = match (self.users.is_empty(), self.groups.is_empty()) {
            (false, true) => Some(("--uid-map", "--gid-map", "groups")),
            (true, false) => Some(("--gid-map", "--uid-map", "users")),
            _ => None,
        };
        if let Some((given, missing, what)) = missing.filter(|_| !rootless) {
            let message = format!(
                "no runtime runs a bundle with {given} and without {missing}; {missing} 0:0:{} leaves {what} as they are",
                u32::MAX
            );
            return Err(Failure::Usage(message));
        }
        let own = |given: Vec<Mapping>, own| match (given.is_empty(), rootless) {
            (true, true) => vec![Mapping {
                container: 0,
                host: own,
                size: 1,
            }],
            _ => given,
        };
        Ok(runtime::Options {
            rootless,
            uid_map: own(self.users, rustix::process::geteuid().as_raw()),
            gid_map: own(self.groups, rustix::process::getegid().as_raw()),
            terminal,
        })
    }
}

fn mappings(flag: &str, maps: &[Map]) -> Result<Vec<Mapping>, Failure> {
    let overlap = |one: u32, other: u32, sizes: (u32, u32)| match one <= other {
        true => other - one < sizes.0,
        false => one - other < sizes.1,
    };
    for (place, one) in maps.iter().enumerate() {
        let met = maps[..place].iter().find(|other| {
            let sizes = (one.size, other.size);
            overlap(one.container, other.container, sizes) || overlap(one.host, other.host, sizes)
        });
        if let Some(other) = met {
            let message =
                format!("{flag} {other} and {flag} {one} overlap; a number can be in one range only, on either side");
            return Err(Failure::Usage(message));
        }
    }
    let mapping = |map: &Map| Mapping {
        container: map.container,
        host: map.host,
        size: map.size,
    };
    Ok(maps.iter().map(mapping).collect())
}
