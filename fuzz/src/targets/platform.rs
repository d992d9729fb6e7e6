//! A platform as a person writes it, and platforms as an index states them.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use teu_spec::{Descriptor, Digest, MediaType, Platform};

#[derive(Arbitrary, Debug)]
pub(crate) struct Input<'a> {
    text: &'a str,
    offered: Vec<Option<Stated<'a>>>,
}

#[derive(Arbitrary, Debug)]
struct Stated<'a> {
    os: Word<'a>,
    architecture: Word<'a>,
    variant: Word<'a>,
    version: &'a str,
    features: Vec<&'a str>,
}

#[derive(Arbitrary, Debug)]
enum Word<'a> {
    Known(u8),
    Other(&'a str),
}

const WORDS: [&str; 16] = [
    "", "linux", "windows", "macos", "amd64", "x86_64", "arm64", "aarch64", "arm", "armhf", "v1", "v5", "v6", "v7",
    "v8", "v9",
];

impl Word<'_> {
    fn text(&self) -> String {
        match self {
            Self::Known(place) => WORDS[usize::from(*place) % WORDS.len()].to_owned(),
            Self::Other(text) => (*text).to_owned(),
        }
    }
}

pub(crate) fn run(input: Input<'_>) {
    let offered: Vec<Descriptor> = input
        .offered
        .iter()
        .map(|stated| Descriptor {
            platform: stated.as_ref().map(|stated| Platform {
                os: stated.os.text(),
                architecture: stated.architecture.text(),
                variant: stated.variant.text(),
                os_version: stated.version.to_owned(),
                os_features: stated.features.iter().map(|feature| (*feature).to_owned()).collect(),
                features: Vec::new(),
            }),
            ..Descriptor::new(MediaType::OciManifest, Digest::of(b""), 0)
        })
        .collect();
    let read = input.text.parse::<Platform>();
    if let Ok(platform) = &read {
        assert_eq!(platform.to_string().parse::<Platform>().as_ref(), Ok(platform));
    }
    let wanted = offered
        .iter()
        .filter_map(|offered| offered.platform.clone())
        .chain(read.ok());
    for platform in wanted {
        let normalized = platform.normalized();
        assert_eq!(normalized.normalized(), normalized);
        assert!(platform.matches(&platform), "{platform:?}");
        let chosen = platform.choose(&offered);
        assert_eq!(chosen, normalized.choose(&offered));
        let fits = |offered: &Descriptor| {
            offered
                .platform
                .as_ref()
                .is_none_or(|offered| platform.matches(offered))
        };
        assert_eq!(chosen.is_some(), offered.iter().any(fits));
        if let Some(chosen) = chosen {
            assert!(fits(&offered[chosen]));
            // What states a platform goes before what states none.
            let stated = offered
                .iter()
                .any(|offered| offered.platform.is_some() && fits(offered));
            assert_eq!(offered[chosen].platform.is_some(), stated);
        }
    }
}
