//! Is Docker's schema 1 refused by its name, with what to do, by whatever looks for an image?

use crate::support::{
    Room,
    answers::{Answers, status},
};
use teu_spec::Digest;

/// What was signed: the registry calls the whole by the digest of this.
const PAYLOAD: &str = r#"{"schemaVersion":1,"name":"app","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}"#;

#[test]
fn an_image_of_schema_1_is_called_that_and_what_to_do_is_said() {
    let signed = PAYLOAD.replace('}', r#","signatures":[{"signature":"c2lnbmVk","protected":"e30"}]}"#);
    for (media_type, body) in [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", signed),
        (
            "application/vnd.docker.distribution.manifest.v1+json",
            PAYLOAD.to_owned(),
        ),
    ] {
        let registry = Answers::start(move |request| match request.leaf() {
            "1" => {
                let digest = Digest::of(PAYLOAD.as_bytes()).to_string();
                let headers = vec![
                    ("Content-Type", media_type.to_owned()),
                    ("Docker-Content-Digest", digest),
                ];
                (200, headers, body.clone().into_bytes())
            }
            _ => status(404),
        });
        let room = Room::new();
        let (host, image) = (&registry.host, format!("docker://{}/app:1", registry.host));
        for (arguments, at) in [
            (
                &["copy", "--src-tls-verify=false", &image, "oci:new:1"][..],
                "source: finding image \"1\": ",
            ),
            (&["inspect", "--tls-verify=false", &image], ""),
            (&["inspect", "--raw", "--tls-verify=false", &image], ""),
            (&["manifest", "get", "--tls-verify=false", &image], ""),
        ] {
            let said = format!(
                "teu: {at}{host}/app:1: Docker's schema 1 is not supported: it was retired in 2020; push the image again with a current tool and copy that\n"
            );
            assert_eq!(room.teu(arguments).fails(1), said, "{arguments:?}");
        }
        assert!(!room.path("new").exists());
    }
}
