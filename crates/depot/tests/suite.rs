//! Is a repository of a depot a store as every other, and the depot a place of many?

mod support;

use std::sync::Arc;

use support::{Here, settings};
use teu_depot::Settings;
use teu_spec::Digest;
use teu_store::{
    BoxFuture, Intent, Repositories, Result, Source, Target,
    suite::{Can, House, Place},
};

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        Box::pin(async { Ok(self.depot.open("suite/place", Intent::Write).await? as Arc<dyn Target>) })
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        Box::pin(async {
            // So that it is tried, too, that no manifest is taken without what it names.
            self.depot.is_whole().await?;
            Ok(self.depot.open("suite/place", Intent::Write).await? as Arc<dyn Source>)
        })
    }

    fn can(&self) -> Can {
        Can {
            hold_unnamed: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let files = self.blobs(digest);
        let [file] = &files[..] else { return false };
        // Of another size it is refused before it is read.
        std::fs::write(file, content).is_ok()
    }

    fn litter(&self) -> Vec<String> {
        self.uploads()
    }
}

impl House for Here {
    fn repositories(&self) -> Arc<dyn Repositories> {
        Arc::new(self.depot.clone())
    }

    fn is_open(&self) -> bool {
        true
    }
}

mod closed {
    use super::*;

    teu_store::store_suite!(|| Here::of(settings()));
}

mod sparse {
    use super::*;

    teu_store::store_suite!(|| Here::of(Settings {
        sparse: teu_depot::Sparse::All,
        ..settings()
    }));
}

teu_store::repositories_suite!(|| Here::of(settings()));
