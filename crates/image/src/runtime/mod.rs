//! How does a runtime run an image? [`configuration`] makes the `config.json` of a bundle (runtime-spec, config.md) from an image's config,
//! by image-spec's conversion.md. The same input gives the same bytes.
//!
//! What conversion.md leaves open is as `runc spec` has it: few capabilities, no new privileges, kernel files masked. There is no terminal
//! unless it is asked for, so that a bundle runs in a pipe too.

mod accounts;
mod defaults;
pub(crate) mod mappings;
mod user;

use std::collections::BTreeMap;

use serde::Serialize;
use teu_rootfs::Ranges;
use teu_spec::{ConfigFields, ImageConfig};
use teu_store::{Error, ErrorKind, Result};

pub use user::{ACCOUNTS_LIMIT, Accounts, User};

/// Who users and groups of a container are outside of it. The kernel maps both or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maps {
    users: Ranges,
    groups: Ranges,
}

impl Maps {
    /// These maps.
    ///
    /// # Errors
    /// `Invalid` where one of them has no range: no runtime takes that.
    pub fn new(users: Ranges, groups: Ranges) -> Result<Self> {
        let missing = match (users.is_empty(), groups.is_empty()) {
            (true, _) => Some("users"),
            (_, true) => Some("groups"),
            (false, false) => None,
        };
        match missing {
            None => Ok(Self { users, groups }),
            Some(what) => {
                let message = format!(
                    "no runtime runs a bundle whose {what} have no map; 0:0:{} leaves {what} as they are",
                    u32::MAX
                );
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }

    /// Users.
    #[must_use]
    pub fn users(&self) -> &Ranges {
        &self.users
    }

    /// Groups.
    #[must_use]
    pub fn groups(&self) -> &Ranges {
        &self.groups
    }
}

/// What is asked beside what the image says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For a user who is not root: in a user namespace, on the host's network, without control groups.
    pub rootless: bool,
    /// The owners of the container's user namespace; without, and not [rootless](Self::rootless), there is none.
    pub maps: Option<Maps>,
    /// Whether the process gets a terminal.
    pub terminal: bool,
}

/// Makes `config.json`. `accounts` is what the image has under `/etc/passwd` and `/etc/group`; the root file system is to be under `rootfs`
/// beside the file.
///
/// # Errors
/// `Unsupported` for an image that is not for Linux; `Invalid` where its user is not among its accounts, or its environment is none.
pub fn configuration(config: &ImageConfig, accounts: &Accounts, options: &Options) -> Result<Vec<u8>> {
    let fields = &config.fields;
    if fields.os != "linux" {
        let message = format!(
            "the image is for \"{}\", and only Linux has such bundles; --rootfs-only unpacks its files alone",
            fields.os.escape_default()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let user = accounts.resolve(&fields.config.user)?;
    let spec = Spec {
        oci_version: "1.0.2",
        process: process(fields, &user, options)?,
        root: Root { path: "rootfs" },
        hostname: defaults::HOSTNAME,
        mounts: mounts(fields, options),
        annotations: annotations(fields),
        linux: linux(options),
    };
    let mut json = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut json, serde_json::ser::PrettyFormatter::with_indent(b"\t"));
    let written = spec.serialize(&mut serializer);
    written.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()).within("writing config.json"))?;
    json.push(b'\n');
    Ok(json)
}

fn process<'a>(fields: &'a ConfigFields, user: &User, options: &Options) -> Result<Process<'a>> {
    let config = &fields.config;
    let list = |list: &'a Option<Vec<String>>| list.as_deref().unwrap_or_default().iter().map(String::as_str);
    let mut args: Vec<&str> = list(&config.entrypoint).chain(list(&config.cmd)).collect();
    if args.is_empty() {
        // A process must have one (runtime-spec, config.md), and the image leaves it to whoever runs it.
        args.push("sh");
    }
    let cwd = match config.working_dir.as_str() {
        "" => "/".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        // It must be absolute (runtime-spec, config.md), and this is what engines make of it.
        path => format!("/{path}"),
    };
    Ok(Process {
        terminal: options.terminal,
        user: ProcessUser {
            uid: user.uid,
            gid: user.gid,
            // A user who is not root may not set groups.
            additional_gids: if options.rootless {
                Vec::new()
            } else {
                user.additional_gids.clone()
            },
        },
        args,
        env: environment(list(&config.env), user)?,
        cwd,
        capabilities: Capabilities {
            bounding: &defaults::CAPABILITIES,
            effective: &defaults::CAPABILITIES,
            permitted: &defaults::CAPABILITIES,
        },
        rlimits: [Rlimit {
            kind: "RLIMIT_NOFILE",
            hard: 1024,
            soft: 1024,
        }],
        no_new_privileges: true,
    })
}

/// The image's environment, the last value of a name in the place of its first; and what every process needs, where the image does not say
/// it: none of the image's is changed (conversion.md, "Verbatim Fields").
fn environment<'a>(given: impl Iterator<Item = &'a str>, user: &User) -> Result<Vec<String>> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut environment: Vec<String> = Vec::new();
    for variable in given {
        let Some((name, _)) = variable.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let message = format!(
                "the image's environment has \"{}\", which is not NAME=VALUE; change it by `teu edit`",
                variable.escape_default()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        match names.get(name) {
            Some(place) => variable.clone_into(&mut environment[*place]),
            None => {
                names.insert(name, environment.len());
                environment.push(variable.to_owned());
            }
        }
    }
    let home = user.home.as_deref();
    for (name, value) in [("PATH", Some(defaults::PATH)), ("TERM", Some("xterm")), ("HOME", home)] {
        if let Some(value) = value.filter(|_| !names.contains_key(name)) {
            environment.push(format!("{name}={value}"));
        }
    }
    Ok(environment)
}

fn mounts(fields: &ConfigFields, options: &Options) -> Vec<Mount> {
    let mut mounts = defaults::mounts(options.rootless);
    // conversion.md, "Optional Fields": what a container writes there is not to be in its root file system.
    for volume in &fields.config.volumes {
        let path = volume.trim_end_matches('/');
        // Over the root there would be no file of the image left to run.
        if path.is_empty() || path == "." {
            continue;
        }
        mounts.push(Mount {
            destination: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
            kind: "tmpfs",
            source: "none",
            options: vec!["rw", "nosuid", "nodev", "noexec", "relatime"],
        });
    }
    mounts
}

/// conversion.md, "Annotation Fields" and "Annotations": what a label says counts more than what is implied.
fn annotations(fields: &ConfigFields) -> BTreeMap<String, String> {
    let config = &fields.config;
    let joined = |list: &[String]| list.join(",");
    let ports: Vec<String> = config.exposed_ports.iter().cloned().collect();
    let implied = [
        ("os", fields.os.clone()),
        ("architecture", fields.architecture.clone()),
        ("variant", fields.variant.clone()),
        ("os.version", fields.os_version.clone()),
        ("os.features", joined(&fields.os_features)),
        ("author", fields.author.clone()),
        ("created", fields.created.clone().unwrap_or_default()),
        ("stopSignal", config.stop_signal.clone()),
        ("exposedPorts", joined(&ports)),
    ];
    let mut annotations: BTreeMap<String, String> = implied
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect();
    let labels = config.labels.iter().flatten();
    // A key must not be empty (runtime-spec, config.md).
    annotations.extend(
        labels
            .filter(|(key, _)| !key.is_empty())
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    annotations
}

fn linux(options: &Options) -> Linux {
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if !options.rootless {
        namespaces.push("network");
    }
    if options.rootless || options.maps.is_some() {
        namespaces.push("user");
    }
    Linux {
        uid_mappings: options.maps.as_ref().map(|maps| maps.users.clone()).unwrap_or_default(),
        gid_mappings: options
            .maps
            .as_ref()
            .map(|maps| maps.groups.clone())
            .unwrap_or_default(),
        resources: (!options.rootless).then_some(Resources {
            devices: [DeviceRule {
                allow: false,
                access: "rwm",
            }],
        }),
        namespaces: namespaces.into_iter().map(|kind| Namespace { kind }).collect(),
        masked_paths: &defaults::MASKED,
        readonly_paths: &defaults::READ_ONLY,
    }
}

/// runtime-spec, config.md, as far as it is used here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    oci_version: &'static str,
    process: Process<'a>,
    root: Root,
    hostname: &'static str,
    mounts: Vec<Mount>,
    annotations: BTreeMap<String, String>,
    linux: Linux,
}

#[derive(Serialize)]
struct Root {
    path: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process<'a> {
    terminal: bool,
    user: ProcessUser,
    args: Vec<&'a str>,
    env: Vec<String>,
    cwd: String,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessUser {
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional_gids: Vec<u32>,
}

#[derive(Serialize)]
struct Capabilities {
    bounding: &'static [&'static str],
    effective: &'static [&'static str],
    permitted: &'static [&'static str],
}

#[derive(Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: &'static str,
    hard: u64,
    soft: u64,
}

/// runtime-spec, config.md, `mounts`.
#[derive(Clone, Serialize)]
struct Mount {
    destination: String,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<&'static str>,
}

/// runtime-spec, config-linux.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Ranges::is_empty", with = "mappings")]
    uid_mappings: Ranges,
    #[serde(skip_serializing_if = "Ranges::is_empty", with = "mappings")]
    gid_mappings: Ranges,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    namespaces: Vec<Namespace>,
    masked_paths: &'static [&'static str],
    readonly_paths: &'static [&'static str],
}

#[derive(Serialize)]
struct Resources {
    devices: [DeviceRule; 1],
}

#[derive(Serialize)]
struct DeviceRule {
    allow: bool,
    access: &'static str,
}

#[derive(Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[cfg(test)]
mod tests;
