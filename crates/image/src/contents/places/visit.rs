//! How is a stretch of a layer read? From a place before it to where it is enough, and held to what the whole was verified with, before anybody sees it.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    future::{self, Either},
};
use teu_archive::{
    codec::Decoder,
    tar::{self, EntryKind},
};
use teu_spec::Hasher;
use teu_store::{
    Error, ErrorKind, FetchOptions, Result, Role, Source,
    blocking::{self, Sink},
};
use tokio::sync::oneshot;

use super::{Begin, Map, Places, map::malformed};
use crate::{
    Layer,
    contents::{Content, Options, content::Hashed},
};

/// What the headers of an entry may have beside its content. With more of them the whole layer is read.
const HEADERS: u64 = 64 << 10;
/// In how many stretches a layer is read at most: a registry is asked for each.
const MOST_RUNS: usize = 32;

/// A regular file of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// Where its entry begins in the archive.
    pub(crate) offset: u64,
    /// Its bytes, holes included.
    pub(crate) size: u64,
}

/// Shows `visit` what is in these files of a layer, by what is [kept](crate::layers::Options::places) of it, and says whether it saw all of them. What it
/// sees is what the layer had when it was verified. Where not all was seen, the whole layer has to be read: it says what is wrong, if anything is.
pub(crate) async fn visit<V>(
    source: &Arc<dyn Source>,
    layer: &Layer,
    options: &Options,
    wanted: Vec<Wanted>,
    mut visit: V,
) -> bool
where
    V: FnMut(u64, &mut dyn Content) -> Result<()> + Send + 'static,
{
    let Some(cache) = &options.layers.places else {
        return false;
    };
    let Some(places) = cache.places(layer).await else {
        return false;
    };
    let Some(runs) = runs(&places.map, wanted) else {
        return false;
    };
    for run in runs {
        match stretch(source, layer, options, &places, run, visit).await {
            Ok(again) => visit = again,
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Invalid) {
                    cache.forget_places(&layer.descriptor.digest);
                }
                return false;
            }
        }
    }
    true
}

/// A stretch that is read at once.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    begin: Begin,
    /// How many states of the hasher lie before what is wanted.
    states: u64,
    /// With so many bytes of the blob it is enough.
    end: u64,
    wanted: Vec<Wanted>,
}

/// What has to be read for these files; none where to read all is as good, or better.
fn runs(map: &Map, mut wanted: Vec<Wanted>) -> Option<Vec<Run>> {
    wanted.sort();
    wanted.dedup();
    let mut runs: Vec<Run> = Vec::new();
    for file in wanted {
        if file.offset >= map.size {
            return None;
        }
        let states = file.offset / map.between;
        let begin = map.before(states * map.between);
        let behind = file.offset.saturating_add(file.size).saturating_add(HEADERS);
        let end = map.enough(behind.div_ceil(map.between).saturating_mul(map.between).min(map.size));
        match runs.last_mut() {
            Some(run) if begin.input < run.end => {
                run.end = run.end.max(end);
                run.wanted.push(file);
            }
            _ => runs.push(Run {
                begin,
                states,
                end,
                wanted: vec![file],
            }),
        }
    }
    let all: u64 = runs.iter().map(|run| run.end.saturating_sub(run.begin.input)).sum();
    (runs.len() <= MOST_RUNS && all <= map.blob_size / 2).then_some(runs)
}

/// Reads a stretch as far as it takes, and gives `visit` back.
async fn stretch<V>(
    source: &Arc<dyn Source>,
    layer: &Layer,
    options: &Options,
    places: &Arc<Places>,
    run: Run,
    visit: V,
) -> Result<V>
where
    V: FnMut(u64, &mut dyn Content) -> Result<()> + Send + 'static,
{
    let descriptor = &layer.descriptor;
    let asked = FetchOptions {
        range: Some(run.begin.input..run.end),
        urls: descriptor.urls.clone(),
        ..FetchOptions::default()
    };
    let fetched = source.fetch(Role::Blob, &descriptor.digest, asked).await?;
    if fetched.start != run.begin.input {
        // Each stretch would come with all that is before it; the whole comes once.
        let message = "it gives no part of a blob";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let mut reader = fetched.reader;
    let (enough, mut is_enough) = oneshot::channel();
    let (places, options) = (Arc::clone(places), options.clone());
    let mut sink = Sink::spawn(move |mut chunks| {
        let made = look(&mut chunks, &places, &run, &options, visit);
        let _ = enough.send(());
        // Whoever feeds it may not have heard of that yet.
        chunks.take_while(Result::is_ok).for_each(drop);
        made
    });
    loop {
        let next = match future::select(&mut is_enough, reader.next()).await {
            Either::Left(_) => break,
            Either::Right((next, _)) => next,
        };
        let Some(bytes) = next else { break };
        match bytes {
            Ok(bytes) => sink.send(bytes).await?,
            Err(error) => {
                sink.abort().await;
                return Err(error);
            }
        }
    }
    sink.finish().await
}

fn look<V>(blob: &mut dyn Read, places: &Places, run: &Run, options: &Options, mut visit: V) -> Result<V>
where
    V: FnMut(u64, &mut dyn Content) -> Result<()>,
{
    let map = &places.map;
    let place = places.place(&run.begin)?;
    let mut decoder = Decoder::at(blob, map.compression, &place, options.layers.limits.clone())?;
    pass(&mut decoder, run.states * map.between - place.output)?;
    let mut stretch = Stretch {
        decoder,
        map,
        hasher: map.hasher(run.states)?,
        states: run.states,
        chunk: Vec::new(),
        at: 0,
    };
    let Some(first) = run.wanted.first() else {
        return Ok(visit);
    };
    pass(&mut stretch, first.offset - run.states * map.between)?;
    let mut reader = tar::Reader::buffered(stretch, options.tar.clone());
    for wanted in &run.wanted {
        // Entries lie between those that are wanted.
        let at = loop {
            let next = reader.next_entry()?.ok_or_else(malformed)?;
            let at = first.offset + next.header_offset();
            if at >= wanted.offset {
                break at;
            }
        };
        let mut entry = reader.last_entry();
        let header = entry.header();
        if at != wanted.offset || header.kind != EntryKind::Regular || header.size != wanted.size {
            return Err(malformed());
        }
        let stored = entry.segments().iter().map(|segment| segment.length).sum();
        visit(wanted.offset, &mut Hashed::new(&mut entry, stored, None))?;
    }
    Ok(visit)
}

fn pass(reader: &mut impl Read, count: u64) -> Result<()> {
    let passed = io::copy(&mut reader.take(count), &mut io::sink());
    match passed.map_err(crate::failure::of_reading)? == count {
        true => Ok(()),
        false => Err(malformed()),
    }
}

/// What lies behind a state, piece by piece; each leads to the next state, the last one to the DiffID.
struct Stretch<'m, R> {
    decoder: Decoder<R>,
    map: &'m Map,
    hasher: Hasher,
    /// How many states lie before what comes next.
    states: u64,
    chunk: Vec<u8>,
    /// How much of the piece was given.
    at: usize,
}

impl<R: Read> Stretch<'_, R> {
    fn refill(&mut self) -> Result<()> {
        let map = self.map;
        let begin = self.states.saturating_mul(map.between);
        let length = map.size.saturating_sub(begin).min(map.between) as usize;
        self.at = 0;
        self.chunk.resize(length, 0);
        if length == 0 {
            return Ok(());
        }
        let filled = blocking::fill(&mut self.decoder, &mut self.chunk);
        let filled = filled.map_err(|error| Error::from(teu_archive::Error::from(error)));
        self.hasher.update(&self.chunk);
        self.states += 1;
        let expected = match length as u64 == map.between {
            true => map.hasher(self.states)?.finish(),
            false => map.diff_id,
        };
        if filled.as_ref().is_ok_and(|filled| *filled == length) && self.hasher.clone().finish() == expected {
            return Ok(());
        }
        self.chunk.clear();
        Err(filled.err().unwrap_or_else(malformed))
    }
}

impl<R: Read> Read for Stretch<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Stretch<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            self.refill()?;
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}
