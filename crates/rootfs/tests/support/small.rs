//! A disk that is soon full.

use std::{fs, path::PathBuf, process::Command};

/// A file system of so much room, gone when it is dropped.
pub(crate) struct Small(pub(crate) PathBuf);

impl Small {
    /// One of `size`, as mount(8) says it, at a new directory; none without root.
    pub(crate) fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&path).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "teu-test"])
            .arg(&path)
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then(|| Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Who had it open may end a moment after this.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
