//! What is an image made of? Documents of JSON that name content, and the words in them. Nothing here reads a file, a socket or a clock.
//!
//! # Bytes are the identity
//!
//! Content is called by its [`Digest`]. There is no way to have one that is not valid, for it becomes a path, a URL and a key; a string is
//! parsed, or bytes are hashed. A [`Descriptor`] names content by media type, digest and size (image-spec, descriptor.md).
//!
//! A [`Document`], which is a [`Manifest`] or an [`Index`], and an [`ImageConfig`] own the bytes that they were read from. Their fields are a
//! view: nothing is ever written anew to learn a digest, and what we do not know of a document is in its bytes all the same.
//!
//! # Strict reading
//!
//! Whoever checks an image and whoever runs it must see the same. So what readers see differently is refused before anything typed looks at
//! it ([`json`]): a key that stands twice or differs from a known one in case alone, an array where an object must stand, broken UTF-8,
//! depths, sizes and numbers past the limits. A document that could be two things, a manifest and an index, is refused too. What is
//! loose but means the same to all is read: `null` for what is empty, a media type that is left out where the parent says it.
//!
//! # Editing
//!
//! A document is changed by splicing into its bytes ([`json::edit`]). What is not touched keeps its order, its white space, its escapes, the
//! form of its numbers and the fields that nobody knows; what is new is laid out as what stands beside it. [`Document::rewrite`] gives it
//! other children and [`Document::annotate`] other annotations, and a change and its reverse give the same bytes.
//!
//! # Two forms
//!
//! OCI's form of an image and Docker's schema 2 differ in media types, and in what only one of them has a word for. [`Document::convert`]
//! replaces the types in place, so an image that both forms can say comes back byte for byte. What Docker's form cannot hold at all is an
//! error that says what to do; what it has no place for, and would not be missed by its tools, is told as a [`Loss`]. Nothing goes in silence.
//! A config keeps its bytes both ways: OCI's form allows the fields that Docker adds to it.
//!
//! # Names
//!
//! [`Reference`] reads what a person types, in skopeo's transports; [`RegistryReference`], [`Repository`] and [`Tag`] are the names of a registry,
//! held to distribution-spec's grammar wherever they come from. [`Platform`] says which machine an image is for, and chooses the one of
//! several that a machine runs best. [`Timestamp`] and [`go_json`] read and write as Go does, for output that must be the same as skopeo's.
//!
//! The example `annotate` reads a manifest, changes it, converts it, and shows what that did to its bytes.
//!
//! ```
//! use teu_spec::{Document, MediaType};
//!
//! let raw = br#"{"schemaVersion":2,"manifests":null}"#; // as umoci writes an empty layout's index
//! let index = Document::parse(raw[..].into(), None)?;
//! assert_eq!(*index.media_type(), MediaType::OciIndex);
//! assert_eq!(index.raw(), &raw[..]);
//! # Ok::<(), teu_spec::Error>(())
//! ```

pub mod annotation;
mod artifact_type;
mod config;
mod convert;
mod descriptor;
mod digest;
mod error;
pub mod go_json;
pub mod json;
pub mod layout;
mod manifest;
mod media_type;
mod platform;
mod reference;
mod repository;
mod rewrite;
mod sha256;
mod time;

pub use artifact_type::ArtifactType;
pub use config::{ConfigFields, ContainerConfig, Healthcheck, History, ImageConfig, RootFs, chain_ids};
pub use convert::{Format, LayerCompression, Loss};
pub use descriptor::{Annotations, Descriptor};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::Error;
pub use manifest::{Document, Index, MAX_CHILDREN, Manifest};
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::{Pick, Reference};
pub use repository::{MAX_REPOSITORY, MAX_TAG, RegistryReference, Repository, Tag};
pub use time::Timestamp;
