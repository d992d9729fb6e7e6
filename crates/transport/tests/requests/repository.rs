//! All of a repository.

use std::collections::HashMap;

use teu_store::copy::{Moves, Whole};

use super::*;

#[tokio::test]
async fn a_whole_repository() {
    whole_repository(Moves::All).await;
}

/// What the names point at there is looked at, and is asked once all the same.
#[tokio::test]
async fn a_whole_repository_of_which_no_name_moves_that_others_moved() {
    whole_repository(Moves::From(HashMap::new())).await;
}

async fn whole_repository(moves: Moves) {
    let images = [Image::new("amd64", &["one"]), Image::new("amd64", &["two"])];
    let (from, to) = (Registry::new().await, Registry::new().await);
    for (tag, image) in [("1", &images[0]), ("2", &images[1]), ("3", &images[1])] {
        from.put("app", tag, image);
    }
    let how = Whole {
        options: all(),
        sparse: false,
        is_name: |_| true,
        moves,
        under_way: None,
        noted: copy::Noted::default(),
    };
    let goes = async || {
        let done = copy::copy_repository(from.at("app"), to.at("app"), &how, &silent()).await;
        assert_eq!(done.expect("copied").names.len(), 3);
        (from.asked(), to.asked())
    };
    let tags = |method: &str| -> Vec<String> {
        let tag = |tag: &str| line(method, format_args!("manifests/{tag}"));
        ["1", "2", "3"].map(tag).to_vec()
    };
    let listed = [vec![line("GET", "tags/list?n=1000")], tags("HEAD")].concat();
    let (read, written) = goes().await;
    let by_digest = |method: &str, image: &Image| line(method, format_args!("manifests/{}", image.digest()));
    let expected = [
        listed.clone(),
        images.iter().map(|image| by_digest("GET", image)).collect(),
        reads(&[&images[0].blobs[..], &images[1].blobs].concat()),
    ];
    assert_eq!(read, lines(&expected.concat()));
    let expected = [
        tags("HEAD"),
        images.iter().map(|image| by_digest("HEAD", image)).collect(),
        questions(&[images[0].blobs[1].clone(), images[1].blobs[1].clone()]),
        writes(4),
        vec![
            line("PUT", "manifests/1"),
            line("PUT", format_args!("manifests/{}?tag=2&tag=3", images[1].digest())),
        ],
    ];
    assert_eq!(written, lines(&expected.concat()));
    assert_eq!(goes().await, (lines(&listed), lines(&tags("HEAD"))));
}
