//! How are an image's limits set?

use std::str::FromStr;

use clap::Args;

/// How much an image may ask for.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LimitOptions {
    /// Allow the image more, or less, of what a limit is for: errors name it, and a wrong name is answered with
    /// all and their defaults; may be given several times
    #[arg(long, value_name = "NAME=NUMBER")]
    pub(crate) limit: Vec<Limit>,
}

/// `NAME=NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) value: u64,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let limit = parts.and_then(|(name, value)| {
            Some(Self {
                name: name.to_owned(),
                value: value.parse().ok()?,
            })
        });
        limit.ok_or_else(|| "a limit is NAME=NUMBER, such as entries=20000000".to_owned())
    }
}
