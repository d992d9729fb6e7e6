//! Which of several places has the image? [`Mirrored`] is a source that tries them in order: mirrors, and the image's own place last.
//!
//! A mirror that cannot be reached, or that lacks what is asked, is passed over. Where an image was found, its content is asked for first;
//! what is missing there may be had at another place, as content is what its digest says wherever it comes from. So it goes on at another
//! place too where one breaks off in the middle.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::StreamExt;
use teu_spec::{Descriptor, Digest, Document, Pick};
use teu_store::{
    BoxFuture, Browse, Error, ErrorKind, Event, Events, FetchOptions, Fetched, Intent, Keyset, Local, Named, Origin,
    Page, Reader, Result, Role, Source,
};

use super::{client::Repository, download::skip};

/// One place to try.
pub(super) struct Site {
    /// The image as it is called there.
    pub(super) name: String,
    pub(super) repository: Repository,
}

/// Several places that should have the same images.
pub(super) struct Mirrored {
    sites: Arc<[Site]>,
    /// Where the image was found.
    found: AtomicUsize,
    events: Events,
}

impl Mirrored {
    /// Of at least one place.
    pub(super) fn new(sites: Vec<Site>, events: Events) -> Self {
        Self {
            sites: sites.into(),
            found: AtomicUsize::new(0),
            events,
        }
    }

    /// The places, the one where the image was found first.
    fn in_order(&self) -> impl Iterator<Item = (usize, &Site)> {
        let found = self.found.load(Ordering::Relaxed);
        let first = self.sites.iter().enumerate().skip(found).take(1);
        first.chain(
            self.sites
                .iter()
                .enumerate()
                .filter(move |(number, _)| *number != found),
        )
    }

    /// What the first place says that does not fail, and which it was.
    async fn first<'a, T>(&'a self, ask: impl Fn(&'a Repository) -> BoxFuture<'a, Result<T>>) -> Result<(usize, T)> {
        let mut failures: Vec<(&Site, Error)> = Vec::new();
        for (number, site) in self.in_order() {
            match ask(&site.repository).await {
                Ok(answer) => {
                    for (site, error) in failures {
                        // That a mirror lacks something is why there are several places.
                        if *error.kind() != ErrorKind::NotFound {
                            let message = format!("{} is passed over: {error}", site.name);
                            (self.events)(Event::Warning { message });
                        }
                    }
                    return Ok((number, answer));
                }
                Err(error) => failures.push((site, error)),
            }
        }
        Err(all(failures))
    }
}

/// One error of all; the image's own place, which comes last, says of which kind it is.
fn all(mut failures: Vec<(&Site, Error)>) -> Error {
    match (failures.pop(), failures.is_empty()) {
        (None, _) => Error::new(ErrorKind::NotFound, "there is no place to ask"),
        (Some((_, error)), true) => error,
        (Some((_, last)), false) => {
            let mut message = last.to_string();
            for (_, error) in failures {
                message.push_str(&format!("; {error}"));
            }
            Error::new(last.kind().clone(), message)
        }
    }
}

impl Source for Mirrored {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            let (number, descriptor) = self.first(|site| site.resolve(pick)).await?;
            self.found.store(number, Ordering::Relaxed);
            Ok(descriptor)
        })
    }

    fn resolve_document<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<(Descriptor, Document)>> {
        Box::pin(async move {
            let (number, found) = self.first(|site| site.resolve_document(pick)).await?;
            self.found.store(number, Ordering::Relaxed);
            Ok(found)
        })
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        Box::pin(async move {
            let found = self.first(|site| {
                Box::pin(async move {
                    let found = site.stat(role, digest, intent).await?;
                    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {digest}")))
                })
            });
            match found.await {
                Ok((_, descriptor)) => Ok(Some(descriptor)),
                Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        Box::pin(async move {
            let (number, fetched) = self.first(|site| site.fetch(role, digest, options.clone())).await?;
            let wanted = options.range.as_ref().map(|range| range.end);
            let relay = Relay {
                rest: self
                    .in_order()
                    .map(|(other, _)| other)
                    .filter(|other| *other != number)
                    .collect(),
                sites: Arc::clone(&self.sites),
                events: Arc::clone(&self.events),
                at: number,
                role,
                digest: *digest,
                urls: options.urls,
                next: fetched.start,
                end: match (wanted, fetched.size) {
                    (Some(wanted), Some(size)) => Some(wanted.min(size)),
                    (wanted, size) => wanted.or(size),
                },
                reader: fetched.reader,
            };
            Ok(Fetched {
                size: fetched.size,
                start: fetched.start,
                reader: relay.into_reader(),
            })
        })
    }

    fn browse(&self) -> Option<&dyn Browse> {
        Some(self)
    }

    fn local(&self) -> Option<&dyn Local> {
        None
    }

    fn is_closed(&self) -> bool {
        self.sites.iter().all(|site| site.repository.is_closed())
    }

    fn origin(&self) -> Option<Origin> {
        self.sites.get(self.found.load(Ordering::Relaxed))?.repository.origin()
    }
}

/// Names are those of the image's own place: what a mirror has of them is what was asked for there. Referrers are those of where the image
/// was found.
impl Browse for Mirrored {
    fn names<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        match self.sites.last() {
            Some(own) => own.repository.names(from),
            None => Box::pin(std::future::ready(Err(all(Vec::new())))),
        }
    }

    fn in_order<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        None
    }

    fn manifests<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        None
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        Box::pin(async move {
            let found = self.first(|site| site.referrers(subject, artifact_type)).await?;
            Ok(found.1)
        })
    }

    fn referrers_in_order<'a>(
        &'a self,
        _: &'a Digest,
        _: Option<&'a str>,
        _: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        None
    }
}

/// Content on its way from one place, and on from another where that breaks off. What comes is checked as a whole by who reads it.
struct Relay {
    sites: Arc<[Site]>,
    events: Events,
    /// Where it is read.
    at: usize,
    /// Where else it may be had.
    rest: VecDeque<usize>,
    role: Role,
    digest: Digest,
    urls: Vec<String>,
    /// The byte that comes next.
    next: u64,
    /// Behind the last one, where that is known.
    end: Option<u64>,
    reader: Reader,
}

impl Relay {
    fn into_reader(self) -> Reader {
        Box::pin(futures_util::stream::unfold(Some(Box::new(self)), |relay| async move {
            let mut relay = relay?;
            match relay.step().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(relay))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.reader.next().await {
                Some(Ok(bytes)) => {
                    self.next += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                None => return Ok(None),
                Some(Err(error)) => self.go_on(error).await?,
            }
        }
    }

    /// Opens the rest at the next place that has it, or gives up with what `error` says and the others.
    async fn go_on(&mut self, error: Error) -> Result<()> {
        // All bytes came, and it broke off where its end was due.
        if self.end == Some(self.next) {
            self.reader = Box::pin(futures_util::stream::empty());
            return Ok(());
        }
        let range = self.end.map(|end| self.next..end);
        let mut failures = Vec::new();
        while let Some(number) = self.rest.pop_front() {
            let Some(site) = self.sites.get(number) else { continue };
            let options = FetchOptions {
                range: range.clone(),
                urls: self.urls.clone(),
                ..FetchOptions::default()
            };
            match site.repository.fetch(self.role, &self.digest, options).await {
                Ok(fetched) if fetched.start <= self.next => {
                    let before = self.sites.get(self.at).map_or("", |site| site.name.as_str());
                    let message = format!("{before} breaks off, and {} is asked for the rest: {error}", site.name);
                    (self.events)(Event::Warning { message });
                    self.reader = skip(fetched.reader, self.next - fetched.start);
                    self.at = number;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => failures.push(error.to_string()),
            }
        }
        if failures.is_empty() {
            return Err(error);
        }
        let message = format!("{error}; {}", failures.join("; "));
        Err(Error::new(error.kind().clone(), message))
    }
}
