//! What does every place of many repositories do? Each repository is a store of its own, and is found only once something is in it.

use std::sync::Arc;

use bytes::Bytes;
use teu_spec::{Algorithm, Digest, Pick};

use super::{
    Image,
    image::{described, read, write},
    passed_over,
};
use crate::{ErrorKind, Intent, Keyset, Page, Repositories, Role, Store};

/// The repositories that the behaviours write to, in byte order.
pub const REPOSITORIES: [&str; 3] = ["suite/one", "suite/three", "suite/two"];

/// A place of many repositories to try: empty when it is made, gone when it is dropped.
pub trait House: Send + Sync {
    /// The place.
    fn repositories(&self) -> Arc<dyn Repositories>;

    /// Whether any repository comes to be that is written to. Else there are [`REPOSITORIES`] from the beginning, and no others.
    fn is_open(&self) -> bool;
}

/// Makes one test of each behaviour. The argument is an expression that can be called for a new [`House`]; it is called within a runtime.
#[macro_export]
macro_rules! repositories_suite {
    ($make:expr) => {
        $crate::repositories_suite!(@each $make;
            a_repository_comes_to_be_with_the_first_that_is_put
            repositories_are_listed_in_order_part_by_part
            what_is_in_one_repository_is_not_in_another
            holders_are_those_that_have_the_blob
            a_blob_is_mounted_and_stays_when_it_goes_elsewhere
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

async fn to_write(all: &dyn Repositories, name: &str) -> Arc<dyn Store> {
    all.open(name, Intent::Write).await.expect("a repository to write to")
}

/// Puts one blob, and says what it is called.
async fn blob(store: &dyn Store, content: &'static [u8]) -> Digest {
    let content = Bytes::from_static(content);
    let descriptor = described(&content, Algorithm::Sha256);
    write(store.as_target(), &descriptor, &content).await.expect("written");
    store.finish().await.expect("finished");
    descriptor.digest
}

/// All parts of a list, each of at most `limit` items.
async fn parts(limit: usize, ask: impl AsyncFn(Keyset<'_>) -> Page<String>) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let keyset = Keyset {
            after: after.as_deref(),
            limit,
        };
        let page = ask(keyset).await;
        assert!(page.items.len() <= limit, "{page:?}");
        parts.push(page.items);
        assert!(parts.len() <= 100, "a list that does not end");
        match page.next {
            Some(next) => after = Some(next),
            None => return parts,
        }
    }
}

/// What nothing was put into is not there to read, and opening it to write puts nothing there.
pub async fn a_repository_comes_to_be_with_the_first_that_is_put(house: &dyn House) {
    let all = house.repositories();
    let missing = |outcome: crate::Result<Arc<dyn Store>>| outcome.err().expect("no repository").kind().clone();
    assert_eq!(
        missing(all.open("suite/absent", Intent::Read).await),
        ErrorKind::NotFound
    );
    if !house.is_open() {
        assert_eq!(
            missing(all.open("suite/absent", Intent::Write).await),
            ErrorKind::Denied
        );
        return;
    }
    let store = to_write(&*all, REPOSITORIES[0]).await;
    assert_eq!(
        missing(all.open(REPOSITORIES[0], Intent::Read).await),
        ErrorKind::NotFound
    );
    let keyset = Keyset { after: None, limit: 10 };
    assert_eq!(
        all.repositories(keyset).await.expect("a list").items,
        Vec::<String>::new()
    );
    let image = Image::small(store.takes(), "sample");
    image.put(store.as_target(), &["latest"]).await.expect("put");
    store.finish().await.expect("finished");
    assert_eq!(all.repositories(keyset).await.expect("a list").items, [REPOSITORIES[0]]);
    let store = all.open(REPOSITORIES[0], Intent::Read).await.expect("it is there");
    let found = store.resolve(&Pick::Name("latest".to_owned())).await.expect("resolved");
    assert_eq!(found.digest, image.digest);
}

/// Names are in byte order, each on one part, however small the parts.
pub async fn repositories_are_listed_in_order_part_by_part(house: &dyn House) {
    let all = house.repositories();
    for name in REPOSITORIES {
        blob(&*to_write(&*all, name).await, b"something").await;
    }
    let list = async |keyset: Keyset<'_>| all.repositories(keyset).await.expect("a part");
    assert_eq!(parts(10, list).await, [REPOSITORIES.to_vec()]);
    assert_eq!(parts(2, list).await, [&REPOSITORIES[..2], &REPOSITORIES[2..]]);
    let behind = Keyset {
        after: Some("suite/t"),
        limit: 1,
    };
    assert_eq!(all.repositories(behind).await.expect("a part").items, [REPOSITORIES[1]]);
}

/// Content and names belong to the repository that they were put into.
pub async fn what_is_in_one_repository_is_not_in_another(house: &dyn House) {
    let all = house.repositories();
    let [one, _, two] = REPOSITORIES;
    let (one, two) = (to_write(&*all, one).await, to_write(&*all, two).await);
    let image = Image::small(one.takes(), "sample");
    image.put(one.as_target(), &["latest"]).await.expect("put");
    one.finish().await.expect("finished");
    let own = blob(&*two, b"another").await;
    let layer = image.document.children()[1].digest;
    let has = async |store: &Arc<dyn Store>, digest: &Digest| {
        let found = store.stat(Role::Blob, digest, Intent::Read).await;
        found.expect("a stat").is_some()
    };
    assert!(has(&one, &layer).await && !has(&two, &layer).await);
    assert!(has(&two, &own).await && !has(&one, &own).await);
    for pick in [Pick::Name("latest".to_owned()), Pick::Digest(image.digest)] {
        one.resolve(&pick).await.expect("resolved");
        let error = two.resolve(&pick).await.expect_err("it is not here");
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{pick:?}: {error}");
    }
}

/// All that have a blob are found by it, and no others.
pub async fn holders_are_those_that_have_the_blob(house: &dyn House) {
    let all = house.repositories();
    let [one, three, two] = REPOSITORIES;
    let digest = blob(&*to_write(&*all, one).await, b"shared").await;
    blob(&*to_write(&*all, two).await, b"shared").await;
    blob(&*to_write(&*all, three).await, b"its own").await;
    let list = async |keyset: Keyset<'_>| all.holders(&digest, keyset).await.expect("a part");
    assert_eq!(parts(10, list).await, [vec![one, two]]);
    assert_eq!(parts(1, list).await, [vec![one], vec![two]]);
    let absent = Digest::of(b"absent");
    let list = async |keyset: Keyset<'_>| all.holders(&absent, keyset).await.expect("a part");
    assert_eq!(parts(10, list).await, [Vec::<String>::new()]);
}

/// A mounted blob is whole and its own: it stays when it is deleted where it came from. What is not there is not mounted.
pub async fn a_blob_is_mounted_and_stays_when_it_goes_elsewhere(house: &dyn House) {
    let all = house.repositories();
    let [one, three, two] = REPOSITORIES;
    let (from, to) = (to_write(&*all, one).await, to_write(&*all, two).await);
    let Some(mount) = to.mount() else {
        return passed_over(
            "a_blob_is_mounted_and_stays_when_it_goes_elsewhere",
            "this place mounts nothing",
        );
    };
    let digest = blob(&*from, b"shared").await;
    assert_eq!(
        from.origin().map(|origin| origin.registry),
        Some(mount.origin().registry)
    );
    assert!(!mount.mount(three, &digest).await.expect("no error"), "it is not there");
    assert!(mount.mount(one, &digest).await.expect("no error"), "it is there");
    to.finish().await.expect("finished");
    let delete = from.delete().expect("the power to delete");
    delete.delete(Role::Blob, &digest).await.expect("deleted");
    let stat = from.stat(Role::Blob, &digest, Intent::Read).await.expect("a stat");
    assert_eq!(stat, None);
    let content = Bytes::from_static(b"shared");
    let found = read(to.as_source(), &described(&content, Algorithm::Sha256)).await;
    assert_eq!(found.expect("a blob"), content);
}
