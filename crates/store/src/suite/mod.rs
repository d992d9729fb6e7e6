//! What does every store do? The behaviours that all must show, whatever they are made of: a new store starts by passing them.
//!
//! ```text
//! struct Here(tempfile::TempDir);
//! impl teu_store::suite::Place for Here { … }
//!
//! teu_store::store_suite!(|| Here(tempfile::tempdir().expect("a directory")));
//! ```
//!
//! makes one test of each behaviour, each with a place of its own. A place says what it [`Can`] do; what it cannot is passed over, and
//! said. A behaviour writes first, finishes, and only then reads, so that archives can show it too.

mod blobs;
pub(crate) mod image;
mod manifests;
pub(crate) mod powers;
mod repositories;

use std::{future::Future, sync::Arc};

use teu_spec::Digest;

use crate::{BoxFuture, Result, Source, Target};

pub use blobs::*;
pub use image::Image;
pub use manifests::*;
pub use powers::*;
pub use repositories::*;

/// A place to try a store in: empty when it is made, gone when it is dropped.
pub trait Place: Send + Sync {
    /// The place, to write: a new writer each time, so that two are two writers.
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>>;

    /// The place as it stands after the last [`Target::finish`], to read.
    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>>;

    /// What the store can do, of what not all can.
    fn can(&self) -> Can;

    /// Replaces the content of a blob behind the store's back; false where the place cannot do that.
    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let _ = (digest, content);
        false
    }

    /// What a name is listed as that an image was put under: Docker's archive completes it.
    fn listed(&self, name: &str) -> String {
        name.to_owned()
    }

    /// What lies in the place and belongs to nothing, such as temporary files. None where the place cannot tell.
    fn litter(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a store can do, of what not all can. The forms that it takes and its powers are asked of the store itself.
#[derive(Clone, Copy, Debug)]
pub struct Can {
    /// Its images have names.
    pub name: bool,
    /// It holds more than one image.
    pub hold_many: bool,
    /// It is found again by [`Pick::Only`](teu_spec::Pick::Only) what has no name. A registry needs a name or a digest.
    pub hold_unnamed: bool,
    /// It can be written again after it was finished; an archive cannot.
    pub reopen: bool,
    /// A manifest comes back as the bytes that were put; Docker's archive makes one up.
    pub keep_manifests: bool,
    /// It keeps blobs and small indexes that no image needs.
    pub keep_all: bool,
    /// It knows a manifest from a blob of the same bytes.
    pub tell_roles: bool,
    /// It honours [`Expect`](crate::Expect).
    pub compare: bool,
    /// It keeps content under sha512.
    pub other_algorithms: bool,
}

impl Can {
    /// All that there is.
    pub const EVERYTHING: Self = Self {
        name: true,
        hold_many: true,
        hold_unnamed: true,
        reopen: true,
        keep_manifests: true,
        keep_all: true,
        tell_roles: true,
        compare: true,
        other_algorithms: true,
    };
}

/// Makes one test of each behaviour. The argument is an expression that can be called for a new [`Place`]; it is called within a runtime.
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::store_suite!(@each $make;
            an_image_comes_back_as_it_was
            an_index_comes_back_with_all_that_it_names
            an_index_may_name_blobs
            what_is_not_there_is_not_found
            stat_tells_sizes_by_role
            a_blob_does_not_answer_as_a_manifest
            what_lies_is_caught
            a_wrong_digest_leaves_nothing
            a_wrong_size_leaves_nothing
            an_aborted_or_dropped_ingest_leaves_nothing
            an_empty_blob_is_a_blob
            chunks_may_be_large_or_small
            ranges_give_what_was_asked_for
            many_blobs_are_written_side_by_side
            one_digest_is_written_side_by_side
            what_is_written_again_stays
            a_digest_may_be_sha512
            several_names_point_at_one_image
            a_name_moves
            expectations_are_held
            an_image_without_a_name_is_replaced
            an_image_needs_no_name
            two_writers_lose_nothing
            a_name_never_points_at_what_is_missing
            all_names_are_listed_once
            all_manifests_are_listed_once
            referrers_are_found
            what_is_deleted_is_gone
            a_name_is_removed_and_nothing_else
            a_name_is_removed_where_it_points_as_expected
            a_sweep_sees_all_and_keeps_writers_out
        );
    };
    (@each $make:expr; $($behaviour:ident)*) => {
        $(
            #[test]
            fn $behaviour() {
                $crate::suite::run(async { $crate::suite::$behaviour(&($make)()).await });
            }
        )*
    };
}

/// Runs a behaviour on a runtime of its own.
///
/// # Panics
/// Where the behaviour does, and where there can be no runtime.
pub fn run(behaviour: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(behaviour);
}

/// Says that a behaviour is passed over, because this place is not of the kind that shows it: nothing that another machine could do.
#[expect(
    clippy::print_stderr,
    reason = "what a test did not check must be seen by whoever reads its log"
)]
fn passed_over(behaviour: &str, reason: &str) {
    eprintln!("not asked of this place: {behaviour}: {reason}");
}

async fn target(place: &dyn Place) -> Arc<dyn Target> {
    place.target().await.expect("a place to write")
}

/// Finishes `target` and reads what is there.
async fn finished(place: &dyn Place, target: Arc<dyn Target>) -> Arc<dyn Source> {
    target.finish().await.expect("finished");
    drop(target);
    assert_eq!(place.litter(), Vec::<String>::new(), "nothing but content is left");
    place.source().await.expect("a place to read")
}
