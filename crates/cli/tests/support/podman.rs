//! podman, which runs images with a storage in the room, as root.

use std::path::PathBuf;

use super::{Ran, Room, peers};

/// Where it runs.
pub(crate) struct Podman<'r> {
    room: &'r Room,
    conf: PathBuf,
}

impl<'r> Podman<'r> {
    /// In this room, where it runs `image`; else it is said loudly that `test` is passed over.
    pub(crate) fn that_runs(test: &str, room: &'r Room, image: &str) -> Option<Self> {
        if !peers(test, &["podman", "runc", "unshare"]) {
            return None;
        }
        // podman raises limits on its own, which root without CAP_SYS_RESOURCE may not; low ones can be had everywhere.
        let conf = "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n\
            [engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n";
        let conf = room.file("containers.conf", conf);
        let podman = Self { room, conf };
        let tried = podman.run(image, "echo it runs");
        if tried.code != 0 {
            eprintln!("SKIPPED {test}: podman runs no image here: {}", tried.stderr);
            return None;
        }
        Some(podman)
    }

    /// What a script of the shell does in the image.
    pub(crate) fn run(&self, image: &str, script: &str) -> Ran {
        // What it mounts is gone with its namespace.
        let arguments = [
            "-m",
            "timeout",
            "300",
            "podman",
            "--root=storage",
            "--runroot=run",
            "--storage-driver=overlay",
            "run",
            "--rm",
            "--network=none",
            image,
            "/bin/sh",
            "-c",
            script,
        ];
        let run = self.room.run("unshare", arguments);
        run.env("CONTAINERS_CONF", &self.conf).ran()
    }
}
