//! Is a store in memory one as every other?

use super::*;
use crate::{
    Target,
    suite::{Can, Place},
};

impl Place for Memory {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Target>)).boxed()
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        future::ready(Ok(Arc::new(self.clone()) as Arc<dyn Source>)).boxed()
    }

    fn can(&self) -> Can {
        Can::EVERYTHING
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        self.insert_unchecked(*digest, content.to_vec());
        true
    }
}

crate::store_suite!(Memory::new);

mod docker_only {
    use super::*;

    crate::store_suite!(|| Memory::sparse().taking(Takes {
        oci: false,
        indexes: false,
        docker: true,
        uncompressed_only: true,
    }));
}
