//! What had been made of content when so much of it was hashed? The states of its hasher behind every so many chunks, so that any stretch between two
//! of them can be held to the digest of the whole later, without the rest.

use teu_spec::Hasher;

/// The [saved](Hasher::save) states of a hasher behind every so many of the chunks that were hashed.
#[derive(Clone, Debug)]
pub struct States {
    /// Every how many chunks there is one.
    pub every: u64,
    /// The states, the first of them behind that many chunks.
    pub saved: Vec<Vec<u8>>,
    chunks: u64,
    most: usize,
}

impl States {
    /// At most `most` of them, which is two or more: where there would be more, every second is left out.
    pub(super) fn new(most: usize) -> Self {
        Self {
            every: 1,
            saved: Vec::new(),
            chunks: 0,
            most: most.max(2),
        }
    }

    /// A chunk was hashed.
    pub(super) fn passed(&mut self, hasher: &Hasher) {
        self.chunks += 1;
        if !self.chunks.is_multiple_of(self.every) {
            return;
        }
        self.saved.push(hasher.save());
        if self.saved.len() > self.most {
            let mut place = 0;
            self.saved.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.every *= 2;
        }
    }
}
