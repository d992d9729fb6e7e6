//! Configurations: Docker's extras, what skopeo prints of them, and threat 54.

#![allow(missing_docs, reason = "a test is not an interface")]

use bytes::Bytes;
use teu_spec::{Error, Healthcheck, ImageConfig, Platform};

const FULL: &str = include_str!("data/config.json");
/// What Go's `json.MarshalIndent` wrote of image-spec 1.1's `Image` read from [`FULL`].
const BY_GO: &str = include_str!("data/config-by-go.json");

fn parse(raw: &str) -> ImageConfig {
    ImageConfig::parse(Bytes::copy_from_slice(raw.as_bytes())).unwrap()
}

fn reason(raw: &str) -> String {
    ImageConfig::parse(Bytes::copy_from_slice(raw.as_bytes()))
        .unwrap_err()
        .to_string()
}

#[test]
fn all_fields_are_read_and_the_bytes_are_kept() {
    let config = parse(FULL);
    assert_eq!(config.raw(), FULL);
    let fields = &config.fields;
    assert_eq!(config.created().unwrap().unwrap().to_string(), "2024-01-02T03:04:05Z");
    assert_eq!(fields.author, "Ann <a@b.c> & \u{2028}");
    assert_eq!(fields.docker_version, "20");
    assert_eq!(fields.container, "abc");
    assert_eq!(fields.parent, "p");
    assert_eq!(fields.id, "i");
    assert_eq!(
        fields.container_config.as_ref().unwrap().cmd,
        Some(vec!["x".to_owned()])
    );
    assert_eq!(
        config.platform(),
        Platform {
            architecture: "amd64".to_owned(),
            os: "windows".to_owned(),
            os_version: "10.0.17763.1".to_owned(),
            os_features: vec!["win32k".to_owned()],
            variant: "v2".to_owned(),
            features: Vec::new(),
        }
    );
    assert_eq!(config.diff_ids().len(), 2);
    assert_eq!(fields.history.len(), 3);
    assert!(fields.history[1].empty_layer && !fields.history[2].empty_layer);
    let run = &fields.config;
    assert_eq!(
        run.exposed_ports.iter().collect::<Vec<_>>(),
        ["443/tcp", "53/udp", "80/tcp"]
    );
    assert_eq!(
        run.healthcheck,
        Some(Healthcheck {
            test: Some(vec!["CMD-SHELL".to_owned(), "x".to_owned()]),
            interval: 30_000_000_000,
            timeout: 1,
            start_period: 2,
            start_interval: 3,
            retries: 4,
        })
    );
    assert_eq!(run.shell, Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]));
    assert_eq!(run.on_build, Some(vec!["RUN x".to_owned()]));
    assert_eq!(run.stop_timeout, Some(5));
    assert_eq!((&*run.hostname, &*run.domainname, &*run.image), ("h", "d", "sha256:x"));
    assert!(run.args_escaped);
}

#[test]
fn what_is_printed_is_what_go_prints() {
    assert_eq!(parse(FULL).to_go_json("    ").unwrap() + "\n", BY_GO);
    let empty = r#"{
    "architecture": "",
    "os": "",
    "config": {},
    "rootfs": {
        "type": "",
        "diff_ids": null
    }
}"#;
    let null = r#"{"created":null,"author":null,"architecture":null,"os":null,"os.version":null,"os.features":null,
        "variant":null,"config":null,"rootfs":null,"history":null}"#;
    for raw in ["{}", null] {
        assert_eq!(parse(raw).to_go_json("    ").unwrap(), empty);
    }
    let hollow = r#"{"architecture":"arm64","os":"linux","config":{"User":null,"ExposedPorts":null,"Env":[],"Entrypoint":[],
        "Cmd":null,"Volumes":{},"Labels":{},"Healthcheck":null,"OnBuild":[],"ArgsEscaped":false},
        "rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
    assert_eq!(
        parse(hollow).to_go_json(" ").unwrap(),
        "{\n \"architecture\": \"arm64\",\n \"os\": \"linux\",\n \"config\": {},\n \"rootfs\": {\n  \"type\": \"layers\",\n  \"diff_ids\": []\n }\n}"
    );
}

#[test]
fn whether_a_list_is_absent_or_empty_is_kept() {
    let absent = parse("{}").fields.config;
    let empty = parse(r#"{"config":{"Env":[],"Cmd":[],"Entrypoint":[],"Labels":{},"Shell":[],"OnBuild":[]}}"#)
        .fields
        .config;
    assert_eq!((absent.env, absent.cmd, absent.entrypoint), (None, None, None));
    assert_eq!((absent.labels, absent.shell, absent.on_build), (None, None, None));
    assert_eq!(
        (empty.env, empty.cmd, empty.entrypoint),
        (Some(vec![]), Some(vec![]), Some(vec![]))
    );
    assert_eq!((empty.shell, empty.on_build), (Some(vec![]), Some(vec![])));
    assert_eq!(empty.labels, Some([].into()));
}

#[test]
fn a_time_that_is_none_shows_when_it_is_asked_for() {
    let config = parse(r#"{"created":"yesterday"}"#);
    let expected = r#"not a valid time: "yesterday" is not a moment by RFC 3339"#;
    assert_eq!(config.created().unwrap_err().to_string(), expected);
    assert_eq!(config.to_go_json("").unwrap_err().to_string(), expected);
    let config = parse(r#"{"history":[{"created":"never"}]}"#);
    assert!(config.to_go_json("").is_err());
    assert_eq!(config.created(), Ok(None));
}

#[test]
fn threat_53_a_config_that_readers_would_see_differently_is_refused() {
    for (raw, expected) in [
        (r#"{"OS":"linux"}"#, r#"the key "OS" differs from "os" in case alone"#),
        (
            r#"{"config":{"user":"root"}}"#,
            r#"the key "user" differs from "User" in case alone"#,
        ),
        (
            r#"{"config":{"User":"a","User":"root"}}"#,
            r#"the key "User" stands twice"#,
        ),
        (
            r#"{"config":{"Healthcheck":{"test":[]}}}"#,
            r#""test" differs from "Test""#,
        ),
        (r#"{"container_config":{"CMD":[]}}"#, r#""CMD" differs from "Cmd""#),
        (r#"{"rootfs":{"Diff_IDs":[]}}"#, r#""Diff_IDs" differs from "diff_ids""#),
        (
            r#"{"history":[{"Empty_Layer":true}]}"#,
            r#""Empty_Layer" differs from "empty_layer""#,
        ),
        (
            r#"{"config":{"Labels":{"a":"1","a":"2"}}}"#,
            r#"the key "a" stands twice"#,
        ),
        (r#"{"config":{"Env":"A=1"}}"#, "expected a sequence"),
        (r#"{"config":{"Labels":{"a":1}}}"#, "expected a string"),
        (r#"{"config":[]}"#, "an array stands where an object must"),
        (r#"{"rootfs":["layers",[]]}"#, "an array stands where an object must"),
        (
            r#"{"history":[["2024-01-02T03:04:05Z"]]}"#,
            "an array stands where an object must",
        ),
        (r#"{"history":{}}"#, "invalid type: map"),
        ("[]", "it is not an object"),
    ] {
        let reason = reason(raw);
        assert!(reason.contains(expected), "{raw}: {reason}");
    }
    // A label may be called anything.
    parse(r#"{"config":{"Labels":{"user":"1","User":"2","USER":"3"}}}"#);
}

#[test]
fn threat_54_diff_ids_and_layers_are_as_many() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let with = |count: usize| {
        let ids = vec![format!("\"{digest}\""); count].join(",");
        parse(&format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#))
    };
    for (diff_ids, layers) in [(0, 0), (1, 1), (3, 3)] {
        assert_eq!(with(diff_ids).check_layers(layers), Ok(()));
    }
    for (diff_ids, layers) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        assert_eq!(
            with(diff_ids).check_layers(layers).unwrap_err().to_string(),
            format!("not a valid image config: it has {diff_ids} diff_ids, but the manifest has {layers} layers")
        );
    }
    for (raw, kind) in [
        (r#"{"rootfs":{"type":"layers+base","diff_ids":[]}}"#, "layers+base"),
        (r#"{"rootfs":{"type":"\u001b[2J"}}"#, "\\u{1b}[2J"),
        ("{}", ""),
    ] {
        assert_eq!(
            parse(raw).check_layers(0).unwrap_err(),
            Error::Document {
                what: "image config",
                reason: format!("its rootfs is of type \"{kind}\" and must be of type \"layers\""),
            }
        );
    }
    for raw in [
        r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../../etc/passwd"]}}"#.to_owned(),
        format!(
            r#"{{"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            digest.to_uppercase()
        ),
        r#"{"rootfs":{"type":"layers","diff_ids":[null]}}"#.to_owned(),
    ] {
        assert!(reason(&raw).starts_with("not a valid image config: "), "{raw}");
    }
}

#[test]
fn a_chain_id_stands_for_a_layer_and_all_below_it() {
    use teu_spec::{Digest, chain_ids};
    let [a, b, c] = ["a", "b", "c"].map(|text| Digest::of(text.as_bytes()));
    let ab = Digest::of(format!("{a} {b}").as_bytes());
    let abc = Digest::of(format!("{ab} {c}").as_bytes());
    assert_eq!(chain_ids(&[a, b, c]), [a, ab, abc]);
    assert_eq!(chain_ids(&[]), []);
}
