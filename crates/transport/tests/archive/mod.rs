//! What the suites of both archives do to the file that an image is in.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use teu_archive::tar::{Index, Limits};
use teu_spec::Digest;

/// Puts other content in the place of a blob. Of the same size only: what lies behind it stays where it is.
pub(crate) fn corrupt(archive: &Path, digest: &Digest, content: &[u8]) -> bool {
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(archive)
        .expect("the archive");
    let index = Index::read(&file, Limits::default()).expect("an index");
    let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
    let place = index
        .file(name.as_bytes())
        .expect("a file")
        .expect("the blob")
        .range()
        .expect("in one piece");
    if place.end - place.start != content.len() as u64 {
        return false;
    }
    file.seek(SeekFrom::Start(place.start)).expect("there");
    file.write_all(content).is_ok()
}

/// What is left in a directory beside the archive.
pub(crate) fn litter(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    names.filter(|name| name != "image.tar").collect()
}
