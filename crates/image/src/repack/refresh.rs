//! How does a bundle come to remember what it is now? A new record is written beside the old one while the tree is compared, so that what changes
//! later is found; once the image is where it goes, `teu.json` names both at once.

use std::{fs::File, io::Write};

use teu_store::Result;

use crate::{
    bundle::{Bundle, FILE, OTHER_RECORD, Opened, RECORD, UMOCI_FILE, mtree_file},
    failure::of_files,
};

/// What is to become `teu.json`.
const NEW: &str = "teu.json.new";

/// Whether the new record gets the other name.
pub(super) fn other(bundle: &Opened) -> bool {
    !bundle.of_umoci && !bundle.bundle.other_record
}

fn record(bundle: &Opened) -> &'static str {
    match other(bundle) {
        true => OTHER_RECORD,
        false => RECORD,
    }
}

/// Begins a new record, in place of what an attempt left that came to no end.
pub(super) fn begin(bundle: &Opened) -> Result<File> {
    create(bundle, record(bundle))
}

/// Has the bundle be this one.
pub(super) fn commit(bundle: &Opened, new: &Bundle) -> Result<()> {
    let mut file = create(bundle, NEW)?;
    file.write_all(&new.to_json()?)?;
    drop(file);
    bundle.top.rename(NEW, FILE).map_err(of_files)?;
    let remove = |name: &str| bundle.top.remove(name.as_bytes()).map_err(of_files);
    if bundle.of_umoci {
        remove(UMOCI_FILE)?;
        return remove(&mtree_file(&bundle.bundle.from.digest));
    }
    remove(bundle.bundle.record())
}

fn create(bundle: &Opened, name: &str) -> Result<File> {
    bundle.top.remove(name.as_bytes()).map_err(of_files)?;
    bundle.top.create_file(name).map_err(of_files)
}
