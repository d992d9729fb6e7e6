//! How does a reader of standard output who stops reading hold up no copy? Lines are printed by a thread, and wait for it.

use std::{
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

use teu_store::Error;

use crate::{failure::Failure, output};

/// Prints lines. So many wait at most as there are images.
pub(super) struct Printer {
    lines: Sender<String>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Printer {
    pub(super) fn start() -> Result<Self, Failure> {
        let (lines, waiting) = channel::<String>();
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            // That it cannot go on is no reason to leave images behind, and is told at the end.
            waiting.into_iter().try_for_each(|line| output::line(&line))
        });
        let thread = thread.map_err(|error| Error::from(error).within("starting a thread"))?;
        Ok(Self { lines, thread })
    }

    pub(super) fn line(&self, line: String) {
        // It has ended where lines cannot be printed.
        let _ = self.lines.send(line);
    }

    /// Waits until all of them are printed, or says why they cannot be.
    pub(super) fn finish(self) -> Result<(), Failure> {
        drop(self.lines);
        match self.thread.join() {
            Ok(printed) => printed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
