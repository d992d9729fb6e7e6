//! A tar file that is said to hold images, as `docker save` or an image layout: whatever it is, it is read or refused, and so is each image in it.

use std::{
    fs::File,
    io::{Seek, Write},
    os::fd::AsRawFd,
    sync::{Arc, LazyLock},
};

use teu_image::verify;
use teu_spec::Pick;
use teu_store::Source;
use teu_transport::{docker_archive::DockerArchive, oci_archive::OciArchive};
use tokio::runtime::{Builder, Runtime};

use crate::archives::layers;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
/// A file in memory without a name.
static ARCHIVE: LazyLock<File> = LazyLock::new(|| {
    let path = format!("/dev/shm/teu-fuzz-archive-{}", std::process::id());
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("a file in memory");
    std::fs::remove_file(&path).expect("it was just made");
    file
});
/// The most images of one archive that are looked at.
const IMAGES: usize = 4;

pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    layers(&mut bytes, 1);
    let mut file = &*ARCHIVE;
    file.set_len(0).expect("emptied");
    file.rewind().expect("at its beginning");
    file.write_all(&bytes).expect("written");
    let path = format!("/proc/self/fd/{}", ARCHIVE.as_raw_fd());
    if let Ok(archive) = DockerArchive::open(&path, None) {
        RUNTIME.block_on(look(Arc::new(archive)));
    }
    if let Ok(archive) = OciArchive::open(&path, None) {
        RUNTIME.block_on(look(Arc::new(archive)));
    }
}

async fn look(source: Arc<dyn Source>) {
    let mut picks = vec![Pick::Only];
    if let Some(browse) = source.browse()
        && let Ok(page) = browse.names(None).await
    {
        let names = page.items.into_iter().filter_map(|named| named.name);
        picks.extend(names.take(IMAGES).map(Pick::Name));
    }
    for pick in picks {
        if let Ok(root) = source.resolve(&pick).await {
            // It was said to be there: what is wrong with it is for the report.
            let _ = verify::verify(Arc::clone(&source), &root, &verify::Options::default()).await;
        }
    }
}
