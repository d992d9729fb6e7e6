//! In what do two indexes differ? In what they say of themselves, and in their members, which belong together by the platform that they are for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;
use teu_spec::{Descriptor, Digest, Document, Index, annotation};
use teu_store::{Result, Source, SourceExt};

use super::{
    Field, Side,
    documents::{forget_content, value, without},
    fields,
};
use crate::Image;

/// What two indexes have for one platform, or for none.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// The platform; `attestation of` one, and `no platform`, where it is that. Of several alike the later ones have a number: `linux/amd64 #2`.
    pub name: String,
    /// That of the first index, if it has one.
    pub before: Option<&'a Descriptor>,
    /// That of the second.
    pub after: Option<&'a Descriptor>,
    /// In what the two indexes differ about it, but for digest and size.
    pub fields: Vec<Field>,
}

/// What two indexes have of one member.
pub enum Both {
    /// The same content.
    Same,
    /// Two images, which can be compared as such.
    Images(Box<[Side; 2]>),
    /// Other content, of which there is no more to be told: one of them is no image.
    Other,
}

impl Member<'_> {
    /// Whether both indexes have it, and say the same of it.
    #[must_use]
    pub fn is_listed_alike(&self) -> bool {
        self.before.is_some() && self.after.is_some() && self.fields.is_empty()
    }

    /// What both indexes have of it, from where they are; none where only one has it. Manifests and configs of images are read, nothing where the digest
    /// says it.
    ///
    /// # Errors
    /// As [`Image::of`]; what the source says.
    pub async fn both(&self, sources: [&Arc<dyn Source>; 2]) -> Result<Option<Both>> {
        let (Some(before), Some(after)) = (self.before, self.after) else {
            return Ok(None);
        };
        if before.digest == after.digest {
            return Ok(Some(Both::Same));
        }
        let Some(before) = image(sources[0], before).await? else {
            return Ok(Some(Both::Other));
        };
        let after = image(sources[1], after).await?;
        Ok(Some(
            after.map_or(Both::Other, |after| Both::Images(Box::new([before, after]))),
        ))
    }
}

/// The image that a member is; none where it is no image.
async fn image(source: &Arc<dyn Source>, member: &Descriptor) -> Result<Option<Side>> {
    if member.is_attestation() {
        return Ok(None);
    }
    let manifest = match source.document(member).await? {
        Document::Manifest(manifest) if manifest.config.media_type.is_image_config() => manifest,
        _ => return Ok(None),
    };
    let image = Image::of(&**source, member.clone(), manifest).await?;
    let source = Arc::clone(source);
    Ok(Some(Side { source, image }))
}

/// The fields in which two indexes differ, without their members.
#[must_use]
pub fn index(before: &Index, after: &Index) -> Vec<Field> {
    let [before, after] = [before, after].map(|index| without(index.raw(), &index.media_type, "manifests"));
    fields(&before, &after)
}

/// The members of two indexes, in the order of the first, with what only the second has behind. In which order an index lists them is not compared.
#[must_use]
pub fn members<'a>(before: &'a Index, after: &'a Index) -> Vec<Member<'a>> {
    let [values, other_values] = [before, after].map(said);
    let mut second: HashMap<String, usize> = names(after).into_iter().zip(0..).collect();
    let mut found: Vec<Member<'a>> = names(before)
        .into_iter()
        .zip(&before.manifests)
        .zip(&values)
        .map(|((name, member), said)| {
            let other = second.remove(&name);
            Member {
                name,
                before: Some(member),
                after: other.map(|place| &after.manifests[place]),
                fields: other.map_or_else(Vec::new, |place| fields(said, &other_values[place])),
            }
        })
        .collect();
    let mut new: Vec<(String, usize)> = second.into_iter().collect();
    new.sort_by_key(|(_, place)| *place);
    found.extend(new.into_iter().map(|(name, place)| Member {
        name,
        before: None,
        after: Some(&after.manifests[place]),
        fields: Vec::new(),
    }));
    found
}

/// What an index says of each member, without what follows from its content.
fn said(index: &Index) -> Vec<Value> {
    let mut value = value(index.raw());
    let members = value.get_mut("manifests").and_then(Value::as_array_mut);
    let mut members = members.map(std::mem::take).unwrap_or_default();
    for member in &mut members {
        forget_content(member);
        let annotations = member.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.shift_remove(annotation::DOCKER_REFERENCE_DIGEST);
        }
    }
    members.resize(index.manifests.len(), Value::Null);
    members
}

/// What each member is for, none twice.
fn names(index: &Index) -> Vec<String> {
    let platform = |member: &Descriptor| match &member.platform {
        Some(platform) => platform.normalized().to_string(),
        None => "no platform".to_owned(),
    };
    let platforms: HashMap<Digest, String> = index
        .manifests
        .iter()
        .map(|member| (member.digest, platform(member)))
        .collect();
    let (mut seen, mut taken) = (HashMap::<String, usize>::new(), HashSet::new());
    let named = index.manifests.iter().map(|member| {
        let about = member.annotations.get(annotation::DOCKER_REFERENCE_DIGEST);
        let about = about.and_then(|digest| platforms.get(&digest.parse::<Digest>().ok()?));
        let name = match (
            about,
            member.annotations.contains_key(annotation::DOCKER_REFERENCE_TYPE),
        ) {
            (Some(platform), true) => format!("attestation of {platform}"),
            _ => platform(member),
        };
        let count = seen.entry(name.clone()).or_default();
        // A platform may have a name that looks like one with a number.
        loop {
            *count += 1;
            let unique = match *count {
                1 => name.clone(),
                count => format!("{name} #{count}"),
            };
            if taken.insert(unique.clone()) {
                break unique;
            }
        }
    });
    named.collect()
}
