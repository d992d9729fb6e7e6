//! Archives made by hand, byte by byte, because no honest writer makes them.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufReader, Read};

use teu_archive::tar::{End, Header, Limits, Reader};
use teu_archive::{Error, Result};

/// An archive under construction.
#[derive(Clone, Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

/// A header block of ustar, sealed. Further fields are set with [`set`].
pub(crate) fn block(flag: u8, name: &[u8], size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

/// Writes bytes into a block, and seals it again.
pub(crate) fn set(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
    seal(block);
}

pub(crate) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A PAX record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    assert_eq!(record.len(), length);
    record
}

impl Raw {
    pub(crate) fn new() -> Self {
        Raw::default()
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Content, padded to a whole block.
    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn entry(self, flag: u8, name: &[u8], content: &[u8]) -> Self {
        self.bytes(&block(flag, name, content.len() as u64)).content(content)
    }

    pub(crate) fn file(self, name: &[u8], content: &[u8]) -> Self {
        self.entry(b'0', name, content)
    }

    pub(crate) fn link(self, flag: u8, name: &[u8], target: &[u8]) -> Self {
        let mut block = block(flag, name, 0);
        set(&mut block, 157, target);
        self.bytes(&block)
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(b'x', b"PaxHeaders/x", &records)
    }

    /// The two blocks of zeros at the end.
    pub(crate) fn end(self) -> Vec<u8> {
        self.bytes(&[0; 1024]).0
    }
}

/// Entries with what they hold, the same whichever way the archive is read.
pub(crate) fn read_under(archive: &[u8], limits: Limits) -> Result<Vec<(Header, Vec<u8>)>> {
    let read = all(Reader::with_limits(archive, limits.clone()), false);
    for capacity in [7, 512, 1000] {
        for chunks in [false, true] {
            let source = BufReader::with_capacity(capacity, archive);
            let same = all(Reader::buffered(source, limits.clone()), chunks);
            match (&read, same) {
                (Ok(read), Ok(same)) => assert_eq!(*read, same, "{capacity} bytes at a time"),
                (Err(error), Err(same)) => {
                    assert_eq!(error.to_string(), same.to_string(), "{capacity} bytes at a time")
                }
                (read, same) => panic!("{capacity} bytes at a time: {same:?} and not {read:?}"),
            }
        }
    }
    read
}

fn all<R: Read>(mut reader: Reader<R>, chunks: bool) -> Result<Vec<(Header, Vec<u8>)>> {
    let mut entries = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        let header = entry.header().clone();
        let mut content = Vec::new();
        // Holes may have more bytes than there is memory.
        if chunks && header.size < 1 << 20 {
            while let Some(chunk) = entry.next_chunk()? {
                content.resize(chunk.offset as usize, 0);
                content.extend_from_slice(chunk.data);
            }
            content.resize(header.size as usize, 0);
        } else {
            entry.read_to_end(&mut content)?;
        }
        entries.push((header, content));
    }
    Ok(entries)
}

pub(crate) fn read(archive: &[u8]) -> Result<Vec<(Header, Vec<u8>)>> {
    read_under(archive, Limits::default())
}

/// Names in order.
pub(crate) fn names(archive: &[u8]) -> Result<Vec<String>> {
    Ok(read(archive)?
        .into_iter()
        .map(|(header, _)| String::from_utf8(header.path).unwrap())
        .collect())
}

/// How an archive ends that can be read.
pub(crate) fn end_of(archive: &[u8]) -> End {
    Reader::new(archive).finish().unwrap().1
}

pub(crate) fn refused(archive: &[u8]) -> Error {
    match read(archive) {
        Ok(entries) => panic!("accepted: {entries:?}"),
        Err(error) => error,
    }
}
