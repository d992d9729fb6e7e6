//! What does a layer take away? By a whiteout what lower layers left, and never what is its own; and all that is where it makes something else.

use std::collections::HashSet;

use teu_store::Result;

use super::{
    Directory, Hidden, How, NONE, Place,
    apply::{Builder, Step, implied, size_of_file, size_of_text, split},
    known,
};

impl Builder {
    /// A whiteout.
    pub(super) fn remove(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        let at = match self.directory_at(parent, false)? {
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
        if self.tree.may_have(at, name) {
            self.spend(name.len() + 32)?;
            if let Some(directory) = &mut self.tree.inodes[at as usize].directory {
                directory.gone.insert(name.into());
            }
        }
        let Some(child) = self.tree.child(at, name) else {
            return Ok(());
        };
        if self.tree.directory(child.inode).is_none() {
            return match child.layer == self.layer {
                true => Ok(()),
                false => self.unlink(at, name, How::Removed),
            };
        }
        self.remove_lower(child.inode, How::Removed)?;
        if child.layer == self.layer {
            return Ok(());
        }
        if self.children(child.inode).is_empty() {
            return self.unlink(at, name, How::Removed);
        }
        // The layer made something in it but not the directory: it is as if it had been made for that.
        let layer = self.layer;
        if let Some(child) = self.children(at).get_mut(name) {
            child.layer = layer;
        }
        let inode = &mut self.tree.inodes[child.inode as usize];
        (inode.metadata, inode.layer) = (implied(NONE).metadata, NONE);
        self.touch(at, name)
    }

    /// An opaque whiteout.
    pub(super) fn clear(&mut self, path: &[u8]) -> Result<()> {
        match self.directory_at(path, false)? {
            Step::At(at) => self.remove_lower(at, How::Cleared),
            Step::Missing => Ok(()),
            Step::Doubt => {
                if let Some(unknown) = &mut self.tree.unknown {
                    unknown.all = true;
                }
                Ok(())
            }
        }
    }

    /// Removes a name and all that is in it.
    pub(super) fn take_away(&mut self, directory: u32, name: &[u8], how: How) -> Result<()> {
        if let Some(child) = self.tree.child(directory, name) {
            let directories = self.below(child.inode, &HashSet::new());
            for directory in directories.into_iter().rev() {
                for name in self.names(directory) {
                    self.unlink(directory, &name, how)?;
                }
            }
        }
        self.unlink(directory, name, how)
    }

    /// Removes of all that is in a directory what the present layer did not make.
    fn remove_lower(&mut self, top: u32, how: How) -> Result<()> {
        if self.cleared.contains(&top) {
            return Ok(());
        }
        let layer = self.layer;
        for directory in self.below(top, &self.cleared).into_iter().rev() {
            for name in self.names(directory) {
                let Some(child) = self.tree.child(directory, &name) else {
                    continue;
                };
                let below = self.tree.directory(child.inode);
                let stays = child.layer == layer || below.is_some_and(|below| !below.children.is_empty());
                if !stays {
                    self.unlink(directory, &name, how)?;
                }
            }
            if let Some(directory) = &mut self.tree.inodes[directory as usize].directory {
                directory.whole = true;
            }
            self.cleared.insert(directory);
        }
        Ok(())
    }

    /// A directory and those in it, each before what is in it, but for these; nothing where it is none.
    fn below(&self, top: u32, but: &HashSet<u32>) -> Vec<u32> {
        let mut all = Vec::new();
        let mut next = vec![top];
        while let Some(inode) = next.pop() {
            let Some(directory) = self.tree.directory(inode).filter(|_| !but.contains(&inode)) else {
                continue;
            };
            all.push(inode);
            next.extend(directory.children.values().map(|child| child.inode));
        }
        all
    }

    fn names(&self, directory: u32) -> Vec<Box<[u8]>> {
        let directory = self.tree.directory(directory);
        directory.map_or_else(Vec::new, |directory| directory.children.keys().cloned().collect())
    }

    /// Removes a name; what is in it is gone already.
    fn unlink(&mut self, directory: u32, name: &[u8], how: How) -> Result<()> {
        let Some(child) = self.children(directory).remove(name) else {
            return Ok(());
        };
        self.bytes -= name.len();
        self.touch(directory, name)?;
        let inode = &mut self.tree.inodes[child.inode as usize];
        inode.names -= 1;
        let last = inode.names == 0;
        if self.options.hidden {
            let node = inode.node.clone();
            let offset = inode.offset;
            let entry = known(inode.layer).map(|layer| Place { layer, offset });
            let mut path = self.tree.path_of(directory);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            self.spend(size_of::<Hidden>() + path.len() + size_of_text(&node))?;
            self.tree.hidden.push(Hidden {
                path,
                node,
                layer: known(child.layer),
                entry,
                by: self.layer as usize,
                how,
                last,
            });
        }
        if last {
            let inode = std::mem::replace(&mut self.tree.inodes[child.inode as usize], implied(NONE));
            let below = inode.directory.as_ref();
            let below = below.map_or(0, |below| size_of::<Directory>() + below.name.len());
            self.bytes -= size_of_file(&inode) + below;
            self.free.push(child.inode);
        }
        Ok(())
    }
}
