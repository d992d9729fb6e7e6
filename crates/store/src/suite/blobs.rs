//! How blobs are written and read.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::join_all};
use teu_spec::{Algorithm, Digest};

use super::{
    Image, Place, finished, image,
    image::{described, read, write},
    passed_over, target,
};
use crate::{ErrorKind, Expected, FetchOptions, Ingest, Intent, Role, Source};

const LENGTH: usize = 1 << 20;

/// Content that no compression shortens and that differs from place to place, so that a wrong range shows.
fn noise(length: usize, seed: u32) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    });
    bytes.take(length).collect::<Vec<u8>>().into()
}

/// Puts an image of these layers, finishes, and gives the source and what the layers are called there.
async fn with_layers(place: &dyn Place, layers: &[Bytes]) -> (std::sync::Arc<dyn Source>, Image) {
    let target = target(place).await;
    let image = Image::of(target.takes(), "layers", layers);
    image.put(&*target, &Image::names(place, "layers")).await.expect("put");
    (finished(place, target).await, image)
}

/// The content of a fetch, and where it begins.
async fn fetched(source: &dyn Source, digest: &Digest, range: Option<std::ops::Range<u64>>) -> (u64, Bytes) {
    let options = FetchOptions {
        range,
        ..FetchOptions::default()
    };
    let mut fetched = source.fetch(Role::Blob, digest, options).await.expect("fetched");
    let mut all = BytesMut::new();
    while let Some(bytes) = fetched.reader.next().await {
        all.extend_from_slice(&bytes.expect("a chunk"));
    }
    (fetched.start, all.freeze())
}

/// Each of these fails, leaves no blob, and is named by what it does.
async fn leaves_nothing(place: &dyn Place, content: &Bytes, expected: Expected, commit: Option<Digest>) {
    let target = target(place).await;
    let mut ingest = target.ingest(expected.clone()).await.expect("an ingest");
    // That it is too much may show already when it is written.
    let outcome = match ingest.write(content.clone()).await {
        Ok(()) => ingest.commit(commit).await.map(drop),
        Err(error) => Err(error),
    };
    let error = outcome.expect_err("content that is not what was announced");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    let sample = Image::small(target.takes(), "sample");
    sample.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let source = finished(place, target).await;
    for digest in [Some(Digest::of(content)), expected.digest, commit]
        .into_iter()
        .flatten()
    {
        let found = source.stat(Role::Blob, &digest, Intent::Read).await.expect("a stat");
        assert_eq!(found, None, "{digest} is not there");
    }
}

/// Where the place can be written once only, one case is all that can be tried.
fn cases<T>(place: &dyn Place, cases: Vec<T>) -> Vec<T> {
    let count = if place.can().reopen { cases.len() } else { 1 };
    cases.into_iter().take(count).collect()
}

/// Content that is not of its digest is refused, whether the digest was said at first or at last.
pub async fn a_wrong_digest_leaves_nothing(place: &dyn Place) {
    let content = noise(3000, 1);
    let wrong = Digest::of(b"something else");
    let first = Expected {
        digest: Some(wrong),
        size: Some(3000),
        ..Expected::default()
    };
    let last = Expected::default();
    let both = Expected {
        digest: Some(Digest::of(&content)),
        ..Expected::default()
    };
    for (expected, commit) in cases(place, vec![(first, None), (last, Some(wrong)), (both, Some(wrong))]) {
        leaves_nothing(place, &content, expected, commit).await;
    }
}

/// Content that is not of its size is refused, verified by the caller or not.
pub async fn a_wrong_size_leaves_nothing(place: &dyn Place) {
    let content = noise(3000, 2);
    let of_size = |size, verified| Expected {
        digest: Some(Digest::of(&content)),
        size: Some(size),
        verified,
        ..Expected::default()
    };
    let all = vec![
        of_size(3001, false),
        of_size(2999, false),
        of_size(3001, true),
        of_size(2999, true),
    ];
    for expected in cases(place, all) {
        leaves_nothing(place, &content, expected, None).await;
    }
}

/// What is not committed is not there.
pub async fn an_aborted_or_dropped_ingest_leaves_nothing(place: &dyn Place) {
    let target = target(place).await;
    let content = noise(LENGTH, 3);
    let digest = Digest::of(&content);
    let begin = async || {
        let expected = Expected::verified(&described(&content, Algorithm::Sha256));
        let mut ingest = target.ingest(expected).await.expect("an ingest");
        ingest.write(content.clone()).await.expect("written");
        ingest
    };
    let ingest: Box<dyn Ingest> = begin().await;
    ingest.abort().await.expect("aborted");
    drop(begin().await);
    let sample = Image::small(target.takes(), "sample");
    sample.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let source = finished(place, target).await;
    assert_eq!(
        source.stat(Role::Blob, &digest, Intent::Read).await.expect("a stat"),
        None
    );
}

/// Content of no bytes is content.
pub async fn an_empty_blob_is_a_blob(place: &dyn Place) {
    let (source, image) = with_layers(place, &[Bytes::new()]).await;
    let empty = Digest::of(b"");
    if place.can().keep_manifests {
        let found = source.stat(Role::Blob, &empty, Intent::Read).await.expect("a stat");
        assert_eq!(found.map(|found| found.size), Some(0));
        assert_eq!(fetched(&*source, &empty, None).await, (0, Bytes::new()));
    }
    let found = source.resolve(&Image::pick(place, "layers")).await.expect("resolved");
    image.check(place, &*source, &found).await;
}

/// How content was cut when it was written does not show.
pub async fn chunks_may_be_large_or_small(place: &dyn Place) {
    let target = target(place).await;
    let layers = [noise(4 * LENGTH + 1, 4), noise(70_000, 5)];
    let image = Image::of(target.takes(), "layers", &layers);
    for (layer, chunk) in layers.iter().zip([4 * LENGTH + 1, 7]) {
        let expected = Expected::verified(&described(layer, Algorithm::Sha256));
        let mut ingest = target.ingest(expected).await.expect("an ingest");
        for start in (0..layer.len()).step_by(chunk) {
            let part = layer.slice(start..layer.len().min(start + chunk));
            ingest.write(part).await.expect("written");
        }
        ingest.write(Bytes::new()).await.expect("written");
        ingest.commit(None).await.expect("committed");
    }
    let config = &image.document.children()[0];
    write(&*target, config, &image.blobs[0]).await.expect("written");
    image::put(
        &*target,
        &image.document,
        &Image::names(place, "layers"),
        crate::Expect::Any,
    )
    .await
    .expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "layers")).await.expect("resolved");
    image.check(place, &*source, &found).await;
}

/// A range gives these bytes, and never others under the same count; a store that cannot says that it begins at 0.
pub async fn ranges_give_what_was_asked_for(place: &dyn Place) {
    let content = noise(LENGTH, 6);
    let (source, _) = with_layers(place, std::slice::from_ref(&content)).await;
    let digest = Digest::of(&content);
    let end = LENGTH as u64;
    for range in [0..1, 0..end, 1..2, 4095..70_000, end - 1..end, end - 5..end + 5] {
        let (start, bytes) = fetched(&*source, &digest, Some(range.clone())).await;
        if start == 0 && range.start > 0 {
            assert_eq!(bytes, content, "no range, so all of it");
            continue;
        }
        assert_eq!(start, range.start, "where {range:?} begins");
        let expected = content.slice(range.start as usize..range.end.min(end) as usize);
        assert!(bytes == expected || bytes == content, "the bytes of {range:?}");
    }
    let options = FetchOptions {
        range: Some(end..end + 1),
        ..FetchOptions::default()
    };
    match source.fetch(Role::Blob, &digest, options).await {
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Range, "{error}"),
        Ok(fetched) => assert_eq!(fetched.start, 0, "no range, so all of it"),
    }
}

/// Writers of different blobs do not disturb each other.
pub async fn many_blobs_are_written_side_by_side(place: &dyn Place) {
    let target = target(place).await;
    let layers: Vec<Bytes> = (0..24).map(|n| noise(10_000 + n, 100 + n as u32)).collect();
    let image = Image::of(target.takes(), "layers", &layers);
    let children = image.document.children();
    let writes = image.blobs.iter().zip(&children).map(|(blob, descriptor)| {
        let target = &*target;
        async move {
            let mut ingest = target.ingest(Expected::verified(descriptor)).await?;
            for part in blob.chunks(1000) {
                ingest.write(Bytes::copy_from_slice(part)).await?;
                tokio::task::yield_now().await;
            }
            ingest.commit(Some(descriptor.digest)).await
        }
    });
    for outcome in join_all(writes).await {
        outcome.expect("committed");
    }
    image::put(
        &*target,
        &image.document,
        &Image::names(place, "layers"),
        crate::Expect::Any,
    )
    .await
    .expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "layers")).await.expect("resolved");
    image.check(place, &*source, &found).await;
}

/// Writers of the same blob all succeed, and it is there once.
pub async fn one_digest_is_written_side_by_side(place: &dyn Place) {
    let target = target(place).await;
    let layer = noise(50_000, 7);
    let image = Image::of(target.takes(), "layers", std::slice::from_ref(&layer));
    let descriptor = described(&layer, Algorithm::Sha256);
    let writes = (0..12).map(|_| write(&*target, &descriptor, &layer));
    for outcome in join_all(writes).await {
        outcome.expect("committed");
    }
    image.put(&*target, &Image::names(place, "layers")).await.expect("put");
    let source = finished(place, target).await;
    let found = source.resolve(&Image::pick(place, "layers")).await.expect("resolved");
    image.check(place, &*source, &found).await;
}

/// Content that the place gives is checked by whoever reads it: other bytes, fewer and more of them end in an error.
pub async fn what_lies_is_caught(place: &dyn Place) {
    let content = noise(LENGTH, 8);
    let (_, image) = with_layers(place, std::slice::from_ref(&content)).await;
    let digest = Digest::of(&content);
    let mut other = content.to_vec();
    other[LENGTH / 2] ^= 1;
    let mut more = content.to_vec();
    more.push(0);
    for lie in [other.as_slice(), &content[..LENGTH - 1], &[], &more] {
        if !place.corrupt(&digest, lie) {
            return passed_over("what_lies_is_caught", "this place cannot be made to lie");
        }
        let source = place.source().await.expect("a place to read");
        let mut descriptor = image.document.children()[1].clone();
        descriptor.urls = Vec::new();
        let error = read(&*source, &descriptor).await.expect_err("a lie");
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{} bytes: {error}", lie.len());
    }
}

/// Content under another algorithm than sha256.
pub async fn a_digest_may_be_sha512(place: &dyn Place) {
    if !place.can().other_algorithms {
        return passed_over("a_digest_may_be_sha512", "this place keeps sha256 only");
    }
    let target = target(place).await;
    let content = noise(5000, 9);
    let descriptor = described(&content, Algorithm::Sha512);
    write(&*target, &descriptor, &content).await.expect("written");
    let unnamed = Expected {
        algorithm: Algorithm::Sha512,
        ..Expected::default()
    };
    let mut ingest = target.ingest(unnamed).await.expect("an ingest");
    ingest.write(content.slice(1..)).await.expect("written");
    let committed = ingest.commit(None).await.expect("committed");
    assert_eq!(committed.digest, Algorithm::Sha512.digest(&content[1..]));
    let sample = Image::small(target.takes(), "sample");
    sample.put(&*target, &Image::names(place, "sample")).await.expect("put");
    let source = finished(place, target).await;
    assert_eq!(read(&*source, &descriptor).await.expect("a blob"), content);
}
