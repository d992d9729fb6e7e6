//! All of a repository.

use teu_store::{
    ErrorKind,
    copy::{CopiedRepository, Whole},
};

use super::*;

async fn goes(from: &Registry, to: &Registry) -> (CopiedRepository, Vec<String>, Vec<String>) {
    let how = Whole {
        options: all(),
        sparse: false,
        is_name: |_| true,
        under_way: None,
    };
    let done = copy::copy_repository(from.at("app"), to.at("app"), &how, &silent()).await;
    (done.expect("copied"), from.asked(), to.asked())
}

fn tags(method: &str, tags: &[&str]) -> Vec<String> {
    let tag = |tag: &&str| line(method, format_args!("manifests/{tag}"));
    tags.iter().map(tag).collect()
}

fn by_digest(method: &str, image: &Image) -> String {
    line(method, format_args!("manifests/{}", image.digest()))
}

fn list() -> Vec<String> {
    vec![line("GET", "tags/list?n=1000")]
}

#[tokio::test]
async fn a_whole_repository() {
    let images = [Image::new("amd64", &["one"]), Image::new("amd64", &["two"])];
    let (from, to) = (Registry::new().await, Registry::new().await);
    for (tag, image) in [("1", &images[0]), ("2", &images[1]), ("3", &images[1])] {
        from.put("app", tag, image);
    }
    let three = ["1", "2", "3"];
    let (done, read, written) = goes(&from, &to).await;
    assert_eq!((done.names, done.manifests.len(), done.left_out.len()), (3, 2, 0));
    // The manifest of a new name comes with it.
    let expected = [
        list(),
        tags("GET", &three),
        reads(&[&images[0].blobs[..], &images[1].blobs].concat()),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        tags("HEAD", &three),
        images.iter().map(|image| by_digest("HEAD", image)).collect(),
        questions(&[images[0].blobs[1].clone(), images[1].blobs[1].clone()]),
        writes(4),
        vec![
            line("PUT", "manifests/1"),
            line("PUT", format_args!("manifests/{}?tag=2&tag=3", images[1].digest())),
        ],
    ];
    assert_eq!(written, lines(&expected.concat()));
    let (done, read, written) = goes(&from, &to).await;
    assert_eq!((done.names, done.manifests.len()), (3, 0));
    let expected = [list(), tags("HEAD", &three)].concat();
    assert_eq!((read, written), (lines(&expected), lines(&tags("HEAD", &three))));

    // One moves, and one is new.
    let new = [Image::new("amd64", &["three"]), Image::new("amd64", &["four"])];
    from.put("app", "2", &new[0]);
    from.put("app", "4", &new[1]);
    let (done, read, written) = goes(&from, &to).await;
    assert_eq!((done.names, done.manifests.len()), (4, 2));
    let expected = [
        list(),
        tags("HEAD", &three),
        vec![by_digest("GET", &new[0])],
        tags("GET", &["4"]),
        reads(&[&new[0].blobs[..], &new[1].blobs].concat()),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        tags("HEAD", &["1", "2", "3", "4"]),
        new.iter().map(|image| by_digest("HEAD", image)).collect(),
        questions(&[new[0].blobs[1].clone(), new[1].blobs[1].clone()]),
        writes(4),
        tags("PUT", &["2", "4"]),
    ];
    assert_eq!(written, lines(&expected.concat()));
}

#[tokio::test]
async fn what_is_wrong_with_a_manifest_is_told_once_with_all_its_names() {
    let (image, odd) = (Image::new("amd64", &["one"]), Image::new("amd64", &["odd"]));
    let spoilt = odd.digest();
    let from = Registry::that(move |seen, reply| {
        let is_spoilt = reply
            .headers
            .contains(&("Docker-Content-Digest".to_owned(), spoilt.to_string()));
        match &*seen.method {
            "GET" if is_spoilt => {
                let (mut body, length) = (reply.body.clone(), reply.body.len() + 1);
                body.push(b' ');
                reply.replace("Content-Length", length).body(body)
            }
            _ => reply,
        }
    })
    .await;
    for (tag, image) in [("1", &image), ("2", &odd), ("3", &odd)] {
        from.put("app", tag, image);
    }
    let (done, _, _) = goes(&from, &Registry::new().await).await;
    let left_out: Vec<_> = done.left_out.iter().collect();
    let [left] = left_out[..] else { panic!("{left_out:?}") };
    assert_eq!(
        (&left.names[..], left.digest),
        (&["2".to_owned(), "3".to_owned()][..], Some(spoilt))
    );
    assert_eq!(
        (left.error.kind(), done.names),
        (&ErrorKind::Mismatch, 1),
        "{}",
        left.error
    );
}
