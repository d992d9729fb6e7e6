//! How are the tables of all of an image's layers read? Several side by side, the largest first, and none twice.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    thread,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use teu_spec::Digest;
use teu_store::{Error, Result, Source};

use super::{Cache, Contents, Gathered, Options, Visitor, of_with};
use crate::Layer;

/// The tables of contents of these layers, in their order; several are read side by side, as [`layers::Options`](crate::layers::Options) says, and
/// none twice. However many there are, they take no more than some 100 file handles, unless there is no directory in which a file can be made.
///
/// # Errors
/// As [`read`](super::read): of the lowest bad one of those that are read side by side.
pub async fn of_all(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    cache: Option<&Cache>,
    options: &Options,
) -> Result<Vec<Contents>> {
    of_all_with(source, layers, cache, options, None).await
}

/// As [`of_all`]; layers that are read are shown to `visitor` on the way, as by [`read_with`](super::read_with), several side by side.
///
/// # Errors
/// As [`read_with`](super::read_with).
pub async fn of_all_with(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    cache: Option<&Cache>,
    options: &Options,
    visitor: Option<&Visitor>,
) -> Result<Vec<Contents>> {
    let options = options.for_each_of(layers.len());
    let gathered = Gathered::new(cache, &options);
    gather(source, layers, cache, &options, visitor, &gathered).await
}

/// How many layers are read at once. Of what lies here no more than there are processors: the largest would be read more slowly, and alone for longer in
/// the end, with no other that is hashed with it.
fn side_by_side(source: &dyn Source, most: usize) -> usize {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let most = most.max(1);
    match source.local() {
        Some(_) => most.min(processors().max(2)),
        None => most,
    }
}

/// As [`of_all_with`], of some of an image's layers: the options are what is left for each of its tables, and `gathered` has their files.
pub(crate) async fn gather(
    source: &Arc<dyn Source>,
    layers: &[Layer],
    cache: Option<&Cache>,
    options: &Options,
    visitor: Option<&Visitor>,
    gathered: &Gathered,
) -> Result<Vec<Contents>> {
    let mut places: HashMap<(Digest, Digest), usize> = HashMap::new();
    let mut once = Vec::new();
    let wanted: Vec<usize> = layers
        .iter()
        .map(|layer| {
            *places
                .entry((layer.descriptor.digest, layer.diff_id))
                .or_insert_with(|| {
                    once.push(layer.clone());
                    once.len() - 1
                })
        })
        .collect();
    // The largest first: the others are read beside it, and not before it, while it keeps one processor busy.
    let mut once: Vec<(usize, Layer)> = once.into_iter().enumerate().collect();
    once.sort_by_key(|(_, layer)| Reverse(layer.descriptor.size));
    let mut once = once.into_iter();
    let side_by_side = side_by_side(&**source, options.layers.side_by_side);
    let mut reading = FuturesUnordered::new();
    let mut under_way = BTreeSet::new();
    let mut tables: Vec<(usize, Contents)> = Vec::new();
    let mut failure: Option<(usize, Error)> = None;
    loop {
        while failure.is_none()
            && reading.len() < side_by_side
            && let Some((place, layer)) = once.next()
        {
            // Each has all that it needs: what borrows here could not be sent to another thread.
            let (source, cache, options) = (Arc::clone(source), cache.cloned(), options.clone());
            let (visitor, gathered) = (visitor.cloned(), gathered.clone());
            under_way.insert(place);
            reading.push(async move {
                let table = match of_with(&source, &layer, cache.as_ref(), &options, visitor.as_ref()).await {
                    Ok(table) => gathered.add(table).await,
                    Err(error) => Err(error),
                };
                (place, table)
            });
        }
        let Some((place, table)) = reading.next().await else {
            break;
        };
        under_way.remove(&place);
        match table {
            Ok(table) => tables.push((place, table)),
            Err(error) if failure.as_ref().is_none_or(|(lowest, _)| place < *lowest) => failure = Some((place, error)),
            Err(_) => {}
        }
        // Of those that are read side by side the lowest that is bad is named, whichever of them is done first.
        if let Some((_, error)) = failure.take_if(|(lowest, _)| under_way.range(..*lowest).next().is_none()) {
            return Err(error);
        }
    }
    tables.sort_by_key(|(place, _)| *place);
    Ok(wanted.into_iter().map(|place| tables[place].1.clone()).collect())
}
