//! What does the terminal do? It says how wide it is, and asks a person, whose password it does not show.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::Failure;

/// How many columns it has; none where it is no terminal.
pub(crate) fn width(stream: impl AsFd) -> Option<u16> {
    let size = tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Asks for a line, which is taken from standard input whether or not somebody sits there.
pub(crate) async fn line(question: &str) -> Result<String, Failure> {
    ask(question)?;
    read().await
}

/// Asks for a line that is not shown while it is typed.
pub(crate) async fn secret(question: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "standard input is no terminal to ask for a password on; give it by --password-stdin".to_owned(),
        ));
    }
    // It lives here, and not with the thread that reads, so that an interruption brings back what was. It begins before the question, as
    // what was typed until then is thrown away.
    let quiet = Quiet::begin().map_err(io::Error::from)?;
    ask(question)?;
    let line = read().await;
    drop(quiet);
    ask("\n")?;
    line
}

fn ask(question: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(question.as_bytes())?;
    out.flush()?;
    Ok(())
}

async fn read() -> Result<String, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|length| (length, line))
    });
    let (length, line) = read.await.map_err(io::Error::other)??;
    match length {
        0 => Err(Failure::Usage(
            "standard input ended where an answer was expected".to_owned(),
        )),
        _ => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
    }
}

/// A terminal that does not show what is typed, for as long as this lives.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
