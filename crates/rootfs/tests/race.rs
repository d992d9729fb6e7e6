//! Somebody changes the tree while it is made: directories become links to the outside and back, all the while. Whatever comes of the tree, nothing
//! outside of it is touched.

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::{Arena, Aside, file, metadata, within_limit};
use teu_rootfs::{ErrorKind, Node, Options, Result, Root, Writer};

/// How often the enemy changes the tree meanwhile.
const EXCHANGES: u64 = 100_000;

/// An enemy that exchanges what is at two paths until it is told to stop.
struct Enemy {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Enemy {
    /// Makes `dest/NAME` now a directory and now a link to the directory of canaries.
    fn on(arena: &Arena, names: &[&str]) -> Self {
        let pairs: Vec<_> = names
            .iter()
            .map(|name| {
                let (honest, evil) = (arena.dest().join(name), arena.dest().join(format!("{name}.evil")));
                fs::create_dir_all(&honest).unwrap();
                symlink("../outside", &evil).unwrap();
                (honest, evil)
            })
            .collect();
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (honest, evil) in &pairs {
                    if renameat_with(CWD, honest, CWD, evil, RenameFlags::EXCHANGE).is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    // Who makes the tree takes links away, which are put there again.
                    if !honest.is_symlink() && !evil.is_symlink() {
                        let _ = fs::remove_dir_all(evil);
                        let _ = symlink("../outside", evil);
                        let _ = fs::create_dir(honest);
                    }
                }
            }
        });
        Self { stop, done, thread }
    }

    /// How often it did so.
    fn exchanged(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// What an enemy can get: nothing, or that the work is refused or cannot be done.
fn bearable(result: Result<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Refused | ErrorKind::Io | ErrorKind::NotFound),
                "{:?}: {error}",
                error.kind()
            );
            false
        }
    }
}

#[test]
fn directories_that_become_links_lead_nowhere() {
    within_limit("a race", || {
        let arena = Arena::new();
        let enemy = Enemy::on(&arena, &["d", "directory"]);
        let data = metadata(0o777);
        let mut done = [0_usize; 9];
        let mut aside = Aside::new(Options::default());
        let mut number = 0;
        // Until both have had their turns.
        while enemy.exchanged() < EXCHANGES || done.contains(&0) {
            number += 1;
            let mut writer = Writer::new(&arena.root(), Options::default()).unwrap();
            for step in 0..3 {
                let which = (number + step) % done.len();
                let result = match which {
                    // The second is made beside the first, in one step.
                    0 => file(&mut writer, b"d/canary", &data, b"x")
                        .and_then(|()| file(&mut writer, b"d/beside", &data, b"x")),
                    1 => writer.directory(b"d/directory", &data),
                    2 => writer.directory(b"d", &data),
                    3 => writer.symlink(b"d/link", &data, b"elsewhere"),
                    4 => writer.node(b"d/directory/canary", &data, &Node::Fifo),
                    5 => writer.hard_link(b"d/hard", b"d/canary"),
                    6 => writer.remove(b"d/canary"),
                    7 => aside.file(&mut writer, b"d/canary", &data, b"x"),
                    _ => writer.clear(b"d"),
                };
                done[which] += usize::from(bearable(result));
            }
            bearable(writer.finish().map(drop));
        }
        enemy.stop();
        arena.check("a race");
    });
}

#[test]
fn what_is_read_is_never_outside() {
    within_limit("reading in a race", || {
        let arena = Arena::new();
        let enemy = Enemy::on(&arena, &["d"]);
        let root: Root = arena.root();
        while enemy.exchanged() < EXCHANGES {
            // Outside it sings.
            if let Ok(Some(content)) = root.read(b"d/canary", 100) {
                assert_ne!(content, b"sings");
            }
        }
        enemy.stop();
        arena.check("reading in a race");
    });
}
