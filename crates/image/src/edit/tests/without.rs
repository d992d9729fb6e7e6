//! Layers that go, and others that need them.

use std::sync::Mutex;

use teu_store::Event;

use super::*;

fn file(path: &str) -> (Bytes, Digest) {
    layer(|writer| writer.append_data(&Header::file(path, 1), &b"x"[..]).expect("appended"))
}

fn entry(header: &Header) -> (Bytes, Digest) {
    layer(|writer| writer.append(header).expect("appended"))
}

fn without(places: &[usize]) -> Edit {
    Edit {
        remove_layers: places.iter().map(|place| WhichLayer::At(*place)).collect(),
        ..Edit::default()
    }
}

/// How many layers are left of an image of these, and what was said by the way.
async fn left(layers: &[(Bytes, Digest)], places: &[usize]) -> Result<(usize, Vec<String>)> {
    let store = Memory::new();
    image(&store, "", layers).await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let events: teu_store::Events = Arc::new(move |event| {
        if let Event::Warning { message } = event {
            heard.lock().expect("a list").push(message);
        }
    });
    let pick = Pick::Name("app".to_owned());
    let edit = without(places);
    let done = in_place(Arc::new(store.clone()), &pick, &edit, &Options::default(), &events).await?;
    let left = document(&store, &done.descriptor).await.children().len() - 1;
    let said = said.lock().expect("a list").clone();
    Ok((left, said))
}

#[tokio::test]
async fn a_layer_that_another_one_needs_stays_unless_that_goes_too() {
    let link = entry(&Header::hard_link("h", "a"));
    let below = file("d/in");
    let cases = [
        // A hard link to a file of a layer that goes.
        (
            vec![file("a"), link.clone()],
            0,
            "it is a hard link, and nothing is where it leads to",
        ),
        // A file in a directory that a layer that goes put in the place of a file.
        (
            vec![file("d"), entry(&Header::directory("d")), below],
            1,
            "\"d\" is a file, and no directory",
        ),
    ];
    for (layers, place, why) in cases {
        let error = left(&layers, &[place]).await.expect_err(why);
        assert_eq!(*error.kind(), ErrorKind::Unsupported, "{error}");
        let said = error.to_string();
        let begins = said.contains("a layer that stays needs one that goes, and could not be unpacked without it");
        assert!(begins && said.contains(why), "{said}");
        let both = left(&layers, &[place, place + 1]).await.expect("both go");
        assert_eq!(both, (layers.len() - 2, Vec::new()));
    }
    // Another layer has the file.
    let other = [file("a"), file("a"), link];
    assert_eq!(left(&other, &[0]).await.expect("removed"), (2, Vec::new()));
}

#[tokio::test]
async fn of_an_image_that_could_not_be_unpacked_layers_go_all_the_same() {
    let link = entry(&Header::hard_link("h", "nowhere"));
    let layers = [file("a"), link, file("b")];
    let (count, said) = left(&layers, &[0]).await.expect("removed");
    assert_eq!((count, said.len()), (2, 1));
    assert!(
        said[0].starts_with("the image could not be unpacked, and cannot be without what goes: "),
        "{said:?}"
    );
    // That one was why.
    assert_eq!(left(&layers, &[1]).await.expect("removed"), (2, Vec::new()));
    // And so is a layer that is no archive.
    let text: Bytes = b"no archive".as_slice().into();
    let none = (text.clone(), Digest::of(&text));
    let broken = [file("a"), none, file("b")];
    assert_eq!(left(&broken, &[1]).await.expect("removed"), (2, Vec::new()));
    // What cannot be known keeps none: here the content of one that stays is another than the config says.
    let lying = [file("a"), (file("b").0, Digest::of(b"another")), file("c")];
    let (count, said) = left(&lying, &[0]).await.expect("removed");
    assert_eq!((count, said.len()), (2, 1));
    assert!(
        said[0].starts_with("nobody knows whether what stays can be unpacked"),
        "{said:?}"
    );
    // What is below the highest that stays is not read where nothing stays above what goes.
    assert_eq!(left(&broken, &[2]).await.expect("removed"), (2, Vec::new()));
}
