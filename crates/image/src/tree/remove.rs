//! What does a layer take away? By a whiteout what lower layers left, and never what is its own; and all that is where it makes something else.

use std::collections::HashSet;

use teu_store::Result;

use super::{
    Gone, How, Kind, NONE,
    apply::{Builder, Step},
    state::FILE,
};

impl Builder {
    /// A whiteout of this name in a directory.
    pub(super) fn remove(&mut self, directory: &[u8], name: &[u8]) -> Result<()> {
        let at = match self.directory_at(directory, false)? {
            Step::At(at) => at,
            Step::Missing => return Ok(()),
            Step::Doubt => {
                self.doubt(&[name]);
                return Ok(());
            }
        };
        if self.cleared.contains(&at) {
            return Ok(());
        }
        if self.may_have(at, name)? {
            let path = self.intern(at, name, None)?;
            if let Some(unknown) = &mut self.state.unknown {
                unknown.gone.insert(path);
            }
        }
        let Some(path) = self.child(at, name)? else {
            return Ok(());
        };
        let is_own = self.state.layer(path) == self.layer;
        if !self.state.is_directory(path) {
            return match is_own {
                true => Ok(()),
                false => self.unlink(path, How::Removed),
            };
        }
        self.remove_lower(path, How::Removed)?;
        if is_own {
            return Ok(());
        }
        if self.state.is_empty(path) {
            return self.unlink(path, How::Removed);
        }
        // The layer made something in it but not the directory: it is as if it had been made for that.
        self.state.set_layer(path, self.layer);
        self.state.describe(path, NONE);
        self.touch(path)
    }

    /// An opaque whiteout.
    pub(super) fn clear(&mut self, path: &[u8]) -> Result<()> {
        match self.directory_at(path, false)? {
            Step::At(at) => self.remove_lower(at, How::Cleared),
            Step::Missing => Ok(()),
            Step::Doubt => {
                if let Some(unknown) = &mut self.state.unknown {
                    unknown.cleared = Some(self.layer);
                }
                Ok(())
            }
        }
    }

    /// Removes what is at a path and all that is in it.
    pub(super) fn take_away(&mut self, path: u32, how: How) -> Result<()> {
        for directory in self.below(path, &HashSet::new()).into_iter().rev() {
            for path in self.state.tidied(directory) {
                self.unlink(path, how)?;
            }
        }
        self.unlink(path, how)
    }

    /// Removes of all that is in a directory what the present layer did not make.
    fn remove_lower(&mut self, top: u32, how: How) -> Result<()> {
        if self.cleared.contains(&top) {
            return Ok(());
        }
        for directory in self.below(top, &self.cleared).into_iter().rev() {
            for path in self.state.tidied(directory) {
                let is_filled = || self.state.is_directory(path) && !self.state.is_empty(path);
                let stays = self.state.layer(path) == self.layer || is_filled();
                if !stays {
                    self.unlink(path, how)?;
                }
            }
            self.state.set_whole(directory, true);
            self.cleared.insert(directory);
        }
        Ok(())
    }

    /// A directory and those in it, each before what is in it, but for these; nothing where it is none.
    fn below(&self, top: u32, but: &HashSet<u32>) -> Vec<u32> {
        let mut all = Vec::new();
        let mut next = vec![top];
        while let Some(path) = next.pop() {
            if !self.state.is_directory(path) || but.contains(&path) {
                continue;
            }
            all.push(path);
            let below = self.state.children(path).into_iter();
            next.extend(below.filter(|path| self.state.is_directory(*path)));
        }
        all
    }

    /// Removes a name; what is in it is gone already.
    fn unlink(&mut self, path: u32, how: How) -> Result<()> {
        let layer = match self.state.inode_at(path) {
            Some(_) => self.state.layer(path),
            None => return Ok(()),
        };
        let Some((inode, last)) = self.state.detach(path) else {
            return Ok(());
        };
        if matches!(inode.kind(), Kind::Directory | Kind::Symlink) {
            self.found = None;
        }
        self.touch(path)?;
        if self.options.hidden {
            self.spend(size_of::<Gone>())?;
            self.state.hidden.push(Gone {
                path,
                entry: inode.entry,
                layer,
                by: self.layer,
                how,
                kind: inode.kind(),
                last,
            });
        }
        if last {
            self.state.bytes -= FILE;
        }
        Ok(())
    }
}
