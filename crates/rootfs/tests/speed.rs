//! How many small files a second, and how much memory for many? Ignored: `cargo test --profile quick -p teu-rootfs --test speed -- --ignored --nocapture`,
//! with `TMPDIR` on the file system to measure.

#![expect(clippy::print_stdout, reason = "it measures")]

use std::{fs, time::Instant};

use teu_rootfs::{Metadata, Options, Root, Sibling, Time, Writer};

fn metadata(mode: u32, uid: u32) -> Metadata {
    Metadata {
        mode,
        uid,
        gid: uid,
        mtime: Time {
            seconds: 1_700_000_000,
            nanoseconds: 0,
        },
        ..Metadata::default()
    }
}

#[test]
#[ignore = "measures"]
fn small_files_a_second() {
    const FILES: u32 = 100_000;
    for (what, uid) in [("root's", 0), ("another's", 1000)] {
        let directory = tempfile::tempdir().unwrap();
        let sibling = Sibling::new(&directory.path().join("rootfs")).unwrap();
        let mut writer = Writer::new(sibling.root(), Options::default()).unwrap();
        let content = [7; 600];
        let (file, folder) = (metadata(0o644, uid), metadata(0o755, uid));
        let begin = Instant::now();
        for number in 0..FILES {
            let path = format!("usr/share/package/directory{}/file{number}", number / 20);
            if number % 20 == 0 {
                let (parent, _) = path.rsplit_once('/').unwrap();
                writer.directory(parent.as_bytes(), &folder).unwrap();
            }
            let mut file = writer.file(path.as_bytes(), &file, 600).unwrap();
            file.write_at(0, &content).unwrap();
            file.finish().unwrap();
        }
        writer.finish().unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{what} files: {:.0} a second", f64::from(FILES) / seconds);
        let begin = Instant::now();
        sibling.discard().unwrap();
        println!("  removed in {:.2} s", begin.elapsed().as_secs_f64());
    }
}

/// The peak of this process's memory, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[ignore = "measures"]
fn memory_for_a_million_entries() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let before = peak();
    let mut writer = Writer::new(&root, Options::default()).unwrap();
    let folder = metadata(0o755, 0);
    let begin = Instant::now();
    for number in 0..1_000_000_u32 {
        let path = format!("{}/{}/{:0>150}", number / 50_000, number / 200, number);
        writer.directory(path.as_bytes(), &folder).unwrap();
    }
    writer.clear(b"").unwrap();
    writer.finish().unwrap();
    println!(
        "a million directories: {} KiB, {:.1} s",
        peak() - before,
        begin.elapsed().as_secs_f64()
    );
    root.remove(b"0").unwrap();
    drop(root);
}
