//! `teu rebase`: which images are the bases, and the [`Rebase`] that the library does with them.

use std::sync::Arc;

use teu_image::rebase::{Base, Open, Rebase};
use teu_spec::{Reference, RegistryReference};
use teu_store::{Error, ErrorKind, silent};

use super::changed;
use crate::{
    arguments::{self, ImageOptions},
    failure::Failure,
    places::{Places, reference},
    settings::Settings,
};

pub(super) async fn run(arguments: &arguments::Rebase, settings: Arc<Settings>) -> Result<(), Failure> {
    let options = arguments.bases.options(&arguments.to.common);
    let places = Arc::new(Places::new(Arc::clone(&settings), &options, silent()));
    let given = |base: &Option<String>| match base {
        None => Ok(None),
        Some(base) => {
            let base = reference(base)?;
            settings.check_policy(&base)?;
            opened(&places, &base, &options).map(Some)
        }
    };
    let rebase = Rebase {
        old: given(&arguments.old_base)?,
        new: given(&arguments.new_base)?,
        open: by_annotation(&places, &options, &settings),
    };
    changed::run(&arguments.image, &arguments.to, &rebase, &settings).await
}

fn opened(places: &Places, base: &Reference, options: &ImageOptions) -> Result<Base, Failure> {
    let (source, pick) = places.source(base, options)?;
    let name = match base {
        // What it is called does not change with what is there.
        Reference::Registry(image) if image.tag.is_some() || image.digest.is_none() => {
            let tag = image.tag_or_latest();
            Some(RegistryReference::new(image.repository.clone(), tag, None).full())
        }
        _ => None,
    };
    Ok(Base { source, pick, name })
}

/// Opens what annotations name, which is in a registry and nowhere else: whoever made the image wrote them. A password of the command line was
/// given for no registry that they choose.
fn by_annotation(places: &Arc<Places>, options: &ImageOptions, settings: &Arc<Settings>) -> Open {
    let options = ImageOptions {
        creds: None,
        username: None,
        password: None,
        registry_token: None,
        ..options.clone()
    };
    let (places, settings) = (Arc::clone(places), Arc::clone(settings));
    Arc::new(move |name, digest| {
        let open = || {
            let mut base = reference(&format!("docker://{name}"))?;
            if let (Reference::Registry(image), Some(digest)) = (&mut base, digest) {
                image.digest = Some(digest);
            }
            settings.check_policy(&base)?;
            opened(&places, &base, &options)
        };
        open().map_err(|failure: Failure| match failure {
            Failure::Store(error) => error,
            other => Error::new(ErrorKind::Invalid, other.to_string()),
        })
    })
}
