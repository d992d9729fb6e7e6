//! `teu explore`: an image's layers and files, to walk through in a terminal.

mod draw;
mod image;
mod query;
mod sheet;
mod state;
#[cfg(test)]
mod tests;
mod view;
mod walk;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use teu_image::{
    Image,
    analyze::{self, Analysis},
    contents::{self, Cache},
    growth::Growth,
    read, tree,
};
use teu_rootfs::Node;
use teu_store::{Source, blocking, silent};
use tokio::{sync::mpsc, task::AbortHandle};

use self::{
    image::About,
    sheet::{MOST_TEXT, Sheet},
    state::{Action, State},
};
use crate::{
    arguments::Explore,
    failure::Failure,
    places,
    progress::Shown,
    screen::{self, Screen},
    settings::Settings,
};

/// What comes while it runs.
enum Told {
    Input(Event),
    /// No more will be typed: the terminal is gone.
    Gone,
    Read(Result<Sheet, String>),
    Analyzed(Box<Analysis>),
}

pub(super) async fn run(arguments: &Explore, settings: Arc<Settings>) -> Result<(), Failure> {
    if settings.json || !screen::is_there() {
        let message = "explore is for a person at a terminal; elsewhere teu analyze, teu files and teu cat tell the same, also as JSON";
        return Err(Failure::Usage(message.to_owned()));
    }
    let shown = Shown::start(&settings, false);
    let (source, image) = places::image(
        &arguments.image,
        arguments.platform.as_deref(),
        &arguments.one.options(),
        &settings,
        shown.events(),
    )
    .await?;
    let mut options = contents::Options::default();
    options.layers.events = shown.events();
    let cache = settings.contents().map(Cache::new);
    let tables = contents::of_all(&source, &image.layers, cache.as_ref(), &options).await?;
    let growth = blocking::run(move || Growth::of(&tables, &tree::Options::default())).await?;
    shown.finish();
    // From here on the screen is ours, and nobody else's to write on.
    options.layers.events = silent();
    let state = State::new(About::new(&arguments.image, &image), growth);
    let image = Opened {
        source,
        image,
        options,
        cache,
    };
    image.walk(state, settings.colours).await
}

struct Opened {
    source: Arc<dyn Source>,
    image: Image,
    options: contents::Options,
    cache: Option<Cache>,
}

impl Opened {
    async fn walk(self, mut state: State, colours: bool) -> Result<(), Failure> {
        let mut screen = Screen::take()?;
        let (tell, mut told) = mpsc::unbounded_channel();
        listen(tell.clone());
        self.analyze(tell.clone());
        let mut reading: Option<AbortHandle> = None;
        loop {
            screen.draw(|frame| {
                let area = frame.area();
                if let Some(cursor) = draw::draw(&mut state, colours, area, frame.buffer_mut()) {
                    frame.set_cursor_position(cursor);
                }
            })?;
            let Some(first) = told.recv().await else { return Ok(()) };
            // All that has come is looked at before it is drawn again.
            let mut next = Some(first);
            while let Some(one) = next {
                let action = match one {
                    Told::Input(Event::Key(key)) if key.kind != KeyEventKind::Release => state.key(key),
                    Told::Input(_) => Action::Nothing,
                    Told::Gone => return Ok(()),
                    Told::Read(read) => {
                        reading = None;
                        state.read(read);
                        Action::Nothing
                    }
                    Told::Analyzed(analysis) => {
                        state.about.know(&analysis);
                        Action::Nothing
                    }
                };
                match action {
                    Action::Nothing => {}
                    Action::Quit => return Ok(()),
                    Action::Interrupt => return Err(Failure::Found { code: 130 }),
                    Action::Suspend => screen.suspend()?,
                    Action::Read(number) => {
                        cancel(&mut reading);
                        reading = self.read(&mut state, number, tell.clone());
                    }
                    Action::Cancel => cancel(&mut reading),
                }
                next = told.try_recv().ok();
            }
        }
    }

    /// What is found out of the whole image while it is looked at. Where that fails there is nothing to be told of it.
    fn analyze(&self, tell: mpsc::UnboundedSender<Told>) {
        let (source, image, cache) = (Arc::clone(&self.source), self.image.clone(), self.cache.clone());
        let options = analyze::Options {
            contents: self.options.clone(),
            most: 0,
            ..analyze::Options::default()
        };
        tokio::spawn(async move {
            if let Ok(analysis) = analyze::analyze(&source, &image, cache.as_ref(), &options).await {
                // Who has ended wants it no more.
                let _ = tell.send(Told::Analyzed(Box::new(analysis)));
            }
        });
    }

    /// Begins to read the beginning of a file. It is shown once its layer was read and is what its digest says.
    fn read(&self, state: &mut State, number: u32, tell: mpsc::UnboundedSender<Told>) -> Option<AbortHandle> {
        let version = state.growth.at(number, state.layer)?;
        let there = version.state.as_deref()?;
        let (Node::File(size), Some(place)) = (&there.node, there.entry) else {
            return None;
        };
        let found = read::Found {
            path: state.growth.path(number),
            size: *size,
            place,
        };
        state.note = format!("reading layer {} (Esc ends it)", place.layer);
        let (source, layers, options) = (
            Arc::clone(&self.source),
            self.image.layers.clone(),
            self.options.clone(),
        );
        let task = tokio::spawn(async move {
            let kept = Arc::new(Mutex::new(Vec::new()));
            let sink = Beginning(Arc::clone(&kept));
            let read = read::copy(&source, &layers, &found, sink, &options).await;
            let read = read.map_err(|error| crate::say::plain(&error.to_string())).map(|()| {
                let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                Sheet::file(&found.path, &kept, found.size)
            });
            let _ = tell.send(Told::Read(read));
        });
        Some(task.abort_handle())
    }
}

fn cancel(reading: &mut Option<AbortHandle>) {
    if let Some(reading) = reading.take() {
        reading.abort();
    }
}

/// Hears what is typed, on a thread of its own: nobody waits for it to end, for nothing ends it but the program's end.
fn listen(tell: mpsc::UnboundedSender<Told>) {
    std::thread::spawn(move || {
        loop {
            let heard = match event::read() {
                Ok(event) => Told::Input(event),
                Err(_) => Told::Gone,
            };
            let is_last = matches!(heard, Told::Gone);
            if tell.send(heard).is_err() || is_last {
                return;
            }
        }
    });
}

/// Keeps the beginning of what is written.
struct Beginning(Arc<Mutex<Vec<u8>>>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_TEXT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
