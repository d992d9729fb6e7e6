//! How is a manifest or an index made, and how does one become another? Built compactly in the order of the specification, and edited in
//! place: what is not changed keeps its bytes, known to us or not.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    Annotations, Descriptor, Document, Error, Format, Index, Manifest, MediaType, Platform,
    json::edit::{Editor, Step},
};

/// The order of the fields of a manifest and an index, and of a descriptor, by which new ones find their place.
const DOCUMENT_ORDER: [&str; 8] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
];
const DESCRIPTOR_ORDER: [&str; 8] = [
    "mediaType",
    "digest",
    "size",
    "urls",
    "annotations",
    "data",
    "platform",
    "artifactType",
];
const PLATFORM_ORDER: [&str; 6] = ["architecture", "os", "os.version", "os.features", "variant", "features"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewDocument<'a> {
    schema_version: u8,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [Descriptor]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<&'a [Descriptor]>,
}

impl NewDocument<'_> {
    fn build(&self) -> Result<Document, Error> {
        let raw = serde_json::to_vec(self).map_err(|error| Error::Json(error.to_string()))?;
        Document::parse(raw.into(), Some(&self.media_type))
    }
}

impl Manifest {
    /// A new manifest of `config` and `layers`, lowest first. Artifact type, subject and annotations are then set on the [`Document`].
    ///
    /// # Errors
    /// Those of [`Document::parse`], for what is past its limits.
    pub fn build(format: Format, config: &Descriptor, layers: &[Descriptor]) -> Result<Document, Error> {
        NewDocument {
            schema_version: 2,
            media_type: match format {
                Format::Oci => MediaType::OciManifest,
                Format::Docker => MediaType::DockerManifest,
            },
            config: Some(config),
            layers: Some(layers),
            manifests: None,
        }
        .build()
    }
}

impl Index {
    /// A new index of `manifests`. Artifact type, subject and annotations are then set on the [`Document`].
    ///
    /// # Errors
    /// Those of [`Document::parse`], for what is past its limits.
    pub fn build(format: Format, manifests: &[Descriptor]) -> Result<Document, Error> {
        NewDocument {
            schema_version: 2,
            media_type: match format {
                Format::Oci => MediaType::OciIndex,
                Format::Docker => MediaType::DockerManifestList,
            },
            config: None,
            layers: None,
            manifests: Some(manifests),
        }
        .build()
    }
}

impl Document {
    /// The document with other children, one for each of [`Self::children`] in their order; `None` drops that child, but a config.
    ///
    /// A child that is the same keeps its bytes. Of another, those fields change that differ, and its embedded `data` goes, unless it is
    /// the content of the new one.
    ///
    /// # Errors
    /// [`Error::Document`] where the number is wrong or the config is dropped, and those of [`Self::parse`].
    pub fn rewrite(&self, children: &[Option<Descriptor>]) -> Result<Self, Error> {
        self.edited(self.media_type(), |editor| self.put_children(editor, children))
    }

    /// The document with `added` before the layer or manifest at `place`, counted from 0, or behind the last.
    ///
    /// # Errors
    /// [`Error::Document`] where there is no such place, and those of [`Self::parse`].
    pub fn insert(&self, place: usize, added: &[Descriptor]) -> Result<Self, Error> {
        let list = self.list();
        if place > self.list_len() {
            return Err(Error::document(
                "edit",
                format!("there is no place {place} among {} {list}", self.list_len()),
            ));
        }
        self.edited(self.media_type(), |editor| {
            // umoci writes an empty list as null, which is not a place to insert into.
            if self.list_len() == 0 {
                return editor.set_after(&[list.into()], before(&DOCUMENT_ORDER, list), added);
            }
            editor.insert(&[list.into(), place.into()], added)
        })
    }

    /// The document with annotations set, or removed where the value is `None`.
    ///
    /// # Errors
    /// [`Error::Conversion`] for Docker's form, which has none, and those of [`Self::parse`].
    pub fn annotate(&self, changes: &BTreeMap<String, Option<String>>) -> Result<Self, Error> {
        self.only_oci("annotations", changes.values().any(Option::is_some))?;
        let mut new = self.annotations().clone();
        for (key, value) in changes {
            match value {
                Some(value) => new.insert(key.clone(), value.clone()),
                None => new.remove(key),
            };
        }
        self.edited(self.media_type(), |editor| {
            put_annotations(editor, &[], &DOCUMENT_ORDER, self.annotations(), &new)
        })
    }

    /// The document about another manifest, or about none.
    ///
    /// # Errors
    /// [`Error::Conversion`] for Docker's form, which has no subject, and those of [`Self::parse`].
    pub fn with_subject(&self, subject: Option<&Descriptor>) -> Result<Self, Error> {
        self.only_oci("a subject", subject.is_some())?;
        self.edited(self.media_type(), |editor| match (self.subject(), subject) {
            (Some(old), Some(new)) => put_descriptor(editor, &["subject".into()], old, new),
            (old, new) => put(editor, &[], &DOCUMENT_ORDER, "subject", old, new),
        })
    }

    /// The document as an artifact of another type, or of none.
    ///
    /// # Errors
    /// [`Error::Conversion`] for Docker's form, which has no artifact types, and those of [`Self::parse`].
    pub fn with_artifact_type(&self, artifact_type: Option<&str>) -> Result<Self, Error> {
        self.only_oci("an artifact type", artifact_type.is_some())?;
        self.edited(self.media_type(), |editor| {
            put(
                editor,
                &[],
                &DOCUMENT_ORDER,
                "artifactType",
                self.artifact_type(),
                artifact_type,
            )
        })
    }

    /// What comes of `change`, read as `media_type`; the same document where it changed nothing.
    pub(crate) fn edited(
        &self,
        media_type: &MediaType,
        change: impl FnOnce(&mut Editor) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut editor = Editor::new(self.raw().clone())?;
        change(&mut editor)?;
        let raw: Bytes = editor.finish();
        if raw == self.raw() && media_type == self.media_type() {
            return Ok(self.clone());
        }
        Self::parse(raw, Some(media_type))
    }

    pub(crate) fn put_children(&self, editor: &mut Editor, children: &[Option<Descriptor>]) -> Result<(), Error> {
        let old = self.children();
        if old.len() != children.len() {
            return Err(Error::document(
                "edit",
                format!("{} children were given for {}", children.len(), old.len()),
            ));
        }
        let list = self.list();
        let first = old.len() - self.list_len();
        for (place, (old, new)) in old.iter().zip(children).enumerate() {
            match new {
                Some(new) if place < first => put_descriptor(editor, &["config".into()], old, new)?,
                Some(new) => put_descriptor(editor, &[list.into(), (place - first).into()], old, new)?,
                None if place < first => {
                    return Err(Error::document("edit", "a manifest's config cannot be dropped"));
                }
                None => {}
            }
        }
        if children.iter().any(Option::is_none) {
            editor.retain(&[list.into()], |place| children[first + place].is_some())?;
        }
        Ok(())
    }

    /// The key of the list that can grow and shrink.
    fn list(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "layers",
            Self::Index(_) => "manifests",
        }
    }

    fn list_len(&self) -> usize {
        match self {
            Self::Manifest(manifest) => manifest.layers.len(),
            Self::Index(index) => index.manifests.len(),
        }
    }

    fn only_oci(&self, what: &str, wanted: bool) -> Result<(), Error> {
        if wanted && self.format() == Format::Docker {
            return Err(Error::Unsupported {
                what: format!("Docker's form ({}) with {what}", self.media_type()),
                advice: "convert it to oci first (teu edit --format oci)".to_owned(),
            });
        }
        Ok(())
    }
}

/// The keys of `order` that stand before `key`.
pub(crate) fn before<'a>(order: &'a [&'a str], key: &str) -> &'a [&'a str] {
    let place = order.iter().position(|other| *other == key).unwrap_or(order.len());
    &order[..place]
}

/// States what the document is, behind `schemaVersion` where nothing did.
pub(crate) fn put_media_type(editor: &mut Editor, media_type: &MediaType) -> Result<(), Error> {
    editor.set_after(&["mediaType".into()], before(&DOCUMENT_ORDER, "mediaType"), media_type)
}

fn put_descriptor(editor: &mut Editor, path: &[Step<'_>], old: &Descriptor, new: &Descriptor) -> Result<(), Error> {
    if old == new {
        return Ok(());
    }
    let order = &DESCRIPTOR_ORDER;
    put(
        editor,
        path,
        order,
        "mediaType",
        Some(&old.media_type),
        Some(&new.media_type),
    )?;
    put(editor, path, order, "digest", Some(&old.digest), Some(&new.digest))?;
    put(editor, path, order, "size", Some(&old.size), Some(&new.size))?;
    put(editor, path, order, "urls", some(&old.urls), some(&new.urls))?;
    put_annotations(editor, path, order, &old.annotations, &new.annotations)?;
    if old.data.is_some() || new.data.is_some() {
        put_data(editor, path, old, new)?;
    }
    match (&old.platform, &new.platform) {
        (Some(old), Some(new)) => put_platform(editor, &join(path, "platform"), old, new)?,
        (old, new) => put(editor, path, order, "platform", old.as_ref(), new.as_ref())?,
    }
    put(
        editor,
        path,
        order,
        "artifactType",
        old.artifact_type.as_ref(),
        new.artifact_type.as_ref(),
    )
}

/// Content that was embedded for the old digest would be a lie under the new one.
fn put_data(editor: &mut Editor, path: &[Step<'_>], old: &Descriptor, new: &Descriptor) -> Result<(), Error> {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Embedded<'a>(#[serde(with = "crate::descriptor::base64_data")] &'a Option<Bytes>);

    let same_content = old.digest == new.digest && old.size == new.size;
    let data = if same_content && old.data == new.data {
        return Ok(());
    } else {
        new.verified_data().cloned()
    };
    match data {
        Some(_) => editor.set_after(&join(path, "data"), before(&DESCRIPTOR_ORDER, "data"), &Embedded(&data)),
        None => editor.remove(&join(path, "data")).map(drop),
    }
}

fn put_platform(editor: &mut Editor, path: &[Step<'_>], old: &Platform, new: &Platform) -> Result<(), Error> {
    let order = &PLATFORM_ORDER;
    put(
        editor,
        path,
        order,
        "architecture",
        Some(&old.architecture),
        Some(&new.architecture),
    )?;
    put(editor, path, order, "os", Some(&old.os), Some(&new.os))?;
    put(
        editor,
        path,
        order,
        "os.version",
        some(&old.os_version),
        some(&new.os_version),
    )?;
    put(
        editor,
        path,
        order,
        "os.features",
        some(&old.os_features),
        some(&new.os_features),
    )?;
    put(editor, path, order, "variant", some(&old.variant), some(&new.variant))?;
    put(
        editor,
        path,
        order,
        "features",
        some(&old.features),
        some(&new.features),
    )
}

fn put_annotations(
    editor: &mut Editor,
    path: &[Step<'_>],
    order: &[&str],
    old: &Annotations,
    new: &Annotations,
) -> Result<(), Error> {
    if old == new {
        return Ok(());
    }
    let here = join(path, "annotations");
    if old.is_empty() || new.is_empty() {
        let new = (!new.is_empty()).then_some(new);
        return put(editor, path, order, "annotations", Some(old), new);
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        editor.remove(&join(&here, key))?;
    }
    for (key, value) in new {
        if old.get(key) != Some(value) {
            editor.set(&join(&here, key), value)?;
        }
    }
    Ok(())
}

/// Changes the field `key` from `old` to `new`, if they differ.
fn put<T: Serialize + PartialEq + ?Sized>(
    editor: &mut Editor,
    path: &[Step<'_>],
    order: &[&str],
    key: &str,
    old: Option<&T>,
    new: Option<&T>,
) -> Result<(), Error> {
    match new {
        _ if old == new => Ok(()),
        Some(new) => editor.set_after(&join(path, key), before(order, key), new),
        None => editor.remove(&join(path, key)).map(drop),
    }
}

fn join<'a>(path: &[Step<'a>], key: &'a str) -> Vec<Step<'a>> {
    let mut path = path.to_vec();
    path.push(key.into());
    path
}

/// A list or a text as a field: absent where it is empty.
fn some<T: Emptiness>(value: &T) -> Option<&T> {
    (!value.is_empty()).then_some(value)
}

trait Emptiness {
    fn is_empty(&self) -> bool;
}

impl Emptiness for String {
    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl Emptiness for Vec<String> {
    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}
