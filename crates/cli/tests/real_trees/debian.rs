//! Debian as mmdebstrap makes it, packages that are installed on top of it in an overlay of buildah's, and what is taken away again.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use teu_spec::Digest;

use super::{
    can,
    hands::{Peer, changed, compare, remove},
};
use crate::support::{
    Podman, Room, peers,
    tree::{Seen, difference, tree},
};

/// What is put on top: set-id bits, a capability, a group that is made for it, links by the hundred and small files by the thousand.
const PACKAGES: &str = "ca-certificates iputils-ping openssh-client python3 sudo";

/// Where `base.tar` is, and what Debian has of the packages, or what kept us from having it. It is kept beside our own build, and made anew where it is to
/// be made in another way.
fn made() -> Result<PathBuf, String> {
    let download = format!(
        "mkdir -p \"$1/top/partial\" && chroot \"$1\" apt-get -qq -o Dir::Cache::archives=/top \
         --download-only --no-install-recommends install -y {PACKAGES} >&2"
    );
    let hooks = [&download, "mv \"$1\"/top/*.deb \"$OUT\" && rm -r \"$1/top\""];
    let way = Digest::of(hooks.concat().as_bytes()).to_string();
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = beside.join(format!("debian-bookworm-{}", &way["sha256:".len()..][..16]));
    if kept.is_dir() {
        return Ok(kept);
    }
    let making = tempfile::tempdir_in(beside).expect("a directory");
    let ran = Command::new("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .args(hooks.map(|hook| format!("--customize-hook={hook}")))
        .arg("bookworm")
        .arg(making.path().join("base.tar"))
        .env("OUT", making.path())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("it runs");
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("mmdebstrap cannot make Debian here: {last}"));
    }
    fs::rename(making.path(), &kept).expect("renamed");
    Ok(kept)
}

/// Runs a program of the tree in it, without a network.
fn inside(at: &Path, line: &str) {
    let output = Command::new("chroot")
        .arg(at)
        .args(["/bin/sh", "-ec", line])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

/// Installs the packages.
fn install(at: &Path, made: &Path) {
    fs::create_dir(at.join("top")).expect("made");
    for entry in fs::read_dir(made).expect("a directory") {
        let from = entry.expect("an entry").path();
        if from.extension().is_some_and(|extension| extension == "deb") {
            let name = from.file_name().expect("a name");
            fs::copy(&from, at.join("top").join(name)).expect("copied");
        }
    }
    // apt knows their order; it takes the archives as they are here.
    inside(
        at,
        "apt-get -qq install -y --no-install-recommends /top/*.deb >&2 && rm -r /top",
    );
}

/// What makes images smaller: a package goes, and files of the others; a directory is made anew, and some become something else.
fn take_away(at: &Path) {
    inside(at, "dpkg --purge --force-depends tzdata");
    inside(at, "rm -f usr/share/doc/*/changelog*.gz");
    remove(&at.join("usr/share/locale"));
    fs::create_dir(at.join("usr/share/locale")).expect("made");
    fs::write(at.join("usr/share/locale/locale.alias"), "# none\n").expect("written");
    remove(&at.join("usr/share/man"));
    symlink("doc", at.join("usr/share/man")).expect("a link");
    remove(&at.join("etc/issue"));
    fs::create_dir_all(at.join("etc/issue/d")).expect("made");
}

/// What others do otherwise with it.
fn otherwise(peer: Peer, path: &str, seen: &mut Seen) {
    match peer {
        // The root is the storage's own directory, as with other images.
        Peer::Podman if path.is_empty() => (seen.mode, seen.time) = (0, (0, 0)),
        Peer::Umoci | Peer::Podman | Peer::Tar => {}
    }
}

#[test]
fn debian_with_packages_on_top_is_the_same_by_every_hand() {
    let test = "debian_with_packages_on_top_is_the_same_by_every_hand";
    if !can(test) || !peers(test, &["mmdebstrap"]) {
        return;
    }
    let made = match made() {
        Ok(made) => made,
        Err(reason) => {
            eprintln!("SKIPPED {test}: {reason}");
            return;
        }
    };
    let room = Room::new();
    room.teu(["new", "oci:images:base"]).succeeds();
    let base = made.join("base.tar");
    room.teu(["append".as_ref(), "oci:images:base".as_ref(), base.as_os_str()])
        .succeeds();
    changed(&room, "base", "installed", |at| install(at, &made));
    changed(&room, "installed", "app", take_away);
    let hidden = hidden(&room, "oci:images:app", "2");
    assert!(hidden.contains(&("opaque-whiteout".to_owned(), "usr/share/locale".to_owned())));
    for path in [
        "usr/share/zoneinfo",
        "usr/share/doc/bash/changelog.Debian.gz",
        "etc/issue",
    ] {
        let is_hidden = hidden.contains(&("whiteout".to_owned(), path.to_owned()));
        // What becomes a directory needs none.
        assert_eq!(is_hidden, path != "etc/issue", "{path}: {hidden:?}");
    }

    let tree = compare(test, &room, "app", otherwise);
    assert!(tree.len() > 7000, "{} files", tree.len());
    let mode = |path: &str| tree[path].mode;
    assert_eq!(mode("usr/bin/sudo"), 0o104_755);
    assert_eq!(
        (mode("usr/bin/ssh-agent"), tree["usr/bin/ssh-agent"].owner.1 > 0),
        (0o102_755, true)
    );
    assert!(tree["usr/bin/ping"].attributes.contains_key("security.capability"));
    assert_eq!(tree["dev/null"].what, "node 103");
    let there: Vec<&str> = ["usr/share/locale/", "usr/share/zoneinfo", "usr/share/man/"]
        .into_iter()
        .flat_map(|below| tree.keys().filter(move |path| path.starts_with(below)))
        .map(String::as_str)
        .collect();
    assert_eq!(there, ["usr/share/locale/locale.alias"]);

    packed_again(&room);
    run_again(&format!("{test}: podman runs what was packed"), &room);
}

/// Unpacking and packing again is the identity: what was not changed is no layer, and what was is the same tree when it is unpacked.
fn packed_again(room: &Room) {
    let image = "oci:images:app";
    room.teu(["unpack", "--devices", image, "bundle"]).succeeds();
    let before = room.teu(["digest", image]).succeeds().stdout;
    let same = room.teu(["repack", "bundle", "oci:images:same"]).succeeds();
    assert_eq!(same.stdout, before);

    let rootfs = room.path("bundle/rootfs");
    take_more(&rootfs);
    room.teu(["repack", "bundle", "oci:images:changed"]).succeeds();
    room.teu(["unpack", "--devices", "oci:images:changed", "again"])
        .succeeds();
    let (mut changed, again) = (tree(&rootfs), tree(&room.path("again/rootfs")));
    // A layer has whole seconds.
    changed.values_mut().for_each(|seen| seen.time.1 = 0);
    let lines = difference(&changed, &again);
    assert!(lines.is_empty(), "{lines:#?}");
    assert!(again.contains_key("usr/share/doc/only") && !again.contains_key("etc/ssl"));
}

/// podman puts the layer of what was changed on the others, and runs what came of it.
fn run_again(test: &str, room: &Room) {
    let Some(podman) = Podman::that_runs(test, room, "oci:images:app") else {
        return;
    };
    let script = "cat /usr/share/doc/only; stat -c %a /etc/passwd; test -e /etc/ssl || echo gone
        test /usr/bin/sudo -ef /usr/bin/sudo-again && test -u /usr/bin/sudo && echo linked; ls -A /usr/share/man";
    let ran = podman.run("oci:images:changed", script);
    assert_eq!(ran.stdout, "only\n600\ngone\nlinked\n", "{}", ran.stderr);
}

/// Every kind of change: of content and modes, links, a directory that is another under its name, and what is gone.
fn take_more(at: &Path) {
    fs::write(at.join("etc/hostname"), "changed\n").expect("written");
    fs::set_permissions(at.join("etc/passwd"), PermissionsExt::from_mode(0o600)).expect("a mode");
    fs::hard_link(at.join("usr/bin/sudo"), at.join("usr/bin/sudo-again")).expect("a link");
    remove(&at.join("usr/share/doc"));
    fs::create_dir(at.join("usr/share/doc")).expect("made");
    fs::write(at.join("usr/share/doc/only"), "only\n").expect("written");
    remove(&at.join("usr/share/man"));
    fs::create_dir(at.join("usr/share/man")).expect("made");
    remove(&at.join("etc/ssl"));
}

/// What a layer says is gone.
fn hidden(room: &Room, image: &str, layer: &str) -> Vec<(String, String)> {
    let listed = room
        .teu(["files", "-o", "json", "--layer", layer, image])
        .succeeds()
        .stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let files = listed["files"].as_array().expect("files").iter();
    let hidden = files.filter_map(|file| Some((file["type"].as_str()?, file["hides"].as_str()?)));
    hidden
        .map(|(kind, path)| (kind.to_owned(), path.trim_start_matches('/').to_owned()))
        .collect()
}
