//! Reads a manifest, sets an annotation, makes Docker's form of it, and shows that all else keeps its bytes.
//!
//! `cargo run -p teu-spec --example annotate [FILE]`; without a file it reads one of its own.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::BTreeMap;

use bytes::Bytes;
use teu_spec::{Document, Format, annotation};

/// As an editor left it: an order of its own, a field that no specification knows, and a number in a form that serializers change.
const MANIFEST: &str = r#"{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "layers": [
    { "size": 5, "digest": "sha256:f90b1d9de9aaa1c4b7be8e8e3f3c9ef1e3d7c1b2e3b5ea30d0ae73cc19da64f4", "mediaType": "application/vnd.oci.image.layer.v1.tar" }
  ],
  "config": { "size": 2, "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "mediaType": "application/vnd.oci.image.config.v1+json" },
  "com.example.score": 1.50
}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let raw = match std::env::args_os().nth(1) {
        Some(path) => Bytes::from(std::fs::read(path)?),
        None => Bytes::from_static(MANIFEST.as_bytes()),
    };
    let document = Document::parse(raw, None)?;
    println!("{} {}", document.media_type(), document.descriptor().digest);
    for child in document.children() {
        println!("  {} {} {} bytes", child.media_type, child.digest, child.size);
    }

    // An edit splices: every line that it does not touch is the same.
    let title = BTreeMap::from([(annotation::TITLE.to_owned(), Some("An example".to_owned()))]);
    let annotated = match document.format() {
        Format::Oci => document.annotate(&title)?,
        Format::Docker => document.clone(),
    };
    show_difference(&document, &annotated)?;

    // Docker's manifests have no annotations, so the way there says what it loses.
    let children: Vec<_> = annotated.children().into_iter().map(Some).collect();
    match annotated.convert(Format::Docker, &children) {
        Ok((docker, losses)) => {
            show_difference(&annotated, &docker)?;
            losses.iter().for_each(|loss| println!("lost: {loss}"));
        }
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// Prints the lines that only one of two has.
fn show_difference(old: &Document, new: &Document) -> Result<(), std::str::Utf8Error> {
    let (old_text, new_text) = (std::str::from_utf8(old.raw())?, std::str::from_utf8(new.raw())?);
    println!(
        "\n{} → {}",
        old.descriptor().digest.short(),
        new.descriptor().digest.short()
    );
    for line in old_text
        .lines()
        .filter(|line| !new_text.lines().any(|new| new == *line))
    {
        println!("- {line}");
    }
    for line in new_text
        .lines()
        .filter(|line| !old_text.lines().any(|old| old == *line))
    {
        println!("+ {line}");
    }
    Ok(())
}
