//! Where are an image's accounts read? In its files, unpacked or not: as a process in it would read them, and with a limit.

use std::{path::Path, sync::Arc};

use teu_rootfs::Root;
use teu_store::{Result, Source};

use super::{ACCOUNTS_LIMIT, Accounts};
use crate::{
    Layer,
    contents::{self, Cache},
    failure::of_files,
    read, tree,
};

const PASSWD: &[u8] = b"etc/passwd";
const GROUP: &[u8] = b"etc/group";

impl Accounts {
    /// Those of the root file system in a directory. Links in it are followed inside of it; a file that is not there is empty.
    ///
    /// # Errors
    /// `Invalid` for what is no regular file; `TooLarge` beyond [`ACCOUNTS_LIMIT`]; what the file system says.
    pub fn at(directory: &Path) -> Result<Self> {
        Self::of_root(&Root::open(directory).map_err(of_files)?)
    }

    pub(crate) fn of_root(root: &Root) -> Result<Self> {
        let read = |path: &[u8]| root.read(path, ACCOUNTS_LIMIT).map_err(of_files);
        Ok(Self {
            passwd: read(PASSWD)?.unwrap_or_default(),
            group: read(GROUP)?.unwrap_or_default(),
        })
    }

    /// Those of an image with these layers, the lowest first; no more of them are read than it takes. A file that is not there is empty.
    ///
    /// # Errors
    /// As [`read::content`].
    pub async fn of_image(
        source: &Arc<dyn Source>,
        layers: &[Layer],
        cache: Option<&Cache>,
        contents: &contents::Options,
        tree: &tree::Options,
    ) -> Result<Self> {
        let read = |path| read::content(source, layers, path, ACCOUNTS_LIMIT, cache, contents, tree);
        Ok(Self {
            passwd: read(PASSWD).await?.unwrap_or_default(),
            group: read(GROUP).await?.unwrap_or_default(),
        })
    }
}
