//! What is listed in a repository: each image once, with all names that lead to it.

use std::collections::HashMap;

use teu_spec::{Descriptor, Digest};

/// An image that is to be copied.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) digest: Digest,
    /// Where the list says it.
    pub(super) descriptor: Option<Descriptor>,
    pub(super) names: Vec<String>,
}

impl Image {
    pub(super) fn unnamed(digest: Digest) -> Self {
        Self {
            digest,
            descriptor: None,
            names: Vec::new(),
        }
    }
}

/// Images in the order in which they are listed first.
#[derive(Default)]
pub(super) struct Listed {
    images: Vec<Image>,
    places: HashMap<Digest, usize>,
    /// Which of them has a name.
    named: HashMap<String, usize>,
}

impl Listed {
    /// A name that was listed before is this image's from now on, as if both had been copied one after the other: the other one stays, without it.
    pub(super) fn add(&mut self, descriptor: Descriptor, name: Option<String>) {
        let digest = descriptor.digest;
        let place = *self.places.entry(digest).or_insert_with(|| {
            self.images.push(Image {
                descriptor: Some(descriptor),
                ..Image::unnamed(digest)
            });
            self.images.len() - 1
        });
        let Some(name) = name else { return };
        match self.named.insert(name.clone(), place) {
            Some(before) if before == place => return,
            Some(before) => self.images[before].names.retain(|other| *other != name),
            None => {}
        }
        self.images[place].names.push(name);
    }

    pub(super) fn images(self) -> Vec<Image> {
        self.images
    }
}

#[cfg(test)]
mod tests {
    use teu_spec::MediaType;

    use super::*;

    #[test]
    fn a_name_that_is_listed_twice_is_the_last_ones() {
        let mut listed = Listed::default();
        for (content, name) in [
            ("a", Some("v1")),
            ("a", Some("v2")),
            ("b", Some("v1")),
            ("b", Some("v1")),
            ("c", None),
            ("d", Some("v3")),
            ("a", Some("v3")),
        ] {
            let descriptor = Descriptor::of(MediaType::OciManifest, content.as_bytes());
            listed.add(descriptor, name.map(str::to_owned));
        }
        let found: Vec<_> = listed
            .images()
            .into_iter()
            .map(|image| (image.digest, image.names))
            .collect();
        let wanted = [("a", &["v2", "v3"][..]), ("b", &["v1"]), ("c", &[]), ("d", &[])];
        let wanted = wanted.map(|(content, names)| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            (Digest::of(content.as_bytes()), names)
        });
        assert_eq!(found, wanted);
    }
}
