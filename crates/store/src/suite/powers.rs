//! What only some stores can do: list, delete, collect garbage.

use std::collections::BTreeSet;

use teu_spec::{Descriptor, Document, Pick};

use super::{Image, Place, finished, image, image::put, passed_over, target};
use crate::{ErrorKind, Expect, Intent, Keyset, Named, Role, Source};

/// Every name, page by page.
pub(super) async fn names(source: &dyn Source) -> Option<Vec<Named>> {
    let browse = source.browse()?;
    let mut all = Vec::new();
    let mut from = None;
    loop {
        let page = browse.names(from.as_deref()).await.expect("a page");
        all.extend(page.items);
        assert!(all.len() <= 1000, "a list that does not end");
        match page.next {
            Some(next) => from = Some(next),
            None => return Some(all),
        }
    }
}

/// All names are on the pages, each once, and each is an image.
pub async fn all_names_are_listed_once(place: &dyn Place) {
    let can = place.can();
    if !(can.name && can.hold_many) {
        return passed_over("all_names_are_listed_once", "this place has no names to list");
    }
    let target = target(place).await;
    let image = Image::small(target.takes(), "sample");
    let expected: Vec<String> = (0..21).map(|n| format!("v{n}")).collect();
    let slices: Vec<&str> = expected.iter().map(String::as_str).collect();
    image.put(&*target, &slices).await.expect("put");
    let source = finished(place, target).await;
    let Some(found) = names(&*source).await else {
        return passed_over("all_names_are_listed_once", "this place does not list");
    };
    assert_eq!(found.len(), expected.len(), "each once");
    let mut ordered = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let behind = after.clone();
        let part = Keyset {
            after: behind.as_deref(),
            limit: 5,
        };
        let Some(page) = source.browse().and_then(|browse| browse.in_order(part)) else {
            break;
        };
        let page = page.await.expect("a part");
        assert!(page.items.len() <= 5);
        ordered.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => {
                let mut sorted: Vec<String> = expected.iter().map(|name| place.listed(name)).collect();
                sorted.sort();
                assert_eq!(ordered, sorted, "in byte order, each once");
                break;
            }
        }
    }
    for named in &found {
        if let (true, Some(descriptor)) = (can.keep_manifests, &named.descriptor) {
            assert_eq!(descriptor.digest, image.digest);
        }
    }
    let found: BTreeSet<String> = found.into_iter().filter_map(|named| named.name).collect();
    assert_eq!(found, expected.iter().map(|name| place.listed(name)).collect());
}

/// Every manifest is on the parts of the list of them, each once, whether or not it has a name.
pub async fn all_manifests_are_listed_once(place: &dyn Place) {
    let target = target(place).await;
    if !(place.can().keep_all && place.can().hold_many) {
        return passed_over("all_manifests_are_listed_once", "this place keeps one image");
    }
    let mut expected = Vec::new();
    for n in 0..12 {
        let image = Image::small(target.takes(), &format!("image {n}"));
        let name = format!("v{n}");
        let names = match n % 3 {
            0 => Vec::new(),
            _ => Image::names(place, &name),
        };
        image.put(&*target, &names).await.expect("put");
        expected.push(image.digest);
    }
    expected.sort_by_key(ToString::to_string);
    let source = finished(place, target).await;
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let behind = after.take();
        let part = Keyset {
            after: behind.as_deref(),
            limit: 5,
        };
        let Some(page) = source.browse().and_then(|browse| browse.manifests(part)) else {
            return passed_over("all_manifests_are_listed_once", "this place keeps no list of manifests");
        };
        let page = page.await.expect("a part");
        assert!(page.items.len() <= 5);
        found.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, expected);
}

/// An artifact about an image: without layers, its config empty.
pub(crate) fn about(subject: &Image, artifact_type: &str) -> Image {
    let empty = Descriptor::of(teu_spec::MediaType::OciEmpty, b"{}");
    let document = teu_spec::Manifest::build(teu_spec::Format::Oci, &empty, &[])
        .and_then(|document| document.with_subject(Some(&subject.document.descriptor())))
        .and_then(|document| document.with_artifact_type(Some(artifact_type)))
        .expect("a valid artifact");
    Image {
        blobs: vec![bytes::Bytes::from_static(b"{}")],
        digest: teu_spec::Digest::of(document.raw()),
        document,
    }
}

/// What is about an image is listed with it, by artifact type too; what nothing is about has no referrers.
pub async fn referrers_are_found(place: &dyn Place) {
    let can = place.can();
    let target = target(place).await;
    if !(target.takes().oci && can.keep_manifests && can.keep_all && can.hold_many) {
        return passed_over("referrers_are_found", "this place keeps no artifacts");
    }
    let subject = Image::small(target.takes(), "subject");
    subject
        .put(&*target, &Image::names(place, "subject"))
        .await
        .expect("put");
    let (signature, inventory) = (
        about(&subject, "example/signature"),
        about(&subject, "example/inventory"),
    );
    signature.put(&*target, &[]).await.expect("put");
    inventory.put(&*target, &[]).await.expect("put");
    let source = finished(place, target).await;
    let Some(browse) = source.browse() else {
        return passed_over("referrers_are_found", "this place does not list");
    };
    let digests = |found: Vec<Descriptor>| found.iter().map(|found| found.digest).collect::<BTreeSet<_>>();
    let all = browse.referrers(&subject.digest, None).await.expect("referrers");
    for found in &all {
        let document: &Document = if found.digest == signature.digest {
            &signature.document
        } else {
            &inventory.document
        };
        assert_eq!(found.artifact_type.as_deref(), document.artifact_type());
        assert_eq!(found.size, document.raw().len() as u64);
    }
    assert_eq!(digests(all), BTreeSet::from([signature.digest, inventory.digest]));
    let signatures = browse
        .referrers(&subject.digest, Some("example/signature"))
        .await
        .expect("referrers");
    assert_eq!(digests(signatures), BTreeSet::from([signature.digest]));
    assert_eq!(browse.referrers(&signature.digest, None).await.expect("referrers"), []);
    fn part(after: Option<&str>) -> Keyset<'_> {
        Keyset { after, limit: 1 }
    }
    let first = browse.referrers_in_order(&subject.digest, None, part(None));
    if let Some(first) = first {
        let first = first.await.expect("a part");
        let next = first.next.expect("there is another");
        let second = browse.referrers_in_order(&subject.digest, None, part(Some(&next)));
        let second = second.expect("the same order").await.expect("a part");
        assert_eq!(second.next, None);
        let mut expected = [signature.digest, inventory.digest];
        expected.sort_by_key(ToString::to_string);
        assert_eq!(
            [first.items, second.items]
                .concat()
                .iter()
                .map(|found| found.digest)
                .collect::<Vec<_>>(),
            expected
        );
        let typed = browse.referrers_in_order(&subject.digest, Some("example/signature"), part(None));
        let typed = typed.expect("the same order").await.expect("a part");
        assert_eq!(
            (typed.items.len(), typed.items[0].digest, typed.next),
            (1, signature.digest, None)
        );
    }
    // The image is still the one that is meant where none is named.
    if can.hold_unnamed {
        let only = source.resolve(&Pick::Only).await.expect("the only one");
        assert_eq!(only.digest, subject.digest);
    }
}

/// What is deleted is not there, and what is not there cannot be deleted.
pub async fn what_is_deleted_is_gone(place: &dyn Place) {
    let target = target(place).await;
    let can = place.can();
    if target.delete().is_none() || !(can.name && can.hold_many) {
        return passed_over("what_is_deleted_is_gone", "this place deletes nothing");
    }
    let (stays, goes) = (
        Image::small(target.takes(), "stays"),
        Image::small(target.takes(), "goes"),
    );
    stays.put(&*target, &["stays"]).await.expect("put");
    goes.put(&*target, &["goes", "too"]).await.expect("put");
    target.finish().await.expect("finished");
    let delete = target.delete().expect("the power to delete");
    delete.delete(Role::Manifest, &goes.digest).await.expect("deleted");
    let error = delete
        .delete(Role::Manifest, &goes.digest)
        .await
        .expect_err("it is gone");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    let own = goes.document.children()[2].digest;
    // A store may leave blobs to its garbage collection, and then says so.
    let blob_deleted = match delete.delete(Role::Blob, &own).await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
            false
        }
    };
    let source = finished(place, target).await;
    for pick in [
        Pick::Digest(goes.digest),
        Pick::Name("goes".to_owned()),
        Pick::Name("too".to_owned()),
    ] {
        let error = source.resolve(&pick).await.expect_err("it is gone");
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{pick:?}: {error}");
    }
    if blob_deleted {
        assert_eq!(source.stat(Role::Blob, &own, Intent::Read).await.expect("a stat"), None);
    }
    let found = source.resolve(&Pick::Name("stays".to_owned())).await.expect("resolved");
    stays.check(place, &*source, &found).await;
}

/// A name goes; its image, and the other names of it, stay.
pub async fn a_name_is_removed_and_nothing_else(place: &dyn Place) {
    let target = target(place).await;
    let can = place.can();
    if target.delete().is_none() || !(can.name && can.hold_many) {
        return passed_over("a_name_is_removed_and_nothing_else", "this place deletes nothing");
    }
    let image = Image::small(target.takes(), "sample");
    image.put(&*target, &["goes", "stays"]).await.expect("put");
    target.finish().await.expect("finished");
    let delete = target.delete().expect("the power to delete");
    match delete.untag("goes", Expect::Any).await {
        Ok(()) => {}
        Err(error) if *error.kind() == ErrorKind::Unsupported => {
            return passed_over("a_name_is_removed_and_nothing_else", "this place removes no names");
        }
        Err(error) => panic!("{error}"),
    }
    let error = delete.untag("goes", Expect::Any).await.expect_err("it is gone");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    let source = finished(place, target).await;
    let error = source
        .resolve(&Pick::Name("goes".to_owned()))
        .await
        .expect_err("it is gone");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    for pick in [Pick::Name("stays".to_owned()), Pick::Digest(image.digest)] {
        let found = source.resolve(&pick).await.expect("resolved");
        image.check(place, &*source, &found).await;
    }
}

/// A name that points elsewhere than is expected is not removed, and one that is not there is not found, whatever is expected.
pub async fn a_name_is_removed_where_it_points_as_expected(place: &dyn Place) {
    let target = target(place).await;
    let can = place.can();
    if target.delete().is_none() || !(can.name && can.hold_many) {
        return passed_over(
            "a_name_is_removed_where_it_points_as_expected",
            "this place deletes nothing",
        );
    }
    let [one, other] = ["one", "other"].map(|seed| Image::small(target.takes(), seed));
    one.put(&*target, &["a", "b", "c"]).await.expect("put");
    other.put(&*target, &["other"]).await.expect("put");
    target.finish().await.expect("finished");
    let delete = target.delete().expect("the power to delete");
    match delete.untag("c", Expect::Any).await {
        Ok(()) => {}
        Err(error) if *error.kind() == ErrorKind::Unsupported => {
            return passed_over(
                "a_name_is_removed_where_it_points_as_expected",
                "this place removes no names",
            );
        }
        Err(error) => panic!("{error}"),
    }
    for (name, expect, kind) in [
        ("a", Expect::Digest(other.digest), Some(ErrorKind::Conflict)),
        ("a", Expect::Absent, Some(ErrorKind::Conflict)),
        ("a", Expect::Digest(one.digest), None),
        ("a", Expect::Digest(one.digest), Some(ErrorKind::NotFound)),
        ("a", Expect::Present, Some(ErrorKind::NotFound)),
        ("a", Expect::Absent, Some(ErrorKind::NotFound)),
        ("b", Expect::Present, None),
    ] {
        let outcome = delete.untag(name, expect).await;
        let found = outcome.as_ref().err().map(|error| error.kind().clone());
        assert_eq!(found, kind, "{name} {expect:?}: {outcome:?}");
        let pick = Pick::Name(name.to_owned());
        let is_there = target.readable().expect("it is read").resolve(&pick).await.is_ok();
        assert_eq!(is_there, kind == Some(ErrorKind::Conflict), "{name} {expect:?}");
    }
    let source = finished(place, target).await;
    for pick in [Pick::Digest(one.digest), Pick::Name("other".to_owned())] {
        source.resolve(&pick).await.expect("it stays");
    }
}

/// A sweep sees all that is kept and all that is named, removes what it is told to, and does not begin while a blob is being written.
pub async fn a_sweep_sees_all_and_keeps_writers_out(place: &dyn Place) {
    let target = target(place).await;
    let Some(sweep) = target.sweep() else {
        return passed_over(
            "a_sweep_sees_all_and_keeps_writers_out",
            "this place collects no garbage",
        );
    };
    let image = Image::small(target.takes(), "sample");
    image.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let garbage = bytes::Bytes::from_static(b"nothing names this");
    let garbage_descriptor = image::described(&garbage, Default::default());
    image::write(&*target, &garbage_descriptor, &garbage)
        .await
        .expect("written");
    let unnamed = Image::small(target.takes(), "unnamed");
    if place.can().hold_unnamed && place.can().hold_many {
        unnamed.put(&*target, &[]).await.expect("put");
    }
    target.finish().await.expect("finished");

    let writing = target.ingest(Default::default()).await.expect("an ingest");
    let other = super::target(place).await;
    let refused = other.sweep().expect("the power to sweep").begin().await;
    assert_eq!(refused.err().expect("a writer is at work").kind(), &ErrorKind::Conflict);
    writing.abort().await.expect("aborted");
    drop(other);

    let session = sweep.begin().await.expect("a sweep");
    let kept = session.content().await.expect("content");
    let size_of = |digest| kept.iter().find(|kept| kept.digest == digest).map(|kept| kept.size);
    for (child, blob) in image.document.children().iter().zip(&image.blobs) {
        assert_eq!(size_of(child.digest), Some(blob.len() as u64));
    }
    assert_eq!(size_of(image.digest), Some(image.document.raw().len() as u64));
    assert_eq!(size_of(garbage_descriptor.digest), Some(garbage.len() as u64));
    let roots: BTreeSet<_> = session
        .roots()
        .await
        .expect("roots")
        .iter()
        .map(|root| root.digest)
        .collect();
    let mut expected = BTreeSet::from([image.digest]);
    if place.can().hold_unnamed && place.can().hold_many {
        expected.insert(unnamed.digest);
    }
    assert_eq!(roots, expected);
    session.remove(&garbage_descriptor.digest).await.expect("removed");
    drop(session);

    let again = put(&*target, &image.document, &Image::names(place, "again"), Expect::Any).await;
    again.expect("writers may go on");
    let source = finished(place, target).await;
    let stat = source.stat(Role::Blob, &garbage_descriptor.digest, Intent::Read).await;
    assert_eq!(stat.expect("a stat"), None);
    let found = source.resolve(&Image::pick(place, "sample")).await.expect("resolved");
    image.check(place, &*source, &found).await;
}
