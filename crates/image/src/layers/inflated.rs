//! What is in a layer, on the thread that inflates it? [`Inflated`] gives the tar, chunk by chunk or to be looked at where it is, and holds it to its
//! DiffID. Where that is wanted, it remembers on the way at what places one can begin anew.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use teu_archive::codec::{Decoder, Limits};
use teu_spec::Digest;
use teu_store::{
    Error, ErrorKind, Result,
    blocking::{self, Buffers, Hashing},
};

use crate::contents::places::{Recorded, Recorder};

/// The tar in a layer, on its way: nobody's word before [`finish`](Self::finish), and before the content that it is inflated from was found right.
pub(super) struct Inflated<'c> {
    decoder: Decoder<&'c mut dyn Read>,
    buffers: Buffers,
    /// What was inflated and not taken yet.
    ahead: Bytes,
    hashing: Hashing,
    diff_id: Digest,
    recorder: Option<Recorder>,
}

impl<'c> Inflated<'c> {
    /// Begins to inflate what is read from there.
    pub(super) fn new(
        content: &'c mut dyn Read,
        limits: Limits,
        diff_id: Digest,
        recorder: Option<Recorder>,
    ) -> Result<Self> {
        let (mut decoder, algorithm) = (Decoder::detect(content, limits)?, diff_id.algorithm());
        let hashing = match &recorder {
            None => Hashing::new(algorithm),
            Some(recorder) => {
                decoder = decoder.with_places(recorder.every());
                Hashing::with_states(algorithm, Recorder::MOST_STATES)
            }
        };
        Ok(Self {
            decoder,
            buffers: Buffers::default(),
            ahead: Bytes::new(),
            hashing,
            diff_id,
            recorder,
        })
    }

    /// The next bytes; none at the end.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        if self.ahead.is_empty() {
            self.refill()?;
        }
        let chunk = std::mem::take(&mut self.ahead);
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn refill(&mut self) -> Result<()> {
        // The buffer that nobody holds any more comes first: it is in the processor's cache.
        self.ahead = Bytes::new();
        let mut buffer = self.buffers.take();
        let filled = blocking::fill(&mut self.decoder, &mut buffer);
        let filled = filled.map_err(|error| Error::from(teu_archive::Error::from(error)))?;
        self.ahead = self.buffers.lend(buffer, filled);
        self.hashing.update(self.ahead.clone());
        if let Some(recorder) = &mut self.recorder {
            recorder.add(self.decoder.take_places());
        }
        Ok(())
    }

    /// Reads what is left, and compares the DiffID; what was remembered, if anything was.
    pub(super) fn finish(mut self) -> Result<Option<Recorded>> {
        while self.next_chunk()?.is_some() {}
        let (found, states) = self.hashing.finish_with_states();
        let expected = self.diff_id;
        if found == expected {
            let (compression, size) = (self.decoder.compression(), self.decoder.output_bytes());
            let recorded = self.recorder.zip(states);
            return Ok(recorded.and_then(|(recorder, states)| recorder.finish(compression, size, states)));
        }
        let message = format!(
            "the layer's DiffID is {found}, and the config says {expected}: the image is not what its config tells"
        );
        Err(Error::new(ErrorKind::Mismatch, message))
    }
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Inflated<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_empty() {
            self.refill()?;
        }
        Ok(&self.ahead)
    }

    fn consume(&mut self, count: usize) {
        self.ahead.advance(count);
    }
}
