//! What stands around a tree that is attacked, and is it as it was? Shared by the tests of the door and those of the whole program.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// What is to be seen of files, by their paths.
pub(crate) type Seen = BTreeMap<PathBuf, String>;

/// What a canary says.
pub(crate) const SONG: &str = "sings";

/// Puts canaries into `base`: beside `dest`, in a directory whose name begins like it, in `outside` and in a directory there.
pub(crate) fn plant(base: &Path) {
    for directory in ["dest-evil", "outside/directory"] {
        fs::create_dir_all(base.join(directory)).unwrap();
    }
    for canary in [
        "canary",
        "dest-evil/canary",
        "outside/canary",
        "outside/directory/canary",
    ] {
        fs::write(base.join(canary), SONG).unwrap();
        fs::set_permissions(base.join(canary), fs::Permissions::from_mode(0o640)).unwrap();
    }
    symlink("canary", base.join("outside/link")).unwrap();
}

/// What a look passes over: `but` with all in it, and of the directories in `loose` what is made and removed in them changes: size, times and names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Except {
    pub(crate) but: Vec<PathBuf>,
    pub(crate) loose: Vec<PathBuf>,
}

/// All that there is to see below `base`: which file it is, kind, mode, owner, group, names, the times of the last change of content and of
/// metadata (so attributes too), content.
pub(crate) fn look(base: &Path, except: &Except) -> Seen {
    let mut all = Seen::new();
    let mut wait = vec![base.to_owned()];
    while let Some(path) = wait.pop() {
        if except.but.contains(&path) {
            continue;
        }
        let stat = path.symlink_metadata().unwrap();
        let content = if stat.is_file() {
            fs::read(&path).unwrap()
        } else if stat.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        if stat.is_dir() {
            wait.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let mut what = format!(
            "inode {} mode {:o} owner {}:{}",
            stat.ino(),
            stat.mode(),
            stat.uid(),
            stat.gid()
        );
        if !except.loose.contains(&path) {
            let (changed, touched) = ((stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()));
            what += &format!(" names {} changed {changed:?} {touched:?} {content:?}", stat.nlink());
        }
        all.insert(path, what);
    }
    all
}

/// All paths below a directory.
pub(crate) fn below(base: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut wait = vec![base.to_owned()];
    while let Some(directory) = wait.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                wait.push(path.clone());
            }
            all.push(path);
        }
    }
    all
}

/// What is in a directory, sorted: paths with a mark for the kind (`d/`, `l -> target`, `p|`, `device?`), and the content of files. Where a name leads to
/// the directory `out` of the canaries, `OUT` stands for that; directories that are only on the way there are left out.
pub(crate) fn listing(base: &Path, out: &Path) -> Vec<String> {
    let entries = below(base).into_iter().map(|path| {
        let kind = path.symlink_metadata().unwrap().file_type();
        let name = path.strip_prefix(base).unwrap().as_os_str().as_bytes().to_vec();
        let what = if kind.is_dir() {
            "/".to_owned()
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            format!(" -> {}", target.as_os_str().as_bytes().escape_ascii())
        } else if kind.is_file() {
            format!(" {}", fs::read(&path).unwrap().escape_ascii())
        } else if kind.is_fifo() {
            "|".to_owned()
        } else {
            "?".to_owned()
        };
        (name, what)
    });
    listed(entries, out)
}

/// The lines of a [`listing`] of these paths, which have no slash before or behind them.
pub(crate) fn listed(entries: impl IntoIterator<Item = (Vec<u8>, String)>, out: &Path) -> Vec<String> {
    let out = out.to_str().unwrap()[1..].to_owned();
    let mut list: Vec<String> = entries
        .into_iter()
        .map(|(name, what)| (name.escape_ascii().to_string(), what))
        .filter(|(name, _)| !format!("{out}/").starts_with(&format!("{name}/")))
        .map(|(name, what)| format!("{name}{what}").replace(&out, "OUT").replace("/OUT", "OUT"))
        .collect();
    list.sort();
    list
}
