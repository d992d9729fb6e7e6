//! What does an index list of its members? Each is copied to where the index is going to be, and described as it is there.

use std::{collections::HashMap, sync::Arc};

use teu_spec::{Annotations, Descriptor, Document, Format, ImageConfig, Platform};

use super::{Member, edit};
use crate::{
    Error, ErrorKind, Event, Events, Result, Side, Source, SourceExt, Target,
    copy::{Copied, Options, Which, copy_descriptor, descend, follow},
    graph::Step,
};

/// What is to be listed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As the index lists it.
    pub(super) descriptor: Descriptor,
    /// The platform and the annotations that a person stated.
    pub(super) stated: (Option<Platform>, Annotations),
    /// Whether it stands beside others of its platform.
    pub(super) beside: bool,
}

/// Members on their way into an index.
pub(super) struct Members<'a> {
    members: &'a [Member],
    target: Arc<dyn Target>,
    options: &'a Options,
    events: &'a Events,
    /// What they are in which form, once they are there.
    ready: Option<(Option<Format>, Vec<Entry>)>,
    pub(super) copied: Vec<Copied>,
}

impl<'a> Members<'a> {
    pub(super) fn new(
        members: &'a [Member],
        target: Arc<dyn Target>,
        options: &'a Options,
        events: &'a Events,
    ) -> Self {
        Self {
            members,
            target,
            options,
            events,
            ready: None,
            copied: Vec::new(),
        }
    }

    /// What the members are at the target, where they are copied to in this form, unless they are there in it already.
    pub(super) async fn entries(&mut self, format: Option<Format>) -> Result<&[Entry]> {
        let entries = match self.ready.take() {
            Some((ready, entries)) if ready == format => entries,
            _ => {
                let options = Options {
                    format,
                    ..self.options.clone()
                };
                let mut planned = Vec::new();
                for member in self.members {
                    planned.push((member, plan(member, &options).await?));
                }
                // What cannot be listed together is not copied first.
                let all: Vec<Entry> = planned
                    .iter()
                    .flat_map(|(member, planned)| {
                        planned.iter().map(|(descriptor, _)| entry(member, descriptor.clone()))
                    })
                    .collect();
                edit::check_distinct(&all)?;
                let mut entries = Vec::new();
                for (member, planned) in planned {
                    entries.extend(self.of(member, planned, &options).await?);
                }
                entries
            }
        };
        let (_, entries) = self.ready.insert((format, entries));
        Ok(entries)
    }

    async fn of(&mut self, member: &Member, planned: Vec<(Descriptor, Step)>, options: &Options) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut moved = HashMap::new();
        for (mut descriptor, step) in planned {
            if step == Step::Walk {
                let (from, to) = (Arc::clone(&member.source), Arc::clone(&self.target));
                let mut options = options.clone();
                if let (Which::One(_), true) = (&options.which, member.nested) {
                    options.which = Which::All;
                }
                let copied = copy_descriptor(from, &descriptor, to, &[], &options, self.events).await?;
                if copied.descriptor.digest != descriptor.digest {
                    moved.insert(descriptor.digest.to_string(), copied.descriptor.digest);
                }
                descriptor.media_type = copied.descriptor.media_type.clone();
                descriptor.digest = copied.descriptor.digest;
                descriptor.size = copied.descriptor.size;
                self.copied.push(copied);
            }
            entries.push(entry(member, descriptor));
        }
        for entry in &mut entries {
            if follow(&mut entry.descriptor.annotations, &moved) {
                let digest = entry.descriptor.digest;
                (self.events)(Event::Warning {
                    message: format!(
                        "what {digest} attests is of an image that has changed, and names the old one within"
                    ),
                });
            }
        }
        Ok(entries)
    }
}

/// What is listed of a member, with the machine that it is for, and whether it is copied.
async fn plan(member: &Member, options: &Options) -> Result<Vec<(Descriptor, Step)>> {
    let mut planned = listed(member, options).await?;
    if let (Some(platform), 2..) = (&member.platform, planned.len()) {
        let message = format!(
            "{} images cannot all be for {platform}; choose one of them",
            planned.len()
        );
        return Err(Error::new(ErrorKind::Invalid, message).on(Side::Source));
    }
    for (descriptor, step) in &mut planned {
        if *step == Step::Walk {
            let described = describe(&*member.source, descriptor).await;
            described.map_err(|error| error.on(Side::Source))?;
        }
    }
    Ok(planned)
}

/// How what a member is, or has become, is listed.
fn entry(member: &Member, mut descriptor: Descriptor) -> Entry {
    // What is attested of an image is not that image.
    let stated = if descriptor.is_attestation() {
        Annotations::new()
    } else {
        member.annotations.clone()
    };
    descriptor.annotations.extend(stated.clone());
    if member.platform.is_some() {
        descriptor.platform.clone_from(&member.platform);
    }
    Entry {
        descriptor,
        stated: (member.platform.clone(), stated),
        beside: member.beside,
    }
}

/// What is to be listed of a member, and whether it is copied.
async fn listed(member: &Member, options: &Options) -> Result<Vec<(Descriptor, Step)>> {
    let source = &*member.source;
    let on_source = |error: Error| error.on(Side::Source);
    let mut top = source.resolve(&member.pick).await.map_err(on_source)?;
    if let (Which::One(platform), false) = (&options.which, member.nested) {
        let within_index = !top.media_type.is_manifest();
        let (one, _) = descend(source, &top, None, platform, options.limits).await?;
        if within_index && one.digest != top.digest {
            return Ok(vec![(one, Step::Walk)]);
        }
    }
    // What the place says of the name is not said of the image.
    top.annotations = Annotations::new();
    let step = match options.which {
        Which::IndexOnly => Step::Keep,
        _ => Step::Walk,
    };
    match source.document(&top).await.map_err(on_source)? {
        Document::Index(index) if !member.nested => {
            let steps = options.which.steps(&top.digest, &index)?;
            let all = index.manifests.into_iter().zip(steps);
            Ok(all.filter(|(_, step)| *step != Step::Drop).collect())
        }
        document => {
            top.artifact_type = document.artifact_type().map(str::to_owned);
            Ok(vec![(top, step)])
        }
    }
}

/// Says which machine an image is for where nobody does: its config knows.
async fn describe(source: &dyn Source, descriptor: &mut Descriptor) -> Result<()> {
    if descriptor.platform.is_some() || descriptor.media_type.is_index() {
        return Ok(());
    }
    if let Document::Manifest(manifest) = source.document(descriptor).await?
        && manifest.config.media_type.is_image_config()
    {
        let config = source.small_blob(&manifest.config).await?;
        let config = ImageConfig::parse(config)
            .map_err(|error| Error::from(error).within(format!("reading config {}", manifest.config.digest)))?;
        let platform = config.platform();
        descriptor.platform = (!platform.os.is_empty() || !platform.architecture.is_empty()).then_some(platform);
    }
    Ok(())
}
