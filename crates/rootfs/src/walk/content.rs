//! What is in a file that was found? Exactly as many bytes as its size says, or an error.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
};

use rustix::{fs, io::Errno};

use super::{
    Stat,
    failure::{changed, system},
    stat_of,
};

/// The content of a regular file. To read it to its end, until nothing more comes, is to know that nobody changed it meanwhile.
#[derive(Debug)]
pub struct Content {
    file: OwnedFd,
    stat: Stat,
    path: Vec<u8>,
    left: u64,
    checked: bool,
}

impl Content {
    pub(super) fn new(handle: OwnedFd, stat: Stat, path: &[u8]) -> Self {
        Self {
            file: handle,
            stat,
            path: path.to_vec(),
            left: stat.size,
            checked: false,
        }
    }

    fn check(&mut self) -> io::Result<()> {
        let now = fs::fstat(&self.file).map_err(system(&self.path, "look at"));
        if !stat_of(&now.map_err(io::Error::other)?).is_unchanged(&self.stat) {
            return Err(io::Error::other(changed(
                &self.path,
                "it was changed while it was read",
            )));
        }
        self.checked = true;
        Ok(())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            if !self.checked {
                self.check()?;
            }
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match rustix::io::read(&self.file, &mut buffer[..most]) {
            Err(Errno::INTR) => return Err(io::ErrorKind::Interrupted.into()),
            outcome => outcome.map_err(system(&self.path, "read")).map_err(io::Error::other)?,
        };
        if count == 0 {
            let why = format!("it became {} bytes shorter while it was read", self.left);
            return Err(io::Error::other(changed(&self.path, &why)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
