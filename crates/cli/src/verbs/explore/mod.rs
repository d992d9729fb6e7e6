//! `teu explore`: an image's layers and files, to walk through in a terminal.

mod draw;
mod image;
mod names;
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
    analyze::{self, Efficiency},
    contents::{self, Contents},
    growth::Growth,
    read, tree,
};
use teu_rootfs::Node;
use teu_store::{blocking, silent};
use tokio::{sync::mpsc, task::AbortHandle};

use self::{
    image::About,
    sheet::{MOST_TEXT, Sheet},
    state::{Action, State},
};
use crate::{
    arguments::Explore,
    failure::Failure,
    inside::Inside,
    limits,
    progress::Shown,
    screen::{self, Screen},
    settings::Settings,
};

/// From so many entries on the image is measured before it is looked at: then what both take is not in memory at once.
const MANY: u64 = 200_000;

/// What comes while it runs.
enum Told {
    Input(Event),
    /// No more will be typed: the terminal is gone.
    Gone,
    Read(Result<Sheet, String>),
    Measured(Efficiency),
}

pub(super) async fn run(arguments: &Explore, settings: Arc<Settings>) -> Result<(), Failure> {
    if settings.json || !screen::is_there() {
        let message = "explore is for a person at a terminal; elsewhere teu analyze, teu files and teu cat tell the same, also as JSON";
        return Err(Failure::Usage(message.to_owned()));
    }
    let shown = Shown::start(&settings, false);
    let platform = arguments.platform.as_deref();
    let mut inside = Inside::open(&arguments.image, platform, &arguments.one.options(), &settings, &shown).await?;
    limits::set(&arguments.limits, inside.limits())?;
    let of_tree = inside.tree.clone();
    let tables = contents::of_all(
        &inside.source,
        &inside.image.layers,
        inside.cache.as_ref(),
        &inside.contents,
    )
    .await?;
    let mut about = About::new(&arguments.image, &inside.image);
    let mut image = Opened {
        inside,
        unmeasured: Some(tables.clone()),
    };
    if tables.iter().map(Contents::count).sum::<u64>() > MANY
        && let Some(tables) = image.unmeasured.take()
    {
        // Where that fails there is nothing to be told of it.
        about.efficiency = measured(tables).await.ok();
    }
    let (growth, files) = blocking::run(move || {
        let growth = Growth::of(&tables, &of_tree)?;
        let files = analyze::seen_and_hidden(&growth)?;
        Ok((growth, files))
    })
    .await?;
    about.files = Some(files);
    shown.finish();
    // From here on the screen is ours, and nobody else's to write on.
    image.inside.contents.layers.events = silent();
    image.walk(State::new(about, growth), settings.colours).await
}

struct Opened {
    inside: Inside,
    /// The layers' tables, until the image is measured.
    unmeasured: Option<Vec<Contents>>,
}

async fn measured(tables: Vec<Contents>) -> teu_store::Result<Efficiency> {
    blocking::run(move || Efficiency::of(&tables, &tree::Limits::default())).await
}

impl Opened {
    async fn walk(mut self, mut state: State, colours: bool) -> Result<(), Failure> {
        let mut screen = Screen::take()?;
        let (tell, mut told) = mpsc::unbounded_channel();
        listen(tell.clone());
        self.measure(tell.clone());
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
                    Told::Measured(efficiency) => {
                        state.about.efficiency = Some(efficiency);
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

    /// Measures the image while it is looked at. Where that fails there is nothing to be told of it.
    fn measure(&mut self, tell: mpsc::UnboundedSender<Told>) {
        let Some(tables) = self.unmeasured.take() else { return };
        tokio::spawn(async move {
            if let Ok(efficiency) = measured(tables).await {
                // Who has ended wants it no more.
                let _ = tell.send(Told::Measured(efficiency));
            }
        });
    }

    /// Begins to read the beginning of a file. It is shown once its layer was read and is what its digest says.
    fn read(&self, state: &mut State, number: u32, tell: mpsc::UnboundedSender<Told>) -> Option<AbortHandle> {
        let version = state.growth.at(number, state.layer)?;
        let there = names::state(&state.growth, Some(&version))?;
        let (Node::File(size), Some(place)) = (there.node, there.entry) else {
            return None;
        };
        let found = read::Found {
            path: names::path(&state.growth, number),
            size,
            place,
        };
        state.note = format!("reading layer {} (Esc ends it)", place.layer);
        let Inside {
            source,
            image,
            contents: options,
            ..
        } = self.inside.clone();
        let layers = image.layers;
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
