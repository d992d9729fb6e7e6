//! An archive that nobody vouches for, read in four ways that must agree.

use std::io::{BufReader, Cursor, Read};

use teu_archive::tar::{Header, Index, Limits, Reader, Writer};

/// Bytes of content that one entry may have to be looked at: a sparse file can have any size.
const CONTENT: u64 = 1 << 20;

pub(crate) fn run(bytes: &[u8]) {
    let limits = Limits {
        total_bytes: 64 << 20,
        index_bytes: 64 << 20,
        ..Limits::default()
    };
    let streamed = read(Reader::with_limits(bytes, limits.clone()));
    // Headers and content that lie across what is in memory, and that do not.
    for capacity in [1, 511, 512, 700, 4096] {
        let buffered = read(Reader::buffered(
            BufReader::with_capacity(capacity, bytes),
            limits.clone(),
        ));
        match (&streamed, &buffered) {
            (Ok(streamed), Ok(buffered)) => assert_eq!(streamed, buffered, "{capacity}"),
            (Err(one), Err(other)) => {
                assert_eq!((one.kind(), one.entry()), (other.kind(), other.entry()), "{capacity}")
            }
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => panic!("only one of two readers fails: {capacity}: {error}"),
        }
    }
    let index = Index::read(Cursor::new(bytes), limits.clone());
    match (&streamed, &index) {
        (Ok(entries), Ok(index)) => {
            assert_eq!(entries.len(), index.members().len());
            for ((header, content), member) in entries.iter().zip(index.members()) {
                assert_eq!(*header, member.header);
                assert!(
                    index
                        .get(&header.path)
                        .is_none_or(|last| last.header_offset >= member.header_offset)
                );
                let _ = index.file(&header.path);
                if let Some(content) = content {
                    let mut opened = Vec::new();
                    member
                        .open(Cursor::new(bytes))
                        .unwrap()
                        .read_to_end(&mut opened)
                        .unwrap();
                    assert_eq!(*content, opened);
                    if let Ok(range) = member.range() {
                        assert_eq!(*content, bytes[range.start as usize..range.end as usize]);
                    }
                }
            }
        }
        // A reader that seeks sees earlier than one that reads that content is cut off.
        (Err(one), Err(other)) => assert_eq!((one.kind(), one.entry()), (other.kind(), other.entry())),
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => panic!("only one of reader and index fails: {error}"),
    }
    if let Ok(entries) = streamed {
        rewrite(&entries, &limits);
    }
}

type Entry = (Header, Option<Vec<u8>>);

fn read<R: Read>(mut reader: Reader<R>) -> teu_archive::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        let header = entry.header().clone();
        let mut content = None;
        if header.size <= CONTENT {
            entry.read_to_end(content.insert(Vec::new()))?;
        }
        entries.push((header, content));
    }
    Ok(entries)
}

/// Writes what can be written, which must be read as it was.
fn rewrite(entries: &[Entry], limits: &Limits) {
    let mut writer = Writer::new(Vec::new());
    let mut written = Vec::new();
    for (header, content) in entries {
        let Some(content) = content else { continue };
        // What only a reader accepts is refused before a byte is written, and the writer goes on.
        if writer.append_data(header, content).is_ok() {
            written.push((header.clone(), Some(content.clone())));
        }
    }
    let archive = writer.finish().unwrap();
    let limits = Limits {
        metadata_bytes: u64::MAX,
        total_bytes: u64::MAX,
        ..limits.clone()
    };
    assert_eq!(read(Reader::with_limits(&archive[..], limits)).unwrap(), written);
}
