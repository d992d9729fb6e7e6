//! How does a blob get on that an earlier copy was cut off in? The target says how much of it is there, the source gives the rest, and the
//! target checks the whole.

use futures_util::StreamExt;
use teu_spec::Descriptor;

use super::{ends::Ends, progress::Progress};
use crate::{Error, ErrorKind, FetchOptions, Park, Result, Resumed, Role, Side};

impl Ends {
    /// Copies a blob into a target that keeps what it has of one that is cut off; false where the blob goes as any other.
    pub(super) async fn resumed(&self, blob: &Descriptor) -> Result<bool> {
        // What lies here is as soon read anew, and may be trusted, which what was left behind is not.
        let Some(resume) = self.target.resume().filter(|_| self.source.local().is_none()) else {
            return Ok(false);
        };
        let mut again = true;
        loop {
            let resumed = resume.resume(blob).await;
            let Some(resumed) = resumed.map_err(|error| error.on(Side::Destination))? else {
                return Ok(false);
            };
            let had_some = resumed.done > 0;
            match self.go_on(blob, resumed).await {
                // What was there was something else, or a disk lost it: it is gone now, and the blob is begun anew, once.
                Err(error) if again && had_some && matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Range) => {
                    again = false;
                }
                outcome => return outcome.map(|()| true),
            }
        }
    }

    async fn go_on(&self, blob: &Descriptor, resumed: Resumed) -> Result<()> {
        let Resumed { mut ingest, done } = resumed;
        let mut progress = Progress::new(&self.events, blob);
        progress.add(usize::try_from(done).unwrap_or(usize::MAX));
        if done < blob.size
            && let Err(error) = self.pour_rest(blob, done, &mut ingest, &mut progress).await
        {
            // A connection that broke says nothing against what came by it. The first error is the one that counts.
            if matches!(
                error.kind(),
                ErrorKind::Mismatch | ErrorKind::Range | ErrorKind::Invalid
            ) {
                let _ = ingest.abort().await;
            } else {
                ingest.park().await;
            }
            return Err(error);
        }
        match ingest.commit(Some(blob.digest)).await {
            Ok(_) => Ok(()),
            // What was wrong is what was sent.
            Err(error) if *error.kind() == ErrorKind::Mismatch => Err(error.on(Side::Source)),
            Err(error) => Err(error.on(Side::Destination)),
        }
    }

    /// Writes what the source has from `done` on.
    async fn pour_rest(
        &self,
        blob: &Descriptor,
        done: u64,
        ingest: &mut Box<dyn Park>,
        progress: &mut Progress,
    ) -> Result<()> {
        let (digest, size) = (blob.digest, blob.size);
        let mismatch = |message: String| Error::new(ErrorKind::Mismatch, message).on(Side::Source);
        let options = FetchOptions {
            range: (done > 0).then_some(done..size),
            urls: blob.urls.clone(),
            ..FetchOptions::default()
        };
        let fetched = self.source.fetch(Role::Blob, &digest, options).await;
        let mut fetched = fetched.map_err(|error| error.on(Side::Source))?;
        if let Some(found) = fetched.size
            && found != size
        {
            return Err(mismatch(format!(
                "content of {digest} has {found} bytes instead of {size}"
            )));
        }
        let mut at = fetched.start;
        if at > done {
            return Err(mismatch(format!(
                "content of {digest} begins at byte {at} instead of {done}"
            )));
        }
        while let Some(bytes) = fetched.reader.next().await {
            let bytes = bytes.map_err(|error| error.on(Side::Source))?;
            // A source that knows no ranges gives what is here as well.
            let known = usize::try_from(done.saturating_sub(at)).unwrap_or(usize::MAX);
            at += bytes.len() as u64;
            if at > size {
                return Err(mismatch(format!("content of {digest} goes on past its {size} bytes")));
            }
            if known < bytes.len() {
                let bytes = bytes.slice(known..);
                progress.add(bytes.len());
                ingest.write(bytes).await.map_err(|error| error.on(Side::Destination))?;
            }
        }
        if at < size {
            let left = size - at;
            return Err(mismatch(format!(
                "content of {digest} ends {left} bytes before its {size}"
            )));
        }
        Ok(())
    }
}
