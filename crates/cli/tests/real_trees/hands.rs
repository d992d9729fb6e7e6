//! The ways to unpack an image beside ours, and what one more layer is made by.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    self, Room, peers,
    tree::{Seen, Tree, difference, tree},
};

/// Who else unpacks, and what it is known to do otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Umoci,
    /// Its storage by the driver `vfs`, which makes plain files of the layers.
    Podman,
    /// Layer by layer; a script removes what whiteouts name.
    Tar,
}

/// Takes from a file what a peer does otherwise with this image.
pub(super) type Allow = fn(Peer, &str, &mut Seen);

/// Unpacks `oci:images:NAME` in every way and compares; the tree that it is.
pub(super) fn compare(test: &str, room: &Room, name: &str, allow: Allow) -> Tree {
    let image = format!("oci:images:{name}");
    room.teu(["unpack", "--rootfs-only", "--devices", &image, "by-us"])
        .succeeds();
    let ours = tree(&room.path("by-us"));
    let mut compared = 0;
    for (peer, program) in [(Peer::Umoci, "umoci"), (Peer::Podman, "podman"), (Peer::Tar, "tar")] {
        if !peers(&format!("{test} beside {program}"), &[program]) {
            continue;
        }
        let at = match peer {
            Peer::Umoci => by_umoci(room, name),
            Peer::Podman => by_podman(room, &image),
            Peer::Tar => by_tar(room, &image),
        };
        let theirs = tree(&at);
        let without = |tree: &Tree| -> Tree {
            let seen = tree.iter().map(|(path, seen)| {
                let mut seen = seen.clone();
                allow(peer, path, &mut seen);
                (path.clone(), seen)
            });
            seen.collect()
        };
        let lines = difference(&without(&ours), &without(&theirs));
        assert!(lines.is_empty(), "{name} by {program}: {lines:#?}");
        compared += 1;
    }
    eprintln!(
        "{test}: {} files of {name} are the same in {compared} other ways",
        ours.len() - 1
    );
    ours
}

fn by_umoci(room: &Room, name: &str) -> PathBuf {
    let image = format!("images:{name}");
    room.run("umoci", ["unpack", "--image", &image, "by-umoci"]).succeeds();
    room.path("by-umoci/rootfs")
}

/// A call of podman or buildah with a storage of its own.
fn storage<const N: usize>(room: &Room, program: &str, driver: &str, arguments: [&str; N]) -> support::Run {
    let mut all = Vec::new();
    let at = |kind: &str| {
        room.path(format!("{program}-{kind}"))
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    let (root, run) = (at("root"), at("run"));
    all.extend(["--root", &root, "--runroot", &run, "--storage-driver", driver]);
    all.extend(arguments);
    room.file(
        "../home/.config/containers/policy.json",
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    );
    room.run(program, all)
}

fn by_podman(room: &Room, image: &str) -> PathBuf {
    let id = storage(room, "podman", "vfs", ["pull", "--quiet", image])
        .succeeds()
        .stdout;
    let id = id.trim();
    let mounted = storage(room, "podman", "vfs", ["image", "mount", id]).succeeds();
    PathBuf::from(mounted.stdout.trim())
}

/// GNU tar alone: before each layer, what its whiteouts name is removed, and then all but these is extracted.
fn by_tar(room: &Room, image: &str) -> PathBuf {
    let at = room.path("by-tar");
    fs::create_dir(&at).expect("a directory");
    let inspected = room.teu(["inspect", "--raw", image]).succeeds().stdout;
    let manifest: serde_json::Value = serde_json::from_str(&inspected).expect("a manifest");
    for layer in manifest["layers"].as_array().expect("layers") {
        let digest = layer["digest"].as_str().expect("a digest");
        let blob = room.path(format!("images/blobs/{}", digest.replace(':', "/")));
        let blob = blob.to_str().expect("UTF-8");
        let listed = room
            .run("tar", ["--quoting-style=escape", "-tf", blob])
            .succeeds()
            .stdout;
        for path in listed.lines() {
            let (directory, leaf) = path.rsplit_once('/').unwrap_or(("", path));
            let directory = at.join(directory);
            if leaf == ".wh..wh..opq" {
                for entry in fs::read_dir(&directory).into_iter().flatten() {
                    remove(&entry.expect("an entry").path());
                }
            } else if let Some(hidden) = leaf.strip_prefix(".wh.") {
                remove(&directory.join(hidden));
            } else if !leaf.is_empty() && directory.join(leaf).symlink_metadata().is_ok_and(|seen| seen.is_dir()) {
                // tar puts no file where a full directory is.
                remove(&directory.join(leaf));
            }
        }
        let flags = ["--numeric-owner", "--same-owner", "--exclude=.wh.*"];
        let more = ["--xattrs", "--xattrs-include=*", "-C", "by-tar", "-xpf", blob];
        room.run("tar", flags.iter().chain(&more)).succeeds();
    }
    at
}

pub(super) fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(seen) if seen.is_dir() => fs::remove_dir_all(path).expect("removed"),
        Ok(_) => fs::remove_file(path).expect("removed"),
        Err(_) => {}
    }
}

/// Puts what `change` does to the files of `oci:images:FROM` on top as a layer that buildah makes.
pub(super) fn changed(room: &Room, from: &str, to: &str, change: impl FnOnce(&Path)) {
    let [from, to] = [from, to].map(|name| format!("oci:images:{name}"));
    let container = storage(room, "buildah", "overlay", ["from", "--quiet", &from]).succeeds();
    let container = container.stdout;
    let container = container.trim();
    let mounted = storage(room, "buildah", "overlay", ["mount", container])
        .succeeds()
        .stdout;
    change(Path::new(mounted.trim()));
    storage(room, "buildah", "overlay", ["umount", container]).succeeds();
    storage(room, "buildah", "overlay", ["commit", "--quiet", container, &to]).succeeds();
    storage(room, "buildah", "overlay", ["rm", container]).succeeds();
    unmounted(&room.path("buildah-root/overlay"));
}

/// Takes away the mount that the driver makes of its own directory, which could not be removed else.
fn unmounted(path: &Path) {
    // Where it is none, there is nothing to do.
    let _ = Command::new("umount").arg(path).output();
}
