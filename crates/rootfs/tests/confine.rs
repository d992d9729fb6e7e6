//! Does the second wall hold? What a confined thread cannot do even if every check before it failed.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
};

use teu_rootfs::{Ahead, Confinement, Metadata, Options, Root, Sibling, Writer, confined};

/// What each attempt came to, by name.
fn attempts(outside: &Path, port: u16) -> Vec<(&'static str, Option<ErrorKind>)> {
    let file = outside.join("canary");
    let error = |result: std::io::Result<()>| result.err().map(|error| error.kind());
    vec![
        ("make", error(File::create(outside.join("new")).map(drop))),
        ("open", error(OpenOptions::new().append(true).open(&file).map(drop))),
        ("truncate", error(truncate(&file))),
        ("remove", error(fs::remove_file(&file))),
        ("rename", error(fs::rename(&file, outside.join("other")))),
        ("directory", error(fs::create_dir(outside.join("new")))),
        ("remove directory", error(fs::remove_dir(outside.join("empty")))),
        ("symlink", error(symlink("a", outside.join("link")))),
        ("link", error(fs::hard_link(&file, outside.join("link")))),
        ("run", error(Command::new("/bin/true").status().map(drop))),
        ("connect", error(TcpStream::connect(("127.0.0.1", port)).map(drop))),
        ("listen", error(TcpListener::bind(("127.0.0.1", 0)).map(drop))),
    ]
}

fn truncate(file: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(file).map(drop)
}

#[test]
fn a_confined_thread_changes_nothing_outside() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir_all(outside.join("empty")).unwrap();
    fs::write(outside.join("canary"), "sings").unwrap();
    let sibling = Sibling::new(&directory.path().join("rootfs")).unwrap();
    let aside = Sibling::new(&directory.path().join("rootfs")).unwrap();
    let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = server.local_addr().unwrap().port();

    let (confinement, results) = confined(&[sibling.root(), aside.root()], |confinement| {
        // All that a writer does is possible.
        let metadata = Metadata {
            mode: 0o755,
            ..Metadata::default()
        };
        let mut writer = Writer::new(sibling.root(), Options::default()).unwrap();
        writer.directory(b"a", &metadata).unwrap();
        let mut file = writer.file(b"a/file", &metadata, 9).unwrap();
        file.write_at(0, b"content").unwrap();
        file.finish().unwrap();
        writer.directory(b"b", &metadata).unwrap();
        writer.hard_link(b"b/hard", b"a/file").unwrap();
        writer.symlink(b"b/soft", &metadata, b"/etc").unwrap();
        writer.next_layer();
        let mut ahead = Ahead::new(aside.root(), Options::default()).unwrap();
        let unnamed = ahead.file(b"b/late", &metadata, 0).unwrap().finish().unwrap();
        writer.give_name(aside.root(), b"b/late", unnamed).unwrap();
        writer.remove(b"a").unwrap();
        writer.finish().unwrap();
        (confinement, attempts(&outside, port))
    })
    .unwrap();

    assert_eq!(sibling.root().read(b"b/hard", 9).unwrap().unwrap(), b"content\0\0");
    assert_eq!(sibling.root().read(b"b/late", 9).unwrap().unwrap(), b"");
    if confinement == Confinement::Absent {
        eprintln!("SKIPPED a_confined_thread_changes_nothing_outside: this kernel has no Landlock");
        return;
    }
    let later = ["truncate", "connect", "listen"];
    for (what, result) in results {
        if confinement == Confinement::Whole || !later.contains(&what) {
            assert_eq!(result, Some(ErrorKind::PermissionDenied), "{what}");
        }
    }
    assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "sings");
    // Whoever waited for the thread is as free as before.
    assert!(attempts(&outside, port).iter().all(|(what, result)| match *what {
        "rename" | "link" => *result == Some(ErrorKind::NotFound),
        "directory" => *result == Some(ErrorKind::AlreadyExists),
        _ => result.is_none(),
    }));
    sibling.commit().unwrap();
}

#[test]
fn a_panic_of_the_work_is_the_callers() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let result = std::panic::catch_unwind(|| confined(&[&root], |_| panic!("as asked")));
    assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"as asked"));
}
