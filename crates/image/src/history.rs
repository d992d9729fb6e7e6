//! How was an image made? [`steps`] pairs what its history tells with its layers, whatever of both is missing.

use teu_spec::{Descriptor, Digest, History, ImageConfig, Manifest};

/// One step of how an image was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What is told of it; none of a layer of which the history does not tell.
    pub history: Option<&'a History>,
    /// The layer that it made; none where it made none, or where the history tells of more than there are.
    pub layer: Option<&'a Descriptor>,
    /// The digest of what is in that layer; none where the config has fewer.
    pub diff_id: Option<&'a Digest>,
}

/// The steps, oldest first: those of the history, and after them the layers of which it does not tell (image-spec, config.md, `history`, which
/// may be short or absent).
#[must_use]
pub fn steps<'a>(manifest: &'a Manifest, config: &'a ImageConfig) -> Vec<Step<'a>> {
    let mut layers = manifest.layers.iter();
    let mut diff_ids = config.diff_ids().iter();
    let mut steps: Vec<Step<'a>> = Vec::new();
    for history in &config.fields.history {
        let layer = if history.empty_layer { None } else { layers.next() };
        steps.push(Step {
            history: Some(history),
            layer,
            diff_id: layer.and_then(|_| diff_ids.next()),
        });
    }
    steps.extend(layers.map(|layer| Step {
        history: None,
        layer: Some(layer),
        diff_id: diff_ids.next(),
    }));
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use teu_spec::Document;

    use super::*;

    #[test]
    fn steps_and_layers_are_paired_whatever_is_missing() {
        let digest = |number: usize| Digest::of(&[number as u8]).to_string();
        for (what, layers, diff_ids, history, expected) in [
            ("nothing", 0, 0, json!(null), vec![]),
            (
                "no history",
                2,
                2,
                json!([]),
                vec![(false, Some(0), Some(0)), (false, Some(1), Some(1))],
            ),
            (
                "a step without a layer",
                2,
                2,
                json!([{"created_by": "a"}, {"empty_layer": true}, {}]),
                vec![(true, Some(0), Some(0)), (true, None, None), (true, Some(1), Some(1))],
            ),
            (
                "a history that tells of more",
                1,
                1,
                json!([{}, {}]),
                vec![(true, Some(0), Some(0)), (true, None, None)],
            ),
            (
                "too few DiffIDs",
                2,
                1,
                json!([{}]),
                vec![(true, Some(0), Some(0)), (false, Some(1), None)],
            ),
        ] {
            let list = |count: usize| (0..count).map(digest).collect::<Vec<_>>();
            let config = json!({
                "architecture": "amd64", "os": "linux", "history": history,
                "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            });
            let layer = |digest: &String| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 1});
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(9), "size": 1},
                "layers": list(layers).iter().map(layer).collect::<Vec<_>>(),
            });
            let config = ImageConfig::parse(config.to_string().into()).unwrap();
            let Document::Manifest(manifest) = Document::parse(manifest.to_string().into(), None).unwrap() else {
                panic!("no manifest");
            };
            let place = |found: Option<&Digest>| {
                found.map(|found| list(4).iter().position(|one| *one == found.to_string()).unwrap())
            };
            let steps: Vec<_> = steps(&manifest, &config)
                .iter()
                .map(|step| {
                    let layer = step.layer.map(|layer| &layer.digest);
                    (step.history.is_some(), place(layer), place(step.diff_id))
                })
                .collect();
            assert_eq!(steps, expected, "{what}");
        }
    }
}
