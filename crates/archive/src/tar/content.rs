//! Where the reading of a file's content stands, between its stored stretches and its holes.

use super::sparse::Segment;

/// The content of an entry, as far as it was not read yet.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) segments: Vec<Segment>,
    /// The segment at or behind `position`.
    pub(super) next: usize,
    /// In the file, holes counted.
    pub(super) position: u64,
    pub(super) size: u64,
    /// Bytes in the stream that were not read, without padding.
    pub(super) stored: u64,
    pub(super) padding: u64,
}

impl Content {
    pub(super) fn new(segments: Vec<Segment>, size: u64) -> Self {
        let stored = segments.iter().map(|segment| segment.length).sum();
        Content {
            segments,
            size,
            stored,
            ..Content::default()
        }
    }

    /// Writes the zeros of the hole that begins here, as many as there is room for; their number.
    pub(super) fn fill_hole(&mut self, into: &mut [u8]) -> usize {
        let zeros = usize::try_from(self.hole()).unwrap_or(usize::MAX).min(into.len());
        into[..zeros].fill(0);
        self.position += zeros as u64;
        zeros
    }

    /// Zeros from here to the next segment, or to the end of the file.
    pub(super) fn hole(&self) -> u64 {
        self.segments
            .get(self.next)
            .map_or(self.size, |segment| segment.offset)
            .saturating_sub(self.position)
    }

    /// Bytes left of the segment that holds `position`.
    pub(super) fn segment_left(&self) -> u64 {
        self.segments
            .get(self.next)
            .map_or(0, |segment| segment.offset + segment.length - self.position)
    }

    pub(super) fn advance(&mut self, count: u64) {
        self.position += count;
        self.stored -= count;
        if self.segment_left() == 0 {
            self.next += 1;
        }
    }
}
