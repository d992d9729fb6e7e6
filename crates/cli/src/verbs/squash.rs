//! `teu squash`: which layers, for the [`Squash`] that the library does.

use std::sync::Arc;

use teu_image::{
    layer::Times,
    squash::{Options, Squash, Which},
};
use teu_store::silent;

use super::{
    changed,
    make::{history, layer_settings},
};
use crate::{
    arguments,
    failure::Failure,
    inside,
    limits::{self, Limits},
    settings::Settings,
};

pub(super) async fn run(arguments: &arguments::Squash, settings: Arc<Settings>) -> Result<(), Failure> {
    let (which, made_by) = match (arguments.last, &arguments.from) {
        (Some(last), _) => (
            Which::Last(usize::try_from(last).unwrap_or(usize::MAX)),
            format!("teu squash --last {last}"),
        ),
        (None, Some(from)) => (Which::From(from.parse()?), format!("teu squash --from {from}")),
        (None, None) => (Which::All, "teu squash".to_owned()),
    };
    let mut options = Options {
        which,
        settings: layer_settings(&arguments.layer)?,
        history: history(&arguments.layer, &made_by)?,
        ..Options::default()
    };
    options.contents = inside::contents_options(&settings, silent());
    limits::set(
        &arguments.limits,
        Limits::inside(&mut options.contents, &mut options.tree),
    )?;
    // Files keep their times: they are what they were.
    options.settings.times = Times::Keep;
    let squash = Squash::new(options, inside::cache(&settings));
    changed::run(&arguments.image, &arguments.to, &squash, &settings).await
}
