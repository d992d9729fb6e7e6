//! What lies beside an unpacked tree and says what it was: teu's record, umoci's mtree and umoci's own file.

use std::io::Read;

use teu_image::bundle::{MtreeLimits, read_mtree, read_umoci, record};
use teu_spec::Digest;

pub(crate) fn run(bytes: &[u8]) {
    let limits = MtreeLimits {
        line_bytes: 4096,
        total_bytes: 1 << 16,
    };
    if let Ok(entries) = read_mtree(bytes, limits) {
        for two in entries.windows(2) {
            assert_ne!(two[0].path, two[1].path, "a file stands twice");
        }
    }
    let _ = read_umoci(bytes);
    let _ = entries(bytes);
    // With the sums that it must have, so that what is behind them is reached.
    let mut form = b"teu tree 1\n".to_vec();
    let mut sum = [0; 16];
    for block in [bytes, b""] {
        let digest = Digest::of(&[&sum, block].concat());
        sum.copy_from_slice(&digest.bytes()[..16]);
        form.extend_from_slice(&(block.len() as u32).to_le_bytes());
        form.extend_from_slice(&sum);
        form.extend_from_slice(block);
    }
    if let Some(read) = entries(&form[..]) {
        let mut writer = record::Writer::new(Vec::new()).expect("in memory");
        for entry in &read {
            writer.add(entry).expect("in order");
        }
        let again = entries(&writer.finish().expect("in memory")[..]);
        assert_eq!(again, Some(read));
    }
}

/// All entries of a record; none where it is none.
fn entries(from: impl Read) -> Option<Vec<teu_image::bundle::Entry>> {
    let mut reader = record::Reader::new(from).ok()?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().ok()? {
        entries.push(entry);
    }
    Some(entries)
}
