//! Of which paths does something become when a layer is put on top? Of those that it makes, describes, replaces and hides, and of the directories
//! that it takes for granted.

use teu_store::Result;

use super::{File, ROOT, Tree, apply::Builder};

impl Builder {
    /// Notes them from now on.
    pub(crate) fn note_touched(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Those since it was asked last, some of them several times; they count for the memory of the tree until then.
    pub(crate) fn take_touched(&mut self) -> Vec<Vec<u8>> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        self.bytes -= touched.iter().map(|path| size_of_noted(path)).sum::<usize>();
        touched
    }

    /// The tree of all layers so far.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn touch(&mut self, directory: u32, name: &[u8]) -> Result<()> {
        if self.touched.is_none() {
            return Ok(());
        }
        let mut path = self.tree.path_of(directory);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        self.note(path)
    }

    pub(super) fn touch_directory(&mut self, directory: u32) -> Result<()> {
        match self.touched {
            None => Ok(()),
            Some(_) => self.note(self.tree.path_of(directory)),
        }
    }

    fn note(&mut self, path: Vec<u8>) -> Result<()> {
        self.spend(size_of_noted(&path))?;
        if let Some(touched) = &mut self.touched {
            touched.push(path);
        }
        Ok(())
    }
}

fn size_of_noted(path: &[u8]) -> usize {
    size_of::<Vec<u8>>() + path.len()
}

impl Tree {
    /// What has this very path, as a walk gives it: no link on the way is followed.
    pub(crate) fn at(&self, path: &[u8]) -> Option<File<'_>> {
        let mut file = self.root();
        let mut at = ROOT;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let child = self.child(at, name)?;
            at = child.inode;
            file = File { tree: self, child };
        }
        Some(file)
    }
}
