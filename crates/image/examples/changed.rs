//! Makes an image of nothing but files, in memory, gives it a label, and unpacks it.
//!
//! `cargo run -p teu-image --example changed`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, fs, sync::Arc};

use teu_image::{
    Image,
    append::{Append, Content, Files, New as NewLayer, Settings},
    change::{self, Change},
    layer::Tree,
    new, unpack,
};
use teu_spec::{History, Pick, Platform};
use teu_store::{BoxFuture, Expect, Memory, Source, silent};

/// Gives images a label.
struct Label(&'static str, &'static str);

impl Change for Label {
    fn image<'a>(&'a self, image: &'a mut change::Image, _: &'a change::Stage) -> BoxFuture<'a, teu_store::Result<()>> {
        Box::pin(async move {
            image.edit_config(|config| config.set(&["config".into(), "Labels".into(), self.0.into()], self.1))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    fs::create_dir(place.path().join("files"))?;
    fs::write(place.path().join("files/hello"), "hello\n")?;

    // An image without layers, and a layer of files on top.
    let store = Arc::new(Memory::new());
    let machine = Platform::new("linux", "amd64");
    let empty = new::New {
        platform: machine.clone(),
        created: None,
        author: String::new(),
    };
    let names = ["app".to_owned()];
    new::create(&empty, store.clone(), &names, Expect::Absent, &silent()).await?;
    let files = Files {
        tree: Some((place.path().join("files"), Tree::default())),
        ..Files::default()
    };
    let layer = NewLayer {
        content: Content::Files(files),
        history: Some(History::default()),
    };
    let app = Pick::Name("app".to_owned());
    let options = change::Options::default();
    let append = Append::new(vec![layer], Settings::default());
    change::in_place(store.clone(), &app, &append, &options, &silent()).await?;

    // The name moves to what comes of a change, and nothing that it does not touch is another.
    let label = Label("org.example.note", "kept");
    let changed = change::in_place(store.clone(), &app, &label, &options, &silent()).await?;
    println!(
        "{} became {}",
        changed.before.digest.short(),
        changed.descriptor.digest.short()
    );
    let again = change::in_place(store.clone(), &app, &label, &options, &silent()).await?;
    assert_eq!(
        again.before.digest, again.descriptor.digest,
        "the same again changes nothing"
    );

    // Each layer is checked while it is applied; the directory appears when all of it is right.
    let source: Arc<dyn Source> = store;
    let image = Image::find(&*source, &app, &machine).await?;
    let how = unpack::Options {
        owners: unpack::Owners::Forgotten,
        ..unpack::Options::default()
    };
    let report = unpack::unpack(&source, &image, &place.path().join("tree"), &how).await?;
    println!("{} entries unpacked", report.entries);
    assert_eq!(fs::read_to_string(place.path().join("tree/hello"))?, "hello\n");
    Ok(())
}
