//! Where does a rehearsed copy go to that cannot be begun without writing? Nowhere: of the place only the forms are known that it keeps.

use teu_spec::{Descriptor, Digest, Document};

use crate::{
    Adopt, BoxFuture, Delete, Error, ErrorKind, Expect, Expected, Ingest, Mount, Result, Resume, Source, Sweep, Takes,
    Target,
};

/// A place of these forms that has nothing and takes nothing, in an archive's stead while a copy to it is
/// [rehearsed](super::Options::rehearse).
#[derive(Clone, Copy, Debug)]
pub struct Imagined(pub Takes);

fn refused<T: Send + 'static>() -> BoxFuture<'static, Result<T>> {
    let error = Error::new(ErrorKind::Unsupported, "nothing is written in a rehearsal");
    Box::pin(std::future::ready(Err(error)))
}

impl Target for Imagined {
    fn ingest(&self, _: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        refused()
    }

    fn put_manifest<'a>(
        &'a self,
        _: &'a Document,
        _: &'a Digest,
        _: &'a [String],
        _: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        refused()
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn takes(&self) -> Takes {
        self.0
    }

    fn readable(&self) -> Option<&dyn Source> {
        None
    }

    fn mount(&self) -> Option<&dyn Mount> {
        None
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        None
    }

    fn resume(&self) -> Option<&dyn Resume> {
        None
    }

    fn delete(&self) -> Option<&dyn Delete> {
        None
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        None
    }
}
