//! What is there of a copy when the power was cut after it? All that it named: the layouts lie on a file system in a file, and a copy of that file has what reached
//! the disk, and nothing that still waits in the kernel's memory.
#![cfg(all(feature = "layout", feature = "remote"))]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use teu_spec::{Digest, Pick};
use teu_store::{
    Source, SourceExt, Target,
    copy::{self, Options},
    silent,
    suite::Image,
};
use teu_transport::layout::Layout;

use crate::support::peer::{has, output};

/// A file system of one kind, mounted until it is dropped.
struct Disk {
    options: &'static str,
    file: PathBuf,
    here: PathBuf,
}

impl Disk {
    /// None where nothing can be mounted.
    fn made(kind: &str, options: &'static str, room: &Path) -> Option<Self> {
        let (file, here) = (room.join(format!("{kind}.0")), room.join(kind));
        fs::create_dir(&here).expect("a directory");
        // Sparse: it takes the place of what is written to it.
        File::create(&file)
            .and_then(|file| file.set_len(400 << 20))
            .expect("a file");
        output(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&file));
        Self { options, file, here }.mounted()
    }

    fn mounted(self) -> Option<Self> {
        let mut mount = Command::new("mount");
        let done = mount.args(["-o", self.options]).args([&self.file, &self.here]).output();
        done.is_ok_and(|done| done.status.success()).then_some(self)
    }

    fn sync(&self) {
        output(Command::new("sync").arg("-f").arg(&self.here));
    }

    /// Cuts the power, and gives what is found afterwards.
    fn cut(self) -> Self {
        let (options, file, here) = (self.options, self.file.with_extension("1"), self.here.clone());
        output(Command::new("cp").arg("--sparse=always").args([&self.file, &file]));
        drop(self);
        Self { options, file, here }.mounted().expect("it is mounted again")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.here).status();
    }
}

/// Contents that end within a chunk, and before, at and behind the end of what is read and written at once; and what is small.
fn layers() -> Vec<Bytes> {
    const MIB: usize = 1 << 20;
    let lengths = [100, MIB, 2 * MIB + 1, 3 * MIB, 4 * MIB - 1, 5 * MIB + 300_000];
    let content = |(seed, length): (usize, usize)| (0..length).map(|n| (n * 7 + n / 251 + seed) as u8).collect();
    lengths.into_iter().enumerate().map(content).collect()
}

async fn survives(test: &str, kind: &str, options: &'static str, trust_source: bool) {
    let tools = [&*format!("mkfs.{kind}"), "mount", "umount", "cp", "sync"];
    if let Some(absent) = tools.into_iter().find(|tool| !has(tool)) {
        eprintln!("SKIPPED {test}: {absent} is missing");
        return;
    }
    let room = tempfile::tempdir().expect("a directory");
    let Some(disk) = Disk::made(kind, options, room.path()) else {
        eprintln!("SKIPPED {test}: no {kind} can be mounted here");
        return;
    };
    let (from, to) = (disk.here.join("from"), disk.here.join("to"));
    let source = Layout::create(&from, None).expect("a layout");
    let image = Image::of(source.takes(), "one", &layers());
    image.put(&source, &["one"]).await.expect("put");
    source.finish().await.expect("finished");
    disk.sync();
    let target = Arc::new(Layout::prepare(&to, None).expect("a layout"));
    let how = Options {
        trust_source,
        ..Options::default()
    };
    let pick = Pick::Name("one".to_owned());
    let names = ["to".to_owned()];
    copy::copy(Arc::new(source), &pick, target.clone(), &names, &how, &silent())
        .await
        .expect("copied");
    target.finish().await.expect("finished");
    drop(target);

    let disk = disk.cut();
    let layout = Layout::open(&to, None).expect("a layout");
    let found = layout.resolve(&Pick::Name("to".to_owned())).await.expect("its name");
    let document = layout.document(&found).await.expect("its manifest");
    assert_eq!(document.raw(), image.document.raw());
    for child in document.children() {
        let content = fs::read(to.join("blobs/sha256").join(child.digest.hex())).expect("its blob");
        assert_eq!(
            (content.len() as u64, Digest::of(&content)),
            (child.size, child.digest),
            "{kind}, trusted: {trust_source}"
        );
    }
    let mut left: Vec<_> = fs::read_dir(&to)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"]);
    // It has its index open.
    drop(layout);
    drop(disk);
}

/// Its journal is written and its pages are flushed so seldom that nothing lasts in a test but what was asked for; and not before names do data last, which is the
/// worst that ext4 can do.
const EXT4: &str = "loop,data=writeback,commit=300";

#[tokio::test]
async fn what_was_copied_and_named_survives_a_power_cut() {
    for trust_source in [false, true] {
        survives("what_was_copied_and_named_survives", "ext4", EXT4, trust_source).await;
    }
}

#[tokio::test]
async fn what_shares_its_content_and_is_named_survives_a_power_cut() {
    for trust_source in [false, true] {
        survives(
            "what_shares_its_content_and_is_named_survives",
            "xfs",
            "loop",
            trust_source,
        )
        .await;
    }
}
