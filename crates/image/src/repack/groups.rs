//! Which files have several names, and what becomes of the others where one of them is written? A hard link reaches no file of a lower layer:
//! engines that put layers over one another refuse it. So where one name of a file is written all are, in one layer.

use std::collections::HashMap;

use teu_rootfs::walk::Stat;

use super::{changes::Layer, scope::Scope};

/// What a name takes beside its bytes, about.
const OVERHEAD: usize = 48;

/// Files of which not all names were seen yet.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pending: HashMap<(u64, u64), Group>,
    memory: usize,
}

#[derive(Debug, Default)]
struct Group {
    /// Each with whether it is written by itself.
    names: Vec<(Vec<u8>, bool)>,
    seen: u64,
}

impl Groups {
    /// Notes a name of a file that has several, in the order of the walk; one that is masked counts, and is not named.
    pub(super) fn see(&mut self, stat: &Stat, name: Option<(&[u8], bool)>, scope: &Scope, layers: &mut [Layer]) {
        if stat.links < 2 {
            return;
        }
        let file = (stat.device, stat.inode);
        let group = self.pending.entry(file).or_default();
        group.seen += 1;
        if let Some((path, written)) = name {
            self.memory += OVERHEAD + path.len();
            group.names.push((path.to_vec(), written));
        }
        if group.seen >= stat.links
            && let Some(group) = self.pending.remove(&file)
        {
            let freed = group.names.iter().map(|(path, _)| OVERHEAD + path.len()).sum();
            self.memory = self.memory.saturating_sub(freed);
            settle(group, scope, layers);
        }
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// All was seen: other names are outside of the tree.
    pub(super) fn finish(&mut self, scope: &Scope, layers: &mut [Layer]) {
        for (_, group) in self.pending.drain() {
            settle(group, scope, layers);
        }
        self.memory = 0;
    }
}

/// Has all names of a file be written in the layer of the first, or none.
fn settle(group: Group, scope: &Scope, layers: &mut [Layer]) {
    if !group.names.iter().any(|(_, written)| *written) {
        return;
    }
    let Some(target) = group.names.first().map(|(first, _)| scope.layer(first)) else {
        return;
    };
    for (path, written) in group.names {
        let own = scope.layer(&path);
        if written && own != target {
            layers[own].move_away(path.clone());
        }
        if !written || own != target {
            layers[target].link(path);
        }
    }
}
