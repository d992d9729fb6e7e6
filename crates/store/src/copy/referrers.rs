//! What is about an image comes along: signatures, inventories, attestations, and what is about those.

use std::collections::HashSet;

use teu_spec::{Descriptor, Digest};

use super::{Which, tally::Fate, visit::Copier};
use crate::{Browse, Error, ErrorKind, Event, Result, Side, Source};

/// Copies what refers to the manifests that `images` copied, subjects before their referrers, and gives what the target has of it.
pub(super) async fn copy(source: &dyn Source, images: &Copier<'_>) -> Result<Vec<Descriptor>> {
    let Copier {
        ends, options, tally, ..
    } = images;
    let Some(browse) = source.browse() else {
        (ends.events)(Event::Warning {
            message: "the source cannot say what refers to an image, so nothing of that is copied".to_owned(),
        });
        return Ok(Vec::new());
    };
    let copier = images.another(&Which::All);
    let fold = options.fold(source, &copier);
    let mut seen = HashSet::new();
    let mut copied = Vec::new();
    loop {
        // What was copied since the last round may have referrers of its own.
        let mut subjects = tally.take_fates();
        subjects.retain(|(subject, _)| seen.insert(*subject));
        if subjects.is_empty() {
            return Ok(copied);
        }
        for (subject, fate) in subjects {
            let found = listed(browse, &subject).await?;
            match fate {
                _ if found.is_empty() => {}
                Fate::Changed => (ends.events)(Event::Warning {
                    message: format!(
                        "the digest of manifest {subject} changes, so what refers to it ({} manifests) is left out",
                        found.len()
                    ),
                }),
                Fate::Unchanged => {
                    for referrer in found {
                        if copied.len() >= options.limits.nodes {
                            return Err(too_many(options.limits.nodes));
                        }
                        copied.extend(fold.visit(&referrer).await?);
                    }
                }
            }
        }
    }
}

async fn listed(browse: &dyn Browse, subject: &Digest) -> Result<Vec<Descriptor>> {
    let found = browse.referrers(subject, None).await;
    found.map_err(|error| {
        error
            .on(Side::Source)
            .within(format!("listing what refers to manifest {subject}"))
    })
}

fn too_many(limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("there are more than {limit} referrers (the limit `nodes`)"),
    )
    .on(Side::Source)
}
