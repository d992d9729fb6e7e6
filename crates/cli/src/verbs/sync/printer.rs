//! How does a reader of standard output who stops reading hold up no copy? Lines are printed by a thread, and wait for it.
//!
//! It lets them gather for a moment: to wake a thread for each of them takes longer than a question to a registry.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use teu_store::Error;

use crate::{failure::Failure, output};

/// How long lines gather.
const GATHERING: Duration = Duration::from_millis(20);

/// Prints lines. So many wait at most as there are images.
pub(super) struct Printer {
    waiting: Arc<Waiting>,
    /// None once it was waited for.
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

#[derive(Default)]
struct Waiting {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    text: String,
    /// Whether the thread sleeps until there is something.
    is_awaited: bool,
    is_end: bool,
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // No one leaves them half changed.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There come no more.
    fn end(&self) {
        self.lines().is_end = true;
        self.changed.notify_one();
    }

    /// What waits to be printed, once it has gathered; none at the end.
    fn next(&self) -> Option<String> {
        let mut lines = self.lines();
        lines.is_awaited = true;
        let is_idle = |lines: &mut Lines| lines.text.is_empty() && !lines.is_end;
        lines = self
            .changed
            .wait_while(lines, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        lines.is_awaited = false;
        let gathered = self.changed.wait_timeout_while(lines, GATHERING, |lines| !lines.is_end);
        let (mut lines, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        (!lines.text.is_empty()).then(|| std::mem::take(&mut lines.text))
    }
}

impl Printer {
    pub(super) fn start() -> Result<Self, Failure> {
        let waiting = Arc::new(Waiting::default());
        let printed = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            // That it cannot go on is no reason to leave images behind, and is told at the end.
            while let Some(text) = printed.next() {
                output::bytes(text.as_bytes())?;
            }
            Ok(())
        });
        let thread = thread.map_err(|error| Error::from(error).within("starting a thread"))?;
        Ok(Self {
            waiting,
            thread: Some(thread),
        })
    }

    pub(super) fn line(&self, line: &str) {
        let mut lines = self.waiting.lines();
        lines.text.push_str(line);
        lines.text.push('\n');
        if std::mem::take(&mut lines.is_awaited) {
            self.waiting.changed.notify_one();
        }
    }

    /// Waits until all of them are printed, or says why they cannot be.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.waiting.end();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(printed)) => printed,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Printer {
    /// Where nobody waits for it the thread ends by itself, once it has printed what it was given.
    fn drop(&mut self) {
        self.waiting.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gathered_is_printed_at_once_and_all_of_it_before_the_end() {
        let waiting = Waiting::default();
        {
            let mut lines = waiting.lines();
            lines.text.push_str("a\nb\n");
            lines.is_end = true;
        }
        assert_eq!(waiting.next().as_deref(), Some("a\nb\n"));
        assert_eq!(waiting.next(), None);
    }

    #[test]
    fn one_that_is_dropped_lets_its_thread_end() {
        let mut printer = Printer::start().expect("a thread");
        let thread = printer.thread.take().expect("a thread");
        drop(printer);
        thread.join().expect("its end").expect("printed");
    }
}
