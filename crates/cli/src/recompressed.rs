//! What became of layers that earlier runs compressed anew? A file in the cache directory remembers, so that the same copy again need not.

use std::{fs, io::Read, path::PathBuf};

use teu_store::copy::{Options, Recompressed};

use crate::settings::Settings;

/// The largest file that is read, in bytes: more than all that is remembered.
const MOST: u64 = 8 << 20;

/// What a copy with these options may know, and where it is kept.
pub(crate) struct Remembered {
    known: Recompressed,
    before: String,
    file: PathBuf,
}

impl Remembered {
    /// Reads what is known and tells the copy; none where it compresses nothing, or there is no cache directory.
    pub(crate) fn read(options: &Options, settings: &Settings) -> Option<Self> {
        Self::read_into(options.recompress.as_ref()?.known.clone(), settings)
    }

    /// The same for several copies, which share what is known.
    pub(crate) fn read_into(known: Recompressed, settings: &Settings) -> Option<Self> {
        let file = settings.recompressed()?;
        let mut text = String::new();
        // What cannot be read is not known: it costs only work.
        if let Ok(file) = fs::File::open(&file) {
            let _ = file.take(MOST).read_to_string(&mut text);
        }
        known.read(&text);
        let before = known.to_string();
        Some(Self { known, before, file })
    }

    /// Writes what was learnt, whole or not at all. That it cannot be written takes nothing from what was copied.
    pub(crate) fn write(self) {
        let now = self.known.to_string();
        let Some(directory) = self.file.parent() else { return };
        if now == self.before || fs::create_dir_all(directory).is_err() {
            return;
        }
        let temporary = self.file.with_extension(format!("{}", std::process::id()));
        if fs::write(&temporary, now)
            .and_then(|()| fs::rename(&temporary, &self.file))
            .is_err()
        {
            let _ = fs::remove_file(&temporary);
        }
    }
}
