//! Which machine is an image for, and which of several images is for a machine? [`Platform`], by image-spec's image-index.md and Go's names.

use std::{cmp::Reverse, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Error, annotation, json::null_is_default};

/// A machine that an image runs on: the fields of image-spec's `platform`, as they stand in an index.
///
/// As a document states it, it may be spelt in several ways (`arm64` with the variant `v8` or with none); [`Self::normalized`] is one of
/// them, and what is parsed from a person's words is normalised already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The CPU, by Go's names: `amd64`, `arm64`, ….
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The operating system, by Go's names: `linux`, `windows`, ….
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    /// The version of the operating system, as Windows has it.
    #[serde(
        rename = "os.version",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features of the operating system that the image needs, such as `win32k`.
    #[serde(
        rename = "os.features",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the CPU, such as `v7` of `arm`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// CPU features: reserved by image-spec, written by some tools.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Operating systems that a word alone can name.
const SYSTEMS: [&str; 12] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];

/// CPUs that a word alone can name: those that containerd knows by Go's names. What stands beside a system may be any other.
const CPUS: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// The longest text that is read as a platform, in bytes.
const MAX_TEXT: usize = 255;

impl Platform {
    /// The platform of an operating system and a CPU, normalised.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            ..Self::default()
        }
        .normalized()
    }

    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new(std::env::consts::OS, architecture)
    }

    /// The same platform in the one spelling that can be compared: Go's names (`x86_64` is `amd64`, `aarch64` is `arm64`, `armhf` is `arm`
    /// with `v7`), without a variant that every such CPU has (`v8` of `arm64`, `v1` of `amd64`), and with the usual one where `arm` has none.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("i386" | "386", _) => ("386", ""),
            ("aarch64" | "arm64", "" | "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", "9" | "v9.0") => ("arm64", "v9"),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        Self {
            architecture: architecture.to_owned(),
            os,
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: variant.to_owned(),
            features: self.features.clone(),
        }
    }

    /// Whether an image for `offered` runs on this machine: see [`Self::choose`] for which variants and versions do.
    #[must_use]
    pub fn matches(&self, offered: &Self) -> bool {
        self.normalized().rank(offered).is_some()
    }

    /// The place of the best image for this machine among `manifests`, or `None` where there is none.
    ///
    /// A CPU runs what is for its own variant and for lesser ones, and the greatest is best: `arm` v7 → v6 → v5, `amd64` v4 → … → v1,
    /// `arm64` v9 → v8. Any other variant must be the same. Where this platform has an `os.version`, an image must have the same, or one
    /// that goes on where it ends (`10.0.17763` takes `10.0.17763.5329`, the latest first); where it has none, any will do. Features of
    /// the operating system that are asked for must be there, and an image that needs no others is better. Among equals one with zstd
    /// layers is better (as containers/image marks it), then the first. A manifest that states no platform is chosen where nothing else
    /// can be, and an index in the index too, as containers/image does it.
    #[must_use]
    pub fn choose<'a>(&self, manifests: impl IntoIterator<Item = &'a Descriptor>) -> Option<usize> {
        let wanted = self.normalized();
        let mut best: Option<(Option<Rank>, bool, usize)> = None;
        for (place, manifest) in manifests.into_iter().enumerate() {
            let rank = match &manifest.platform {
                Some(offered) => match wanted.rank(offered) {
                    Some(rank) => Some(rank),
                    None => continue,
                },
                None => None,
            };
            let zstd = manifest
                .annotations
                .get(annotation::COMPRESSION_ZSTD)
                .is_some_and(|value| value == "true");
            let better = match &best {
                None => true,
                // An absent rank, of an absent platform, is less than any.
                Some((best_rank, best_zstd, _)) => (&rank, zstd) > (best_rank, *best_zstd),
            };
            if better {
                best = Some((rank, zstd, place));
            }
        }
        best.map(|(_, _, place)| place)
    }

    /// How well an image for `offered` runs on this machine, which is normalised: the greater the better.
    fn rank(&self, offered: &Self) -> Option<Rank> {
        let unstated = offered.variant.is_empty();
        let offered = offered.normalized();
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let variants = runs(&self.architecture, &self.variant);
        let variant = match variants.iter().position(|variant| *variant == offered.variant) {
            Some(variant) => variant,
            // An image for `arm` alone is most likely for v7, but may be for any: better than none, as containers/image takes it.
            None if unstated && offered.architecture == "arm" => variants.len(),
            None => return None,
        };
        if !self
            .os_features
            .iter()
            .all(|feature| offered.os_features.contains(feature))
        {
            return None;
        }
        let needs_more = offered
            .os_features
            .iter()
            .any(|feature| !self.os_features.contains(feature));
        let version = match offered.os_version.strip_prefix(&self.os_version) {
            _ if self.os_version.is_empty() => Vec::new(),
            Some(rest) if rest.is_empty() || rest.starts_with('.') => {
                rest.split('.').skip(1).map(|part| part.parse().unwrap_or(0)).collect()
            }
            _ => return None,
        };
        Some((Reverse(variant), Reverse(needs_more), version))
    }
}

/// By variant, by the features that it needs beyond those asked for, by the rest of the version.
type Rank = (Reverse<usize>, Reverse<bool>, Vec<u64>);

/// The variants that a CPU of `variant` runs, the best first; all normalised, so the least has no name but for `arm`.
fn runs<'a>(architecture: &str, variant: &'a str) -> Vec<&'a str> {
    let ladder: &[&str] = match architecture {
        "arm" => &["v8", "v7", "v6", "v5"],
        "amd64" => &["v4", "v3", "v2", ""],
        "arm64" => &["v9", ""],
        _ => &[],
    };
    match ladder.iter().position(|rung| *rung == variant) {
        Some(rung) => ladder[rung..].to_vec(),
        // Not one of ours: it may still be the name of a CPU that runs the common images, as containers/image takes it.
        None if variant.is_empty() || architecture == "arm" => vec![variant],
        None => vec![variant, ""],
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `os/architecture[/variant]`, with the version of the operating system as containerd writes it, `windows(10.0.17763)/amd64`,
    /// or as crane does, `windows/amd64:10.0.17763`. One word alone is an operating system or a CPU that is known, and the other is this machine's.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Platform {
            input: text.chars().take(MAX_TEXT).collect(),
            reason: reason.to_owned(),
        };
        if text.len() > MAX_TEXT {
            return Err(invalid("it is longer than the limit of 255 bytes"));
        }
        let (names, version) = match text.split_once(':') {
            Some((names, version)) => (names, Some(version)),
            None => (text, None),
        };
        let parts: Vec<&str> = names.split('/').collect();
        let (first, version) = match (
            parts[0].strip_suffix(')').and_then(|part| part.split_once('(')),
            version,
        ) {
            (Some(_), Some(_)) => return Err(invalid("the version of the operating system stands in it twice")),
            (Some((os, version)), None) => (os, Some(version)),
            (None, version) => (parts[0], version),
        };
        let host = Self::host();
        let word = |word: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !word.is_empty() && word.chars().all(known)
        };
        if !word(first) || !parts[1..].iter().all(|part| word(part)) || version.is_some_and(|version| !word(version)) {
            return Err(invalid(
                "it must be os/architecture[/variant], such as linux/arm64 or linux/arm/v7, of letters, digits and - _ .",
            ));
        }
        let Self {
            os: first_os,
            architecture: first_cpu,
            ..
        } = Self::new(first, first);
        let (os, architecture, variant) = match parts.as_slice() {
            [_] if SYSTEMS.contains(&first_os.as_str()) => (first, host.architecture.as_str(), host.variant.as_str()),
            [_] if version.is_none() && CPUS.contains(&first_cpu.as_str()) => (host.os.as_str(), first, ""),
            [_] if version.is_none() => {
                return Err(invalid(
                    "one word alone must be an operating system or a CPU by Go's names, such as linux or arm64; write os/architecture[/variant]",
                ));
            }
            [_, architecture] => (first, *architecture, ""),
            [_, architecture, variant] => (first, *architecture, *variant),
            _ => {
                return Err(invalid(
                    "it must be os/architecture[/variant], such as linux/arm64 or linux/arm/v7",
                ));
            }
        };
        Ok(Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            os_version: version.unwrap_or_default().to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        }
        .normalized())
    }
}

/// As a person writes it and [`FromStr`] reads it: `os[(version)]/architecture[/variant]`. Features are not in it.
impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(formatter, "({})", self.os_version)?;
        }
        write!(formatter, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}
