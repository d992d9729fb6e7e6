//! How is a bundle opened? By the handle of its directory: what a bundle is made of is found in it by name, and leads nowhere else.

use std::{
    fs::File,
    io::{BufReader, Seek},
    path::Path,
};

use teu_rootfs::Root;
use teu_store::{Error, ErrorKind, Result};

use super::{Bundle, Entry, FILE, FILE_LIMIT, MtreeLimits, ROOTFS, UMOCI_FILE, mtree_file, read_mtree, record};
use crate::failure::of_files;

/// A bundle that is open.
#[derive(Debug)]
pub struct Opened {
    /// Where it came from.
    pub bundle: Bundle,
    /// Whether umoci unpacked it, and nobody packed it here since.
    pub of_umoci: bool,
    /// Its directory.
    pub(crate) top: Root,
    /// The directory with the files of the image.
    pub(crate) rootfs: Root,
    record: File,
}

impl Opened {
    /// Opens the bundle in the directory at `path`. Where both teu and umoci left word of it, teu's counts.
    ///
    /// # Errors
    /// `NotFound` where it is no bundle; `Invalid` and `Unsupported` for what is said of it; `Invalid` where its `rootfs` is a link.
    pub fn open(path: &Path) -> Result<Self> {
        let top = Root::open(path).map_err(|error| of_files(error).within("opening the bundle"))?;
        let read = |name: &str| top.read(name.as_bytes(), FILE_LIMIT).map_err(of_files);
        let (bundle, name, of_umoci) = match (read(FILE)?, read(UMOCI_FILE)?) {
            (Some(json), _) => {
                let bundle = Bundle::from_json(&json)?;
                let name = bundle.record().to_owned();
                (bundle, name, false)
            }
            (None, Some(json)) => {
                let bundle = Bundle::from_umoci(&json)?;
                let name = mtree_file(&bundle.from.digest);
                (bundle, name, true)
            }
            (None, None) => {
                let message = format!(
                    "{} has neither {FILE} nor {UMOCI_FILE} in it: it is no bundle that teu unpack or umoci made",
                    path.display()
                );
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        };
        let record = top.open_file(name.as_bytes()).map_err(of_files)?.ok_or_else(|| {
            let message =
                format!("the bundle has no {name}, which tells what its files were like; unpack the image anew");
            Error::new(ErrorKind::NotFound, message)
        })?;
        let rootfs = top.open_in(ROOTFS).map_err(|error| {
            let what = format!(
                "the bundle {} needs its directory {ROOTFS}, which is no link",
                path.display()
            );
            of_files(error).within(what)
        })?;
        Ok(Self {
            bundle,
            of_umoci,
            top,
            rootfs,
            record,
        })
    }

    /// What the files were like, from the first.
    pub(crate) fn record(&self, of_umoci: MtreeLimits) -> Result<Record> {
        let mut file = self.record.try_clone()?;
        file.rewind()?;
        let reader = BufReader::with_capacity(256 << 10, file);
        match self.of_umoci {
            true => Ok(Record::Umoci(read_mtree(reader, of_umoci)?.into_iter())),
            false => Ok(Record::Ours(Box::new(record::Reader::new(reader)?))),
        }
    }
}

/// What the files of a bundle were like, in the order of a walk.
pub(crate) enum Record {
    Ours(Box<record::Reader<BufReader<File>>>),
    Umoci(std::vec::IntoIter<Entry>),
}

impl Record {
    /// The next one; none at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>> {
        match self {
            Self::Ours(reader) => reader.next_entry(),
            Self::Umoci(entries) => Ok(entries.next()),
        }
    }
}
