//! How do changes become a layer? A second walk goes where something has changed, and nowhere else. Directories that lead to a change are written
//! too, as they are: engines that put layers over one another would make up what is missing of them.

use std::collections::BTreeMap;

use teu_rootfs::{
    Node,
    walk::{self, Walk},
};
use teu_store::Result;

use super::{
    changes::{Layer, Write},
    old::{self, Old},
    scope::Scope,
};
use crate::{
    bundle::{self, MtreeLimits, Opened},
    failure::of_files,
    layer::{self, Owners, PassedOver, Time, Writer},
    unpack::Stop,
};

/// What a layer is written of.
pub(super) struct Source<'a> {
    pub(super) bundle: &'a Opened,
    pub(super) scope: &'a Scope,
    /// Which of the layers it is.
    pub(super) number: usize,
    /// How the record is read, where files have more extended attributes in the image than they got.
    pub(super) withheld: Option<MtreeLimits>,
    pub(super) layer: &'a Layer,
    pub(super) owners: &'a Owners,
    pub(super) limits: &'a walk::Limits,
    pub(super) stop: &'a Stop,
}

/// Writes all entries of a layer: a directory, what was removed of it, then what is in it. Files are told that lose extended attributes which the image has.
pub(super) fn write(source: &Source<'_>, writer: &mut Writer<'_>) -> Result<PassedOver> {
    let xattrs = match source.bundle.bundle.owners() {
        teu_rootfs::Owners::Kept => bundle::walk_options().xattrs,
        // Access rules have owners' numbers in them, which mean others in the image.
        _ => layer::walk_options().xattrs,
    };
    let options = walk::Options {
        limits: source.limits.clone(),
        xattrs,
        one_file_system: true,
        open_own: true,
        links: true,
    };
    let mut walk = Walk::of(&source.bundle.rootfs, options).map_err(of_files)?;
    let mut old = match source.withheld {
        Some(mtree) => Some(Old::begin(source.bundle.record(mtree)?)?),
        None => None,
    };
    let mut lost = PassedOver::default();
    let mut cursor = source.layer.cursor();
    let mut device = None;
    while let Some(mut found) = walk.next_file().map_err(of_files)? {
        source.stop.check()?;
        let path = found.path;
        let device = *device.get_or_insert(found.stat.device);
        let wanted = cursor.at(path)?;
        let is_directory = found.node == Node::Directory;
        let left_out = found.stat.device != device || found.node == Node::Socket || source.scope.is_masked(path);
        let of_tree = wanted.in_tree && source.scope.layer(path) == source.number;
        let written = match wanted.write {
            Some(_) => !left_out && !wanted.moved,
            None => !left_out && !wanted.moved && (of_tree || (is_directory && wanted.below)),
        };
        if written {
            let link = found.link.take();
            let exact = match wanted.write {
                Some(how) => how == Write::File { exact: true },
                None => !of_tree,
            };
            // The root has no name of its own.
            let at = if path.is_empty() { b"." } else { path };
            if !path.is_empty() || wanted.write.is_some() {
                let mut more = BTreeMap::new();
                if let Some(old) = &mut old {
                    while old.before(path)?.is_some() {}
                    if let Some(old) = old.at(path)? {
                        more = old::kept(&old, &found);
                        if old::loses(&old, &found, more.len()) {
                            lost.add(path);
                        }
                    }
                }
                writer.append_found(&mut found, at, link.as_deref(), source.owners, exact, more)?;
            }
            for removed in wanted.removed {
                writer.whiteout(removed, Time::default())?;
            }
        }
        let enters = wanted.below || of_tree || wanted.write == Some(Write::Tree);
        if !(if is_directory { enters && !left_out } else { written }) {
            walk.skip();
        }
    }
    cursor.end()?;
    Ok(lost)
}
