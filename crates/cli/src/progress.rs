//! How is progress shown? Typed events of the libraries become bars on a terminal, lines in a log, or JSON for programs.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use teu_spec::{Descriptor, Digest};
use teu_store::{Event, Events, How, silent};

use crate::{arguments::Progress, output, settings::Settings};

/// Progress that is being shown.
pub(crate) struct Shown {
    events: Events,
    bars: Option<Arc<Bars>>,
    skopeo: bool,
}

impl Shown {
    /// Begins to show, as the settings say.
    pub(crate) fn start(settings: &Settings, quiet: bool) -> Self {
        let skopeo = settings.as_skopeo && !quiet;
        let mut bars = None;
        let events: Events = match settings.progress {
            _ if skopeo => {
                say_as_skopeo("Getting image source signatures");
                Arc::new(as_skopeo)
            }
            _ if quiet => Arc::new(warnings_only),
            Progress::Tty => {
                let drawn = Arc::new(Bars::default());
                bars = Some(Arc::clone(&drawn));
                Arc::new(move |event| drawn.show(event))
            }
            Progress::Json => Arc::new(|event| {
                if let Some(line) = as_json(&event) {
                    say(&line.to_string());
                }
            }),
            Progress::Plain | Progress::Auto => Arc::new(|event| {
                if let Some(line) = as_text(&event) {
                    say(&line);
                }
            }),
            Progress::None => silent(),
        };
        Self { events, bars, skopeo }
    }

    /// Where events go.
    pub(crate) fn events(&self) -> Events {
        Arc::clone(&self.events)
    }

    /// All is done.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.all.clear();
        }
        if self.skopeo {
            say_as_skopeo("Writing manifest to image destination");
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

/// A line for each blob that is under way, drawn anew on a terminal.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    running: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn show(&self, event: Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::BlobStarted { descriptor, config } => {
                running.insert(descriptor.digest, self.bar(&descriptor, config));
            }
            Event::BlobProgress { digest, done } => {
                if let Some(bar) = running.get(&digest) {
                    bar.set_position(done);
                }
            }
            Event::BlobDone { digest, how: way } => {
                if let Some(bar) = running.remove(&digest) {
                    bar.finish_and_clear();
                    let size = bar.length().map_or_else(String::new, output::size);
                    let _ = self.all.println(format!("{}  {size:>9}  {}", digest.short(), how(way)));
                }
            }
            other => {
                if let Some(line) = as_text(&other) {
                    let _ = self.all.println(line);
                }
            }
        }
    }

    fn bar(&self, descriptor: &Descriptor, config: bool) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(descriptor.size), ProgressDrawTarget::hidden());
        let template = "{prefix}  {bytes:>10} of {total_bytes:<10} [{bar:24}] {bytes_per_sec:>12}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let bar = self.all.add(bar);
        let what = if config { " config" } else { "" };
        bar.set_prefix(format!("{}{what}", descriptor.digest.short()));
        bar
    }
}
