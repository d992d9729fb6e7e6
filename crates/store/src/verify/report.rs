//! What is said of an image that was checked? How much of it was, and what is wrong with it, by digest.

use std::fmt;

use teu_spec::{Digest, Platform};

use crate::graph::Position;

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Indexes that were read, checked and parsed.
    pub indexes: usize,
    /// Manifests that were read, checked and parsed.
    pub manifests: usize,
    /// Configs whose content was read and checked.
    pub configs: usize,
    /// Layers and other blobs whose content was read and checked.
    pub layers: usize,
    /// The bytes of all that.
    pub bytes: u64,
    /// Images whose layers were found to be those of their configs.
    pub images: Vec<Image>,
    /// Non-distributable layers that are not there and need not be.
    pub elsewhere: Vec<Digest>,
    /// Manifests that a sparse index names and that are not there.
    pub absent: Vec<Digest>,
    /// What is wrong, by digest.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong, and all was checked; what is merely odd does not count.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.worst().is_none()
    }

    /// The first kind, in the order of [`Kind`], of which something is wrong, or was not checked.
    #[must_use]
    pub fn worst(&self) -> Option<Kind> {
        let counting = self.findings.iter().filter(|finding| finding.severity != Severity::Odd);
        counting.map(|finding| finding.kind).min()
    }
}

/// An image and what its layers are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The machine that its config says it is for.
    pub platform: Platform,
    /// Its layers, lowest first.
    pub layers: Vec<LayerIds>,
}

/// What a layer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerIds {
    /// As it is stored.
    pub digest: Digest,
    /// By its content without compression, as it was found.
    pub diff_id: Digest,
    /// Together with all below it.
    pub chain_id: Digest,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The image is not what it says it is, or breaks a MUST of the specification.
    Wrong,
    /// Nobody knows: it was not checked to its end, which is not the image's fault.
    Unknown,
    /// It breaks a SHOULD, or readers may differ on it.
    Odd,
}

/// What a finding is about: the first in this order leaves the others without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Content that is not there, or not of the size and digest by which it is named.
    Content,
    /// A document that does not say what the specification demands, or in a way that readers understand differently.
    Document,
    /// Documents that do not agree, with one another or with the content that they describe.
    Agreement,
    /// A layer that cannot be read: its compression or its archive is broken, or past a limit.
    Layer,
    /// An entry of a layer of which nobody should make a file.
    Entry,
    /// A limit of who checks, which unpacking has not.
    Limit,
}

/// What an inspector found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// Where the content stands.
    pub position: Position,
    /// Which content.
    pub digest: Digest,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match self.position {
            Position::Manifest => "manifest",
            Position::Config => "config",
            Position::Layer => "layer",
            Position::Other => "blob",
        };
        write!(formatter, "{position} {}: {}", self.digest, self.message)
    }
}
