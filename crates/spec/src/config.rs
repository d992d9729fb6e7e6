//! What does an image's configuration say? [`ImageConfig`] (image-spec, config.md), with what Docker adds to it.
//!
//! As a manifest, it owns the bytes that it was read from, and its fields are a view of them. `null` reads as absent, as Go's readers
//! have it and some of its writers write it. To change a config, use [`json::edit`] on [`ImageConfig::raw`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use crate::{
    Annotations, Digest, Error, Platform, Timestamp,
    error::shown,
    go_json,
    json::{self, Shape, null_is_default},
};

/// The configuration of an image, with the bytes it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    raw: Bytes,
    /// What was read from them.
    pub fields: ConfigFields,
}

/// The fields of an [`ImageConfig`]. Where it matters to others whether one is absent or empty, it is an `Option`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConfigFields {
    /// When the image was made, as it is written: see [`ImageConfig::created`].
    pub created: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "null_is_default")]
    pub author: String,
    /// The CPU, by Go's names.
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The operating system, by Go's names.
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", deserialize_with = "null_is_default")]
    pub os_version: String,
    /// Features of the operating system that the image needs.
    #[serde(rename = "os.features", deserialize_with = "null_is_default")]
    pub os_features: Vec<String>,
    /// The variant of the CPU.
    #[serde(deserialize_with = "null_is_default")]
    pub variant: String,
    /// How a container of the image runs.
    #[serde(deserialize_with = "null_is_default")]
    pub config: ContainerConfig,
    /// The layers, uncompressed.
    #[serde(deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    /// How each layer came to be, lowest first, and what made none.
    #[serde(deserialize_with = "null_is_default")]
    pub history: Vec<History>,
    /// Docker: the version of Docker that made it.
    #[serde(deserialize_with = "null_is_default")]
    pub docker_version: String,
    /// Docker: the container that it was committed from.
    #[serde(deserialize_with = "null_is_default")]
    pub container: String,
    /// Docker: how that container ran.
    pub container_config: Option<Box<ContainerConfig>>,
    /// Docker, in archives' legacy layers: the layer's own name.
    #[serde(deserialize_with = "null_is_default")]
    pub id: String,
    /// Docker, in archives' legacy layers and images of its old builder: what it was made on.
    #[serde(deserialize_with = "null_is_default")]
    pub parent: String,
}

/// How a container of an image runs (image-spec, config.md, `config`), with Docker's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The user, or `user:group`, by name or number.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// Ports that it listens on: `80/tcp`.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: BTreeSet<String>,
    /// Environment: `NAME=value`.
    pub env: Option<Vec<String>>,
    /// The command's beginning.
    pub entrypoint: Option<Vec<String>>,
    /// The command's default arguments, or the command where there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data of the container.
    #[serde(deserialize_with = "keys")]
    pub volumes: BTreeSet<String>,
    /// The directory that it starts in.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// Labels.
    pub labels: Option<Annotations>,
    /// The signal that ends it: `SIGTERM`, or a number.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// Windows: the command is one string, escaped already.
    #[serde(deserialize_with = "null_is_default")]
    pub args_escaped: bool,
    /// Docker: how to see whether it works.
    pub healthcheck: Option<Healthcheck>,
    /// Docker: the shell of `RUN`, `CMD` and `ENTRYPOINT` in their shell form.
    pub shell: Option<Vec<String>>,
    /// Docker: instructions for an image that is built on this one.
    pub on_build: Option<Vec<String>>,
    /// Docker: seconds until a container that was told to stop is killed.
    pub stop_timeout: Option<i64>,
    /// Docker: the container's host name.
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    /// Docker: the container's domain.
    #[serde(deserialize_with = "null_is_default")]
    pub domainname: String,
    /// Docker: the image that it was made from.
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
}

/// Docker: how to see whether a container works. Times are in nanoseconds; zero means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub test: Option<Vec<String>>,
    /// The time between two checks.
    #[serde(deserialize_with = "null_is_default")]
    pub interval: i64,
    /// How long one may take.
    #[serde(deserialize_with = "null_is_default")]
    pub timeout: i64,
    /// How long a container may fail after its start.
    #[serde(deserialize_with = "null_is_default")]
    pub start_period: i64,
    /// The time between two checks in that period.
    #[serde(deserialize_with = "null_is_default")]
    pub start_interval: i64,
    /// How many failures in a row mean that it does not work.
    #[serde(deserialize_with = "null_is_default")]
    pub retries: i64,
}

/// The layers of an image, uncompressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// The digest of each uncompressed layer, lowest first.
    pub diff_ids: Option<Vec<Digest>>,
}

/// How one layer came to be, or what made none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command that made it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who made it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A remark.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

const ANY: Shape = Shape::Any;
const HEALTHCHECK: Shape = Shape::Object(&[
    ("Test", ANY),
    ("Interval", ANY),
    ("Timeout", ANY),
    ("StartPeriod", ANY),
    ("StartInterval", ANY),
    ("Retries", ANY),
]);
const CONTAINER: Shape = Shape::Object(&[
    ("User", ANY),
    ("ExposedPorts", ANY),
    ("Env", ANY),
    ("Entrypoint", ANY),
    ("Cmd", ANY),
    ("Volumes", ANY),
    ("WorkingDir", ANY),
    ("Labels", ANY),
    ("StopSignal", ANY),
    ("ArgsEscaped", ANY),
    ("Healthcheck", HEALTHCHECK),
    ("Shell", ANY),
    ("OnBuild", ANY),
    ("StopTimeout", ANY),
    ("Hostname", ANY),
    ("Domainname", ANY),
    ("Image", ANY),
]);
const HISTORY: Shape = Shape::Object(&[
    ("created", ANY),
    ("created_by", ANY),
    ("author", ANY),
    ("comment", ANY),
    ("empty_layer", ANY),
]);
const CONFIG: Shape = Shape::Object(&[
    ("created", ANY),
    ("author", ANY),
    ("architecture", ANY),
    ("os", ANY),
    ("os.version", ANY),
    ("os.features", ANY),
    ("variant", ANY),
    ("config", CONTAINER),
    ("rootfs", Shape::Object(&[("type", ANY), ("diff_ids", ANY)])),
    ("history", Shape::Array(&HISTORY)),
    ("docker_version", ANY),
    ("container", ANY),
    ("container_config", CONTAINER),
    ("id", ANY),
    ("parent", ANY),
]);

impl ImageConfig {
    /// Reads a configuration strictly.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Document`] for what is malformed. That a time is none shows only when it is asked for.
    pub fn parse(raw: Bytes) -> Result<Self, Error> {
        json::check(&raw, CONFIG)?;
        let fields = json::read(&raw, "image config")?;
        Ok(Self { raw, fields })
    }

    /// The bytes that it came as.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// When the image was made, if it says so.
    ///
    /// # Errors
    /// [`Error::Document`] where it is no moment by RFC 3339.
    pub fn created(&self) -> Result<Option<Timestamp>, Error> {
        self.fields.created.as_deref().map(str::parse).transpose()
    }

    /// The digest of each uncompressed layer, lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        self.fields.rootfs.diff_ids.as_deref().unwrap_or_default()
    }

    /// The machine that the image is for, as it is written.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.fields.architecture.clone(),
            os: self.fields.os.clone(),
            os_version: self.fields.os_version.clone(),
            os_features: self.fields.os_features.clone(),
            variant: self.fields.variant.clone(),
            features: Vec::new(),
        }
    }

    /// The [`chain_ids`] of its layers.
    #[must_use]
    pub fn chain_ids(&self) -> Vec<Digest> {
        chain_ids(self.diff_ids())
    }

    /// Checks that there is one DiffID for each of a manifest's `layers` (threat 54): with fewer or more, readers that count differently
    /// see different images. And that they are layers: image-spec (config.md, `rootfs`) has every reader refuse another type.
    ///
    /// # Errors
    /// [`Error::Document`] with both numbers, or the type.
    pub fn check_layers(&self, layers: usize) -> Result<(), Error> {
        let kind = self.fields.rootfs.kind.as_str();
        if kind != "layers" {
            return Err(Error::document(
                "image config",
                format!(
                    "its rootfs is of type \"{}\" and must be of type \"layers\"",
                    shown(kind)
                ),
            ));
        }
        let diff_ids = self.diff_ids().len();
        if diff_ids != layers {
            return Err(Error::document(
                "image config",
                format!("it has {diff_ids} diff_ids, but the manifest has {layers} layers"),
            ));
        }
        Ok(())
    }

    /// The fields that image-spec defines, in the order of its Go types and as Go writes them: what `skopeo inspect --config` prints, but
    /// for the newline at the end. What only Docker knows is left out.
    ///
    /// # Errors
    /// [`Error::Document`] where a time in it is none.
    pub fn to_go_json(&self, indent: &str) -> Result<String, Error> {
        go_json::indented(&OciView::of(&self.fields)?, indent)
    }
}

/// The ChainID of each layer, lowest first: what stands for a layer together with all below it (image-spec, config.md, "Layer ChainID").
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
            None => *diff_id,
        });
    }
    chain
}

/// Reads the keys of Go's `map[string]struct{}`.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

/// image-spec's Go type `Image`, for writing.
#[derive(Serialize)]
struct OciView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    architecture: &'a str,
    os: &'a str,
    #[serde(rename = "os.version", skip_serializing_if = "str::is_empty")]
    os_version: &'a str,
    #[serde(rename = "os.features", skip_serializing_if = "<[_]>::is_empty")]
    os_features: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
    config: ContainerView<'a>,
    rootfs: &'a RootFs,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<HistoryView<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerView<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<&'a str, Nothing>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<&'a str, Nothing>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Annotations>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_escaped: bool,
}

/// Go's `struct{}`: `{}`.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct HistoryView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

impl<'a> OciView<'a> {
    fn of(fields: &'a ConfigFields) -> Result<Self, Error> {
        let moment = |created: &Option<String>| -> Result<Option<String>, Error> {
            let moment: Option<Timestamp> = created.as_deref().map(str::parse).transpose()?;
            Ok(moment.map(|moment| moment.to_string()))
        };
        let set = |keys: &'a BTreeSet<String>| keys.iter().map(|key| (key.as_str(), Nothing {})).collect();
        let config = &fields.config;
        let history = fields.history.iter().map(|entry| {
            Ok(HistoryView {
                created: moment(&entry.created)?,
                created_by: &entry.created_by,
                author: &entry.author,
                comment: &entry.comment,
                empty_layer: entry.empty_layer,
            })
        });
        Ok(Self {
            created: moment(&fields.created)?,
            author: &fields.author,
            architecture: &fields.architecture,
            os: &fields.os,
            os_version: &fields.os_version,
            os_features: &fields.os_features,
            variant: &fields.variant,
            config: ContainerView {
                user: &config.user,
                exposed_ports: set(&config.exposed_ports),
                env: config.env.as_deref().unwrap_or_default(),
                entrypoint: config.entrypoint.as_deref().unwrap_or_default(),
                cmd: config.cmd.as_deref().unwrap_or_default(),
                volumes: set(&config.volumes),
                working_dir: &config.working_dir,
                labels: config.labels.as_ref().filter(|labels| !labels.is_empty()),
                stop_signal: &config.stop_signal,
                args_escaped: config.args_escaped,
            },
            rootfs: &fields.rootfs,
            history: history.collect::<Result<_, Error>>()?,
        })
    }
}
