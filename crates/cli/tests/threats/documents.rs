//! Threats 51 to 54: sizes, digests, JSON that readers see differently, DiffIDs.

use serde_json::{Value, json};
use teu_spec::Digest;

use crate::{
    arena::{Arena, TAR},
    entries::{file, tar},
    support::{Image, image},
};

/// An image with one good layer.
fn good(arena: &Arena) -> Image {
    let layer = tar(&[file("a")]);
    let mut made = image();
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
    made.layers = vec![(TAR.to_owned(), layer)];
    arena.room.layout("images").image("good", &made);
    made
}

/// Puts a manifest of exactly these bytes under the name `evil`.
fn put_raw(arena: &Arena, raw: &str) {
    let layout = arena.room.layout("images");
    let digest = layout.blob(raw.as_bytes());
    layout.name("evil", &digest, None);
}

/// The good image's manifest as text.
fn manifest(arena: &Arena) -> String {
    let made = good(arena);
    let layout = arena.room.layout("images");
    let (digest, _) = layout.manifest(&made);
    std::fs::read_to_string(layout.blob_path(&digest)).expect("a manifest")
}

#[test]
fn threat_51_sizes_that_are_none_or_wrong_are_refused() {
    let arena = Arena::new();
    let text = manifest(&arena);
    let size = format!("\"size\":{}", good(&arena).layers[0].1.len());
    assert!(text.contains(&size));
    for (wrong, words, verified) in [
        ("-1", "integer `-1`", 11),
        ("9223372036854775808", "9223372036854775808", 11),
        ("1.5", "floating point `1.5`", 11),
        ("1e400", "number out of range", 11),
        ("\"5\"", "string \"5\"", 11),
        ("null", "invalid type: null", 11),
        ("0", "bytes", 10),
        ("5", "bytes", 10),
        ("9223372036854775807", "bytes", 10),
    ] {
        put_raw(&arena, &text.replace(&size, &format!("\"size\":{wrong}")));
        arena.is_refused(&format!("51 {wrong}"), words, verified);
        good(&arena);
    }
}

#[test]
fn threat_52_digests_that_are_none_are_refused() {
    let arena = Arena::new();
    let text = manifest(&arena);
    let digest = Digest::of(&good(&arena).layers[0].1).to_string();
    let hex = digest.trim_start_matches("sha256:");
    let up = format!("sha256:../../../outside/canary{}", "/".repeat(64 - 26));
    for wrong in [
        "sha256:../../../outside/canary",
        &up,
        &format!("sha256:{}", hex.to_uppercase()),
        &format!("sha256:{}", &hex[1..]),
        &format!("sha256:{hex}0"),
        &format!("md5:{}", &hex[..32]),
        hex,
        "",
        "../../outside/canary",
    ] {
        put_raw(&arena, &text.replace(&digest, wrong));
        arena.is_refused(&format!("52 {wrong}"), "is not a digest", 11);
        good(&arena);
    }
}

#[test]
fn threat_53_json_that_readers_see_differently_is_refused() {
    let arena = Arena::new();
    let text = manifest(&arena);
    let body = text.strip_suffix('}').expect("an object").to_owned();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (wrong, words, verified) in [
        (format!("{body},\"layers\":[]}}"), "the key \"layers\" stands twice", 11),
        (
            format!("{body},\"Layers\":[]}}"),
            "differs from \"layers\" in case alone",
            11,
        ),
        (format!("{body},\"x\":{deep}}}"), "nested deeper than the limit", 11),
        (
            format!("{body},\"x\":\"{}\"}}", "x".repeat(5 << 20)),
            "the limit of 4194304",
            1,
        ),
        (format!("{body},\"manifests\":[]}}"), "manifests", 11),
        (format!("{text} {{}}"), "trailing characters", 11),
        (
            text.replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
            "schema 1 is not supported",
            11,
        ),
    ] {
        put_raw(&arena, &wrong);
        let name: String = wrong.chars().rev().take(30).collect::<String>().chars().rev().collect();
        arena.is_refused(&format!("53 …{name}"), words, verified);
        good(&arena);
    }
}

#[test]
fn threat_54_diff_ids_are_those_of_the_layers() {
    let arena = Arena::new();
    let right = Digest::of(&good(&arena).layers[0].1).to_string();
    let other = Digest::of(b"another").to_string();
    for (what, diff_ids, words) in [
        ("54 none", json!([]), "diff_ids"),
        ("54 one more", json!([right, other]), "diff_ids"),
        ("54 another", json!([other]), "DiffID"),
    ] {
        let mut made = good(&arena);
        made.config["rootfs"]["diff_ids"] = diff_ids;
        arena.room.layout("images").image("evil", &made);
        arena.is_refused(what, words, 12);
    }
    let mut made = good(&arena);
    made.config["rootfs"]["diff_ids"] = Value::from(vec!["sha256:../../outside/canary"]);
    arena.room.layout("images").image("evil", &made);
    arena.is_refused("54 none at all", "is not a digest", 11);
}
