//! Several writers of one layout, none of which knows of the others.
#![cfg(feature = "layout")]

use std::{sync::Barrier, thread};

use teu_spec::{Descriptor, Format, Manifest, MediaType};
use teu_store::{Browse, Expect, Target};
use teu_transport::layout::Layout;

/// Each begins a layout where there is none, and all their names are there at the end.
#[test]
fn writers_that_begin_a_layout_at_once_lose_no_name() {
    const WRITERS: usize = 4;
    for round in 0..25 {
        let room = tempfile::tempdir().expect("a directory");
        let barrier = Barrier::new(WRITERS);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (room, barrier) = (&room, &barrier);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .expect("a runtime");
                    let config = Descriptor::of(MediaType::OciConfig, writer.to_string().as_bytes());
                    let manifest = Manifest::build(Format::Oci, &config, &[]).expect("a manifest");
                    barrier.wait();
                    let layout = Layout::create(room.path().join("layout"), None).expect("a layout");
                    let digest = manifest.descriptor().digest;
                    let names = [writer.to_string()];
                    let put = layout.put_manifest(&manifest, &digest, &names, Expect::Any);
                    runtime.block_on(put).expect("put");
                    runtime.block_on(layout.finish()).expect("finished");
                });
            }
        });
        let layout = Layout::open(room.path().join("layout"), None).expect("a layout");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let page = runtime.block_on(layout.names(None)).expect("names");
        let mut names: Vec<String> = page.items.into_iter().filter_map(|named| named.name).collect();
        names.sort();
        assert_eq!(names, ["0", "1", "2", "3"], "round {round}");
        let left: Vec<_> = std::fs::read_dir(room.path().join("layout"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name.as_encoded_bytes().starts_with(b"."))
            .collect();
        assert_eq!(left, [""; 0]);
    }
}
