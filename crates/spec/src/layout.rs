//! What marks a directory as an image layout, and what can a manifest be called in it? (image-spec, image-layout.md)

use serde::Deserialize;

use crate::{Error, json};

/// The name of the file that marks a layout.
pub const MARKER_FILE: &str = "oci-layout";
/// The name of the file that lists a layout's manifests.
pub const INDEX_FILE: &str = "index.json";
/// The directory of the blobs, each at `blobs/<algorithm>/<hex>`.
pub const BLOBS_DIRECTORY: &str = "blobs";
/// What [`MARKER_FILE`] holds where we write it: byte for byte what umoci, skopeo and crane write.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The largest marker that is read, in bytes: the real one has 30.
pub const MAX_MARKER: u64 = 4096;

/// The content of the file `oci-layout`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OciLayout {
    /// The version of the layout.
    pub image_layout_version: String,
}

const MARKER_SHAPE: json::Shape = json::Shape::Object(&[("imageLayoutVersion", json::Shape::Any)]);

impl OciLayout {
    /// Reads a marker and checks that its version is one that can be read: any `1.…`, as image-spec promises that these stay compatible.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Document`] for what is malformed, [`Error::Unsupported`] for another version.
    pub fn parse(raw: &[u8]) -> Result<Self, Error> {
        if raw.len() as u64 > MAX_MARKER {
            return Err(Error::document(
                MARKER_FILE,
                format!("{} bytes are more than the limit of {MAX_MARKER}", raw.len()),
            ));
        }
        json::check(raw, MARKER_SHAPE)?;
        let marker: Self = json::read(raw, MARKER_FILE)?;
        if marker.image_layout_version != "1" && !marker.image_layout_version.starts_with("1.") {
            return Err(Error::Unsupported {
                what: format!("image layout version {:?}", marker.image_layout_version),
                advice: "1.0.0 is; copy the image into a new layout with the tool that wrote this one".to_owned(),
            });
        }
        Ok(marker)
    }
}

/// Checks the name of a manifest in a layout: image-spec's grammar for `org.opencontainers.image.ref.name`, which containers/image
/// holds its `oci:` references to: runs of letters and digits, joined by one of `- . _ : @ + /` or by `--`.
///
/// # Errors
/// [`Error::Reference`] with the reason.
pub fn check_name(name: &str) -> Result<(), Error> {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    if let Some(wrong) = name.chars().find(|c| !(alphanumeric(*c) || "-._:@+/".contains(*c))) {
        return Err(Error::reference(
            name,
            format!("{wrong:?} cannot stand in the name of an image in a layout"),
        ));
    }
    let well_separated = name.split(alphanumeric).all(|run| run.len() <= 1 || run == "--");
    if !name.starts_with(alphanumeric) || !name.ends_with(alphanumeric) || !well_separated {
        return Err(Error::reference(
            name,
            "the name of an image in a layout must begin and end with a letter or a digit, \
             with one of - . _ : @ + / or -- between; @N or @digest reaches any other",
        ));
    }
    Ok(())
}
