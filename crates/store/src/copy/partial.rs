//! How does a blob that was cut off on its way into a place that keeps no parts not come twice? What came of it was kept beside
//! ([`Partials`](crate::Partials)), is read from there, and only the rest is asked for. All of it is checked, as if it had come at once.

use futures_util::{StreamExt, stream};
use teu_spec::Descriptor;

use super::ends::Ends;
use crate::{Error, ErrorKind, FetchOptions, Fetched, KeepRest, Partial, Reader, Result, Role, Verified};

/// The content of a blob, checked, of which what comes is kept until its end; and whether some of it was kept already. None where nothing is
/// kept of it.
pub(super) async fn open(ends: &Ends, blob: &Descriptor) -> Result<Option<(Reader, bool)>> {
    // What lies here is as soon read anew.
    let Some(partials) = ends.partials.as_ref().filter(|_| ends.source.local().is_none()) else {
        return Ok(None);
    };
    let Some(partial) = partials.open(blob).await? else {
        return Ok(None);
    };
    let Partial { done, reader, rest } = partial;
    if done == blob.size {
        return Ok(Some((checked(blob, reader, done, rest), true)));
    }
    let fetched = match fetch(ends, blob, done).await {
        Ok(fetched) => fetched,
        // The source has another blob now, or a smaller one: what was kept is of no use.
        Err(error) if done > 0 && *error.kind() == ErrorKind::Range => {
            rest.forget().await;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let resumed = done > 0 && fetched.start == done;
    // A source that knows no ranges gives what is here as well.
    let reader = if resumed {
        reader.chain(fetched.reader).boxed()
    } else {
        fetched.reader
    };
    Ok(Some((checked(blob, reader, done, rest), resumed)))
}

async fn fetch(ends: &Ends, blob: &Descriptor, done: u64) -> Result<Fetched> {
    let options = FetchOptions {
        range: (done > 0).then_some(done..blob.size),
        urls: blob.urls.clone(),
        ..FetchOptions::default()
    };
    let fetched = ends.source.fetch(Role::Blob, &blob.digest, options).await?;
    let (digest, size) = (blob.digest, blob.size);
    let mismatch = |message: String| Err(Error::new(ErrorKind::Mismatch, message));
    match fetched.size {
        Some(found) if found != size => mismatch(format!("content of {digest} has {found} bytes instead of {size}")),
        _ if fetched.start != 0 && fetched.start != done => mismatch(format!(
            "content of {digest} begins at byte {} instead of {done}",
            fetched.start
        )),
        _ => Ok(fetched),
    }
}

/// A blob on its way, and what keeps it.
struct Kept {
    content: Verified,
    /// The byte that comes next.
    at: u64,
    done: u64,
    rest: Option<Box<dyn KeepRest>>,
}

/// Checks what `reader` gives, and keeps what comes of it behind the first `done` bytes.
fn checked(blob: &Descriptor, reader: Reader, done: u64, rest: Box<dyn KeepRest>) -> Reader {
    let kept = Kept {
        content: Verified::new(blob.clone(), reader),
        at: 0,
        done,
        rest: Some(rest),
    };
    stream::unfold(kept, |mut kept| async move {
        match kept.content.next().await {
            Some(Ok(bytes)) => {
                let known = usize::try_from(kept.done.saturating_sub(kept.at)).unwrap_or(usize::MAX);
                kept.at += bytes.len() as u64;
                if let Some(rest) = kept.rest.as_mut().filter(|_| known < bytes.len()) {
                    rest.keep(bytes.slice(known..)).await;
                }
                Some((Ok(bytes), kept))
            }
            // A connection that broke says nothing against what came by it.
            Some(Err(error)) if *error.kind() != ErrorKind::Mismatch => {
                kept.rest = None;
                Some((Err(error), kept))
            }
            outcome => {
                if let Some(rest) = kept.rest.take() {
                    rest.forget().await;
                }
                Some((outcome?, kept))
            }
        }
    })
    .boxed()
}
