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
    thread: JoinHandle<()>,
}

impl Printer {
    pub(super) fn start() -> Result<Self, Failure> {
        let (lines, waiting) = channel::<String>();
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            for line in waiting {
                // That nobody reads on is no reason to leave images behind.
                if output::line(&line).is_err() {
                    return;
                }
            }
        });
        let thread = thread.map_err(|error| Error::from(error).within("starting a thread"))?;
        Ok(Self { lines, thread })
    }

    pub(super) fn line(&self, line: String) {
        // It ended where nobody reads on.
        let _ = self.lines.send(line);
    }

    /// Waits until all of them are printed.
    pub(super) fn finish(self) {
        drop(self.lines);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
