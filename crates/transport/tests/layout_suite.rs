//! A layout shows every behaviour of a store.
#![cfg(feature = "layout")]

use std::{fs, path::Path, sync::Arc};

use teu_spec::Digest;
use teu_store::{
    BoxFuture, Result, Source, Target,
    suite::{Can, Place},
};
use teu_transport::layout::Layout;

struct Here(tempfile::TempDir);

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(Arc::new(Layout::create(self.0.path().join("layout"), None)?) as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async { Ok(Arc::new(Layout::open(self.0.path().join("layout"), None)?) as Arc<dyn Source>) })
    }

    fn can(&self) -> Can {
        Can {
            tell_roles: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let path = format!("layout/blobs/{}/{}", digest.algorithm(), digest.hex());
        fs::write(self.0.path().join(path), content).is_ok()
    }

    fn litter(&self) -> Vec<String> {
        let mut found = Vec::new();
        litter(self.0.path(), &mut found);
        found
    }
}

fn litter(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        if entry.file_type().expect("a type").is_dir() {
            litter(&entry.path(), found);
        } else if name.starts_with(".teu-") {
            found.push(name);
        }
    }
}

teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
