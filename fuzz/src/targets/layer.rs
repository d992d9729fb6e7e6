//! A layer that nobody vouches for, judged and unpacked: what is unpacked was judged to be good, and what its whiteouts name is a name.

use std::sync::{Arc, LazyLock};

use crate::{archives::layers, arena::Arena};
use bytes::Bytes;
use teu_archive::tar::Reader;
use teu_image::{
    entry::{self, Action},
    unpack, verify,
};
use teu_rootfs::Writer;
use teu_spec::{Descriptor, Digest, Format, Manifest, MediaType};
use teu_store::{Memory, Target as _};
use tokio::runtime::{Builder, Runtime};
use verify::{Kind, Severity};

static ARENA: LazyLock<Arena> = LazyLock::new(Arena::new);
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    ARENA.aim(&mut bytes);
    // One archive: what is behind its end is read by nobody.
    layers(&mut bytes, 1);
    look(&bytes);
    let applied = ARENA.attack(|root| {
        let mut writer = Writer::new(root, teu_rootfs::Options::default()).expect("a writer");
        unpack::apply(&mut writer, &bytes[..], &unpack::Options::default())
    });
    let report = RUNTIME.block_on(judged(bytes.into()));
    let wrong = |kind| {
        let findings = &report.checked.findings;
        findings
            .iter()
            .find(|found| found.severity == Severity::Wrong && found.kind == kind)
    };
    if applied.is_ok() {
        for kind in [Kind::Entry, Kind::Layer] {
            assert!(
                wrong(kind).is_none(),
                "it was unpacked and is judged to be wrong: {:?}",
                wrong(kind)
            );
        }
    }
}

/// What an entry asks for is a name, whatever the header says.
fn look(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some(entry)) = reader.next_entry() {
        let Ok(Action::Remove(path)) = entry::action(entry.header()) else {
            continue;
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        assert!(!matches!(name, b"" | b"." | b".."), "{path:?}");
    }
}

async fn judged(layer: Bytes) -> verify::Report {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&layer)
    );
    let config = Bytes::from(config);
    let store = Memory::new();
    let [config, layer] = [(MediaType::OciConfig, config), (MediaType::OciLayer, layer)].map(|(kind, content)| {
        store.insert_blob(content.clone());
        Descriptor::of(kind, &content)
    });
    let manifest = Manifest::build(Format::Oci, &config, &[layer]).expect("a manifest");
    let digest = Digest::of(manifest.raw());
    let put = store.put_manifest(&manifest, &digest, &[], Default::default());
    let root = put.await.expect("it is put");
    let options = verify::Options::default();
    let report = verify::verify(Arc::new(store), &root, &options).await;
    report.expect("an image in memory can be read")
}
