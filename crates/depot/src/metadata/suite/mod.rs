//! What does every metadata do? Each behaviour takes a way to open it anew, as after a restart.

mod going;
mod lasting;
mod listed;
mod put;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use teu_spec::{Algorithm, Descriptor, Digest, MediaType};
use teu_store::{ErrorKind, Expect, Keyset, Result, Role};

use super::{Child, Immutable, Manifest, Metadata, Name, NewBlob, NewManifest, Reviewed, Session};
use crate::place::{Millis, Place, Ulid};

/// Makes one test of each behaviour. The argument can be called for something that can be called for a metadata: the same each time.
macro_rules! metadata_suite {
    ($make:expr) => {
        $crate::metadata::suite::metadata_suite!(@each $make;
            blobs_are_shown_where_they_were_put
            bytes_that_come_again_take_the_place_of_the_old
            manifests_want_what_they_name
            names_are_held_to_what_is_expected
            lists_are_in_byte_order
            referrers_are_found_by_type
            what_is_referenced_or_leased_stays
            a_repository_goes_with_what_is_in_it
            sessions_are_kept
            many_write_at_once
            what_was_put_is_there_when_it_is_opened_again
        );
    };
    (@each $make:expr; $($behaviour:ident)*) => {
        $(
            #[test]
            fn $behaviour() {
                let open = ($make)();
                teu_store::suite::run(async { $crate::metadata::suite::$behaviour(&open).await });
            }
        )*
    };
}
pub(crate) use going::*;
pub(crate) use lasting::*;
pub(crate) use listed::*;
pub(crate) use metadata_suite;
pub(crate) use put::*;

/// Opens the metadata.
pub(crate) type Open = dyn Fn() -> Arc<dyn Metadata> + Sync;

fn place(content: &[u8]) -> Place {
    Place {
        digest: Digest::of(content),
        ulid: Ulid::new(Millis(1)).expect("random numbers"),
    }
}

/// Puts a blob whose lease ends at 100.
async fn put(metadata: &dyn Metadata, repository: &str, content: &[u8]) -> Place {
    let place = place(content);
    let blob = NewBlob {
        repository: repository.to_owned(),
        place,
        size: content.len() as u64,
        lease: Millis(100),
        due: Millis(5),
        session: None,
    };
    metadata.put_blob(blob).await.expect("put");
    place
}

fn new(repository: &str, content: &str, children: &[Digest], tags: &[&str]) -> NewManifest {
    NewManifest {
        repository: repository.to_owned(),
        digest: Digest::of(content.as_bytes()),
        manifest: Manifest {
            media_type: MediaType::OciManifest,
            content: Bytes::copy_from_slice(content.as_bytes()),
        },
        children: children.iter().map(|child| named(*child, &[Role::Blob])).collect(),
        subject: None,
        names: tags.iter().map(|tag| name(tag)).collect(),
        expect: Expect::Any,
        now: Millis(1),
    }
}

fn named(digest: Digest, roles: &'static [Role]) -> Child {
    Child {
        digest,
        roles,
        is_required: true,
    }
}

fn name(tag: &str) -> Name {
    Name {
        name: tag.to_owned(),
        is_immutable: false,
    }
}

fn movable() -> Immutable {
    Arc::new(|_| false)
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.err().expect("an error").kind().clone()
}

const ALL: Keyset<'_> = Keyset {
    after: None,
    limit: 100,
};
