//! What does a bundle remember, so that its changes can be found later? [`Bundle`] is what stands beside `rootfs` and `config.json`: which image
//! it came of and how owners were mapped, in `teu.json`, and what every file was like, in `teu.tree` ([`record`]).
//!
//! A bundle that umoci unpacked is understood too: its `umoci.json` and its mtree.

mod entry;
mod mtree;
mod open;
pub mod record;
mod umoci;

use serde::{Deserialize, Serialize};
use teu_rootfs::{Owners, Ranges, walk};
use teu_spec::Descriptor;
use teu_store::{Error, ErrorKind, Result};

pub use entry::{Entry, Fingerprint, Mark, order};
pub use mtree::{MtreeLimits, read as read_mtree};
pub use open::Opened;
pub(crate) use open::Record;
pub use umoci::{FILE as UMOCI_FILE, mtree_file};

use crate::runtime::mappings;

/// The name of the directory with the files of the image.
pub const ROOTFS: &str = "rootfs";
/// The name of the runtime's configuration.
pub const CONFIG: &str = "config.json";
/// The name of the file that says where a bundle came from.
pub const FILE: &str = "teu.json";
/// The name of the file that says what every file was like.
pub const RECORD: &str = "teu.tree";
/// Its other name: a new record is written beside the old one, which counts until [`FILE`] names the new one.
pub const OTHER_RECORD: &str = "teu.1.tree";

/// The most bytes that are read of what says where a bundle came from.
pub const FILE_LIMIT: u64 = 4 << 20;

/// How a bundle's tree is walked: with the extended attributes that an image's files can have, and the record of owners that could not be set. What
/// this machine says of its files for itself is none of them.
#[must_use]
pub fn walk_options() -> walk::Options {
    walk::Options {
        xattrs: is_of_the_image,
        // An image may close files to their owner, who is the user here: `/etc/shadow` of some has the mode 0000.
        open_own: true,
        ..walk::Options::default()
    }
}

fn is_of_the_image(name: &[u8]) -> bool {
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        || matches!(
            name,
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

/// Where a bundle came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The manifest that it was unpacked from.
    pub from: Descriptor,
    /// Where that was, as a person writes it; none where nobody said so.
    pub image: Option<String>,
    /// Whether its record has the [other name](OTHER_RECORD).
    pub other_record: bool,
    /// Whether it was unpacked by a user who is not root.
    pub rootless: bool,
    /// How users were mapped.
    pub uid_map: Ranges,
    /// How groups were mapped.
    pub gid_map: Ranges,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    version: u32,
    from: Descriptor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default = "usual_record")]
    record: String,
    #[serde(default)]
    rootless: bool,
    #[serde(default, with = "mappings")]
    uid_map: Ranges,
    #[serde(default, with = "mappings")]
    gid_map: Ranges,
}

const VERSION: u32 = 1;

fn usual_record() -> String {
    RECORD.to_owned()
}

impl Bundle {
    /// The content of [`FILE`].
    ///
    /// # Errors
    /// None that a bundle of ours can come to.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let written = Written {
            version: VERSION,
            from: self.from.clone(),
            image: self.image.clone(),
            record: self.record().to_owned(),
            rootless: self.rootless,
            uid_map: self.uid_map.clone(),
            gid_map: self.gid_map.clone(),
        };
        let json = serde_json::to_vec_pretty(&written);
        let mut json =
            json.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()).within("writing teu.json"))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the content of [`FILE`].
    ///
    /// # Errors
    /// `Invalid` for what is none; `Unsupported` for that of another version.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed =
            |error: serde_json::Error| Error::new(ErrorKind::Invalid, error.to_string()).within("reading teu.json");
        let Version { version } = serde_json::from_slice(json).map_err(malformed)?;
        if version != VERSION {
            let message = format!("the bundle is of version {version}, and this teu knows {VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let written: Written = serde_json::from_slice(json).map_err(malformed)?;
        let other_record = match written.record.as_str() {
            RECORD => false,
            OTHER_RECORD => true,
            _ => {
                let message = format!("teu.json names a record that is neither {RECORD} nor {OTHER_RECORD}");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        };
        Ok(Self {
            from: written.from,
            image: written.image,
            other_record,
            rootless: written.rootless,
            uid_map: written.uid_map,
            gid_map: written.gid_map,
        })
    }

    /// The name of the file that says what every file was like.
    #[must_use]
    pub fn record(&self) -> &'static str {
        match self.other_record {
            true => OTHER_RECORD,
            false => RECORD,
        }
    }

    /// How owners became those of the tree's files.
    #[must_use]
    pub fn owners(&self) -> Owners {
        match (self.rootless, self.uid_map.is_empty() && self.gid_map.is_empty()) {
            (true, _) => Owners::Recorded,
            (false, true) => Owners::Kept,
            (false, false) => Owners::Mapped {
                users: self.uid_map.clone(),
                groups: self.gid_map.clone(),
            },
        }
    }

    /// Reads the content of umoci's [`UMOCI_FILE`].
    ///
    /// # Errors
    /// `Invalid` for what is none; `Unsupported` for what umoci did in a way that is not known here.
    pub fn from_umoci(json: &[u8]) -> Result<Self> {
        umoci::read(json)
    }
}

/// Reads umoci's own file, for the fuzz targets alone.
///
/// # Errors
/// `Invalid` for what is none; `Unsupported` for another version, and for whiteouts that are kept for overlayfs.
#[cfg(feature = "fuzz")]
pub fn read_umoci(json: &[u8]) -> Result<Bundle> {
    umoci::read(json)
}

#[cfg(test)]
mod tests;
