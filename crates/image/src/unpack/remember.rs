//! How is it written down what every file of a new bundle is like, so that a later change is seen? By a walk over all of them, whose second half another
//! thread does: everything else is done by then, so that a processor would have nothing to do.

use std::{
    io::Write,
    mem::size_of,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, SystemTime},
};

use teu_rootfs::{
    Root, Time, Withheld,
    walk::{Found, Options, Walk},
};
use teu_store::{Error, Result};

use super::Stop;
use crate::{
    bundle::{self, Entry, Mark, order, record},
    failure::of_files,
};

/// How many bytes of entries are handed over at once, about, and how often before somebody waits.
const BATCH: usize = 64 << 10;
const WAITING: usize = 64;

/// Writes down what all files in `rootfs` are like; another thread looks at those from `middle` on, where there is one. Only those that may have extended
/// attributes are asked for them: that is most of what it costs. What they are to have beside these is in `withheld`.
pub(crate) fn remember(
    rootfs: &Root,
    into: impl Write,
    may_have_xattrs: impl Fn(&Found<'_>) -> bool + Sync,
    withheld: &Withheld,
    middle: Option<&[u8]>,
    stop: &Stop,
) -> Result<()> {
    // A walk opens to their owner the directories that are closed to him; two of them would do so with the same ones.
    let middle = middle.filter(|_| rustix::process::geteuid().is_root());
    let mut record = record::Writer::new(into)?;
    let mut latest = Time::default();
    let looking = &Looking {
        may_have_xattrs: &may_have_xattrs,
        withheld,
        stop,
    };
    thread::scope(|scope| {
        let rest = match middle {
            Some(middle) => {
                let walk = Walk::behind(rootfs, middle, options()).map_err(of_files)?;
                let (sender, receiver) = sync_channel(WAITING);
                let thread = thread::Builder::new().name("record".to_owned());
                let spawned = thread.spawn_scoped(scope, move || looking.hand_over(walk, &sender));
                spawned.map_err(|error| Error::from(error).within("starting a thread"))?;
                Some(receiver)
            }
            None => None,
        };
        let mut add = |entry: &Entry| {
            if let Mark::Untouched { ctime, .. } = entry.mark {
                latest = latest.max(ctime);
            }
            record.add(entry)
        };
        let mut walk = Walk::of(rootfs, options()).map_err(of_files)?;
        while let Some(entry) = looking.next(&mut walk)? {
            if middle.is_some_and(|middle| order(&entry.path, middle).is_ge()) {
                break;
            }
            add(&entry)?;
        }
        for batch in rest.into_iter().flatten() {
            batch?.iter().try_for_each(&mut add)?;
        }
        Ok::<_, Error>(())
    })?;
    record.finish()?;
    wait_out(latest);
    Ok(())
}

fn options() -> Options {
    Options {
        // A record has the files that are the same by their numbers.
        links: false,
        ..bundle::walk_options()
    }
}

/// How each file is looked at.
struct Looking<'a, F> {
    may_have_xattrs: &'a F,
    withheld: &'a Withheld,
    stop: &'a Stop,
}

impl<F: Fn(&Found<'_>) -> bool> Looking<'_, F> {
    fn next(&self, walk: &mut Walk) -> Result<Option<Entry>> {
        self.stop.check()?;
        let Some(mut found) = walk.next_file().map_err(of_files)? else {
            return Ok(None);
        };
        if (self.may_have_xattrs)(&found) {
            found.read_xattrs().map_err(of_files)?;
        }
        let mut entry = Entry::found(&found);
        if let Some(withheld) = self.withheld.of(&found.stat) {
            entry.withheld.clone_from(withheld);
        }
        Ok(Some(entry))
    }

    /// Looks at all that is left of a walk, for another thread.
    fn hand_over(&self, mut walk: Walk, to: &SyncSender<Result<Vec<Entry>>>) {
        loop {
            let batch = self.batch(&mut walk);
            let is_last = batch.as_ref().map_or(true, Vec::is_empty);
            // Who does not want it any more has an error of his own.
            if to.send(batch).is_err() || is_last {
                return;
            }
        }
    }

    /// What comes next, as much as is handed over at once; nothing at the end.
    fn batch(&self, walk: &mut Walk) -> Result<Vec<Entry>> {
        let (mut batch, mut held) = (Vec::new(), 0);
        while held < BATCH
            && let Some(entry) = self.next(walk)?
        {
            held += size_of::<Entry>() + entry.path.capacity();
            batch.push(entry);
        }
        Ok(batch)
    }
}

/// The kernel's clock for files goes by ticks of up to 10 ms. A change in the tick of the record would leave the time as it was recorded, so that is
/// waited out: what is changed later has a later time.
pub(crate) fn wait_out(latest: Time) {
    const TICK: Duration = Duration::from_millis(20);
    let since_1970 = Duration::new(u64::try_from(latest.seconds).unwrap_or(0), latest.nanoseconds);
    if let Ok(age) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since_1970)
        && let Some(rest) = TICK.checked_sub(age)
    {
        thread::sleep(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// A tree of some directories, with files that have names in several of them; larger than what waits.
    fn tree() -> (tempfile::TempDir, Vec<String>) {
        let tree = tempfile::tempdir().expect("a directory");
        let mut paths = vec![String::new(), "one".to_owned()];
        fs::write(tree.path().join("one"), "content").expect("a file");
        for number in 0..100 {
            let directory = format!("{}/{number:02}", ["usr", "usr.d", "var/lib"][number % 3]);
            let at = tree.path().join(&directory);
            fs::create_dir_all(&at).expect("a directory");
            fs::hard_link(tree.path().join("one"), at.join("same")).expect("a link");
            symlink("same", at.join("link")).expect("a link");
            for file in 0..number {
                fs::write(at.join(format!("file {file}")), vec![b'x'; file]).expect("a file");
            }
            paths.push(format!("{directory}/same"));
            paths.push(directory);
        }
        (tree, paths)
    }

    #[test]
    fn two_threads_write_what_one_does() {
        let (tree, paths) = tree();
        let rootfs = Root::open(tree.path()).expect("the root");
        let stop = Stop::default();
        let record = |middle: Option<&[u8]>| {
            let mut record = Vec::new();
            remember(
                &rootfs,
                &mut record,
                |found| found.stat.inode % 2 == 0,
                &Withheld::default(),
                middle,
                &stop,
            )
            .expect("a record");
            record
        };
        let one = record(None);
        let mut read = record::Reader::new(&one[..]).expect("a record");
        let mut count = 0;
        while read.next_entry().expect("an entry").is_some() {
            count += 1;
        }
        assert_eq!(count, 1 + 1 + 4 + 100 + 100 + 100 + 99 * 100 / 2);
        for middle in paths.iter().map(String::as_str).chain(["usr", "var/lib/no", "zz", "a"]) {
            assert!(record(Some(middle.as_bytes())) == one, "{middle}");
        }
    }

    #[test]
    fn it_stops_when_told_to() {
        let (tree, _) = tree();
        let rootfs = Root::open(tree.path()).expect("the root");
        let stop = Stop::default();
        stop.request();
        for middle in [None, Some(&b"usr.d"[..])] {
            let failed =
                remember(&rootfs, Vec::new(), |_| false, &Withheld::default(), middle, &stop).expect_err("stopped");
            assert_eq!(failed.kind(), &teu_store::ErrorKind::Cancelled);
        }
    }
}
