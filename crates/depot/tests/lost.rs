//! Is nothing acknowledged whose bytes are lost, and does a push heal it?

mod support;

use std::{fs, path::Path, sync::Arc};

use support::{Here, settings};
use teu_spec::{Digest, Pick};
use teu_store::{
    Error, ErrorKind, Expect, FetchOptions, Intent, Memory, Repositories, Role, Takes, Target,
    copy::{Options, copy},
    silent,
    suite::{Image, run},
};

/// Nobody is told that bytes are here that are lost, and so a push heals them.
#[test]
fn what_is_lost_is_not_acknowledged_and_a_push_heals_it() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("gone", |file| fs::remove_file(file).expect("removed")),
        ("shorter", |file| fs::write(file, b"").expect("written")),
        ("longer", |file| fs::write(file, [0; 1 << 20]).expect("written")),
        ("no file", |file| {
            fs::remove_file(file).expect("removed");
            fs::create_dir(file).expect("made");
        }),
    ];
    run(async {
        for (what, damage) in damages {
            let here = Here::of(settings());
            let open = async |name| here.depot.open(name, Intent::Write).await.expect("a repository");
            let (one, two, three) = (open("one").await, open("two").await, open("three").await);
            let image = Image::small(Takes::EVERYTHING, "image");
            image.put(one.as_target(), &["latest"]).await.expect("put");
            let digest = image.document.children()[1].digest;
            let mounted = three.mount().expect("the power to mount").mount("one", &digest).await;
            assert!(mounted.expect("a mount"));
            damage(&here.blobs(&digest)[0]);
            let is_lost = |error: Error| {
                assert_eq!(error.kind(), &ErrorKind::Mismatch, "{what}: {error}");
                let begins = format!("the bytes of {digest} are lost, which one should have; a push of it heals that");
                assert!(error.to_string().starts_with(&begins), "{what}: {error}");
            };
            is_lost(one.stat(Role::Blob, &digest, Intent::Write).await.expect_err("a stat"));
            let fetched = one.fetch(Role::Blob, &digest, FetchOptions::default()).await;
            is_lost(fetched.err().expect("a fetch"));
            is_lost(one.local().expect("files").open_file(&digest).expect_err("a file"));
            let mount = async || two.mount().expect("the power to mount").mount("one", &digest).await;
            is_lost(mount().await.expect_err("a mount"));
            let mounted = two.stat(Role::Blob, &digest, Intent::Read).await.expect("a stat");
            assert_eq!(mounted, None, "{what}: nothing was mounted");
            let name = async |names: &[String]| {
                let named = Digest::of(image.document.raw());
                one.put_manifest(&image.document, &named, names, Expect::Any).await
            };
            let error = name(&["again".to_owned()]).await.expect_err("it names what is lost");
            assert_eq!(error.kind(), &ErrorKind::MissingChildren(vec![digest]), "{what}");
            let error = one.resolve(&Pick::Name("again".to_owned())).await.expect_err("not set");
            assert_eq!(error.kind(), &ErrorKind::NotFound);
            // As a copy brings it, which asks first what is here.
            let source = Memory::new();
            image.put(&source, &["latest"]).await.expect("put");
            let (pick, names) = (Pick::Name("latest".to_owned()), ["latest".to_owned()]);
            let (source, target) = (Arc::new(source), Arc::clone(&three) as Arc<dyn Target>);
            let copied = copy(source, &pick, target, &names, &Options::default(), &silent()).await;
            copied.expect("copied");
            assert!(
                one.stat(Role::Blob, &digest, Intent::Write)
                    .await
                    .expect("a stat")
                    .is_some()
            );
            assert!(mount().await.expect("a mount"), "{what}");
            name(&["again".to_owned()]).await.expect("all is here");
            let checked = here.depot.check(false, |finding| panic!("{what}: {finding:?}")).await;
            checked.expect("checked");
        }
    });
}
