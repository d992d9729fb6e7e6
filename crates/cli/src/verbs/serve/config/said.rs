//! What does a file say of one setting, whichever form the file has?

/// What a file says of a setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The flag's name, without dashes.
    pub(super) name: String,
    /// As the flag has them.
    pub(super) values: Vec<String>,
    /// Where it stands, as a person looks for it.
    pub(super) place: String,
}
