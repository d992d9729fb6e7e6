//! What is there to see of a tree of files?

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use teu_spec::Digest;

/// All that there is to see of a tree: kinds, modes, owners, times, sizes, links, names of one file, attributes, content.
pub(crate) fn seen(at: &Path) -> Vec<String> {
    let mut list = Vec::new();
    let mut inodes: Vec<(u64, String)> = Vec::new();
    let mut wait = vec![PathBuf::new()];
    while let Some(path) = wait.pop() {
        let real = at.join(&path);
        let stat = real.symlink_metadata().expect("a file");
        let name = path.as_os_str().as_bytes().escape_ascii().to_string();
        let kind = stat.file_type();
        let what = if kind.is_dir() {
            let names = fs::read_dir(&real).expect("a directory");
            wait.extend(names.map(|entry| path.join(entry.expect("an entry").file_name())));
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(&real).expect("a link").display())
        } else if kind.is_file() {
            format!("{} {}", stat.size(), Digest::of(&fs::read(&real).expect("content")))
        } else {
            format!("node {:x}", stat.rdev())
        };
        let mut attributes = [0_u8; 4096];
        let length = rustix::fs::llistxattr(&real, &mut attributes[..]).unwrap_or(0);
        let attributes = String::from_utf8_lossy(&attributes[..length]).replace('\0', " ");
        if stat.nlink() > 1 && !kind.is_dir() {
            inodes.push((stat.ino(), name.clone()));
        }
        let (mode, uid, gid, time) = (stat.mode(), stat.uid(), stat.gid(), stat.mtime());
        list.push(format!("{name} {mode:o} {uid}:{gid} {time} {what} {attributes}"));
    }
    inodes.sort();
    list.sort();
    // Which names are one file, in the order of the names: that of the inodes is the file system's own.
    let one = inodes.chunk_by(|a, b| a.0 == b.0);
    let one = one.map(|names| format!("one: {:?}", names.iter().map(|(_, name)| name).collect::<Vec<_>>()));
    let mut one: Vec<String> = one.collect();
    one.sort();
    list.extend(one);
    list
}
