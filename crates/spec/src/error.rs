//! What can be wrong with a document or a name.

/// What is wrong with a document, a name or a conversion. Nothing was changed where it is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not strict JSON of the expected shape.
    #[error("not a valid JSON document: {0}")]
    Json(String),
    /// The document is JSON but not what image-spec says it must be.
    #[error("not a valid {what}: {reason}")]
    Document {
        /// What it was read as, such as `manifest`.
        what: &'static str,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The document is of a kind that is not supported.
    #[error("{what} is not supported: {advice}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do instead.
        advice: String,
    },
    /// A reference that cannot be read.
    #[error("{input:?} is not a valid reference: {reason}")]
    Reference {
        /// What was given.
        input: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A platform that cannot be read.
    #[error("{input:?} is not a valid platform: {reason}")]
    Platform {
        /// What was given.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One form cannot say what the other does.
    #[error("cannot be converted to {format}: {reason}")]
    Conversion {
        /// The form asked for.
        format: &'static str,
        /// What it cannot say.
        reason: String,
    },
}

/// The most characters of an input that an error repeats: what arrived may be an enemy's, and long.
const SHOWN: usize = 300;

/// As much of `text`, which arrived, as an error repeats, with what is no visible character escaped.
pub(crate) fn shown(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => String::from(c),
    };
    text.chars().take(SHOWN).map(escaped).collect()
}

impl Error {
    pub(crate) fn reference(input: &str, reason: impl Into<String>) -> Self {
        Self::Reference {
            input: input.chars().take(SHOWN).collect(),
            reason: reason.into(),
        }
    }

    pub(crate) fn document(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Document {
            what,
            reason: reason.into(),
        }
    }
}
