//! `teu list-tags`, `ls`, `catalog`, `referrers`: what is there?

use std::sync::Arc;

use serde::Serialize;
use teu_spec::{Descriptor, Pick, Reference};
use teu_store::{Error, ErrorKind, Named, silent};

use super::inspect::{all_named, all_names, check_count};
use crate::{
    arguments::{Catalog, ListTags, Ls, Referrers},
    failure::Failure,
    output,
    places::{Places, reference},
    settings::Settings,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    tags: Vec<String>,
}

pub(super) async fn tags(arguments: &ListTags, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.repository)?;
    let repository = match &place {
        Reference::Registry(image) if image.tag.is_some() || image.digest.is_some() => {
            return Err(Failure::Usage(format!(
                "{place} names an image; list the tags of docker://{}",
                image.repository
            )));
        }
        Reference::Registry(image) => Some(image.repository.to_string()),
        Reference::DockerArchive { .. } => None,
        _ => {
            let more = if settings.as_skopeo {
                ""
            } else {
                "; teu ls lists any place"
            };
            return Err(Failure::Usage(format!(
                "Unsupported transport '{}' for tag listing. Only supported: docker, docker-archive{more}",
                place.transport()
            )));
        }
    };
    let options = arguments.one.options();
    let (source, _) = Places::new(settings, &options, silent()).source(&place, &options)?;
    let browse = source.browse().ok_or_else(|| no_list(&place))?;
    let tags = match &place {
        Reference::DockerArchive { .. } => {
            let page = browse.names(None).await?;
            let named = page.items.into_iter().enumerate();
            named
                .map(|(place, named)| named.name.unwrap_or_else(|| format!("@{place}")))
                .collect()
        }
        _ => all_names(browse).await?,
    };
    output::json(&Tags { repository, tags })
}

fn no_list(place: &Reference) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{}: has no list of names", place.transport()),
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor: Option<Descriptor>,
}

pub(super) async fn images(arguments: &Ls, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.place)?;
    if let Some(whole) = place_of(&place) {
        return Err(Failure::Usage(format!("{place} names an image; list those of {whole}")));
    }
    let options = arguments.one.options();
    let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
    let mut images = match source.browse() {
        Some(browse) => all_named(browse).await?,
        // What has no list has one image.
        None => vec![Named {
            name: None,
            descriptor: Some(source.resolve(&pick).await?),
        }],
    };
    if let Reference::DockerArchive { .. } = place {
        for (place, named) in images.iter_mut().enumerate() {
            // The archive states no digest: the manifest that it lacks is made up, for which its layers are read.
            let pick = match &named.name {
                Some(name) if !name.starts_with('@') => Pick::Name(name.clone()),
                Some(name) => name[1..].parse().map_or(Pick::At(place), Pick::At),
                None => Pick::At(place),
            };
            named.descriptor = Some(source.resolve(&pick).await?);
        }
    }
    if settings.json {
        let images = images.into_iter().map(|named| Image {
            name: named.name,
            descriptor: named.descriptor,
        });
        return output::json(&images.collect::<Vec<_>>());
    }
    let is_list = source.browse().is_some();
    let rows = images.iter().enumerate().map(|(place, named)| {
        let name = match &named.name {
            Some(name) => output::plain(name),
            None if is_list => format!("@{place}"),
            None => "-".to_owned(),
        };
        match &named.descriptor {
            Some(descriptor) => vec![
                name,
                descriptor.digest.to_string(),
                output::kind(&descriptor.media_type),
            ],
            None => vec![name],
        }
    });
    output::table(&rows.collect::<Vec<_>>())
}

/// The place that an image is in, where it is named as one of several.
fn place_of(place: &Reference) -> Option<String> {
    match place {
        Reference::Registry(image) if image.tag.is_some() || image.digest.is_some() => {
            Some(format!("docker://{}", image.repository))
        }
        Reference::Layout { path, pick } if *pick != Pick::Only => Some(format!("oci:{}", path.display())),
        Reference::OciArchive { path, pick } if *pick != Pick::Only => Some(format!("oci-archive:{}", path.display())),
        Reference::DockerArchive { path, pick } if *pick != Pick::Only => {
            Some(format!("docker-archive:{}", path.display()))
        }
        _ => None,
    }
}

pub(super) async fn catalog(arguments: &Catalog, settings: Arc<Settings>) -> Result<(), Failure> {
    let host = arguments
        .registry
        .strip_prefix("docker://")
        .unwrap_or(&arguments.registry);
    // Any repository leads to its registry.
    let place = reference(&format!("docker://{}/any", host.trim_end_matches('/'))).map_err(|_| {
        let registry = output::plain(&arguments.registry);
        Failure::Usage(format!("\"{registry}\" is no registry; write HOST or HOST:PORT"))
    })?;
    let options = arguments.one.options();
    let repository = Places::new(Arc::clone(&settings), &options, silent()).repository(&place, &options)?;
    let mut all = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = repository.registry().catalog(from.as_deref()).await?;
        all.extend(page.items);
        check_count(all.len())?;
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    match settings.json {
        true => output::json(&all),
        false => output::table(&all.into_iter().map(|name| vec![name]).collect::<Vec<_>>()),
    }
}

pub(super) async fn referrers(arguments: &Referrers, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.image)?;
    let options = arguments.one.options();
    let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
    let subject = source.resolve(&pick).await?;
    let browse = source.browse().ok_or_else(|| no_list(&place))?;
    let found = browse
        .referrers(&subject.digest, arguments.artifact_type.as_deref())
        .await?;
    if settings.json {
        return output::json(&found);
    }
    let rows = found.iter().map(|descriptor| {
        let kind = descriptor.artifact_type.as_deref().unwrap_or("-");
        vec![
            descriptor.digest.to_string(),
            output::plain(kind),
            output::size(descriptor.size),
        ]
    });
    output::table(&rows.collect::<Vec<_>>())
}
