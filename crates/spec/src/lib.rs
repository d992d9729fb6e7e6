//! What is an image made of?

pub mod annotation;
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
mod time;

pub use config::{ConfigFields, ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
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
