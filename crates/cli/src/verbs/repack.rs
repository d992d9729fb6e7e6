//! `teu repack`: what has changed in a bundle becomes a layer.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, sync::Arc};

use serde_json::json;
use teu_image::{
    change::{self, Changed},
    glob::path_in_image,
    repack::{Counts, Options, Packed, Repack},
};
use teu_rootfs::Budget;
use teu_spec::{Digest, Pick, Reference, annotation};
use teu_store::{Error, ErrorKind, Intent, Role, Side, Source, Store, Target, copy};

use super::{
    changed::{self, Scratch},
    copy::is_standard_output,
    make::{history, layer_settings, said},
    previewed,
};
use crate::{
    arguments::{self, ImageOptions},
    failure::Failure,
    limits::{self, Limits},
    output,
    places::{Places, absolute, reference},
    progress::Shown,
    settings::Settings,
};

pub(super) async fn run(arguments: &arguments::Repack, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.image)?;
    let repack = Repack::open(&arguments.bundle, options(arguments, &settings)?)?;
    let shown = Shown::start(&settings, arguments.quiet);
    let reached = arguments.target.options(&arguments.common);
    let places = Places::new(Arc::clone(&settings), &reached, shown.events());
    let there = There::look(&places, &place, &reached).await?;
    let mut options = change::Options {
        copy: copy::Options {
            partials: settings.partials(),
            ..copy::Options::default()
        },
        ..change::Options::default()
    };
    let from = repack.bundle().from.digest;
    if arguments.dry_run {
        let (source, pick): (Arc<dyn Source>, Pick) = match there.replaces(&from) {
            Some((store, pick)) => (Arc::<dyn Store>::clone(store), pick.clone()),
            None => base(arguments, &repack, &there, &places, &settings).await?,
        };
        settings.check_policy(&place)?;
        let events = changed::rehearsed(shown.events());
        let preview = change::preview(source, &pick, &repack, &options, &events).await;
        let preview = preview.map_err(|error| not_in(error, &repack, &place))?;
        shown.finish();
        return previewed::report(&preview, &settings);
    }
    let (changed, target): (Changed, Arc<dyn Target>) = match there.replaces(&from) {
        Some((store, pick)) => {
            settings.check_policy(&place)?;
            let changed = change::in_place(Arc::clone(store), pick, &repack, &options, &shown.events()).await;
            let changed = changed.map_err(|error| not_in(error, &repack, &place))?;
            (changed, Arc::<dyn Store>::clone(store))
        }
        None => {
            let (source, pick) = base(arguments, &repack, &there, &places, &settings).await?;
            let opened = places.target(&place, &reached, Vec::new());
            let (target, names) = opened.map_err(|failure| failure.on(Side::Destination))?;
            let scratch = match target.readable() {
                Some(_) => None,
                None => Some(Scratch::new(&settings.temporary)?),
            };
            options.scratch = scratch.as_ref().map(Scratch::store);
            let (events, to) = (shown.events(), Arc::clone(&target));
            let changed = change::into(source, &pick, to, &names, &repack, &options, &events).await?;
            (changed, target)
        }
    };
    target.finish().await.map_err(|error| error.on(Side::Destination))?;
    let packed = repack.packed().await.ok_or_else(|| unseen(&from))?;
    if arguments.refresh_bundle {
        let image = match target.readable() {
            Some(readable) => repack.image_in(readable, &changed.descriptor).await?,
            None => changed.descriptor.clone(),
        };
        repack.refresh(&image, absolute(&place).as_deref()).await?;
    }
    shown.finish();
    if is_standard_output(&place) {
        return Ok(());
    }
    report(&changed, &packed, arguments.quiet, &settings)
}

fn options(arguments: &arguments::Repack, settings: &Settings) -> Result<Options, Failure> {
    let paths = |given: &[OsString]| -> Result<Vec<Vec<u8>>, Error> {
        given
            .iter()
            .map(|path| path_in_image(path.as_bytes(), &Budget::default()))
            .collect()
    };
    let mut options = Options {
        masked: paths(&arguments.mask_path)?,
        mask_volumes: !arguments.no_mask_volumes,
        layer_per: paths(&arguments.layer_per)?,
        trust_times: arguments.trust_times,
        layers: layer_settings(&arguments.layer)?,
        history: said(arguments.no_history, history(&arguments.layer, "teu repack")?),
        refresh: arguments.refresh_bundle,
        stop: settings.stop.clone(),
        ..Options::default()
    };
    limits::set(
        &arguments.limits,
        Limits {
            walk: Some(&mut options.limits),
            budget: Some(&mut options.layers.limits.budget),
            one_by_one: true,
            mtree: Some(&mut options.mtree),
            ..Limits::default()
        },
    )?;
    Ok(options)
}

/// What is there already where the new image goes.
#[derive(Default)]
struct There {
    /// The place, if there is one that can be changed.
    store: Option<Arc<dyn Store>>,
    /// What has the new image's name now, or has none either, and whether it is an index.
    named: Option<(Pick, Digest, bool)>,
}

impl There {
    async fn look(places: &Places, place: &Reference, options: &ImageOptions) -> Result<Self, Failure> {
        let (store, pick) = match places.store(place, options) {
            Ok(found) => found,
            Err(Failure::Store(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => {
                return Ok(Self::default());
            }
            Err(failure) => return Err(failure.on(Side::Destination)),
        };
        let named = match (&pick, store.resolve(&pick).await) {
            (Pick::Name(_), Ok(found)) => Some((pick, found.digest, found.media_type.is_index())),
            // Without a name the only image is meant that has none.
            (Pick::Only, Ok(found)) if !found.annotations.contains_key(annotation::REF_NAME) => {
                Some((pick, found.digest, found.media_type.is_index()))
            }
            (_, Err(error)) if *error.kind() != ErrorKind::NotFound => return Err(error.on(Side::Destination).into()),
            _ => None,
        };
        Ok(Self {
            store: Some(store),
            named,
        })
    }

    /// Where the name is that moves from the image that the bundle came from, or from an index that may have it.
    fn replaces(&self, from: &Digest) -> Option<(&Arc<dyn Store>, &Pick)> {
        match (&self.store, &self.named) {
            (Some(store), Some((pick, digest, is_index))) if *is_index || digest == from => Some((store, pick)),
            _ => None,
        }
    }
}

/// Where the image is that the bundle came from.
async fn base(
    arguments: &arguments::Repack,
    repack: &Repack,
    there: &There,
    places: &Places,
    settings: &Settings,
) -> Result<(Arc<dyn Source>, Pick), Failure> {
    let from = repack.bundle().from.digest;
    if arguments.base.is_none()
        && let Some(store) = &there.store
        && store.stat(Role::Manifest, &from, Intent::Read).await?.is_some()
    {
        return Ok((Arc::<dyn Store>::clone(store), Pick::Digest(from)));
    }
    let Some(name) = arguments.base.as_ref().or(repack.bundle().image.as_ref()) else {
        return Err(unseen(&from).into());
    };
    let place = reference(name)?;
    let found = async {
        let reached = arguments.source.options(&arguments.common);
        let (source, pick) = places.source(&place, &reached)?;
        settings.check_policy(&place)?;
        let by_digest = Pick::Digest(from);
        if source.resolve(&by_digest).await.is_ok() {
            return Ok((source, by_digest));
        }
        match source.resolve(&pick).await? {
            found if found.digest == from => Ok((source, pick)),
            _ => Err(unseen(&from).into()),
        }
    };
    found.await.map_err(|failure: Failure| match failure {
        Failure::Store(error) if *error.kind() == ErrorKind::NotFound => {
            let message = format!(
                "{place} has not the image {from} that the bundle was unpacked from ({error}); --base says where it is"
            );
            Error::new(ErrorKind::NotFound, message).on(Side::Source).into()
        }
        failure => failure.on(Side::Source),
    })
}

fn unseen(from: &Digest) -> Error {
    let message = format!("the image {from} that the bundle was unpacked from is not here; --base says where it is");
    Error::new(ErrorKind::NotFound, message)
}

/// Why an index was not changed, which has not what the bundle came from.
fn not_in(error: Error, repack: &Repack, place: &Reference) -> Error {
    match *error.kind() == ErrorKind::NotFound && !repack.found() {
        true => {
            let message = format!("{place} is an index: {error}; give the new image another name");
            Error::new(ErrorKind::Conflict, message)
        }
        false => error,
    }
}

fn report(changed: &Changed, packed: &Packed, quiet: bool, settings: &Settings) -> Result<(), Failure> {
    let Packed { layers, counts } = packed;
    if settings.json {
        let layers = layers.iter().map(|layer| {
            json!({
                "digest": layer.digest,
                "size": layer.size,
                "diffId": layer.diff_id,
                "entries": layer.entries,
            })
        });
        let layers: Vec<_> = layers.collect();
        let Counts {
            added,
            changed: others,
            removed,
            doubtful,
        } = counts;
        return output::json(&json!({
            "digest": changed.descriptor.digest,
            "before": changed.before.digest,
            "names": changed.names,
            "layers": layers,
            "changes": {"added": added, "changed": others, "removed": removed, "doubtful": doubtful},
        }));
    }
    if quiet {
        return Ok(());
    }
    if layers.is_empty() {
        settings.warn("nothing has changed in the bundle: there is no new layer");
    }
    if counts.doubtful > 0 {
        settings.warn(&format!(
            "{} files were touched and look as they did; they are in the new layer, as nobody can say whether their content is what \
             it was (--trust-times leaves them out)",
            counts.doubtful
        ));
    }
    output::line(&changed.descriptor.digest.to_string())
}
