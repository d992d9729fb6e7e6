//! What is in an image, drawn? [`tree`]: its descriptors, as they stand in one another, with their sizes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future};
use teu_spec::{Descriptor, Digest, Document};

use crate::{
    BoxFuture, Error, ErrorKind, Result, Source,
    graph::{Content, Fold, Limits, Node, Position, Visit},
};

/// A part of an image, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// What its parent says of it.
    pub descriptor: Descriptor,
    /// Where it stands there.
    pub position: Position,
    /// What is known of what is in it.
    pub state: State,
    /// What is in it, in the order in which it stands there.
    pub children: Vec<Tree>,
    /// What is about it, where that was asked for.
    pub referrers: Vec<Tree>,
}

/// What is known of a part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is a manifest, and was read.
    Read,
    /// It is a manifest, and its children are shown where it stands for the first time.
    Repeated,
    /// It is a manifest, and is not there: the index is sparse.
    Absent,
    /// It is a blob, and was not looked at.
    Blob,
}

impl Tree {
    /// The bytes of all that is in it, manifests included and each content counted once. What is absent does not count.
    #[must_use]
    pub fn size(&self) -> u64 {
        let mut seen = HashSet::new();
        self.add_to(&mut seen)
    }

    fn add_to(&self, seen: &mut HashSet<Digest>) -> u64 {
        let counts = self.state != State::Absent && seen.insert(self.descriptor.digest);
        let own = if counts { self.descriptor.size } else { 0 };
        let below = self.children.iter().map(|child| child.add_to(seen));
        own.saturating_add(below.fold(0, u64::saturating_add))
    }
}

/// Reads the manifests below `root` and says what is in it; with `referrers`, also what is about each of them.
///
/// # Errors
/// `NotFound` where the root is not there, `TooLarge` where a limit is reached, and what the source says.
pub async fn tree(
    source: &dyn Source,
    root: &Descriptor,
    referrers: bool,
    limits: Limits,
    jobs: usize,
) -> Result<Tree> {
    let reading = Reading::default();
    let fold = Fold::new(source, &reading, limits, jobs);
    fold.visit(root).await?;
    let mut about: HashMap<Digest, Vec<Descriptor>> = HashMap::new();
    if referrers && let Some(browse) = source.browse() {
        loop {
            // What is about a manifest may be read only now, and have something about it in turn.
            let mut subjects = reading.digests();
            subjects.retain(|subject| !about.contains_key(subject));
            if subjects.is_empty() {
                break;
            }
            for subject in subjects {
                let found = browse.referrers(&subject, None).await?;
                for referrer in &found {
                    fold.visit(referrer).await?;
                }
                about.insert(subject, found);
            }
        }
    }
    drop(fold);
    let read = reading.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut drawing = Drawing {
        read: &read,
        about: &about,
        seen: HashSet::new(),
    };
    Ok(drawing.draw(root, Position::Manifest))
}

/// Keeps what it reads.
#[derive(Default)]
struct Reading(Mutex<Read>);

#[derive(Default)]
struct Read {
    documents: HashMap<Digest, Document>,
    /// What indexes name and are blobs.
    others: HashSet<Digest>,
}

impl Reading {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digests(&self) -> Vec<Digest> {
        self.read().documents.keys().copied().collect()
    }
}

impl Visit for Reading {
    fn unreadable<'a>(&'a self, node: Node<'a>, error: Error) -> BoxFuture<'a, Result<Option<Content>>> {
        let sparse = node.depth > 0 && *error.kind() == ErrorKind::NotFound;
        future::ready(if sparse {
            Ok(Some(node.descriptor.into()))
        } else {
            Err(error)
        })
        .boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        if node.position == Position::Other {
            self.read().others.insert(node.descriptor.digest);
        }
        future::ready(Ok(Some(node.descriptor.into()))).boxed()
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        _: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        self.read().documents.insert(node.descriptor.digest, document.clone());
        future::ready(Ok(Some(node.descriptor.into()))).boxed()
    }
}

struct Drawing<'a> {
    read: &'a Read,
    about: &'a HashMap<Digest, Vec<Descriptor>>,
    /// The manifests that are drawn already: drawn each time, a few indexes of each other would make a tree without end.
    seen: HashSet<Digest>,
}

impl Drawing<'_> {
    fn draw(&mut self, descriptor: &Descriptor, position: Position) -> Tree {
        let mut tree = Tree {
            descriptor: descriptor.clone(),
            position,
            state: State::Blob,
            children: Vec::new(),
            referrers: Vec::new(),
        };
        if position != Position::Manifest {
            return tree;
        }
        let Some(document) = self.read.documents.get(&descriptor.digest) else {
            tree.state = State::Absent;
            return tree;
        };
        if !self.seen.insert(descriptor.digest) {
            tree.state = State::Repeated;
            return tree;
        }
        tree.state = State::Read;
        for (place, child) in document.children().iter().enumerate() {
            let position = match self.read.others.contains(&child.digest) {
                true if matches!(document, Document::Index(_)) => Position::Other,
                _ => Position::of_child(document, place),
            };
            tree.children.push(self.draw(child, position));
        }
        for referrer in self.about.get(&descriptor.digest).into_iter().flatten() {
            tree.referrers.push(self.draw(referrer, Position::Manifest));
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Memory, Takes, Target,
        suite::{Image, image::index, powers::about},
    };

    #[tokio::test]
    async fn everything_stands_where_it_is_named() {
        let store = Memory::sparse();
        let [one, two, absent] = ["one", "two", "absent"].map(|seed| Image::small(Takes::EVERYTHING, seed));
        let signature = about(&two, "example/signature");
        for image in [&one, &two, &signature] {
            image.put(&store, &[]).await.expect("put");
        }
        let all = index(&[&one, &two, &absent, &one]);
        let digest = Digest::of(all.raw());
        let root = store
            .put_manifest(&all, &digest, &["all".to_owned()], Default::default())
            .await
            .expect("put");
        let drawn = tree(&store, &root, true, Limits::default(), 2).await.expect("a tree");
        let states: Vec<State> = drawn.children.iter().map(|child| child.state).collect();
        assert_eq!(states, [State::Read, State::Read, State::Absent, State::Repeated]);
        let positions: Vec<Position> = drawn.children[0].children.iter().map(|child| child.position).collect();
        assert_eq!(positions, [Position::Config, Position::Layer, Position::Layer]);
        assert_eq!(drawn.children[0].descriptor.platform, all.children()[0].platform);
        assert_eq!(drawn.children[1].referrers[0].descriptor.digest, signature.digest);
        // The index, two manifests, two configs, two layers of their own and one that they share.
        let parts = [&one, &two].map(|image| {
            let children = image.document.children();
            image.document.raw().len() as u64 + children[0].size + children[2].size
        });
        let shared = one.document.children()[1].size;
        assert_eq!(drawn.size(), all.raw().len() as u64 + parts[0] + parts[1] + shared);
    }
}
