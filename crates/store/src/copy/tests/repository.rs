//! All of a repository.

use std::{collections::HashMap, sync::Arc};

use teu_spec::{Digest, Pick};

use super::{
    super::repository::*,
    Foreign, Options, all, recorded,
    rigged::{Asked, Rigged},
    two_images,
};
use crate::{
    Browse, Delete, ErrorKind, Event, Intent, Memory, Role, Source, Takes,
    graph::Permits,
    silent,
    suite::{Image, powers::about},
};

fn whole() -> Whole {
    Whole {
        options: Options {
            foreign: Foreign::WhereThere,
            ..all()
        },
        sparse: false,
        is_name: |name| !name.contains('/'),
        moves: Moves::All,
        under_way: None,
        noted: Noted::default(),
    }
}

async fn copied(source: &Memory, target: &Memory, how: &Whole) -> CopiedRepository {
    let (source, target) = (Arc::new(source.clone()), Arc::new(target.clone()));
    copy_repository(source, target, how, &silent()).await.expect("copied")
}

/// Two images in an index, `all`; one of two names; one without a name, and what is about it.
async fn source() -> (Memory, Vec<Image>) {
    let (store, mut images, _) = two_images().await;
    let named = Image::small(Takes::EVERYTHING, "named");
    named.put(&store, &["one", "two"]).await.expect("put");
    let unnamed = Image::small(Takes::EVERYTHING, "unnamed");
    unnamed.put(&store, &[]).await.expect("put");
    let about = about(&unnamed, "example/signature");
    about.put(&store, &[]).await.expect("put");
    images.extend([named, unnamed, about]);
    (store, images)
}

async fn has(store: &Memory, digest: &Digest) -> bool {
    let found = store.stat(Role::Manifest, digest, Intent::Read).await;
    found.expect("a stat").is_some()
}

#[tokio::test]
async fn what_has_a_name_and_what_has_none_come_along() {
    let (source, images) = source().await;
    for target in [Memory::new(), Memory::sparse()] {
        let done = copied(&source, &target, &whole()).await;
        assert_eq!(
            (done.names.len(), done.unnamed, done.manifests.len()),
            (3, 2, 6),
            "{done:?}"
        );
        // Five of the index; a layer that all share; a config and a layer each; the artifact's config.
        assert_eq!(done.brought().0, 10, "{done:?}");
        assert!(done.left_out.is_empty(), "{done:?}");
        assert_eq!(target.len(), source.len());
        for image in &images {
            assert!(has(&target, &image.digest).await);
        }
        for name in ["all", "one", "two"] {
            let pick = Pick::Name(name.to_owned());
            let [here, there] = [source.resolve(&pick).await, target.resolve(&pick).await];
            assert_eq!(here.expect("here"), there.expect("there"), "{name}");
        }
        let referrers = target.referrers(&images[3].digest, None).await.expect("referrers");
        assert_eq!(referrers.len(), 1);
        let again = copied(&source, &target, &whole()).await;
        assert_eq!((again.manifests.len(), again.brought().0), (0, 0), "{again:?}");
    }
}

#[tokio::test]
async fn the_same_again_moves_nothing_and_a_rehearsal_writes_nothing() {
    let (source, _) = source().await;
    let target = Memory::new();
    let rehearsed = Whole {
        options: Options {
            rehearse: true,
            ..whole().options
        },
        ..whole()
    };
    let would = copied(&source, &target, &rehearsed).await;
    assert!(target.is_empty());
    let done = copied(&source, &target, &whole()).await;
    assert_eq!(
        (would.names, would.unnamed, would.manifests, would.blobs),
        (done.names, done.unnamed, done.manifests, done.blobs)
    );
    let (events, happened) = recorded();
    let again = copy_repository(Arc::new(source), Arc::new(target), &whole(), &events).await;
    let again = again.expect("copied");
    assert_eq!((again.names.len(), again.unnamed), (3, 0), "{again:?}");
    assert_eq!((again.manifests.len(), again.brought()), (0, (0, 0)));
    let told = happened.lock().expect("events");
    assert!(
        told.iter()
            .all(|event| matches!(event, Event::ManifestDone { existed: true, .. })),
        "{told:?}"
    );
}

/// Of a copy that is repeated: what the source moved moves, what was moved at the target stays, and what was there before all copies too.
#[tokio::test]
async fn names_that_others_moved_are_left_alone() {
    let (source, target) = (Memory::new(), Memory::new());
    let images = ["one", "two", "three"].map(|text| Image::small(Takes::EVERYTHING, text));
    let [one, two, three] = &images;
    let names = |image: &Image, names: &[&str]| -> HashMap<String, Digest> {
        names.iter().map(|name| ((*name).to_owned(), image.digest)).collect()
    };
    let from = |known: HashMap<String, Digest>| Whole {
        moves: Moves::From(known),
        ..whole()
    };
    let alone = |name: &str, there: &Image, here: &Image| LeftAlone {
        name: name.to_owned(),
        target: there.digest,
        source: here.digest,
    };
    one.put(&source, &["both", "here", "same", "there"]).await.expect("put");
    two.put(&target, &["same"]).await.expect("put");
    let done = copied(&source, &target, &from(HashMap::new())).await;
    assert_eq!(done.names, names(one, &["both", "here", "there"]));
    assert_eq!(done.left_alone, [alone("same", two, one)]);
    let known = done.names;
    two.put(&source, &["both", "here"]).await.expect("put");
    three.put(&target, &["both", "there"]).await.expect("put");
    let would = Whole {
        options: Options {
            rehearse: true,
            ..whole().options
        },
        ..from(known.clone())
    };
    let told = copied(&source, &target, &would).await;
    let done = copied(&source, &target, &from(known.clone())).await;
    for done in [&told, &done] {
        assert_eq!(done.names, names(two, &["here"]), "{done:?}");
        let mut left_alone = done.left_alone.clone();
        left_alone.sort_by(|one, other| one.name.cmp(&other.name));
        let wanted = [
            alone("both", three, two),
            alone("same", two, one),
            alone("there", three, one),
        ];
        assert_eq!(left_alone, wanted);
        assert!(done.left_out.is_empty(), "{done:?}");
    }
    // One alone is held to the same; without a name it is there all the same.
    let lonely = Image::small(Takes::EVERYTHING, "lonely");
    lonely.put(&source, &["lonely"]).await.expect("put");
    let one_of = |how: Whole| {
        let (source, target) = (Arc::new(source.clone()), Arc::new(target.clone()));
        async move {
            let (pick, names) = (Pick::Name("lonely".to_owned()), ["there".to_owned()]);
            copy_one(source, &pick, target, &names, &how, &silent())
                .await
                .expect("copied")
        }
    };
    let done = one_of(from(known.clone())).await;
    assert_eq!(
        (done.names, done.left_alone),
        (HashMap::new(), vec![alone("there", three, &lonely)])
    );
    assert!(has(&target, &lonely.digest).await);
    let done = one_of(whole()).await;
    assert_eq!((done.names, done.left_alone), (names(&lonely, &["there"]), Vec::new()));
    // What was asked for is moved, all of it.
    let done = copied(&source, &target, &whole()).await;
    assert_eq!(done.names.len(), 5);
    for (name, wanted) in [
        ("both", two),
        ("here", two),
        ("same", one),
        ("there", one),
        ("lonely", &lonely),
    ] {
        let found = target.resolve(&Pick::Name(name.to_owned())).await.expect("there");
        assert_eq!(found.digest, wanted.digest, "{name}");
    }
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_left_out_and_told() {
    let (source, images) = source().await;
    let layer = |image: &Image| image.document.children()[2].digest;
    // One image of the index is gone, the one of two names is damaged, and a name cannot be one here.
    Delete::delete(&source, Role::Blob, &layer(&images[0]))
        .await
        .expect("deleted");
    source.insert_unchecked(layer(&images[2]), "damaged");
    let odd = Image::small(Takes::EVERYTHING, "odd");
    odd.put(&source, &["registry/odd"]).await.expect("put");
    let target = Memory::new();
    let done = copied(&source, &target, &whole()).await;
    let told = |names: &[&str]| {
        let found = done.left_out.iter().find(|left| left.names == names);
        found.map(|left| (left.digest, left.error.kind().clone()))
    };
    let top = source
        .resolve(&Pick::Name("all".to_owned()))
        .await
        .expect("there")
        .digest;
    assert_eq!(told(&["all"]), Some((Some(top), ErrorKind::NotFound)));
    assert_eq!(
        told(&["one", "two"]),
        Some((Some(images[2].digest), ErrorKind::Mismatch))
    );
    assert_eq!(told(&["registry/odd"]), Some((Some(odd.digest), ErrorKind::Invalid)));
    // The index's images are looked at by themselves, too.
    assert_eq!(told(&[]), Some((Some(images[0].digest), ErrorKind::NotFound)));
    assert_eq!(done.left_out.len(), 4, "{done:?}");
    assert!(has(&target, &images[1].digest).await && has(&target, &odd.digest).await);
    assert!(!has(&target, &top).await && !has(&target, &images[2].digest).await);
}

#[tokio::test]
async fn a_sparse_index_is_taken_only_where_that_is_asked_for() {
    let (source, images, top) = two_images().await;
    Delete::delete(&source, Role::Manifest, &images[0].digest)
        .await
        .expect("deleted");
    let target = Memory::sparse();
    let done = copied(&source, &target, &whole()).await;
    assert_eq!((done.names.len(), done.left_out.len()), (0, 1), "{done:?}");
    let sparse = Whole {
        sparse: true,
        ..whole()
    };
    let done = copied(&source, &target, &sparse).await;
    assert_eq!((done.names.len(), done.left_out.len()), (1, 0), "{done:?}");
    assert!(has(&target, &top.digest).await && has(&target, &images[1].digest).await);
}

#[tokio::test]
async fn what_fails_at_the_destination_ends_it() {
    let (source, images) = source().await;
    let target = Rigged {
        fails: Some(images[2].digest),
        ..Rigged::of(&Memory::new())
    };
    let how = whole();
    let error = copy_repository(Arc::new(source.clone()), Arc::new(target), &how, &silent()).await;
    assert_eq!(error.expect_err("it is full").kind(), &ErrorKind::Quota);
    // What had its name by then is known nevertheless.
    let top = source.resolve(&Pick::Name("all".to_owned())).await.expect("there");
    let noted = how.noted.lock().expect("names").clone();
    assert_eq!(noted, HashMap::from([("all".to_owned(), top.digest)]));
}

#[tokio::test]
async fn images_come_to_their_names_in_the_order_of_the_list() {
    let (source, images) = source().await;
    let top = source.resolve(&Pick::Name("all".to_owned())).await.expect("there");
    let target = Arc::new(Rigged {
        slow: Some(images[0].document.children()[2].digest),
        ..Rigged::of(&Memory::new())
    });
    copy_repository(Arc::new(source), Arc::clone(&target) as _, &whole(), &silent())
        .await
        .expect("copied");
    // An image of the index is longer on its way than the other one.
    let wanted = [(top.digest, vec!["all"]), (images[2].digest, vec!["one", "two"])];
    let wanted = wanted.map(|(digest, names)| Asked::Put(digest, names.into_iter().map(str::to_owned).collect()));
    let mut puts = target.asked();
    puts.retain(|asked| matches!(asked, Asked::Put(_, names) if !names.is_empty()));
    assert_eq!(puts, wanted);
}

#[tokio::test]
async fn copies_that_share_it_have_only_so_many_images_under_way() {
    let how = Whole {
        under_way: Some(Permits::new(2)),
        ..whole()
    };
    let (events, happened) = recorded();
    let copies = ["first", "second", "third"].map(|repository| {
        let (how, events) = (&how, &events);
        async move {
            let source = Memory::new();
            for name in ["one", "two", "three"] {
                let image = Image::small(Takes::EVERYTHING, &format!("{repository} {name}"));
                image.put(&source, &[name]).await.expect("put");
            }
            let target = Rigged::of(&Memory::new());
            copy_repository(Arc::new(source), Arc::new(target), how, events).await
        }
    });
    for done in futures_util::future::join_all(copies).await {
        assert_eq!(done.expect("copied").names.len(), 3);
    }
    let (mut now, mut most) = (0, 0);
    for event in happened.lock().expect("events").iter() {
        match event {
            Event::Planned { .. } => now += 1,
            Event::ManifestDone { .. } => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    assert_eq!((now, most), (0, 2));
}
