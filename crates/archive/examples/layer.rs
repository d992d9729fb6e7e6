//! Makes a layer, compresses it, reads it back by two ways, and shows how a liar is refused.
//!
//! `cargo run -p teu-archive --example layer`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::io::{Cursor, Read};
use std::num::NonZeroUsize;

use teu_archive::codec::{self, Compression, Decoder, Encoder};
use teu_archive::tar::{EntryKind, Header, Index, Limits, Reader, Writer};
use teu_archive::{Escaped, Result};

fn main() -> Result<()> {
    let layer = layer()?;
    println!("a layer of {} bytes", layer.len());

    for compression in [Compression::Gzip, Compression::Zstd] {
        // As many threads as one likes: the bytes are the same.
        let threads = NonZeroUsize::new(2).expect("2 is not 0");
        let mut encoder = Encoder::with_threads(Vec::new(), compression, None, threads)?;
        std::io::copy(&mut &layer[..], &mut encoder)?;
        let compressed = encoder.finish()?;
        println!("\n{compression}: {} bytes", compressed.len());

        // The stream says itself how it is compressed.
        let decoder = Decoder::detect(&compressed[..], codec::Limits::default())?;
        let mut reader = Reader::new(decoder);
        while let Some(mut entry) = reader.next_entry()? {
            let mut content = String::new();
            entry.read_to_string(&mut content)?;
            println!("  {}", line(entry.header(), &content));
        }
        // To the checked end of the stream, which lies behind the end of the archive.
        reader.finish()?;
    }

    // Where the archive can seek, a member is found without reading what stands before it.
    let index = Index::read(Cursor::new(&layer), Limits::default())?;
    let member = index.file(b"etc/motd")?.expect("was written");
    println!("\netc/motd leads to bytes {:?} of the layer", member.range()?);

    // Someone makes a file larger than it is, to hide what follows in its content, and forgets the checksum.
    let mut lying = layer.clone();
    lying[512 + 124..][..11].copy_from_slice(b"00000001000");
    match Index::read(Cursor::new(&lying), Limits::default()) {
        Ok(_) => println!("a lie was believed"),
        Err(error) => println!("refused: {error}"),
    }
    Ok(())
}

fn layer() -> Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    writer.append(&Header::directory("etc/"))?;
    let greeting = b"Welcome aboard.\n";
    let mut file = Header::file("etc/greeting", greeting.len() as u64);
    file.mtime.seconds = 1_700_000_000;
    // Ustar has no word for these, so PAX says them.
    file.mtime.nanoseconds = 5;
    file.xattrs.insert(b"user.origin".to_vec(), b"example".to_vec());
    writer.append_data(&file, greeting)?;
    writer.append(&Header::symlink("etc/motd", "greeting"))?;
    writer.finish()
}

fn line(header: &Header, content: &str) -> String {
    let path = Escaped(&header.path);
    match header.kind {
        EntryKind::Regular => format!("{path}: {content:?}"),
        EntryKind::Symlink => format!("{path} -> {}", Escaped(&header.link)),
        kind => format!("{path}: {kind:?}"),
    }
}
