//! `teu unpack`: an image becomes files.

use std::sync::Arc;

use serde_json::json;
use teu_image::{
    Image, layers, runtime,
    unpack::{self, Options, Owners, Range, Ranges},
};
use teu_spec::Platform;

use super::passed_over;
use crate::{
    arguments::Unpack,
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
    if arguments.rootless {
        maps.check_own()?;
    }
    let owners = match (arguments.rootless, mapped) {
        (true, _) => Owners::Recorded,
        (false, false) => Owners::Kept,
        (false, true) => Owners::Mapped {
            users: maps.users.clone(),
            groups: maps.groups.clone(),
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
    users: Ranges,
    groups: Ranges,
}

impl Maps {
    /// As flags say it.
    pub(super) fn of(users: &[Range], groups: &[Range]) -> Result<Self, Failure> {
        let of_flag = |flag, ranges: &[Range]| {
            Ranges::new(ranges.to_vec()).map_err(|error| Failure::Usage(format!("{flag}: {error}")))
        };
        Ok(Self {
            users: of_flag("--uid-map", users)?,
            groups: of_flag("--gid-map", groups)?,
        })
    }

    /// Refuses maps by which nobody in a container would own files that are all the user's own.
    fn check_own(&self) -> Result<(), Failure> {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        for (flag, ranges, own) in [("--uid-map", &self.users, user), ("--gid-map", &self.groups, group)] {
            let is_in = |range: &Range| own.checked_sub(range.outside).is_some_and(|place| place < range.count);
            if !ranges.is_empty() && !ranges.as_slice().iter().any(is_in) {
                let message = format!(
                    "with --rootless all files are your own, and {flag} leads nobody to you, so that nobody in a container would own them; \
                     say {flag} 0:{own}:1, or leave it out"
                );
                return Err(Failure::Usage(message));
            }
        }
        Ok(())
    }

    /// What a runtime is told; who is not root maps himself where nothing is said.
    pub(super) fn for_runtime(self, rootless: bool, terminal: bool) -> Result<runtime::Options, Failure> {
        let Self { users, groups } = self;
        let maps = match (users.is_empty() && groups.is_empty(), rootless) {
            (true, false) => None,
            (_, true) => Some(runtime::Maps::new(
                or_own(users, rustix::process::geteuid().as_raw())?,
                or_own(groups, rustix::process::getegid().as_raw())?,
            )?),
            (false, false) => {
                let missing = if users.is_empty() { "--uid-map" } else { "--gid-map" };
                let maps = runtime::Maps::new(users, groups);
                Some(maps.map_err(|error| Failure::Usage(format!("without {missing}: {error}")))?)
            }
        };
        Ok(runtime::Options {
            rootless,
            maps,
            terminal,
        })
    }
}

fn or_own(given: Ranges, own: u32) -> Result<Ranges, Failure> {
    let root = Range {
        inside: 0,
        outside: own,
        count: 1,
    };
    match given.is_empty() {
        true => Ranges::new(vec![root]).map_err(|error| Failure::Usage(error.to_string())),
        false => Ok(given),
    }
}
