//! What an edit promises, between stores in memory.

mod fields;
mod files;
mod names;
mod promoted;
mod without;

use std::sync::Arc;

use bytes::Bytes;
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{Header, Time, Writer},
};
use teu_spec::{Format, Manifest, MediaType, Pick};
use teu_store::{Expect, Memory, Source, SourceExt, Target, silent};

use super::*;
use crate::change::{Changed, Options, in_place};

/// A layer in gzip of what `fill` puts into it: the blob, and its DiffID.
fn layer(fill: impl FnOnce(&mut Writer<Vec<u8>>)) -> (Bytes, Digest) {
    let mut writer = Writer::new(Vec::new());
    fill(&mut writer);
    let tar = writer.finish().expect("an archive");
    let diff_id = Digest::of(&tar);
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, None).expect("an encoder");
    std::io::copy(&mut &tar[..], &mut encoder).expect("encoded");
    (encoder.finish().expect("encoded").into(), diff_id)
}

/// Puts an image of these layers under the name `app`; `config` is what stands in its config besides.
async fn image(store: &Memory, config: &str, layers: &[(Bytes, Digest)]) -> Descriptor {
    let diff_ids: Vec<String> = layers.iter().map(|(_, diff_id)| format!("\"{diff_id}\"")).collect();
    let raw = format!(
        r#"{{"architecture":"amd64","os":"linux",{config}"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    store.insert_blob(raw.clone());
    let described = layers.iter().map(|(blob, _)| {
        store.insert_blob(blob.clone());
        Descriptor::of(MediaType::OciLayerGzip, blob)
    });
    let config = Descriptor::of(MediaType::OciConfig, raw.as_bytes());
    let document = Manifest::build(Format::Oci, &config, &described.collect::<Vec<_>>()).expect("a manifest");
    put(store, &document).await
}

async fn put(store: &Memory, document: &Document) -> Descriptor {
    let digest = Digest::of(document.raw());
    let put = store
        .put_manifest(document, &digest, &["app".to_owned()], Expect::Any)
        .await;
    put.expect("put")
}

async fn edited(store: &Memory, edit: &Edit) -> Result<Changed> {
    let pick = Pick::Name("app".to_owned());
    in_place(Arc::new(store.clone()), &pick, edit, &Options::default(), &silent()).await
}

async fn document(store: &Memory, descriptor: &Descriptor) -> Document {
    store.document(descriptor).await.expect("a document")
}

async fn config(store: &Memory, descriptor: &Descriptor) -> String {
    let raw = store.small_blob(&document(store, descriptor).await.children()[0]).await;
    String::from_utf8(raw.expect("a config").to_vec()).expect("text")
}

fn text(text: &str) -> To<String> {
    To::Set(text.to_owned())
}

fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> To<T> {
    To::Set(text.parse().expect("such a word"))
}

fn words(words: &[&str]) -> To<Vec<String>> {
    To::Set(words.iter().map(|word| (*word).to_owned()).collect())
}

fn pairs(clear: bool, changes: &[(&str, Option<&str>)]) -> Pairs {
    Pairs {
        clear,
        changes: changes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect(),
    }
}
