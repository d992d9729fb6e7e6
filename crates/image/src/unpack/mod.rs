//! How does an image become files? [`unpack`] fetches, inflates, hashes and checks its layers side by side while it applies them in order, into a
//! temporary directory beside the destination, which gets its name when all is whole and all digests and DiffIDs held. On any failure nothing is
//! at the destination. The largest of the layers that wait is read meanwhile, and the content of its files made ahead of its turn ([`AheadLimits`]).
//!
//! What it makes is a runtime's bundle (runtime-spec, bundle.md) with what is remembered for packing it again, or the files alone.

mod ahead;
mod apply;
mod line;
mod remember;
pub(crate) mod stop;

use std::{io::Write, path::Path, sync::Arc, thread};

use teu_archive::tar;
use teu_rootfs::{self as rootfs, Budget, Metadata, Root, Sibling, walk::Found};
use teu_store::{Error, ErrorKind, Result, Side, Source};

use self::ahead::Early;
use crate::{
    Image,
    bundle::{self, Bundle},
    failure::of_files,
    layers::{self, Layers},
    runtime::{self, Accounts},
};

pub use ahead::AheadLimits;
pub use apply::apply;
pub(crate) use remember::{remember, wait_out};
pub use stop::Stop;
pub use teu_rootfs::{Owners, PassedOver, Range, Ranges, Report};

/// How an image is unpacked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whom the files belong to.
    pub owners: Owners,
    /// How much the image may ask for, all layers together.
    pub budget: Budget,
    /// How much one layer's archive may ask for.
    pub tar: tar::Limits,
    /// How layers are read.
    pub layers: layers::Options,
    /// How a layer is unpacked before its turn.
    pub ahead: AheadLimits,
    /// Devices are made.
    pub devices: bool,
    /// A directory's entry on a link to a directory goes to that directory, as `umoci unpack --keep-dirlinks` has it; else it takes its place.
    pub keep_directory_links: bool,
    /// What the runtime is told; without it the files alone are made.
    pub bundle: Option<runtime::Options>,
    /// Where the image is, as a person writes it: the bundle remembers it, so that the image is found when the bundle is packed again.
    pub name: Option<String>,
    /// All is on the disk before the destination gets its name.
    pub sync: bool,
    /// Who wants it to stop.
    pub stop: Stop,
}

/// Unpacks an image into `destination`, where nothing may be, within a tokio runtime.
///
/// The work is done on a thread of its own, which is told to stop where the future is dropped; it removes what it made then, and [`Stop::wait`] waits
/// for that. Where the disk is full while files lie there ahead of their turn, it begins once more, and makes none ahead: who listens hears of its layers again.
///
/// # Errors
/// `Conflict` where something is at the destination; `Invalid` for what no honest image asks for, and `TooLarge` for what reaches a limit, with the
/// entry; `Mismatch` where content is not what its digest says; `Quota` where the disk is full; what the places say. Nothing is at the destination then.
pub async fn unpack(source: &Arc<dyn Source>, image: &Image, destination: &Path, options: &Options) -> Result<Report> {
    let layers = || Layers::waiting(source, image.layers.clone(), &options.layers);
    let (layers, again) = (layers(), layers());
    let (image, destination, options) = (image.clone(), destination.to_owned(), options.clone());
    let stop = options.stop.clone();
    stop::on_a_thread(&stop, move || {
        let mut is_lying = false;
        match whole(layers, &image, &destination, &options, &mut is_lying) {
            // In order the files may have room that were made ahead of what they replace.
            Err(error) if is_lying && *error.kind() == ErrorKind::Quota => {
                let mut options = options.clone();
                options.ahead.least = u64::MAX;
                whole(again, &image, &destination, &options, &mut is_lying)
            }
            made => made,
        }
    })
    .await
}

/// `is_lying` says afterwards whether files lay without names when it ended.
fn whole(layers: Layers, image: &Image, destination: &Path, options: &Options, is_lying: &mut bool) -> Result<Report> {
    let sibling = Sibling::new(destination).map_err(|error| match error.kind() {
        rootfs::ErrorKind::Exists => Error::new(
            ErrorKind::Conflict,
            format!(
                "{} is there already; name a place where nothing is, or an empty directory",
                destination.display()
            ),
        ),
        // That there is no such directory does not mean that there is no such image.
        _ => of_files(error).on(Side::Destination),
    })?;
    // Where files lie that have no names yet: not in the tree, whose names would lead there.
    let aside = match layers.any_after_the_next(options.ahead.least) && ahead::is_possible(&options.owners) {
        true => Some(Sibling::new(destination).map_err(of_files)?),
        false => None,
    };
    let made = {
        let roots: Vec<&Root> = std::iter::once(&sibling).chain(&aside).map(Sibling::root).collect();
        // A second wall: should the first ever have a hole, the kernel lets this thread change nothing outside of the new directories.
        let work = |_| fill(layers, image, (roots[0], roots.get(1).copied()), options);
        rootfs::confined(&roots, work).map_err(of_files)
    };
    let made = made.and_then(|made| made).and_then(|report| {
        options.stop.check()?;
        Ok(report)
    });
    *is_lying = aside
        .as_ref()
        .is_some_and(|aside| !aside.root().is_empty().unwrap_or(true));
    let gone = aside.map_or(Ok(()), Sibling::discard);
    match made.and_then(|report| gone.map_err(of_files).map(|()| report)) {
        Ok(report) => {
            sibling.commit().map_err(of_files)?;
            Ok(report)
        }
        Err(error) => match sibling.discard() {
            Ok(()) => Err(error),
            Err(left) => Err(error.within(format!("{left}; and before that"))),
        },
    }
}

/// Makes all that there is to be at the destination, in `top`; files that wait for their names lie in `aside`.
fn fill(layers: Layers, image: &Image, (top, aside): (&Root, Option<&Root>), options: &Options) -> Result<Report> {
    let Some(for_runtime) = &options.bundle else {
        return files(layers, top, aside, options);
    };
    let rootfs = top.create_in(bundle::ROOTFS).map_err(of_files)?;
    let report = files(layers, &rootfs, aside, options)?;
    // The files are an enemy's still: what is read of them is read as they would read it themselves.
    let accounts = Accounts::of_root(&rootfs)?;
    let config = runtime::configuration(&image.config, &accounts, for_runtime)?;
    let write = |name: &str, content: &[u8]| -> Result<()> {
        let mut file = top.create_file(name).map_err(of_files)?;
        Ok(file.write_all(content)?)
    };
    write(bundle::CONFIG, &config)?;
    let maps = for_runtime.maps.as_ref();
    let (users, groups) = maps
        .map(|maps| (maps.users().clone(), maps.groups().clone()))
        .unwrap_or_default();
    let from = Bundle {
        from: image.descriptor.clone(),
        image: options.name.clone(),
        other_record: false,
        rootless: for_runtime.rootless,
        uid_map: users,
        gid_map: groups,
    };
    write(bundle::FILE, &from.to_json()?)?;
    let file = top.create_file(bundle::RECORD).map_err(of_files)?;
    let may_have_xattrs = |found: &Found<'_>| report.attributed.may_have(&found.stat);
    let middle = report.middle.as_deref();
    remember(&rootfs, file, may_have_xattrs, &report.withheld, middle, &options.stop)?;
    Ok(report)
}

/// Applies all layers to an empty root.
fn files(mut layers: Layers, root: &Root, aside: Option<&Root>, options: &Options) -> Result<Report> {
    let writing = rootfs::Options {
        owners: options.owners.clone(),
        budget: options.budget.clone(),
        devices: options.devices,
        // Nobody else can enter what is above.
        set_id: true,
        keep_directory_links: options.keep_directory_links,
        sync: options.sync,
    };
    let mut writer = rootfs::Writer::new(root, writing.clone()).map_err(of_files)?;
    // What the root is like where no layer says so, as umoci has it.
    let ordinary = Metadata {
        mode: 0o755,
        ..Metadata::default()
    };
    writer.directory(b".", &ordinary).map_err(of_files)?;
    thread::scope(|scope| {
        let begin = |layers: &mut Layers, left| match aside {
            Some(aside) => Early::begin(scope, layers, aside, &writing, left, options),
            None => Ok(None),
        };
        let mut ahead = begin(&mut layers, options.budget.bytes)?;
        loop {
            let place = layers.position().unwrap_or(usize::MAX);
            let (layer, applied) = if let Some(ahead) = ahead.take_if(|ahead| ahead.layer.position < place) {
                (ahead.layer.clone(), ahead.apply(&mut writer, options))
            } else if let Some((layer, opened)) = layers.next() {
                (layer, apply(&mut writer, opened, options))
            } else {
                break;
            };
            applied.map_err(|error| error.within(format!("unpacking layer {}", layer.descriptor.digest)))?;
            writer.next_layer();
            let left = options.budget.bytes.saturating_sub(writer.bytes());
            match &ahead {
                Some(ahead) => ahead.leave(left),
                None => ahead = begin(&mut layers, left)?,
            }
        }
        writer.finish().map_err(of_files)
    })
}

#[cfg(test)]
mod tests;
