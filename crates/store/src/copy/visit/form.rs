//! Which form does a manifest get, and may it? What it becomes where it changes, and what is refused before anything is copied.

use teu_spec::{Descriptor, Digest, Document, Format, LayerCompression, MediaType};

use super::Copier;
use crate::{
    Error, ErrorKind, Result, Side,
    graph::{Node, Step},
};

impl Copier<'_> {
    /// Refuses before any blob is copied what would be refused at the end.
    pub(super) fn check(&self, node: Node<'_>, document: &Document, steps: &[Step]) -> Result<()> {
        let digest = node.descriptor.digest;
        if matches!(document, Document::Index(_)) && !self.ends.target.takes().indexes {
            let message = format!("this destination holds single images, and {digest} is an index; choose a platform");
            return Err(Error::new(ErrorKind::Unsupported, message).on(Side::Destination));
        }
        let children: Vec<_> = document.children().into_iter().map(Some).collect();
        let format = self.form(document, &children)?;
        if !self.options.preserve_digests {
            return Ok(());
        }
        let reason = if let [(_, layer), ..] = self.recompressed_of(document)[..] {
            format!("layer {} would have to be recompressed", layer.digest)
        } else if format != document.format() {
            format!("it would have to be converted to {format}")
        } else if steps.contains(&Step::Drop) {
            "images would have to be dropped from it; a sparse index keeps its digest".to_owned()
        } else {
            return Ok(());
        };
        Err(changed(&digest, &reason))
    }

    /// Refuses an image that would not be the one that the target was asked for by its digest.
    pub(in super::super) fn check_digest(&self, found: &Digest) -> Result<()> {
        match self.options.digest {
            Some(wanted) if wanted != *found => Err(Error::new(
                ErrorKind::Mismatch,
                format!("the image is {found}, and the destination asks for {wanted}; write a tag, or that digest"),
            )
            .on(Side::Destination)),
            _ => Ok(()),
        }
    }

    /// The document as the target gets it, and its digest.
    pub(super) fn converted(
        &self,
        node: Node<'_>,
        document: &Document,
        children: &[Option<Descriptor>],
    ) -> Result<(Document, Digest)> {
        let digest = node.descriptor.digest;
        let form = self.form(document, children)?;
        if form == Format::Oci
            && document.format() == Format::Docker
            && self.options.format.is_none()
            && self.ends.target.takes().docker
        {
            self.warn(format!(
                "manifest {digest} is converted to OCI's form, as Docker's has no zstd"
            ));
        }
        let (new, losses) = document
            .convert(form, children)
            .map_err(|error| Error::from(error).within(format!("manifest {digest}")))?;
        for loss in losses {
            self.warn(format!(
                "manifest {digest} loses what Docker's form has no place for: {loss}"
            ));
        }
        if new.raw() == document.raw() {
            return Ok((new, digest));
        }
        if self.options.preserve_digests {
            return Err(changed(&digest, "what it names changes"));
        }
        let digest = digest.algorithm().digest(new.raw());
        Ok((new, digest))
    }

    /// The form that a document gets, which names these children.
    fn form(&self, document: &Document, children: &[Option<Descriptor>]) -> Result<Format> {
        let takes = self.ends.target.takes();
        let wanted = self.options.format.unwrap_or_else(|| self.own_form(document, children));
        let taken = |format| match format {
            Format::Oci => takes.oci,
            Format::Docker => takes.docker,
        };
        let other = match wanted {
            Format::Oci => Format::Docker,
            Format::Docker => Format::Oci,
        };
        match (taken(wanted), taken(other)) {
            (true, _) => Ok(wanted),
            (false, true) if self.options.format.is_none() => Ok(other),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("this destination takes no manifests of the form {wanted}"),
            )
            .on(Side::Destination)),
        }
    }

    /// The form that a document has, or must have because of what it names: Docker's has no zstd.
    fn own_form(&self, document: &Document, children: &[Option<Descriptor>]) -> Format {
        let is_oci = match document {
            Document::Manifest(_) => {
                let zstd = self
                    .recompress
                    .is_some_and(|how| how.compression == LayerCompression::Zstd);
                zstd && !self.recompressed_of(document).is_empty()
            }
            // What had become OCI's elsewhere is no reason to change the list that names it.
            Document::Index(index) => {
                let mut both = index.manifests.iter().zip(children);
                both.any(|(old, new)| {
                    let became = |new: &Descriptor| {
                        new.media_type != old.media_type
                            && matches!(new.media_type, MediaType::OciManifest | MediaType::OciIndex)
                    };
                    new.as_ref().is_some_and(became)
                })
            }
        };
        if is_oci { Format::Oci } else { document.format() }
    }
}

fn changed(digest: &Digest, reason: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the digest of manifest {digest} cannot be preserved: {reason}; allow it to change, or copy it as it is"
        ),
    )
}
