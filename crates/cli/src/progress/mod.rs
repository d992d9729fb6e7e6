//! How is progress shown? Typed events of the libraries become bars on a terminal, lines in a log, or JSON for programs.

mod bars;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use bars::Bars;
use teu_store::{Event, Events, How};

use crate::{arguments::Progress, output, settings::Settings};

/// Progress that is being shown.
pub(crate) struct Shown {
    events: Events,
    bars: Option<Arc<Bars>>,
    skopeo: bool,
}

impl Shown {
    /// Begins to show, as the settings say. Without a terminal no bars can be drawn, and lines are written instead.
    pub(crate) fn start(settings: &Settings, quiet: bool) -> Self {
        let skopeo = settings.as_skopeo && !quiet;
        let mut bars = None;
        let events: Events = match settings.progress {
            _ if skopeo => {
                say_as_skopeo("Getting image source signatures");
                Arc::new(as_skopeo)
            }
            _ if quiet => Arc::new(warnings_only),
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
            Progress::None => Arc::new(warnings_only),
        };
        Self { events, bars, skopeo }
    }

    /// Where events go.
    pub(crate) fn events(&self) -> Events {
        Arc::clone(&self.events)
    }

    /// All went well.
    pub(crate) fn finish(self) {
        if self.skopeo {
            say_as_skopeo("Writing manifest to image destination");
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

fn say_as_skopeo(line: &str) {
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
}

fn as_skopeo(event: Event) {
    match event {
        Event::BlobStarted { descriptor, config } => {
            let what = if config { "config" } else { "blob" };
            say_as_skopeo(&format!("Copying {what} {}", descriptor.digest));
        }
        other => warnings_only(other),
    }
}

fn warnings_only(event: Event) {
    if let Event::Warning { .. } = event
        && let Some(line) = as_text(&event)
    {
        say(&line);
    }
}

fn how(how: How) -> &'static str {
    match how {
        How::Existed => "exists",
        How::Mounted => "mounted",
        How::Linked => "linked",
        How::Recompressed => "recompressed",
        How::LeftOut => "left out",
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
        Event::Warning { message } => Some(format!("warning: {}", output::plain(message))),
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
