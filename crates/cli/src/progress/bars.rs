//! How does a copy look on a terminal? A bar for each blob whose bytes are on their way, one for all of them below, and above a line for
//! each blob that is done.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use teu_spec::{Descriptor, Digest};
use teu_store::{Event, How};

use super::{as_text, how};
use crate::{output, terminal};

/// How many columns a whole bar needs; a smaller terminal gets less of it.
const WIDE: u16 = 72;
/// How many columns rate and time left need.
const NARROW: u16 = 44;

/// Bars, drawn anew on standard error.
pub(super) struct Bars {
    all: MultiProgress,
    style: ProgressStyle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All blobs that are known, by digest.
    blobs: HashMap<Digest, Blob>,
    /// The bar below the others, once there is one.
    total: Option<ProgressBar>,
    /// Bytes that are to cross, as far as is known.
    planned: u64,
    /// Bytes that did.
    crossed: u64,
    /// Blobs that are at the destination.
    done: usize,
    /// Whether nothing is shown any more.
    over: bool,
}

#[derive(Default)]
struct Blob {
    size: u64,
    crossed: u64,
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let width = terminal::width(io::stderr()).unwrap_or(80);
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            style: style(width),
            state: Mutex::default(),
        }
    }

    pub(super) fn show(&self, event: Event) {
        let mut state = self.state();
        if state.over {
            return;
        }
        match event {
            Event::Planned { blobs } => {
                for blob in &blobs {
                    state.plan(blob);
                }
            }
            Event::BlobStarted { descriptor, .. } => state.plan(&descriptor),
            Event::BlobProgress { digest, done } => self.progress(&mut state, digest, done),
            Event::BlobDone { digest, how } => self.done(&mut state, digest, how),
            other => {
                if let Some(line) = as_text(&other) {
                    let _ = self.all.println(line);
                }
            }
        }
    }

    /// Takes away what is drawn while `print` prints, which must cause no event.
    pub(super) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.all.suspend(print)
    }

    /// Takes away what is drawn, for good: what is broken off may still have something to tell.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.over = true;
        // A bar that goes while it is one of many draws what is left, so that all are taken out first.
        let State { blobs, total, .. } = &mut *state;
        let bars = blobs.values_mut().filter_map(|blob| blob.bar.take());
        bars.chain(total.take()).for_each(|bar| self.all.remove(&bar));
        // A terminal that cannot be drawn on shows nothing that must go.
        let _ = self.all.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bar is drawn only for what takes long enough to be seen: a blob of which a part is there.
    fn progress(&self, state: &mut State, digest: Digest, done: u64) {
        let Some(blob) = state.blobs.get_mut(&digest) else {
            return;
        };
        // An attempt that begins anew takes back what the one before it counted.
        state.crossed = (state.crossed + done).saturating_sub(blob.crossed);
        blob.crossed = done;
        if blob.bar.is_none() && done < blob.size {
            blob.bar = Some(match &state.total {
                Some(total) => self.all.insert_before(total, self.bar(blob.size, digest.short())),
                None => self.all.add(self.bar(blob.size, digest.short())),
            });
        }
        if let Some(bar) = &blob.bar {
            bar.set_position(done);
        }
        if state.total.is_none() && state.blobs.len() > 1 {
            state.total = Some(self.all.add(self.bar(state.planned, String::new())));
        }
        state.draw_total();
    }

    fn done(&self, state: &mut State, digest: Digest, way: How) {
        let Some(blob) = state.blobs.get_mut(&digest) else {
            return;
        };
        if let Some(bar) = blob.bar.take() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        if matches!(way, How::Copied | How::Recompressed | How::Read) {
            state.crossed += blob.size.saturating_sub(blob.crossed);
        } else {
            state.planned = state.planned.saturating_sub(blob.size);
        }
        blob.crossed = blob.size;
        state.done += 1;
        let size = output::size(blob.size);
        let _ = self.all.println(format!("{}  {size:>9}  {}", digest.short(), how(way)));
        state.draw_total();
    }

    fn bar(&self, size: u64, name: String) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        bar.set_style(self.style.clone());
        bar.set_prefix(name);
        bar
    }
}

impl State {
    fn plan(&mut self, blob: &Descriptor) {
        if !self.blobs.contains_key(&blob.digest) {
            self.planned += blob.size;
            let size = blob.size;
            self.blobs.insert(
                blob.digest,
                Blob {
                    size,
                    ..Blob::default()
                },
            );
        }
    }

    fn draw_total(&self) {
        if let Some(total) = &self.total {
            total.set_length(self.planned);
            total.set_position(self.crossed);
            total.set_prefix(format!("{}/{} blobs", self.done, self.blobs.len()));
        }
    }
}

/// As much of a bar as the terminal has room for.
fn style(width: u16) -> ProgressStyle {
    let template = if width >= WIDE {
        "{prefix:12}  {decimal_bytes:>9} of {decimal_total_bytes:9} {wide_bar:.cyan} {decimal_bytes_per_sec:>11} {eta:>4} left"
    } else if width >= NARROW {
        "{prefix:12}  {percent:>3}%  {decimal_bytes_per_sec:>11}  {eta:>4} left"
    } else {
        "{prefix:12}  {percent:>3}%"
    };
    // What is written here is a template; where it were none, indicatif's own bar serves.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸ ")
}
