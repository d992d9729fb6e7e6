//! How images are put, named and found.

use bytes::Bytes;
use futures_util::future::join;
use teu_spec::{Digest, Pick};

use super::{
    Image, Place, finished,
    image::{described, index, put, read, write},
    passed_over,
    powers::names,
    target,
};
use crate::{ErrorKind, Expect, FetchOptions, Intent, Role, SourceExt, Target, missing_children};

/// An image is read as it was written, by its name and by its digest.
pub async fn an_image_comes_back_as_it_was(place: &dyn Place) {
    let target = target(place).await;
    let image = Image::small(target.takes(), "first");
    let put = image.put(&*target, &Image::names(place, "first")).await.expect("put");
    assert_eq!(put.digest, image.digest);
    let source = finished(place, target).await;
    let pick = Image::pick(place, "first");
    let found = source.resolve(&pick).await.expect("resolved");
    image.check(place, &*source, &found).await;
    let document = source.document(&found).await.expect("read");
    let both = source.resolve_document(&pick).await.expect("resolved and read");
    assert_eq!(both, (found, document));
    if place.can().keep_manifests {
        let found = source.resolve(&Pick::Digest(image.digest)).await.expect("resolved");
        image.check(place, &*source, &found).await;
    }
}

/// An index, its manifests and their blobs.
pub async fn an_index_comes_back_with_all_that_it_names(place: &dyn Place) {
    let target = target(place).await;
    if !target.takes().indexes {
        return passed_over(
            "an_index_comes_back_with_all_that_it_names",
            "this place takes no indexes",
        );
    }
    let images = [Image::small(target.takes(), "one"), Image::small(target.takes(), "two")];
    for image in &images {
        image.put(&*target, &[]).await.expect("put");
    }
    let all = index(&[&images[0], &images[1]]);
    put(&*target, &all, &Image::names(place, "all"), Expect::Any)
        .await
        .expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "all")).await.expect("resolved");
    assert_eq!(source.document(&found).await.expect("an index").raw(), all.raw());
    for (image, descriptor) in images.iter().zip(all.children()) {
        image.check(place, &*source, &descriptor).await;
    }
    // The manifests within are no images of their own.
    if place.can().hold_unnamed {
        let only = source.resolve(&Pick::Only).await.expect("the only one");
        assert_eq!(only.digest, found.digest);
    }
}

/// An index of what is said to be no manifests, which is kept as blobs: it is taken where they are there, and its blobs stay blobs.
pub async fn an_index_may_name_blobs(place: &dyn Place) {
    let target = target(place).await;
    if !target.takes().indexes {
        return passed_over("an_index_may_name_blobs", "this place takes no indexes");
    }
    let cache = Image::cache(target.takes(), "cache");
    cache.put(&*target, &Image::names(place, "cache")).await.expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "cache")).await.expect("resolved");
    cache.check(place, &*source, &found).await;
    for child in cache.document.children() {
        // Registry:2 fails where it is asked that.
        let manifest = source.stat(Role::Manifest, &child.digest, Intent::Read).await;
        assert!(!matches!(manifest, Ok(Some(_))), "{manifest:?}");
    }
    let missing = missing_children(&*source, &cache.document).await.expect("asked");
    assert_eq!(missing, []);
}

/// What is absent is said to be so, by the kind of the error.
pub async fn what_is_not_there_is_not_found(place: &dyn Place) {
    let target = target(place).await;
    Image::small(target.takes(), "sample")
        .put(&*target, &Image::names(place, "sample"))
        .await
        .expect("put");
    let source = finished(place, target).await;
    let absent = Digest::of(b"absent");
    let mut picks = vec![Pick::Digest(absent)];
    if place.can().name {
        picks.push(Pick::Name("absent".to_owned()));
    }
    for pick in picks {
        let error = source.resolve(&pick).await.expect_err("nothing to find");
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{pick:?}: {error}");
        let error = source.resolve_document(&pick).await.expect_err("nothing to read");
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{pick:?}: {error}");
    }
    for role in [Role::Manifest, Role::Blob] {
        assert_eq!(source.stat(role, &absent, Intent::Read).await.expect("a stat"), None);
        let error = source
            .fetch(role, &absent, FetchOptions::default())
            .await
            .err()
            .expect("nothing to fetch");
        assert_eq!(error.kind(), &ErrorKind::NotFound, "{role:?}: {error}");
    }
}

/// A stat gives the size, and a manifest's media type too.
pub async fn stat_tells_sizes_by_role(place: &dyn Place) {
    let target = target(place).await;
    let image = Image::small(target.takes(), "sample");
    image.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "sample")).await.expect("resolved");
    let stat = source
        .stat(Role::Manifest, &found.digest, Intent::Read)
        .await
        .expect("a stat")
        .expect("a manifest");
    assert_eq!(
        (&stat.media_type, stat.digest, stat.size),
        (&found.media_type, found.digest, found.size)
    );
    for child in source.document(&found).await.expect("a manifest").children() {
        for intent in [Intent::Read, Intent::Write] {
            let stat = source.stat(Role::Blob, &child.digest, intent).await.expect("a stat");
            let stat = stat.map(|stat| (stat.digest, stat.size));
            assert_eq!(stat, Some((child.digest, child.size)));
        }
    }
}

/// A manifest's bytes that were written as a blob are no manifest, whatever they say.
pub async fn a_blob_does_not_answer_as_a_manifest(place: &dyn Place) {
    if !place.can().tell_roles {
        return passed_over("a_blob_does_not_answer_as_a_manifest", "this place keeps both in one");
    }
    let target = target(place).await;
    let disguised = Image::small(target.takes(), "disguised");
    let content = disguised.document.raw().clone();
    write(&*target, &described(&content, Default::default()), &content)
        .await
        .expect("written");
    Image::small(target.takes(), "sample")
        .put(&*target, &Image::names(place, "sample"))
        .await
        .expect("put");
    let source = finished(place, target).await;
    let digest = disguised.digest;
    let blob = source.stat(Role::Blob, &digest, Intent::Read).await.expect("a stat");
    assert_eq!(blob.map(|blob| blob.size), Some(content.len() as u64));
    let manifest = source
        .stat(Role::Manifest, &digest, Intent::Read)
        .await
        .expect("a stat");
    assert_eq!(manifest, None);
    let fetched = source.fetch(Role::Manifest, &digest, FetchOptions::default()).await;
    assert_eq!(fetched.err().expect("no manifest").kind(), &ErrorKind::NotFound);
    let resolved = source.resolve(&Pick::Digest(digest)).await.expect_err("no manifest");
    assert_eq!(resolved.kind(), &ErrorKind::NotFound);
}

/// To write what is there already changes nothing and fails nothing.
pub async fn what_is_written_again_stays(place: &dyn Place) {
    let writer = target(place).await;
    let image = Image::small(writer.takes(), "sample");
    let names = Image::names(place, "sample");
    image.put(&*writer, &names).await.expect("put");
    image.put(&*writer, &names).await.expect("put again");
    let mut source = finished(place, writer).await;
    if place.can().reopen {
        let writer = target(place).await;
        image.put(&*writer, &names).await.expect("put by another writer");
        source = finished(place, writer).await;
    }
    let found = source.resolve(&Image::pick(place, "sample")).await.expect("resolved");
    image.check(place, &*source, &found).await;
    let only = if place.can().hold_unnamed {
        Pick::Only
    } else {
        Image::pick(place, "sample")
    };
    let only = source.resolve(&only).await.expect("the only one");
    assert_eq!(only.digest, found.digest);
}

/// One image may have several names, put at once.
pub async fn several_names_point_at_one_image(place: &dyn Place) {
    if !place.can().name {
        return passed_over("several_names_point_at_one_image", "this place has no names");
    }
    let target = target(place).await;
    let image = Image::small(target.takes(), "sample");
    image.put(&*target, &["one", "two", "three"]).await.expect("put");
    let source = finished(place, target).await;
    for name in ["one", "two", "three"] {
        let found = source.resolve(&Pick::Name(name.to_owned())).await.expect("resolved");
        image.check(place, &*source, &found).await;
    }
}

/// A name that is put again points at the new image, and the old one is still there by its digest.
pub async fn a_name_moves(place: &dyn Place) {
    if !(place.can().name && place.can().hold_many && place.can().reopen) {
        return passed_over("a_name_moves", "this place has no names that could move");
    }
    let writer = target(place).await;
    let (old, new) = (Image::small(writer.takes(), "old"), Image::small(writer.takes(), "new"));
    old.put(&*writer, &["latest", "stays"]).await.expect("put");
    finished(place, writer).await;
    let writer = target(place).await;
    new.put(&*writer, &["latest"]).await.expect("put");
    let source = finished(place, writer).await;
    let latest = source
        .resolve(&Pick::Name("latest".to_owned()))
        .await
        .expect("resolved");
    new.check(place, &*source, &latest).await;
    let stays = source.resolve(&Pick::Name("stays".to_owned())).await.expect("resolved");
    old.check(place, &*source, &stays).await;
}

/// A name is set only where it is what the caller believes; all names that are set together are held to it.
pub async fn expectations_are_held(place: &dyn Place) {
    if !(place.can().compare && place.can().name && place.can().hold_many) {
        return passed_over("expectations_are_held", "this place does not compare");
    }
    let target = target(place).await;
    let (old, new) = (Image::small(target.takes(), "old"), Image::small(target.takes(), "new"));
    old.put(&*target, &["taken"]).await.expect("put");
    new.put(&*target, &["other"]).await.expect("put");
    for (names, expect) in [
        (&["taken"][..], Expect::Absent),
        (&["free", "taken"], Expect::Absent),
        (&["taken"], Expect::Digest(new.digest)),
        (&["free"], Expect::Digest(old.digest)),
        (&["taken", "other"], Expect::Digest(old.digest)),
        (&["free"], Expect::Present),
        (&["other", "free"], Expect::Present),
    ] {
        let error = put(&*target, &new.document, names, expect)
            .await
            .expect_err("an expectation that does not hold");
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{names:?} {expect:?}: {error}");
    }
    put(&*target, &new.document, &["new"], Expect::Absent)
        .await
        .expect("a name that is free");
    put(&*target, &new.document, &["other"], Expect::Digest(new.digest))
        .await
        .expect("a name that points there");
    put(&*target, &new.document, &["other", "new"], Expect::Present)
        .await
        .expect("names that are there");
    let source = finished(place, target).await;
    let resolved = async |name: &str| {
        source
            .resolve(&Pick::Name(name.to_owned()))
            .await
            .map(|found| found.digest)
    };
    assert_eq!(resolved("taken").await.expect("resolved"), old.digest);
    assert_eq!(resolved("other").await.expect("resolved"), new.digest);
    assert_eq!(resolved("new").await.expect("resolved"), new.digest);
    assert_eq!(resolved("free").await.expect_err("free").kind(), &ErrorKind::NotFound);
}

/// What comes without a name takes the place of the image without one that is meant, where that is there; a registry, which lists none, puts it as it is.
pub async fn an_image_without_a_name_is_replaced(place: &dyn Place) {
    let can = place.can();
    if !(can.compare && can.name && can.hold_many && can.reopen) {
        return passed_over(
            "an_image_without_a_name_is_replaced",
            "this place does not compare, or is written once",
        );
    }
    let writer = target(place).await;
    let [old, new, other, named] = ["old", "new", "other", "named"].map(|seed| Image::small(writer.takes(), seed));
    for image in [&old, &other] {
        image.put(&*writer, &[]).await.expect("put");
    }
    named.put(&*writer, &["named"]).await.expect("put");
    finished(place, writer).await;
    let writer = target(place).await;
    for (blob, descriptor) in new.blobs.iter().zip(new.document.children()) {
        write(&*writer, &descriptor, blob).await.expect("written");
    }
    let replaced =
        async |image: &Image, by: &Image| put(&*writer, &by.document, &[], Expect::Digest(image.digest)).await;
    replaced(&old, &new).await.expect("it is there");
    if can.hold_unnamed {
        // Another was faster; and what has a name is none without one.
        for (image, by) in [(&old, &new), (&old, &other), (&named, &new)] {
            let error = replaced(image, by).await.expect_err("it is not there");
            assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
        }
    }
    // What is there by a name stays so.
    replaced(&other, &named).await.expect("it is there");
    let source = finished(place, writer).await;
    let found = source.resolve(&Pick::Name("named".to_owned())).await.expect("resolved");
    named.check(place, &*source, &found).await;
    let found = source.resolve(&Pick::Digest(new.digest)).await.expect("resolved");
    new.check(place, &*source, &found).await;
    let listed = names(&*source).await.unwrap_or_default();
    let unnamed = listed.iter().filter(|listed| listed.name.is_none());
    let unnamed = unnamed.filter_map(|listed| listed.descriptor.as_ref().map(|found| found.digest));
    // The same may be listed without a name beside.
    let unnamed: Vec<Digest> = unnamed.filter(|digest| *digest != named.digest).collect();
    let expected = if can.hold_unnamed { vec![new.digest] } else { Vec::new() };
    assert_eq!(unnamed, expected);
}

/// An image without a name is found as the only one there is.
pub async fn an_image_needs_no_name(place: &dyn Place) {
    let target = target(place).await;
    let image = Image::small(target.takes(), "sample");
    image.put(&*target, &[]).await.expect("put");
    let source = finished(place, target).await;
    let pick = if place.can().hold_unnamed {
        Pick::Only
    } else {
        Pick::Digest(image.digest)
    };
    let found = source.resolve(&pick).await.expect("resolved");
    image.check(place, &*source, &found).await;
}

/// Two writers at the same time: what both put is there.
pub async fn two_writers_lose_nothing(place: &dyn Place) {
    if !(place.can().name && place.can().hold_many && place.can().reopen) {
        return passed_over("two_writers_lose_nothing", "this place has one writer");
    }
    let (one, two) = (target(place).await, target(place).await);
    let images = [Image::small(one.takes(), "one"), Image::small(two.takes(), "two")];
    let write = async |writer: &dyn Target, image: &Image, name: &str| {
        image.put(writer, &[name]).await.expect("put");
        tokio::task::yield_now().await;
        image.put(writer, &[&format!("{name}-again")]).await.expect("put");
        writer.finish().await.expect("finished");
    };
    join(write(&*one, &images[0], "one"), write(&*two, &images[1], "two")).await;
    drop((one, two));
    let source = place.source().await.expect("a place to read");
    for (image, name) in images.iter().zip(["one", "two"]) {
        for name in [name.to_owned(), format!("{name}-again")] {
            let found = source.resolve(&Pick::Name(name)).await.expect("resolved");
            image.check(place, &*source, &found).await;
        }
    }
}

/// A store that is closed takes no manifest whose children are missing, and says which they are.
pub async fn a_name_never_points_at_what_is_missing(place: &dyn Place) {
    let target = target(place).await;
    let sample = Image::small(target.takes(), "sample");
    sample.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let source = finished(place, target).await;
    if !source.is_closed() || !place.can().reopen {
        return passed_over(
            "a_name_never_points_at_what_is_missing",
            "this place does not check what a manifest names",
        );
    }
    let target = super::target(place).await;
    let lacking = Image::of(
        target.takes(),
        "lacking",
        &[Bytes::from_static(b"a layer that is not put")],
    );
    let children = lacking.document.children();
    write(&*target, &children[0], &lacking.blobs[0]).await.expect("written");
    let error = put(
        &*target,
        &lacking.document,
        &Image::names(place, "lacking"),
        Expect::Any,
    )
    .await
    .expect_err("a manifest whose layer is missing");
    assert_eq!(
        error.kind(),
        &ErrorKind::MissingChildren(vec![children[1].digest]),
        "{error}"
    );
    let source = finished(place, target).await;
    let pick = if place.can().name {
        Pick::Name("lacking".to_owned())
    } else {
        Pick::Digest(lacking.digest)
    };
    let error = source.resolve(&pick).await.expect_err("no image");
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    // A layer whose digest is there can be read.
    read(&*source, &sample.document.children()[1]).await.expect("a blob");
}
