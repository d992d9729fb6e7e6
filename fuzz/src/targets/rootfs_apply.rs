//! Layers that nobody vouches for, unpacked: nothing outside of the root is touched, what the judge of entries refuses is not made, and what was made
//! can be walked and removed.

use std::sync::LazyLock;

use crate::{
    archives::layers,
    arena::{Arena, mapped},
};
use teu_archive::tar::{Limits, Reader};
use teu_image::{entry, unpack};
use teu_rootfs::{Budget, ErrorKind, Owners, Root, Writer, walk};

static ARENA: LazyLock<Arena> = LazyLock::new(Arena::new);

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, mut bytes)) = ARENA.chosen(bytes) else {
        return;
    };
    let layers = layers(&mut bytes, 4);
    let (writing, options) = options(choice);
    ARENA.attack(|root| {
        let Ok(mut writer) = Writer::new(root, writing.clone()) else {
            return;
        };
        let mut whole = true;
        for layer in &layers {
            let honest = is_honest(layer, &options, &writing.budget);
            let applied = unpack::apply(&mut writer, *layer, &options);
            assert!(
                honest || applied.is_err(),
                "an entry was made that is refused where it is judged"
            );
            whole = applied.is_ok();
            if !whole {
                break;
            }
            writer.next_layer();
        }
        if whole && writer.finish().is_ok() {
            walk_it(root);
        }
    });
}

fn options(choice: u8) -> (teu_rootfs::Options, unpack::Options) {
    let owners = match choice & 3 {
        0 => Owners::Kept,
        1 => Owners::Recorded,
        2 => Owners::Forgotten,
        _ => mapped(),
    };
    let writing = teu_rootfs::Options {
        owners,
        budget: Budget {
            entries: 1000,
            bytes: 1 << 20,
            file_bytes: 1 << 30,
            ..Budget::default()
        },
        devices: choice & 4 != 0,
        keep_directory_links: choice & 8 != 0,
        set_id: choice & 16 != 0,
        sync: false,
    };
    let tar = Limits {
        total_bytes: 4 << 30,
        ..Limits::default()
    };
    (
        writing,
        unpack::Options {
            tar,
            ..unpack::Options::default()
        },
    )
}

/// Whether every entry would be made, by its own words.
fn is_honest(layer: &[u8], options: &unpack::Options, budget: &Budget) -> bool {
    let mut reader = Reader::with_limits(layer, options.tar.clone());
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) if entry::check(entry.header(), budget).is_err() => return false,
            Ok(Some(_)) => {}
            // What comes behind is not unpacked.
            Ok(None) | Err(_) => return true,
        }
    }
}

fn walk_it(root: &Root) {
    let walked = || {
        let mut walk = walk::Walk::of(root, walk::Options::default())?;
        while let Some(mut found) = walk.next_file()? {
            found.read_xattrs()?;
        }
        Ok(())
    };
    let walked: teu_rootfs::Result<()> = walked();
    // Links lead to paths that are longer than any name for them.
    if let Err(error) = walked {
        assert_eq!(
            error.kind(),
            ErrorKind::Limit,
            "what was made cannot be walked: {error}"
        );
    }
}
