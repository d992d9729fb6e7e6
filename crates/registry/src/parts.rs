//! How are several ranges of a blob sent in one answer? As parts, each with a head of its own (RFC 9110, 14.6), one read behind the other.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, FetchOptions, Reader, Role, Store};

use crate::{
    body::{self, Body},
    problem::Problem,
    uploads::identity,
};

/// Parts on their way.
pub(crate) struct Parts {
    pub(crate) content: Body,
    /// How many bytes they have, with their heads.
    pub(crate) length: u64,
    pub(crate) media_type: String,
}

impl Parts {
    /// These ranges, at least one, of a blob of this size, of which `first` reads the first.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        digest: Digest,
        size: u64,
        ranges: Vec<Range<u64>>,
        first: Reader,
    ) -> Result<Self, Problem> {
        // Whoever pushed the content could not know what stands between its parts.
        let boundary = identity()?;
        let head = |range: &Range<u64>| {
            let (start, last) = (range.start, range.end - 1);
            format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
            )
        };
        let mut heads: Vec<String> = ranges.iter().map(head).collect();
        // Before the first stands nothing that a line would have to end.
        heads[0].drain(..2);
        let end = format!("\r\n--{boundary}--\r\n");
        let around: usize = heads.iter().map(String::len).sum::<usize>() + end.len();
        let length = ranges.iter().map(|range| range.end - range.start).sum::<u64>() + around as u64;
        let mut first = Some(first);
        let parts = stream::iter(heads.into_iter().zip(ranges)).then(move |(head, range)| {
            let (first, store) = (first.take(), Arc::clone(&store));
            async move {
                let reader = match first {
                    Some(reader) => reader,
                    None => part(&*store, &digest, range).await?,
                };
                Ok::<_, Error>(stream::iter([Ok(Bytes::from(head))]).chain(reader))
            }
        });
        let all = parts.try_flatten().chain(stream::iter([Ok(Bytes::from(end))]));
        Ok(Self {
            content: body::stream(all.boxed()),
            length,
            media_type: format!("multipart/byteranges; boundary={boundary}"),
        })
    }
}

/// Reads a range; the store gave one before.
async fn part(store: &dyn Store, digest: &Digest, range: Range<u64>) -> Result<Reader, Error> {
    let start = range.start;
    let options = FetchOptions {
        range: Some(range),
        at_pace: true,
        ..FetchOptions::default()
    };
    let fetched = store.fetch(Role::Blob, digest, options).await?;
    match fetched.start == start {
        true => Ok(fetched.reader),
        false => Err(Error::new(
            ErrorKind::Unsupported,
            "the store gives one range and not another",
        )),
    }
}
