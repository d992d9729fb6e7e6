//! How does somebody who may not write to a depot have it collected? By asking the process that has it, with a file in its directory: the name of the
//! file is the question, it goes when that process begins, and what came of it lies in another file then.
//!
//! Who can make a file there could remove all that is kept as well, so nobody is asked who they are.

use std::{
    io::{Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{
    Collected, Depot,
    content::directory::{Directory, failed},
};

/// What is asked for: a collection, and one of what no tag leads to besides.
const COLLECT: &str = "gc.asked";
const UNTAGGED: &str = "gc.asked-untagged";
/// What came of it.
const ANSWER: &str = "gc.answer";
/// The longest answer that is read, in bytes.
const MAX: u64 = 1 << 16;
/// How often a question is looked for.
const EVERY: Duration = Duration::from_secs(1);

/// A question to the process that has a depot.
pub struct Asking {
    root: Directory,
    name: &'static str,
}

impl Asking {
    /// Asks for a collection, and where `untagged` is set for one of the manifests that no tag leads to before.
    ///
    /// # Errors
    /// Those of the disk; `Denied` for who may not write to the directory.
    pub fn begin(directory: &Path, untagged: bool) -> Result<Self> {
        let root = Directory::open(directory)?;
        let name = if untagged { UNTAGGED } else { COLLECT };
        match root.create(name) {
            // Somebody asks the same at this moment.
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            outcome => drop(outcome?),
        }
        Ok(Self { root, name })
    }

    /// Whether nobody has taken it up yet.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn waits(&self) -> Result<bool> {
        self.root.has(self.name)
    }

    /// Asks no more.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn withdraw(self) -> Result<()> {
        self.root.remove(self.name)
    }

    /// What came of it, where it [waits](Self::waits) no more: until then it may be an older answer. None yet.
    ///
    /// # Errors
    /// Those of the disk; and that with which the collection failed, in its words.
    pub fn answer(&self) -> Result<Option<Collected>> {
        let Some(file) = self.root.file(ANSWER, false)? else {
            return Ok(None);
        };
        let mut text = String::new();
        let read = file.take(MAX).read_to_string(&mut text);
        read.map_err(|error| failed(error, "reading", &self.root.path(ANSWER)))?;
        // It is renamed to its name when it is whole.
        let unreadable = || {
            let message = format!("{} is no answer of this version", self.root.path(ANSWER).display());
            Error::new(ErrorKind::Invalid, message)
        };
        let answer: Value = serde_json::from_str(&text).map_err(|_| unreadable())?;
        if let Some(why) = answer["error"].as_str() {
            return Err(Error::new(ErrorKind::Io, why.to_owned()));
        }
        serde_json::from_value(answer).map(Some).map_err(|_| unreadable())
    }
}

impl Depot {
    /// Collects whenever somebody [asks](Asking) for it, as long as it is not dropped; a depot that is in no directory is never asked. Manifests that no
    /// tag leads to stay as [settings](crate::Settings::untagged) say, or as long as a lease where they say nothing. Where nobody may push meanwhile, no
    /// lease counts. `told` hears what came of each, and `trouble` why an answer cannot be given, and once why a question cannot be taken up.
    pub async fn answer(&self, nobody_pushes: bool, told: impl Fn(&Result<Collected>), trouble: impl Fn(&Error)) {
        let Some(root) = self.0.root() else {
            return std::future::pending().await;
        };
        let terms = self.terms(nobody_pushes);
        let mut known: Option<String> = None;
        loop {
            tokio::time::sleep(EVERY).await;
            let path = root.clone();
            let taken = blocking::run(move || taken_up(&path)).await;
            let (asked, failed) = taken.unwrap_or_else(|error| (None, Some(error)));
            let why = failed.as_ref().map(ToString::to_string);
            if let Some(error) = failed.filter(|_| why != known) {
                trouble(&error);
            }
            known = why;
            let Some(untagged) = asked else {
                continue;
            };
            let outcome = self.collect_now(untagged.then(|| terms.stays()), terms.as_if()).await;
            let outcome = outcome.map(|(collected, _)| collected);
            told(&outcome);
            let answer = in_words(&outcome);
            if let Err(error) = self.put(ANSWER, answer).await {
                trouble(&error);
            }
        }
    }

    /// Refuses what was asked for before, which a process that begins to [answer](Self::answer) must not do: who asked may be gone long since.
    pub async fn forget_asked(&self) {
        let Some(root) = self.0.root() else {
            return;
        };
        // What cannot be removed is found again, and told then.
        if let Ok((Some(_), _)) = blocking::run(move || taken_up(&root)).await {
            let message = "the server had only begun when it was asked; ask it again";
            let answer = in_words(&Err(Error::new(ErrorKind::Conflict, message)));
            // Who asked waits in vain, and says so.
            let _ = self.put(ANSWER, answer).await;
        }
    }

    /// Puts a small file in its directory, whole, for its owner alone. A depot that is in none has none.
    pub(crate) async fn put(&self, name: &'static str, text: String) -> Result<()> {
        let depot = Arc::clone(&self.0);
        blocking::run(move || match depot.root() {
            Some(root) => depot.reserve.room(|| put(&root, name, &text)),
            None => Ok(()),
        })
        .await
    }
}

/// Takes up what is asked for: whether what no tag leads to is meant too; and why something cannot be.
fn taken_up(root: &Path) -> Result<(Option<bool>, Option<Error>)> {
    let root = Directory::open(root)?;
    let (mut asked, mut trouble) = (None, None);
    for (name, untagged) in [(COLLECT, false), (UNTAGGED, true)] {
        match is_taken(&root, name) {
            Ok(true) => asked = Some(untagged),
            Ok(false) => {}
            Err(error) => trouble = Some(error),
        }
    }
    Ok((asked, trouble))
}

/// Takes a question away, which may be a file that only who asks may open; whether there was one.
fn is_taken(root: &Directory, name: &str) -> Result<bool> {
    if !root.has(name)? {
        return Ok(false);
    }
    // Who asks reads an answer as soon as the question is gone: an older one goes before.
    root.remove(ANSWER)?;
    root.take(name)
}

fn in_words(outcome: &Result<Collected>) -> String {
    let answer = match outcome {
        Ok(collected) => json!(collected),
        Err(error) => json!({"error": error.to_string()}),
    };
    answer.to_string()
}

fn put(root: &Path, name: &str, text: &str) -> Result<()> {
    let new = format!("{name}-new");
    let root = Directory::open(root)?;
    root.remove(&new)?;
    let mut file = root.create(&new)?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|error| failed(error, "writing", &root.path(&new)))?;
    root.rename(&new, &root, name)
}
