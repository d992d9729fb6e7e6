//! What the tests of attacks share: a root to attack, and canaries around it whose every change is seen.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod canaries;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use canaries::{Except, Seen, listing, look, plant};
use tempfile::TempDir;
use teu_rootfs::{Ahead, Metadata, Node, Options, Result, Root, Time, Unnamed, Writer};

/// Whatever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `work`, and fails where it hangs.
pub(crate) fn within_limit<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(LIMIT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name}: hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => panic!("{name}: ended without a result"),
        },
    }
}

/// A root that is attacked, at `dest`, and all around it what must not change.
pub(crate) struct Arena {
    directory: TempDir,
    except: Except,
    before: Seen,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self::made(tempfile::tempdir().unwrap())
    }

    /// In memory where there is such a place: some disks remove tens of thousands of files only slowly.
    pub(crate) fn for_many_files() -> Self {
        Self::made(
            tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
        )
    }

    fn made(directory: TempDir) -> Self {
        let base = directory.path();
        fs::create_dir(base.join("dest")).unwrap();
        fs::set_permissions(base.join("dest"), fs::Permissions::from_mode(0o700)).unwrap();
        plant(base);
        let except = Except {
            but: vec![base.join("dest")],
            loose: Vec::new(),
        };
        let before = look(base, &except);
        Self {
            directory,
            except,
            before,
        }
    }

    pub(crate) fn base(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.base().join("dest")
    }

    pub(crate) fn root(&self) -> Root {
        Root::open(&self.dest()).unwrap()
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer::new(&self.root(), Options::default()).unwrap()
    }

    /// A path or a link's text, with `OUT` for the directory of canaries.
    pub(crate) fn path(&self, text: &str) -> Vec<u8> {
        let out = self.base().join("outside");
        text.replace("OUT", out.to_str().unwrap()).into_bytes()
    }

    /// Fails where anything outside of the root is not as it was.
    pub(crate) fn check(&self, name: &str) {
        let now = look(self.base(), &self.except);
        assert_eq!(now, self.before, "{name}: something changed outside");
    }

    /// What is in the root, as [`canaries::listing`] shows it.
    pub(crate) fn tree(&self) -> Vec<String> {
        listing(&self.dest(), &self.base().join("outside"))
    }
}

/// Metadata that shows where it was applied.
pub(crate) fn metadata(mode: u32) -> Metadata {
    Metadata {
        mode,
        mtime: Time {
            seconds: 1_000_000,
            nanoseconds: 0,
        },
        ..Metadata::default()
    }
}

pub(crate) fn file(writer: &mut Writer, path: &[u8], metadata: &Metadata, content: &[u8]) -> Result<()> {
    let mut file = writer.file(path, metadata, content.len() as u64)?;
    file.write_at(0, content)?;
    file.finish()
}

/// Where files are made before they get their names.
pub(crate) struct Aside {
    directory: TempDir,
    root: Root,
    ahead: Ahead,
}

impl Aside {
    pub(crate) fn new(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let ahead = Ahead::new(&root, options).unwrap();
        Self { directory, root, ahead }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// How many files lie there without names.
    pub(crate) fn lying(&self) -> usize {
        fs::read_dir(self.directory.path()).unwrap().count()
    }

    pub(crate) fn make(&mut self, path: &[u8], metadata: &Metadata, content: &[u8]) -> Result<Unnamed> {
        let mut file = self.ahead.file(path, metadata, content.len() as u64)?;
        file.write_at(0, content)?;
        file.finish()
    }

    /// As [`file`], in two steps.
    pub(crate) fn file(&mut self, writer: &mut Writer, path: &[u8], metadata: &Metadata, content: &[u8]) -> Result<()> {
        self.ahead.check(path, metadata, content.len() as u64)?;
        let unnamed = self.make(path, metadata, content)?;
        writer.give_name(&self.root, path, unnamed)
    }
}

/// What an attack does, one entry after the other; `OUT` in a path stands for the directory of canaries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Dir(&'static str),
    /// Its content is `x`.
    File(&'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Fifo(&'static str),
    Remove(&'static str),
    Clear(&'static str),
    NextLayer,
}

impl Step {
    /// Files are made ahead where there is a place aside.
    pub(crate) fn run(self, arena: &Arena, writer: &mut Writer, aside: Option<&mut Aside>) -> Result<()> {
        let at = |text| arena.path(text);
        let mut marked = metadata(0o777);
        marked.uid = 1234;
        marked.gid = 1234;
        if !matches!(self, Self::Link(..) | Self::Fifo(_)) {
            marked.xattrs.insert(b"user.marked".to_vec(), b"yes".to_vec());
        }
        match self {
            Self::Dir(path) => writer.directory(&at(path), &marked),
            Self::File(path) => match aside {
                Some(aside) => aside.file(writer, &at(path), &marked, b"x"),
                None => file(writer, &at(path), &marked, b"x"),
            },
            Self::Link(path, target) => writer.symlink(&at(path), &marked, &at(target)),
            Self::Hard(path, target) => writer.hard_link(&at(path), &at(target)),
            Self::Fifo(path) => writer.node(&at(path), &marked, &Node::Fifo),
            Self::Remove(path) => writer.remove(&at(path)),
            Self::Clear(path) => writer.clear(&at(path)),
            Self::NextLayer => {
                writer.next_layer();
                Ok(())
            }
        }
    }
}
