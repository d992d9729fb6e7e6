//! What is an image made of?

mod descriptor;
mod digest;
mod error;
pub mod json;
mod manifest;
mod media_type;
mod platform;
mod reference;

pub use descriptor::{Annotations, Descriptor};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::Error;
pub use manifest::{Document, Index, Manifest};
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::{Pick, Reference, RegistryReference, Repository};
