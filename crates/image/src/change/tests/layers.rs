//! Layers, DiffIDs and history stay in agreement, whatever is done to them.

use super::*;

fn layer(name: &'static str) -> NewLayer {
    NewLayer {
        descriptor: Descriptor::of(MediaType::OciLayer, name.as_bytes()),
        diff_id: Digest::of(name.as_bytes()),
    }
}

fn made_by(text: &str) -> History {
    History {
        created_by: text.to_owned(),
        ..History::default()
    }
}

/// An image on no store, in OCI's form.
async fn loose(change: impl FnOnce(String) -> String) -> Image {
    let store = Memory::new();
    let made = image_of(&store, Format::Oci, "amd64", change).await;
    let config = teu_spec::ImageConfig::parse(made.config.into()).expect("a config");
    Image::new(made.descriptor, true, made.document, Some(config))
}

/// The digests of layers and what the config says of them, the history by what made it.
fn shown(image: &Image) -> (Vec<Digest>, Vec<Digest>, Vec<String>) {
    let config = image.config().expect("a config");
    let layers = image.layers().iter().map(|layer| layer.digest).collect();
    let history = config.fields.history.iter().map(|entry| {
        let mark = if entry.empty_layer { "-" } else { "" };
        format!("{mark}{}", entry.created_by)
    });
    (layers, config.diff_ids().to_vec(), history.collect())
}

fn digests(names: &[&str]) -> Vec<Digest> {
    names.iter().map(|name| Digest::of(name.as_bytes())).collect()
}

const ZERO: &str = "amd64 zero";
const ONE: &str = "the same one";

#[tokio::test]
async fn a_layer_comes_with_its_diff_id_and_its_history() {
    for (place, layers, history) in [
        (0, ["new", ZERO, ONE], ["new", "one", "-nothing", "two"]),
        (1, [ZERO, "new", ONE], ["one", "-nothing", "new", "two"]),
        (2, [ZERO, ONE, "new"], ["one", "-nothing", "two", "new"]),
    ] {
        let mut image = loose(|config| config).await;
        image
            .insert_layer(place, &layer("new"), Some(&made_by("new")))
            .expect("inserted");
        let layers = digests(&layers);
        let history = history.map(str::to_owned).to_vec();
        assert_eq!(shown(&image), (layers.clone(), layers, history), "{place}");
    }
    let error = loose(|config| config)
        .await
        .insert_layer(3, &layer("new"), Some(&made_by("new")));
    assert_eq!(
        error.expect_err("no place").to_string(),
        "there is no place 3 among 2 layers"
    );
}

#[tokio::test]
async fn a_layer_goes_with_its_diff_id_and_its_history() {
    let mut image = loose(|config| config).await;
    image.remove_layer(0).expect("removed");
    let left = digests(&[ONE]);
    let history = ["-nothing", "two"].map(str::to_owned).to_vec();
    assert_eq!(shown(&image), (left.clone(), left, history));
    image.remove_layer(0).expect("removed");
    assert_eq!(shown(&image), (vec![], vec![], vec!["-nothing".to_owned()]));
    assert_eq!(
        image.remove_layer(0).expect_err("none left").to_string(),
        "there is no layer 0; it has 0, counted from 0"
    );
    let mut silent = image.clone();
    silent.append_layer(&layer("new"), None).expect("appended");
    assert_eq!(silent.layers().len(), image.layers().len() + 1);
    assert_eq!(
        silent.config().expect("a config").fields.history,
        image.config().expect("a config").fields.history
    );
    image
        .append_layer(&layer("new"), Some(&made_by("new")))
        .expect("appended");
    let only = digests(&["new"]);
    let history = ["-nothing", "new"].map(str::to_owned).to_vec();
    assert_eq!(shown(&image), (only.clone(), only, history));
}

#[tokio::test]
async fn a_layer_that_is_another_keeps_its_history() {
    let mut image = loose(|config| config).await;
    image.replace_layer(1, &layer("new")).expect("replaced");
    let layers = digests(&[ZERO, "new"]);
    let history = ["one", "-nothing", "two"].map(str::to_owned).to_vec();
    assert_eq!(shown(&image), (layers.clone(), layers, history));
}

#[tokio::test]
async fn layers_that_become_one_stay_in_the_history_as_nothing() {
    let mut image = loose(|config| config).await;
    image
        .merge_layers(0..2, &layer("all"), &made_by("squashed"))
        .expect("merged");
    let layers = digests(&["all"]);
    let history = ["-one", "-nothing", "-two", "squashed"].map(str::to_owned).to_vec();
    assert_eq!(shown(&image), (layers.clone(), layers, history));
    // An entry keeps what nobody knows of it.
    let raw = image.config().expect("a config").raw();
    let text = String::from_utf8(raw.to_vec()).expect("text");
    assert!(
        text.contains(r#"{"created_by": "one", "x": 1, "empty_layer": true}"#),
        "{text}"
    );
    let mut image = loose(|config| config).await;
    image
        .merge_layers(1..2, &layer("top"), &made_by("squashed"))
        .expect("merged");
    let layers = digests(&[ZERO, "top"]);
    let history = ["one", "-nothing", "-two", "squashed"].map(str::to_owned).to_vec();
    assert_eq!(shown(&image), (layers.clone(), layers, history));
    assert!(image.merge_layers(1..1, &layer("none"), &made_by("")).is_err());
    assert!(image.merge_layers(0..3, &layer("none"), &made_by("")).is_err());
}

#[tokio::test]
async fn a_history_that_does_not_speak_of_layers_is_left_as_it_is() {
    for (from, to) in [
        ("\"history\"", "\"past\""),
        ("\"history\": [", "\"history\": null, \"past\": ["),
    ] {
        let mut image = loose(|config| config.replace(from, to)).await;
        image
            .append_layer(&layer("new"), Some(&made_by("new")))
            .expect("appended");
        image.remove_layer(0).expect("removed");
        let layers = digests(&[ONE, "new"]);
        assert_eq!(shown(&image), (layers.clone(), layers, vec![]));
    }
    // One that has an entry too few says nothing of which layer came of what.
    let mut image = loose(|config| config.replace("{\"created_by\": \"two\"}", "{\"empty_layer\": true}")).await;
    image.remove_layer(1).expect("removed");
    assert_eq!(image.config().expect("a config").fields.history.len(), 3);
}

#[tokio::test]
async fn an_image_of_nothing_gets_its_first_layer() {
    for lists in ["", r#","history":[]"#, r#","history":null"#] {
        for rootfs in [
            r#"{"type":"layers"}"#,
            r#"{"type":"layers","diff_ids":[]}"#,
            r#"{"type":"layers","diff_ids":null}"#,
        ] {
            let config = format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{rootfs}{lists}}}"#);
            let descriptor = Descriptor::of(MediaType::OciConfig, config.as_bytes());
            let document = Manifest::build(Format::Oci, &descriptor, &[]).expect("a manifest");
            let config = teu_spec::ImageConfig::parse(config.into()).expect("a config");
            let mut image = Image::new(document.descriptor(), true, document, Some(config));
            image
                .append_layer(&layer("new"), Some(&made_by("new")))
                .expect("appended");
            let only = digests(&["new"]);
            assert_eq!(shown(&image), (only.clone(), only, vec!["new".to_owned()]));
        }
    }
}

#[tokio::test]
async fn layers_without_their_diff_ids_are_refused_and_nothing_changes() {
    let mut image = loose(|config| config.replace("\"diff_ids\"", "\"other\"")).await;
    let before = image.clone();
    let error = image
        .append_layer(&layer("new"), Some(&made_by("new")))
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "not a valid image config: it has 0 diff_ids, but the manifest has 2 layers"
    );
    image.remove_layer(0).expect_err("refused");
    image.replace_layer(0, &layer("new")).expect_err("refused");
    image
        .merge_layers(0..2, &layer("new"), &made_by(""))
        .expect_err("refused");
    assert_eq!(
        (before.document(), before.config().ok()),
        (image.document(), image.config().ok())
    );
}
