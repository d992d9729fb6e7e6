//! What the suites of both archives do to the file that an image is in.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use teu_archive::tar::{Header, Index, Limits, Writer};
use teu_spec::Digest;

/// Writes an archive of these members.
pub(crate) fn write(path: &Path, members: &[(&str, impl AsRef<[u8]>)]) {
    let mut writer = Writer::new(fs::File::create(path).expect("a file"));
    for (name, content) in members {
        let content = content.as_ref();
        writer
            .append_data(&Header::file(*name, content.len() as u64), content)
            .expect("a member");
    }
    writer.finish().expect("finished");
}

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
