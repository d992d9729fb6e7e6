//! What is there when the power was cut? Only what was synced. The depot lies on a file system in a file: when the server is killed, a copy of
//! that file has what reached the disk, and what still waits in the kernel's memory is not in it. The next server finds that copy.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    at_moments, check, killed_after,
    pushers::Told,
    serve,
    support::{Room, peers},
};

const TEST: &str = "what_was_acknowledged_survives_a_power_cut";
/// Tells the process that it is the one that has mounts of its own.
const INSIDE: &str = "TEU_POWER_CUT";

/// A disk, mounted.
struct Disk {
    file: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Its journal is written and its pages are flushed so seldom that nothing lasts in a test but what was asked for; and not before names do data
    /// last, which is the worst that ext4 can do.
    fn mount(file: PathBuf, mount: &Path) -> Self {
        done(&["mount", "-o", "loop,data=writeback,commit=300"], &[&file, mount]);
        Self {
            file,
            mount: mount.to_owned(),
        }
    }

    /// Cuts the power, and gives what is found afterwards.
    fn cut(self, name: &str) -> Self {
        let copy = self.file.with_file_name(name);
        done(&["cp", "--sparse=always"], &[&self.file, &copy]);
        done(&["umount"], &[&self.mount]);
        fs::remove_file(&self.file).expect("removed");
        Self::mount(copy, &self.mount)
    }
}

#[track_caller]
fn done(words: &[&str], paths: &[&Path]) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(paths)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    if !peers(TEST, &["unshare", "mount", "mkfs.ext4", "cp"]) {
        return;
    }
    // Mounts of its own, which are gone with it.
    let unshare = ["--mount", "--propagation", "private"];
    let probe = Command::new("unshare")
        .args(unshare)
        .arg("true")
        .output()
        .expect("it runs");
    if !rustix::process::geteuid().is_root() || !probe.status.success() {
        eprintln!("SKIPPED {TEST}: mounting needs root and a mount namespace");
        return;
    }
    let output = Command::new("unshare")
        .args(unshare)
        .arg(env::current_exe().expect("this program"))
        .args(["powercut::inside", "--exact", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    if let Some(line) = said.lines().find(|line| line.starts_with("SKIPPED")) {
        eprintln!("{line}");
    }
}

/// Not a test: what has mounts of its own.
#[test]
#[ignore = "run by the other"]
fn inside() {
    if env::var_os(INSIDE).is_none() {
        return;
    }
    let room = Room::new();
    let (file, mount) = (room.path("disk-0"), room.path("mounted"));
    fs::create_dir(&mount).expect("a directory");
    fs::File::create(&file)
        .and_then(|file| file.set_len(512 << 20))
        .expect("a file");
    done(&["mkfs.ext4", "-q"], &[&file]);
    let probe = Command::new("mount")
        .args(["-o", "loop"])
        .args([&file, &mount])
        .output()
        .expect("it runs");
    if !probe.status.success() {
        println!("SKIPPED {TEST}: {}", String::from_utf8_lossy(&probe.stderr).trim());
        return;
    }
    done(&["umount"], &[&mount]);
    let disk = Disk::mount(file, &mount);
    let data = mount.join("data");
    let (mut told, mut round) = (Told::default(), 0);
    let mut disk = Some(disk);
    at_moments(&mut told, &[60, 100, 150, 210, 300, 400, 600, 900], |told, moment| {
        round += 1;
        let served = serve(&room, &data);
        killed_after(&served, told, moment);
        // What nobody syncs is lost, or this shows nothing.
        let lost = mount.join("lost");
        fs::File::create(&lost)
            .and_then(|mut file| file.write_all(&[1; 100]))
            .expect("written");
        drop(served);
        disk = disk.take().map(|disk| disk.cut(&format!("disk-{round}")));
        assert!(!lost.exists(), "nothing is lost here, so nothing is shown");
        let mode = fs::metadata(&data).expect("the depot").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        check(&room, &data, told);
    });
    done(&["umount"], &[&mount]);
}
