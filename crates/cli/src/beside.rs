//! How does a file get its content? It is written beside it, and takes its name when all is there: what had the name before stays until then, and
//! where it fails.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use teu_store::{Error, Side};

use crate::failure::Failure;

/// A file that is being written. Dropped before it [is finished](Self::finish), nothing is left of it.
pub(crate) struct Beside {
    file: File,
    /// None for what is no regular file, such as a device: that is written itself.
    temporary: Option<tempfile::TempPath>,
    path: PathBuf,
}

impl Beside {
    /// Begins to write the file at `path`; a link there is followed.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| wrong(error, path);
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(_) => path.to_owned(),
        };
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            let file = File::options().write(true).open(&path).map_err(failed)?;
            return Ok(Self {
                file,
                temporary: None,
                path,
            });
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let made = tempfile::Builder::new()
            .prefix(".teu-")
            // Less the umask, as any file that is made.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory);
        let made = made.map_err(|error| match error.kind() {
            // What is said of a name that nobody gave says nothing.
            io::ErrorKind::NotFound => {
                let message = format!("there is no directory {}; make that first", directory.display());
                failed(io::Error::new(io::ErrorKind::NotFound, message))
            }
            kind => failed(kind.into()),
        });
        let (file, temporary) = made?.into_parts();
        Ok(Self {
            file,
            temporary: Some(temporary),
            path,
        })
    }

    /// What is written.
    pub(crate) fn file(&self) -> Result<File, Failure> {
        self.file.try_clone().map_err(|error| wrong(error, &self.path))
    }

    /// All is there.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.temporary {
            Some(temporary) => temporary
                .persist(&self.path)
                .map_err(|error| wrong(error.error, &self.path)),
            None => Ok(()),
        }
    }
}

fn wrong(error: io::Error, path: &Path) -> Failure {
    let error = Error::from(error).within(format!("writing {}", path.display()));
    // That there is no such directory does not mean that there is no such image.
    error.on(Side::Destination).into()
}
