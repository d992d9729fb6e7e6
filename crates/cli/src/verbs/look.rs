//! `teu digest`, `manifest-digest`, `manifest get`, `config`, `tree`: what is in an image?

use std::sync::Arc;

use teu_spec::{Digest, Platform, json};
use teu_store::{graph, silent, tree};

use super::inspect;
use crate::{
    arguments::{self, Config, ManifestDigest, ManifestGet, One, Tree},
    failure::Failure,
    output,
    places::{Places, read_file, reference},
    settings::Settings,
};

pub(super) fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    Ok(text.map(str::parse).transpose()?)
}

async fn find(
    image: &str,
    one: &One,
    platform: Option<&Platform>,
    settings: Arc<Settings>,
) -> Result<inspect::Found, Failure> {
    let place = reference(image)?;
    let options = one.options();
    let (source, pick) = Places::new(settings, &options, silent()).source(&place, &options)?;
    inspect::find(&*source, &pick, platform).await
}

async fn find_config(
    image: &str,
    one: &One,
    wanted: Option<&str>,
    settings: Arc<Settings>,
) -> Result<teu_spec::ImageConfig, Failure> {
    let wanted = platform(wanted)?.unwrap_or_else(|| settings.platform());
    let place = reference(image)?;
    let options = one.options();
    let (source, pick) = Places::new(settings, &options, silent()).source(&place, &options)?;
    let found = inspect::find(&*source, &pick, Some(&wanted)).await?;
    inspect::config(&*source, &found).await
}

pub(super) async fn digest(arguments: &arguments::Digest, settings: Arc<Settings>) -> Result<(), Failure> {
    let platform = platform(arguments.platform.as_deref())?;
    let descriptor = if platform.is_some() {
        find(
            &arguments.image,
            &arguments.one,
            platform.as_ref(),
            Arc::clone(&settings),
        )
        .await?
        .manifest
    } else {
        // The name alone is asked for: one request.
        let place = reference(&arguments.image)?;
        let options = arguments.one.options();
        let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
        source.resolve(&pick).await?
    };
    match settings.json {
        true => output::json(&descriptor),
        false => output::line(&descriptor.digest.to_string()),
    }
}

pub(super) fn manifest_digest(arguments: &ManifestDigest, settings: &Settings) -> Result<(), Failure> {
    let raw = read_file(&arguments.file, json::MAX_DOCUMENT)?;
    let digest = Digest::of(&raw);
    match settings.json {
        true => output::json(&serde_json::json!({"digest": digest})),
        false => output::line(&digest.to_string()),
    }
}

pub(super) async fn manifest(arguments: &ManifestGet, settings: Arc<Settings>) -> Result<(), Failure> {
    let platform = platform(arguments.platform.as_deref())?;
    let found = find(&arguments.image, &arguments.one, platform.as_ref(), settings).await?;
    output::document(found.document.raw())
}

pub(super) async fn config(arguments: &Config, settings: Arc<Settings>) -> Result<(), Failure> {
    let config = find_config(
        &arguments.image,
        &arguments.one,
        arguments.platform.as_deref(),
        settings,
    )
    .await?;
    output::document(config.raw())
}

pub(super) async fn tree(arguments: &Tree, settings: Arc<Settings>) -> Result<(), Failure> {
    let place = reference(&arguments.image)?;
    let options = arguments.one.options();
    let (source, pick) = Places::new(Arc::clone(&settings), &options, silent()).source(&place, &options)?;
    let top = source.resolve(&pick).await?;
    let tree = tree::tree(&*source, &top, arguments.referrers, graph::Limits::default(), 6).await?;
    if settings.json {
        return output::json(&as_json(&tree));
    }
    let mut rows = Vec::new();
    draw(&tree, "", "", "", &mut rows);
    output::table(&rows)
}

fn as_json(tree: &tree::Tree) -> serde_json::Value {
    let below = |trees: &[tree::Tree]| trees.iter().map(as_json).collect::<Vec<_>>();
    let mut node = serde_json::json!({
        "descriptor": tree.descriptor,
        "position": position(tree),
        "absent": tree.state == tree::State::Absent,
    });
    if let Some(node) = node.as_object_mut() {
        if !tree.children.is_empty() {
            node.insert("children".to_owned(), below(&tree.children).into());
        }
        if !tree.referrers.is_empty() {
            node.insert("referrers".to_owned(), below(&tree.referrers).into());
        }
    }
    node
}

fn position(tree: &tree::Tree) -> &'static str {
    match tree.position {
        graph::Position::Manifest if tree.descriptor.media_type.is_index() => "index",
        graph::Position::Manifest => "manifest",
        graph::Position::Config => "config",
        graph::Position::Layer => "layer",
        graph::Position::Other => "blob",
    }
}

fn draw(tree: &tree::Tree, branch: &str, indent: &str, relation: &str, rows: &mut Vec<Vec<String>>) {
    let descriptor = &tree.descriptor;
    let mut about = match &descriptor.platform {
        Some(platform) => platform.to_string(),
        None => output::kind(&descriptor.media_type),
    };
    if let Some(artifact_type) = &descriptor.artifact_type {
        about = artifact_type.clone();
    }
    match tree.state {
        tree::State::Absent => about.push_str(" (absent)"),
        tree::State::Repeated => about.push_str(" (shown above)"),
        _ => {}
    }
    rows.push(vec![
        format!("{branch}{relation}{} {}", position(tree), descriptor.digest.short()),
        output::size(descriptor.size),
        output::plain(&about),
    ]);
    let below: Vec<(&tree::Tree, &str)> = tree
        .children
        .iter()
        .map(|child| (child, ""))
        .chain(tree.referrers.iter().map(|referrer| (referrer, "about it: ")))
        .collect();
    for (place, (child, relation)) in below.iter().enumerate() {
        let (corner, line) = if place + 1 == below.len() {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        draw(
            child,
            &format!("{indent}{corner}"),
            &format!("{indent}{line}"),
            relation,
            rows,
        );
    }
}
