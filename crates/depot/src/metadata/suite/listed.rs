//! What is listed, in which order, and what is about what?

use super::*;

pub(crate) async fn lists_are_in_byte_order(open: &Open) {
    let metadata = open();
    let names = ["Z", "a", "a-b", "a.b", "a0", "a_b", "b"];
    for name in ["b", "a_b", "a", "Z", "a0", "a-b", "a.b"] {
        metadata.put_manifest(new("one", "m", &[], &[name])).await.expect("put");
        metadata
            .put_manifest(new(&format!("r{name}"), "m", &[], &[]))
            .await
            .expect("put");
    }
    for limit in [0, 1, 3, 7, 8] {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let part = Keyset {
                after: after.as_deref(),
                limit,
            };
            let page = metadata.tags("one", part).await.expect("a page");
            let told = metadata.tag_names("one", part).await.expect("a page");
            let same: Vec<_> = page.items.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!((told.items, &told.next), (same, &page.next));
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().map(|(name, _)| name));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected = if limit == 0 { &[][..] } else { &names[..] };
        assert_eq!(found, expected, "{limit}");
    }
    let part = Keyset {
        after: Some("ra-"),
        limit: 2,
    };
    let page = metadata.repositories(part).await.expect("a page");
    assert_eq!(
        (page.items, page.next),
        (vec!["ra-b".to_owned(), "ra.b".to_owned()], Some("ra.b".to_owned()))
    );
}

pub(crate) async fn referrers_are_found_by_type(open: &Open) {
    let metadata = open();
    let subject = Digest::of(b"subject");
    let mut expected = BTreeMap::new();
    for (content, artifact_type) in [("a", Some("x/sbom")), ("b", Some("x/signature")), ("c", None)] {
        let mut about = new("one", content, &[], &[]);
        let mut descriptor = Descriptor::new(MediaType::OciManifest, about.digest, 1);
        descriptor.artifact_type = artifact_type.map(str::to_owned);
        descriptor.annotations.insert("of".to_owned(), content.to_owned());
        about.subject = Some((subject, descriptor.clone()));
        metadata.put_manifest(about.clone()).await.expect("put");
        about.repository = "two".to_owned();
        metadata.put_manifest(about).await.expect("put");
        expected.insert(descriptor.digest, descriptor);
    }
    let found = async |repository: &str, subject: &Digest, artifact_type: Option<&str>, after: Option<&str>, limit| {
        let part = Keyset { after, limit };
        let page = metadata.referrers(repository, subject, artifact_type, part).await;
        let page = page.expect("asked");
        (page.items, page.next)
    };
    let expected: Vec<Descriptor> = expected.into_values().collect();
    let all = found("one", &subject, None, None, 3).await;
    assert_eq!(all, (expected.clone(), None), "by digest");
    let next = Some(expected[1].digest.to_string());
    assert_eq!(
        found("one", &subject, None, None, 2).await,
        (expected[..2].to_vec(), next.clone())
    );
    let rest = found("one", &subject, None, next.as_deref(), 2).await;
    assert_eq!(rest, (expected[2..].to_vec(), None));
    let (some, next) = found("one", &subject, Some("x/sbom"), None, 1).await;
    assert_eq!(
        (some.iter().map(|found| found.digest).collect::<Vec<_>>(), next),
        (vec![Digest::of(b"a")], None)
    );
    assert_eq!(found("three", &subject, None, None, 9).await, (Vec::new(), None));
    assert_eq!(found("one", &Digest::of(b"a"), None, None, 9).await, (Vec::new(), None));
    // What is large comes alone, whatever was asked for.
    for content in ["d", "e"] {
        let mut about = new("large", content, &[], &[]);
        let mut descriptor = Descriptor::new(MediaType::OciManifest, about.digest, 1);
        descriptor.annotations.insert("of".to_owned(), "x".repeat(5 << 20));
        about.subject = Some((subject, descriptor));
        metadata.put_manifest(about).await.expect("put");
    }
    let (first, next) = found("large", &subject, None, None, 9).await;
    assert_eq!((first.len(), next.as_ref()), (1, Some(&first[0].digest.to_string())));
    let (second, next) = found("large", &subject, None, next.as_deref(), 9).await;
    assert_eq!((second.len(), next), (1, None));
}
