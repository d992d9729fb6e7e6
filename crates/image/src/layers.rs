//! How is a layer read? [`open`] fetches it, checks it, inflates it and hashes it, beside whoever uses it, and gives the tar in it to
//! blocking code as a [`BufRead`] that ends in an error where size, digest or DiffID are not what they should be: never in a short success.
//! [`Layers`] opens those of an image in order, later ones ahead of their turn. [`within`] is for who does so little with what is in a layer that
//! handing it to another thread would take longer.

mod inflated;

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufRead, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use teu_archive::codec::Limits;
use teu_store::{
    Error, ErrorKind, Event, Events, How, Result, Role, Source, SourceExt,
    blocking::{self, BATCH},
};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

pub use crate::image::Layer;

use crate::contents::{Cache, places::Recorder};
use inflated::Inflated;

/// How layers are read.
#[derive(Clone)]
pub struct Options {
    /// How much a compressed layer may ask for.
    pub limits: Limits,
    /// How many layers are under way at once, the one in use among them. One that is unpacked before its turn comes
    /// ([`AheadLimits`](crate::unpack::AheadLimits)) is under way beside the one in use, also where this is 1.
    pub side_by_side: usize,
    /// How many inflated bytes wait for their turn, in all.
    pub ahead: usize,
    /// Who is told what is read.
    pub events: Events,
    /// Where it is kept at what places one can begin in a layer, if anywhere: who reads one to its verified end remembers that, and who wants a
    /// file of it then reads it from there.
    pub places: Option<Cache>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            side_by_side: 3,
            ahead: 24 << 20,
            events: teu_store::silent(),
            places: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("limits", &self.limits)
            .field("side_by_side", &self.side_by_side)
            .field("ahead", &self.ahead)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// Begins to read a layer, within a tokio runtime. What keeps it from being read is what the reading says.
#[must_use]
pub fn open(source: &Arc<dyn Source>, layer: &Layer, options: &Options) -> Opened {
    Opened::start(&Handle::current(), source, layer, options)
}

/// Has `work` look at the tar in a layer on the thread that inflates it, within a tokio runtime. What it makes of it is given only where blob and tar were
/// whole and what their digests say; until then nothing is to be trusted.
///
/// # Errors
/// What `work` says, and `Mismatch` where size or digest are why it found something `Invalid`; `Mismatch` where size, digest or DiffID differ; `NotFound`
/// for a layer that is not there; whatever else kept it from being read.
pub async fn within<T: Send + 'static>(
    source: &Arc<dyn Source>,
    layer: &Layer,
    options: &Options,
    work: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send + 'static,
) -> Result<T> {
    inflated(&**source, layer, options, |tar| work(tar)).await
}

/// The tar in a layer, on its way. To be read in blocking code; dropped early, it stops what is under way.
///
/// The end is an end only if blob and tar were whole and what their digests say; until then nothing is to be trusted.
pub struct Opened {
    receiver: mpsc::Receiver<Message>,
    current: Bytes,
    state: State,
    feeding: AbortHandle,
}

enum Message {
    Bytes(Bytes),
    End(Result<()>),
}

enum State {
    Open,
    Ended,
    Failed,
}

impl Opened {
    fn start(runtime: &Handle, source: &Arc<dyn Source>, layer: &Layer, options: &Options) -> Self {
        let share = options.ahead / options.side_by_side.max(1);
        let (sender, receiver) = mpsc::channel((share / BATCH).max(2));
        let work = feed(Arc::clone(source), layer.clone(), options.clone(), sender);
        let task: JoinHandle<()> = runtime.spawn(work);
        Self {
            receiver,
            current: Bytes::new(),
            state: State::Open,
            feeding: task.abort_handle(),
        }
    }

    /// The next bytes, without a copy; none at the end.
    ///
    /// # Errors
    /// `Mismatch` where size, digest or DiffID differ; `NotFound` for a layer that is not there; whatever else kept it from being read.
    ///
    /// # Panics
    /// In asynchronous code, which is not to wait.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        if !self.current.is_empty() {
            return Ok(Some(std::mem::take(&mut self.current)));
        }
        match self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed => return Err(broken_off()),
        }
        match self.receiver.blocking_recv() {
            Some(Message::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Message::End(Ok(()))) => {
                self.state = State::Ended;
                Ok(None)
            }
            Some(Message::End(Err(error))) => {
                self.state = State::Failed;
                Err(error)
            }
            None => {
                self.state = State::Failed;
                Err(broken_off())
            }
        }
    }

    /// By what its reading is broken off while another thread waits for it, which sees an error then.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.feeding.clone()
    }

    /// Reads what is left, and so checks all of it.
    ///
    /// # Errors
    /// As [`next_chunk`](Self::next_chunk).
    pub fn finish(mut self) -> Result<()> {
        while self.next_chunk()?.is_some() {}
        Ok(())
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// What is looked at in the memory that it was inflated into.
impl BufRead for Opened {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.next_chunk()?.unwrap_or_default();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}

/// Layers in order, each begun before its turn comes: an iterator for blocking code, made within a tokio runtime.
pub struct Layers {
    runtime: Handle,
    source: Arc<dyn Source>,
    options: Options,
    waiting: VecDeque<Layer>,
    begun: VecDeque<(Layer, Opened)>,
    /// The place of one that was begun out of turn.
    early: Option<usize>,
}

impl Layers {
    /// Begins to read the first of `layers`.
    #[must_use]
    pub fn open(source: &Arc<dyn Source>, layers: Vec<Layer>, options: &Options) -> Self {
        let mut all = Self::waiting(source, layers, options);
        all.begin(options.side_by_side.max(1));
        all
    }

    /// The same; none is begun before the first is asked for.
    #[must_use]
    pub(crate) fn waiting(source: &Arc<dyn Source>, layers: Vec<Layer>, options: &Options) -> Self {
        Self {
            runtime: Handle::current(),
            source: Arc::clone(source),
            options: options.clone(),
            waiting: layers.into(),
            begun: VecDeque::new(),
            early: None,
        }
    }

    /// The place in the image of the layer that comes next.
    pub(crate) fn position(&self) -> Option<usize> {
        let next = self.begun.front().map(|(layer, _)| layer).or(self.waiting.front());
        next.map(|layer| layer.position)
    }

    /// How many bytes the layers have, compressed, that were not given.
    pub(crate) fn bytes_to_come(&self) -> u64 {
        let begun = self.begun.iter().map(|(layer, _)| layer);
        let sizes = begun.chain(&self.waiting).map(|layer| layer.descriptor.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether there is a layer behind the next with at least so many bytes that has not begun.
    pub(crate) fn any_after_the_next(&self, least: u64) -> bool {
        self.largest(least).is_some()
    }

    fn largest(&self, least: u64) -> Option<usize> {
        let first = usize::from(self.begun.is_empty());
        let size = |place: &usize| self.waiting[*place].descriptor.size;
        (first..self.waiting.len())
            .filter(|place| size(place) >= least)
            .max_by_key(size)
    }

    /// Begins the largest layer that has not begun and is not the next, of those with at least so many bytes: it comes out of turn.
    pub(crate) fn begin_largest(&mut self, least: u64) -> Option<(Layer, Opened)> {
        let largest = self.largest(least)?;
        let layer = self.waiting.remove(largest)?;
        let opened = Opened::start(&self.runtime, &self.source, &layer, &self.options);
        self.early = Some(layer.position);
        Some((layer, opened))
    }

    fn begin(&mut self, most: usize) {
        while self.begun.len() < most
            && let Some(layer) = self.waiting.pop_front()
        {
            let opened = Opened::start(&self.runtime, &self.source, &layer, &self.options);
            self.begun.push_back((layer, opened));
        }
    }
}

impl Iterator for Layers {
    type Item = (Layer, Opened);

    fn next(&mut self) -> Option<(Layer, Opened)> {
        self.begin(1);
        let next = self.begun.pop_front();
        let position = next.as_ref().map(|(layer, _)| layer.position);
        let early = usize::from(self.early > position);
        self.begin(self.options.side_by_side.saturating_sub(1 + early));
        next
    }
}

async fn feed(source: Arc<dyn Source>, layer: Layer, options: Options, sender: mpsc::Sender<Message>) {
    let read = read(&*source, &layer, &options, &sender).await;
    let outcome = read.map_err(|error| error.within(format!("reading layer {}", layer.descriptor.digest)));
    // Who dropped the reader does not wait for the end.
    let _ = sender.send(Message::End(outcome)).await;
}

async fn read(source: &dyn Source, layer: &Layer, options: &Options, sender: &mpsc::Sender<Message>) -> Result<()> {
    let sender = sender.clone();
    inflated(source, layer, options, move |tar| {
        while let Some(bytes) = tar.next_chunk()? {
            if sender.blocking_send(Message::Bytes(bytes)).is_err() {
                return Err(broken_off());
            }
        }
        Ok(())
    })
    .await
}

/// Has `work` look at the tar in a layer where it is inflated; then it is read to its end, and what that is compared.
async fn inflated<T: Send + 'static>(
    source: &dyn Source,
    layer: &Layer,
    options: &Options,
    work: impl FnOnce(&mut Inflated<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let descriptor = &layer.descriptor;
    let (digest, events) = (descriptor.digest, Arc::clone(&options.events));
    let opened = source.open(Role::Blob, descriptor).await;
    let content = opened.map_err(|error| absent(error, layer))?;
    events(Event::BlobStarted {
        descriptor: descriptor.clone(),
        config: false,
    });
    let (limits, of, places) = (options.limits.clone(), layer.clone(), options.places.clone());
    let told = move |done| events(Event::BlobProgress { digest, done });
    let made = content.within(told, move |content| {
        let recorder = places.and_then(|cache| Recorder::begin(&cache, &of));
        let mut inflated = Inflated::new(content, limits, of.diff_id, recorder)?;
        let made = work(&mut inflated)?;
        let recorded = inflated.finish()?;
        Ok((made, recorded))
    });
    let (made, recorded) = made.await?;
    if let Some(recorded) = recorded {
        blocking::run(move || {
            recorded.keep();
            Ok(())
        })
        .await?;
    }
    (options.events)(Event::BlobDone { digest, how: How::Read });
    Ok(made)
}

/// Says of a layer that need not be there why it is not.
fn absent(error: Error, layer: &Layer) -> Error {
    let descriptor = &layer.descriptor;
    if *error.kind() != ErrorKind::NotFound || !descriptor.media_type.is_foreign() {
        return error;
    }
    let place = match &descriptor.urls[..] {
        [] => String::new(),
        urls => format!(" ({})", urls.join(", ")),
    };
    let message = format!(
        "the layer is not here: its maker does not want it distributed, and it is kept elsewhere{place}; \
         copy the image with --include-foreign-layers from a registry that has it"
    );
    Error::new(ErrorKind::NotFound, message)
}

fn broken_off() -> Error {
    Error::new(ErrorKind::Cancelled, "the layer was broken off before its end")
}

#[cfg(test)]
mod tests;
