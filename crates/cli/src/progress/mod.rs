//! How is progress shown? Typed events of the libraries become bars on a terminal, lines in a log, or JSON for programs.

mod bars;

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use bars::Bars;
use teu_spec::{Descriptor, Digest};
use teu_store::{Event, Events, How};

use crate::{arguments::Progress, output, say, settings::Settings};

/// Progress that is being shown.
pub(crate) struct Shown {
    events: Events,
    bars: Option<Arc<Bars>>,
    as_skopeo: Option<Arc<Spoken>>,
}

impl Shown {
    /// Begins to show, as the settings say. Without a terminal no bars can be drawn, and lines are written instead.
    pub(crate) fn start(settings: &Settings, quiet: bool) -> Self {
        let skopeo = settings.as_skopeo && !quiet;
        let mut bars = None;
        let mut as_skopeo = None;
        let called_skopeo = settings.as_skopeo;
        let only_warnings = || Arc::new(move |event| warnings_only(called_skopeo, event));
        let events: Events = match settings.progress {
            _ if skopeo => {
                let spoken = Arc::new(Spoken::default());
                as_skopeo = Some(Arc::clone(&spoken));
                Arc::new(move |event| spoken.show(event))
            }
            Progress::None => only_warnings(),
            _ if quiet => only_warnings(),
            Progress::Tty if io::stderr().is_terminal() => {
                let drawn = Arc::new(Bars::new());
                bars = Some(Arc::clone(&drawn));
                Arc::new(move |event| drawn.show(event))
            }
            Progress::Json => Arc::new(|event| {
                if let Some(line) = as_json(&event) {
                    say(&line.to_string());
                }
            }),
            Progress::Tty | Progress::Plain | Progress::Auto => Arc::new(|event| {
                if let Some(line) = as_text(&event) {
                    say(&line);
                }
            }),
        };
        Self {
            events,
            bars,
            as_skopeo,
        }
    }

    /// Whether what is said on standard output meanwhile would tear it.
    pub(crate) fn is_drawn(&self) -> bool {
        self.bars.is_some()
    }

    /// Has `print` print on standard output, which may be the terminal on which something is drawn: that makes room meanwhile.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.beside(print),
            None => print(),
        }
    }

    /// Where events go.
    pub(crate) fn events(&self) -> Events {
        Arc::clone(&self.events)
    }

    /// All went well.
    pub(crate) fn finish(self) {
        if let Some(spoken) = &self.as_skopeo {
            spoken.finish();
        }
    }
}

/// However it ends, what is said next stands on lines of its own.
impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            bars.clear();
        }
    }
}

fn say(line: &str) {
    // Progress that cannot be shown stops nothing.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The same events with details of what is done said on standard error.
pub(crate) fn with_details(settings: &Settings, events: Events) -> Events {
    let as_skopeo = settings.as_skopeo;
    Arc::new(move |event| {
        if let Event::Detail { message } = &event {
            say::detail(as_skopeo, message);
        }
        events(event);
    })
}

/// skopeo's words, on standard output: scripts wait for them. A blob is said when it is begun, or found to be there; a configuration, which
/// skopeo copies last, when its image's manifest is next.
#[derive(Default)]
struct Spoken(Mutex<Said>);

#[derive(Default)]
struct Said {
    begun: bool,
    blobs: HashSet<Digest>,
    configs: Vec<Digest>,
}

impl Spoken {
    fn show(&self, event: Event) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::BlobStarted {
                descriptor,
                config: true,
            } => {
                if said.blobs.insert(descriptor.digest) {
                    said.configs.push(descriptor.digest);
                }
            }
            Event::BlobStarted {
                descriptor: Descriptor { digest, .. },
                ..
            }
            | Event::BlobDone { digest, .. } => {
                said.begin();
                if said.blobs.insert(digest) {
                    say_on_stdout(&format!("Copying blob {digest}"));
                }
            }
            Event::ManifestStarted { .. } | Event::ManifestDone { .. } => said.configs(),
            other => warnings_only(true, other),
        }
    }

    fn finish(&self) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.configs();
        say_on_stdout("Writing manifest to image destination");
    }
}

impl Said {
    /// Before anything else is said, and not before there is something to say: an image that is not there has no signatures.
    fn begin(&mut self) {
        if !self.begun {
            say_on_stdout("Getting image source signatures");
            self.begun = true;
        }
    }

    fn configs(&mut self) {
        self.begin();
        for digest in self.configs.drain(..) {
            say_on_stdout(&format!("Copying config {digest}"));
        }
    }
}

fn say_on_stdout(line: &str) {
    // Whoever does not read it wants the copy nevertheless.
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
}

fn warnings_only(as_skopeo: bool, event: Event) {
    match &event {
        Event::Warning { message } => say::warn(as_skopeo, message),
        Event::Waiting { .. } => as_text(&event).iter().for_each(|line| say(line)),
        _ => {}
    }
}

fn how(how: How) -> &'static str {
    match how {
        How::Existed => "exists",
        How::Mounted => "mounted",
        How::Linked => "linked",
        How::Recompressed => "recompressed",
        How::LeftOut => "left out",
        How::Read => "read",
        _ => "copied",
    }
}

fn as_text(event: &Event) -> Option<String> {
    match event {
        Event::BlobDone { digest, how: way } => Some(format!("blob {} {}", digest.short(), how(*way))),
        Event::ManifestDone {
            descriptor,
            names,
            existed,
        } => {
            let way = if *existed { "exists" } else { "written" };
            let names = names.iter().map(|name| format!(" as {name}"));
            Some(format!(
                "manifest {} {way}{}",
                descriptor.digest.short(),
                names.collect::<String>()
            ))
        }
        Event::Retry { reason, wait_ms } => Some(format!(
            "trying again in {:.1} s: {}",
            *wait_ms as f64 / 1000.0,
            output::plain(reason)
        )),
        Event::Waiting { reason } => Some(format!("waiting: {}", output::plain(reason))),
        Event::Warning { message } => Some(format!("teu: warning: {}", output::plain(message))),
        _ => None,
    }
}

fn as_json(event: &Event) -> Option<serde_json::Value> {
    use serde_json::json;
    Some(match event {
        Event::Planned { blobs } => {
            let blobs = blobs
                .iter()
                .map(|blob| json!({"digest": blob.digest, "size": blob.size}));
            json!({"event": "planned", "blobs": blobs.collect::<Vec<_>>()})
        }
        Event::BlobStarted { descriptor, config } => {
            json!({"event": "blob-started", "digest": descriptor.digest, "size": descriptor.size, "config": config})
        }
        Event::BlobProgress { digest, done } => json!({"event": "blob-progress", "digest": digest, "done": done}),
        Event::BlobDone { digest, how: way } => json!({"event": "blob-done", "digest": digest, "how": how(*way)}),
        Event::Retry { reason, wait_ms } => json!({"event": "retry", "reason": reason, "wait_ms": wait_ms}),
        Event::Waiting { reason } => json!({"event": "waiting", "reason": reason}),
        Event::ManifestStarted { descriptor } => json!({"event": "manifest-started", "digest": descriptor.digest}),
        Event::ManifestDone {
            descriptor,
            names,
            existed,
        } => json!({"event": "manifest-done", "digest": descriptor.digest, "names": names, "existed": existed}),
        Event::Warning { message } => json!({"event": "warning", "message": message}),
        _ => return None,
    })
}
