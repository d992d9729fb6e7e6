//! Of which paths does something become when a layer is put on top? Of those that it makes, describes, replaces and hides, and of the directories
//! that it takes for granted.

use teu_store::Result;

use super::{Kind, Paths, apply::Builder, state::State};

/// What is at a path while layers are put on top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) kind: Kind,
    /// The entry that describes it.
    pub(crate) entry: u32,
    pub(crate) names: u32,
}

impl Builder {
    /// Notes them from now on.
    pub(crate) fn note_touched(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Those since it was asked last, some of them several times; they count for the memory of the tree until then.
    pub(crate) fn take_touched(&mut self) -> Vec<u32> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        self.state.bytes -= touched.len() * size_of::<u32>();
        touched
    }

    /// What is at a path now.
    pub(crate) fn at(&self, path: u32) -> Option<Now> {
        let inode = self.state.at(path)?;
        Some(Now {
            kind: inode.kind(),
            entry: inode.entry,
            names: inode.names(),
        })
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The paths alone, of all layers so far.
    pub(crate) fn into_paths(self) -> Paths {
        self.paths
    }

    /// What there is so far, to go on from there twice: the paths are those of both.
    pub(super) fn fork(&self) -> State {
        self.state.fork()
    }

    pub(super) fn touch(&mut self, path: u32) -> Result<()> {
        if self.touched.is_none() {
            return Ok(());
        }
        self.spend(size_of::<u32>())?;
        if let Some(touched) = &mut self.touched {
            touched.push(path);
        }
        Ok(())
    }
}
