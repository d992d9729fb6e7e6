//! What do no tags lead to? Manifests that nobody asks for by a name: neither tagged, nor part of an index that is, nor about what is
//! (a signature's `subject`). A server keeps them, for who knows their digests; they go where a person wants that.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use teu_spec::{Digest, Document};
use teu_store::{ErrorKind, Keyset, Result};

use crate::Depot;

/// How many are asked for at once.
const PAGE: usize = 500;

/// A manifest that no tag leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untagged {
    /// The repository that has it.
    pub repository: String,
    /// What it is.
    pub digest: Digest,
}

/// The manifests of a repository: what each names that may be one, and what it is about.
type Known = HashMap<Digest, (Vec<Digest>, Option<Digest>)>;

impl Depot {
    /// All manifests that no tag leads to, those above before those below. Nothing is changed.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn untagged(&self) -> Result<Vec<Untagged>> {
        let mut repositories: BTreeMap<String, (Known, Vec<Digest>)> = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = self.0.metadata.manifests(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for held in page {
                // What is damaged names nothing, and goes no sooner for that: a tag leads to it or none does.
                let read = Document::parse(held.content, None).ok();
                let named = read.as_ref().map_or_else(Vec::new, |document| {
                    document.children().into_iter().map(|child| child.digest).collect()
                });
                let subject = read.and_then(|document| document.subject().map(|subject| subject.digest));
                let (known, order) = repositories.entry(held.repository).or_default();
                known.insert(held.digest, (named, subject));
                order.push(held.digest);
            }
        }
        let mut untagged = Vec::new();
        for (repository, (known, order)) in repositories {
            let live = self.led_to(&repository, &known).await?;
            // What names others was put behind them.
            let rest = order.into_iter().rev().filter(|digest| !live.contains(digest));
            untagged.extend(rest.map(|digest| Untagged {
                repository: repository.clone(),
                digest,
            }));
        }
        Ok(untagged)
    }

    /// Removes manifests that no tag leads to; one that got a tag meanwhile stays. What they named goes with the next collections, when its lease is over.
    ///
    /// # Errors
    /// Those of the disk; what was removed before stays removed.
    pub async fn remove_untagged(&self) -> Result<Vec<Untagged>> {
        let mut removed = Vec::new();
        for untagged in self.untagged().await? {
            let now = self.0.now();
            // Every tag keeps it: it is only removed where it has none.
            let immutable = Arc::new(|_: &str| true);
            let outcome = self
                .0
                .metadata
                .remove_manifest(&untagged.repository, &untagged.digest, immutable, now);
            match outcome.await {
                Ok(true) => removed.push(untagged),
                Ok(false) => {}
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// What the tags of a repository lead to.
    async fn led_to(&self, repository: &str, known: &Known) -> Result<HashSet<Digest>> {
        let mut next: Vec<Digest> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let part = Keyset {
                after: after.as_deref(),
                limit: PAGE,
            };
            let page = self.0.metadata.tags(repository, part).await?;
            next.extend(page.items.into_iter().map(|(_, descriptor)| descriptor.digest));
            match page.next {
                Some(name) => after = Some(name),
                None => break,
            }
        }
        let mut about: HashMap<Digest, BTreeSet<Digest>> = HashMap::new();
        for (digest, (_, subject)) in known {
            if let Some(subject) = subject {
                about.entry(*subject).or_default().insert(*digest);
            }
        }
        let mut live = HashSet::new();
        while let Some(digest) = next.pop() {
            let Some((named, _)) = known.get(&digest).filter(|_| live.insert(digest)) else {
                continue;
            };
            next.extend(named);
            next.extend(about.get(&digest).into_iter().flatten());
        }
        Ok(live)
    }
}
