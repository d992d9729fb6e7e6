//! Which targets are there?

mod accounts;
mod ahead;
mod auth_file;
mod bundle;
mod certificate;
mod challenge;
mod config;
mod content_range;
mod contents;
mod glob;
mod go_template;
mod gzip_decoder;
mod image_archive;
mod json_edit;
mod layer;
mod link;
mod manifest;
mod platform;
mod policy_file;
mod proxies;
mod recompressed;
mod reference;
mod registries_conf;
mod registry_answer;
mod registry_framing;
mod registry_headers;
mod registry_path;
mod registry_policy;
mod registry_range;
mod registry_token;
mod rootfs_apply;
mod serve_config;
mod sync_list;
mod tar_reader;
mod whiteouts;
mod zstd_decoder;

use crate::{Target, given};

/// All of them, by name.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("accounts", |bytes| given(bytes, accounts::run)),
    ("ahead", |bytes| given(bytes, ahead::run)),
    ("auth_file", |bytes| given(bytes, auth_file::run)),
    ("bundle", |bytes| given(bytes, bundle::run)),
    ("certificate", |bytes| given(bytes, certificate::run)),
    ("challenge", |bytes| given(bytes, challenge::run)),
    ("config", |bytes| given(bytes, config::run)),
    ("content_range", |bytes| given(bytes, content_range::run)),
    ("contents", |bytes| given(bytes, contents::run)),
    ("glob", |bytes| given(bytes, glob::run)),
    ("go_template", |bytes| given(bytes, go_template::run)),
    ("gzip_decoder", |bytes| given(bytes, gzip_decoder::run)),
    ("image_archive", |bytes| given(bytes, image_archive::run)),
    ("json_edit", |bytes| given(bytes, json_edit::run)),
    ("layer", |bytes| given(bytes, layer::run)),
    ("link", |bytes| given(bytes, link::run)),
    ("manifest", |bytes| given(bytes, manifest::run)),
    ("platform", |bytes| given(bytes, platform::run)),
    ("policy_file", |bytes| given(bytes, policy_file::run)),
    ("proxies", |bytes| given(bytes, proxies::run)),
    ("recompressed", |bytes| given(bytes, recompressed::run)),
    ("reference", |bytes| given(bytes, reference::run)),
    ("registries_conf", |bytes| given(bytes, registries_conf::run)),
    ("registry_answer", |bytes| given(bytes, registry_answer::run)),
    ("registry_framing", |bytes| given(bytes, registry_framing::run)),
    ("registry_headers", |bytes| given(bytes, registry_headers::run)),
    ("registry_path", |bytes| given(bytes, registry_path::run)),
    ("registry_policy", |bytes| given(bytes, registry_policy::run)),
    ("registry_range", |bytes| given(bytes, registry_range::run)),
    ("registry_token", |bytes| given(bytes, registry_token::run)),
    ("rootfs_apply", |bytes| given(bytes, rootfs_apply::run)),
    ("serve_config", |bytes| given(bytes, serve_config::run)),
    ("sync_list", |bytes| given(bytes, sync_list::run)),
    ("tar_reader", |bytes| given(bytes, tar_reader::run)),
    ("whiteouts", |bytes| given(bytes, whiteouts::run)),
    ("zstd_decoder", |bytes| given(bytes, zstd_decoder::run)),
];
