//! What is refused, and what is left where it breaks off.

use super::*;

#[tokio::test]
async fn content_that_is_not_what_the_config_says_is_refused() {
    let layers = [compressed("one", GZIP), compressed("two", GZIP)];
    let right = diff_ids(&layers);
    let other = Digest::of(b"something else");
    for (said, kind) in [
        (vec![right[0], other], ErrorKind::Mismatch),
        (vec![right[1], right[0]], ErrorKind::Mismatch),
        (vec![right[0]], ErrorKind::Invalid),
        (vec![right[0], right[1], other], ErrorKind::Invalid),
        (vec![], ErrorKind::Invalid),
    ] {
        for compression in [NONE, ZSTD] {
            let source = Memory::new();
            put(&source, "all", Format::Oci, &layers, &said).await;
            let target = Memory::new();
            let error = goes(&source, &target, &to(compression)).await.expect_err("a lie");
            assert_eq!((error.kind(), error.side()), (&kind, Some(Side::Source)), "{error}");
            assert_eq!(
                resolved(&target, "copy").await.expect_err("not named").kind(),
                &ErrorKind::NotFound
            );
            for digest in [other, Digest::of(&layers[1].plain)] {
                let kept = target.stat(Role::Blob, &digest, Intent::Read).await.expect("asked");
                assert!(
                    said != right && (kept.is_none() || said.contains(&digest)),
                    "nothing that was not checked"
                );
            }
        }
    }
    // Two images that disagree about one layer cannot both be right.
    let source = Memory::new();
    let one = put(&source, "one", Format::Oci, &layers[..1], &right[..1]).await;
    let two = put(&source, "two", Format::Oci, &layers[..1], &[other]).await;
    let index = Index::build(Format::Oci, &[one.descriptor(), two.descriptor()]).expect("an index");
    put_document(&source, "all", index).await;
    let error = goes(&source, &Memory::new(), &to(ZSTD)).await.expect_err("a lie");
    assert_eq!((error.kind(), error.side()), (&ErrorKind::Mismatch, Some(Side::Source)));
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused() {
    let good = compressed("one", GZIP);
    let cut = good.stored.slice(..good.stored.len() - 4);
    let mut wrong_sum = good.stored.to_vec();
    let place = wrong_sum.len() - 8;
    wrong_sum[place] ^= 1;
    let bomb = encoded(&vec![0; 3_000_000], Compression::Gzip);
    for (stored, plain, kind) in [
        (cut, good.plain.clone(), ErrorKind::Invalid),
        (wrong_sum.into(), good.plain.clone(), ErrorKind::Invalid),
        (bomb, vec![0; 3_000_000].into(), ErrorKind::TooLarge),
    ] {
        let layer = Layer {
            stored,
            plain,
            ..good.clone()
        };
        let (source, _) = image_of(&[layer]).await;
        let recompress = Recompress {
            limits: CodecLimits {
                output_bytes: 1_000_000,
                ..CodecLimits::default()
            },
            ..Recompress::to(ZSTD)
        };
        let target = Memory::new();
        let error = goes(&source, &target, &with(recompress)).await.expect_err("refused");
        assert_eq!((error.kind(), error.side()), (&kind, Some(Side::Source)), "{error}");
        assert!(error.to_string().contains("copying blob sha256:"), "{error}");
        assert!(target.len() <= 1, "the config, if anything");
    }
}

#[tokio::test]
async fn dockers_form_has_no_zstd() {
    let layers = [compressed("one", GZIP)];
    let source = Memory::new();
    put(&source, "image", Format::Docker, &layers, &diff_ids(&layers)).await;
    let mut image = resolved(&source, "image").await.expect("resolved");
    image.platform = Some(Platform::new("linux", "amd64"));
    put_document(&source, "all", Index::build(Format::Docker, &[image]).expect("a list")).await;
    let docker = |compression| Options {
        format: Some(Format::Docker),
        ..to(compression)
    };
    let target = Memory::new();
    let error = goes(&source, &target, &docker(ZSTD)).await.expect_err("no zstd");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(error.to_string().contains("use gzip, or copy it as oci"), "{error}");
    assert!(target.is_empty());
    // Where no form is asked for it becomes OCI's, images and list, and that is told.
    let (copy, _, events) = goes(&source, &target, &to(ZSTD)).await.expect("copied");
    assert_eq!(copy.media_type(), &MediaType::OciIndex);
    let image = target.document(&copy.children()[0]).await.expect("an image");
    assert_eq!(types(&image), [MediaType::OciConfig, MediaType::OciLayerZstd]);
    assert_eq!(warnings(&events).len(), 2, "{:?}", warnings(&events));
    // Other compressions it has, and zstd layers become them.
    let (back, ..) = goes(&source, &target, &to(NONE)).await.expect("copied");
    assert_eq!(back.media_type(), &MediaType::DockerManifestList);
    let (zstd, _) = image_of(&[compressed("one", ZSTD)]).await;
    let (copy, ..) = goes(&zstd, &target, &docker(GZIP)).await.expect("copied");
    assert_eq!(types(&copy), [MediaType::DockerConfig, MediaType::DockerLayerGzip]);
}

#[tokio::test]
async fn digests_that_are_preserved_forbid_it() {
    let (source, document) = image_of(&[compressed("one", GZIP)]).await;
    let preserving = |compression| Options {
        preserve_digests: true,
        ..to(compression)
    };
    let target = Memory::new();
    let error = goes(&source, &target, &preserving(ZSTD))
        .await
        .expect_err("another digest");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(target.is_empty());
    let (copy, ..) = goes(&source, &target, &preserving(GZIP))
        .await
        .expect("nothing changes");
    assert_eq!(copy, document);
}

#[tokio::test]
async fn what_lies_or_breaks_off_leaves_nothing() {
    for (from, lie, kind) in [
        (ZSTD, Lie::Flipped, ErrorKind::Mismatch),
        (GZIP, Lie::Short, ErrorKind::Mismatch),
        (ZSTD, Lie::Long, ErrorKind::Mismatch),
        (GZIP, Lie::Flipped, ErrorKind::Mismatch),
        (ZSTD, Lie::Short, ErrorKind::Mismatch),
        (GZIP, Lie::WrongSize, ErrorKind::Mismatch),
        (ZSTD, Lie::Dies, ErrorKind::Io),
        (GZIP, Lie::Dies, ErrorKind::Io),
    ] {
        let (source, document) = image_of(&[compressed("one", from), compressed("two", from)]).await;
        let source = Arc::new(Rigged::lying(&source, document.children()[1].digest, lie));
        let target = Arc::new(Rigged::default());
        let (pick, names) = (Pick::Name("all".to_owned()), ["copy".to_owned()]);
        let error = copy(source, &pick, target.clone(), &names, &to(NONE), &silent())
            .await
            .expect_err("a lie");
        assert_eq!(
            (error.kind(), error.side()),
            (&kind, Some(Side::Source)),
            "{lie:?}: {error}"
        );
        assert_eq!(target.ingests.now.load(Ordering::SeqCst), 0, "no ingest is left");
        resolved(&target.inner, "copy").await.expect_err("nothing is named");
    }
}

#[tokio::test]
async fn a_copy_that_is_dropped_ends_its_work() {
    let (source, document) = image_of(&[compressed("one", GZIP)]).await;
    let source = Arc::new(Rigged::lying(&source, document.children()[1].digest, Lie::Hangs));
    let target = Arc::new(Rigged::default());
    let hanging = Arc::clone(&source.hanging);
    let (pick, names) = (Pick::Name("all".to_owned()), ["copy".to_owned()]);
    let (options, events) = (to(ZSTD), silent());
    tokio::select! {
        _ = copy(source, &pick, target.clone(), &names, &options, &events) => panic!("it hangs"),
        () = hanging.notified() => {}
    }
    while target.ingests.now.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    resolved(&target.inner, "copy").await.expect_err("nothing is named");
    assert!(target.inner.len() <= 1, "the config, if anything");
}
