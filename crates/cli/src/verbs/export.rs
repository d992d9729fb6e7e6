//! `teu export`: the files of an image as one archive.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use teu_image::export;
use teu_store::{Error, Side};

use crate::{
    arguments::Export, beside::Beside, failure::Failure, inside::Inside, limits, progress::Shown, settings::Settings,
};

/// How much is written at once.
const BUFFER: usize = 1 << 20;

pub(super) async fn run(arguments: &Export, settings: Arc<Settings>) -> Result<(), Failure> {
    let file = arguments.file.as_ref().filter(|path| path.as_os_str() != "-");
    if file.is_none() && io::stdout().is_terminal() {
        let message = "an archive is nothing for a terminal; give --file, or send standard output elsewhere";
        return Err(Failure::Usage(message.to_owned()));
    }
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let mut inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    limits::set(&arguments.limits, inside.limits())?;
    match file {
        Some(path) => {
            let beside = Beside::new(path)?;
            written(inside, beside.file()?, path.display().to_string()).await?;
            beside.finish()?;
        }
        None => {
            let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            written(inside, stdout, "to standard output".to_owned()).await?;
        }
    }
    shown.finish();
    Ok(())
}

async fn written(inside: Inside, file: File, place: String) -> Result<(), Failure> {
    let options = export::Options {
        contents: inside.contents,
        tree: inside.tree.limits,
    };
    let unread = Arc::new(AtomicBool::new(false));
    let out = Out {
        file,
        place,
        unread: Arc::clone(&unread),
    };
    let sink = BufWriter::with_capacity(BUFFER, out);
    match export::export(
        &inside.source,
        &inside.image.layers,
        inside.cache.as_ref(),
        &options,
        sink,
    )
    .await
    {
        Ok(_) => Ok(()),
        Err(_) if unread.load(Ordering::Relaxed) => Err(Failure::BrokenPipe),
        Err(error) => Err(error.into()),
    }
}

/// Where the archive goes; what goes wrong with that is told with its place. Notes that nobody reads it any more.
struct Out {
    file: File,
    place: String,
    unread: Arc<AtomicBool>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::BrokenPipe {
                self.unread.store(true, Ordering::Relaxed);
            }
            let error = Error::from(error).within(format!("writing {}", self.place));
            io::Error::new(kind, error.on(Side::Destination))
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
