//! Each field, byte for byte, and what stands beside it.

use teu_spec::Index;

use super::*;

/// Edits an image whose config has `before` where it has `after` then, and nothing else changes; and the same edit again changes nothing.
async fn becomes(before: &str, config_edit: ConfigEdit, after: &str) {
    let store = Memory::new();
    let found = image(&store, before, &[]).await;
    let edit = Edit {
        config: config_edit.clone(),
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    let expected =
        format!(r#"{{"architecture":"amd64","os":"linux",{after}"rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
    assert_eq!(config(&store, &done.descriptor).await, expected, "{config_edit:?}");
    assert_eq!(before == after, done.descriptor.digest == found.digest);
    let again = edited(&store, &edit).await.expect("edited");
    assert_eq!(again.descriptor.digest, done.descriptor.digest, "{config_edit:?}");
}

#[tokio::test]
async fn texts_and_lists_are_set_and_removed() {
    let whole = r#""config":{"User":"a","X":1,"WorkingDir":"/","Entrypoint":["e"],"Cmd":["c"],"StopSignal":"9"},"#;
    let same = ConfigEdit {
        user: word("a"),
        working_dir: text("/"),
        entrypoint: words(&["e"]),
        cmd: words(&["c"]),
        stop_signal: word("9"),
        ..ConfigEdit::default()
    };
    becomes(whole, same, whole).await;
    let others = ConfigEdit {
        user: word("b"),
        working_dir: text("/b"),
        entrypoint: words(&["/e", "-x"]),
        cmd: words(&[]),
        stop_signal: word("SIGTERM"),
        ..ConfigEdit::default()
    };
    let expected =
        r#""config":{"User":"b","X":1,"WorkingDir":"/b","Entrypoint":["/e","-x"],"Cmd":[],"StopSignal":"SIGTERM"},"#;
    becomes(whole, others, expected).await;
    let none = ConfigEdit {
        user: To::Remove,
        working_dir: To::Remove,
        entrypoint: To::Remove,
        cmd: To::Remove,
        stop_signal: To::Remove,
        ..ConfigEdit::default()
    };
    becomes(whole, none, r#""config":{"X":1},"#).await;
}

#[tokio::test]
async fn a_config_that_is_absent_or_null_is_made() {
    let user = || ConfigEdit {
        user: word("a"),
        ..ConfigEdit::default()
    };
    becomes(r#""config":null,"#, user(), r#""config":{"User":"a"},"#).await;
    let store = Memory::new();
    image(&store, "", &[]).await;
    let edit = Edit {
        config: user(),
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    assert!(
        config(&store, &done.descriptor)
            .await
            .ends_with(r#""config":{"User":"a"}}"#)
    );
}

#[tokio::test]
async fn variables_keep_their_places() {
    let env = |clear, changes: &[(&str, Option<&str>)]| ConfigEdit {
        env: pairs(clear, changes),
        ..ConfigEdit::default()
    };
    let before = r#""config":{"Env":["A=1", "B=2" ,"A=3","C"]},"#;
    for (edit, after) in [
        (env(false, &[("B", Some("2"))]), before),
        (env(false, &[("X", None)]), before),
        (
            env(false, &[("B", Some("x=y")), ("D", Some(""))]),
            r#""config":{"Env":["A=1", "B=x=y" ,"A=3","C", "D="]},"#,
        ),
        (
            env(false, &[("A", Some("9"))]),
            r#""config":{"Env":["A=9", "B=2" ,"C"]},"#,
        ),
        (env(false, &[("A", None), ("C", None)]), r#""config":{"Env":["B=2"]},"#),
        (env(true, &[]), r#""config":{},"#),
        (env(true, &[("N", Some("1"))]), r#""config":{"Env":["N=1"]},"#),
        (
            env(false, &[("N", Some("1")), ("N", Some("2"))]),
            r#""config":{"Env":["A=1", "B=2" ,"A=3","C", "N=2"]},"#,
        ),
    ] {
        becomes(before, edit, after).await;
    }
    for before in [
        r#""config":{"Env":null},"#,
        r#""config":{"Env":[]},"#,
        r#""config":{},"#,
    ] {
        becomes(before, env(false, &[("N", Some("1"))]), r#""config":{"Env":["N=1"]},"#).await;
    }
}

#[tokio::test]
async fn labels_ports_and_volumes_are_keys() {
    let before = r#""config":{"Labels":{"b":"1","a":"2"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{"x":1}}},"#;
    let edit = ConfigEdit {
        labels: pairs(false, &[("b", None), ("z", Some("3")), ("c", Some("4"))]),
        ports: Keys {
            add: ["53/udp", "80/tcp"].map(|port| port.parse().expect("a port")).to_vec(),
            ..Keys::default()
        },
        volumes: Keys {
            add: vec!["/w".parse().expect("a volume")],
            remove: vec!["/v".to_owned()],
            clear: false,
        },
        ..ConfigEdit::default()
    };
    let after = r#""config":{"Labels":{"a":"2","z":"3","c":"4"},"ExposedPorts":{"80/tcp":{},"53/udp":{}},"Volumes":{"/w":{}}},"#;
    becomes(before, edit, after).await;
    let clear = ConfigEdit {
        labels: pairs(true, &[]),
        ports: Keys {
            clear: true,
            ..Keys::default()
        },
        volumes: Keys {
            remove: vec!["/v".to_owned()],
            ..Keys::default()
        },
        ..ConfigEdit::default()
    };
    becomes(before, clear, r#""config":{},"#).await;
}

#[tokio::test]
async fn what_only_docker_knows_is_set_too() {
    let edit = ConfigEdit {
        healthcheck: To::Set(Healthcheck {
            test: vec!["CMD".to_owned(), "true".to_owned()],
            interval: Some(5_000_000_000),
            retries: Some(3),
            ..Healthcheck::default()
        }),
        shell: words(&["/bin/bash", "-c"]),
        on_build: words(&["RUN x"]),
        stop_timeout: To::Set(7),
        ..ConfigEdit::default()
    };
    let expected = concat!(
        r#""config":{"Shell":["/bin/bash","-c"],"OnBuild":["RUN x"],"StopTimeout":7,"#,
        r#""Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":3}},"#
    );
    becomes(r#""config":{},"#, edit, expected).await;
    let single = ConfigEdit {
        healthcheck_fields: HealthcheckFields {
            interval: To::Remove,
            timeout: To::Set(7),
            retries: To::Set(3),
            ..HealthcheckFields::default()
        },
        ..ConfigEdit::default()
    };
    let check = r#""config":{"Healthcheck":{"Test":["CMD","true"],"Interval":5,"own" : 1,"Retries":3}},"#;
    let checked = r#""config":{"Healthcheck":{"Test":["CMD","true"],"own" : 1,"Retries":3,"Timeout":7}},"#;
    becomes(check, single, checked).await;
    let none = ConfigEdit {
        healthcheck: To::Remove,
        shell: To::Remove,
        on_build: To::Remove,
        stop_timeout: To::Remove,
        ..ConfigEdit::default()
    };
    becomes(expected, none, r#""config":{},"#).await;
}

#[tokio::test]
async fn the_config_s_own_fields_stand_where_the_specification_has_them() {
    let store = Memory::new();
    image(&store, r#""config":{},"#, &[]).await;
    let edit = Edit {
        config: ConfigEdit {
            author: text("me"),
            created: text("2026-01-02T03:04:05Z"),
            os: text("windows"),
            architecture: text("arm64"),
            variant: text("v8"),
            os_version: text("10.0"),
            os_features: words(&["win32k"]),
            ..ConfigEdit::default()
        },
        history: vec![History {
            created_by: "teu".to_owned(),
            comment: "edited".to_owned(),
            ..History::default()
        }],
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    assert_eq!(
        config(&store, &done.descriptor).await,
        concat!(
            r#"{"created":"2026-01-02T03:04:05Z","author":"me","architecture":"arm64","os":"windows","os.version":"10.0","#,
            r#""os.features":["win32k"],"variant":"v8","config":{},"rootfs":{"type":"layers","diff_ids":[]},"#,
            r#""history":[{"created":"1970-01-01T00:00:00Z","created_by":"teu","comment":"edited","empty_layer":true}]}"#
        )
    );
    let clear = Edit {
        clear_history: true,
        config: ConfigEdit {
            author: To::Remove,
            os_features: To::Remove,
            ..ConfigEdit::default()
        },
        ..Edit::default()
    };
    let done = edited(&store, &clear).await.expect("edited");
    let text = config(&store, &done.descriptor).await;
    assert!(
        !text.contains("history") && !text.contains("author") && !text.contains("features"),
        "{text}"
    );
}

#[tokio::test]
async fn annotations_go_where_they_are_meant_to() {
    let store = Memory::new();
    let one = image(
        &store,
        r#""config":{"Labels":{"org.a":"1","org.b":"2","c":"3"}},"#,
        &[layer(|_| {})],
    )
    .await;
    let mut listed = one.clone();
    listed.platform = Some(teu_spec::Platform::new("linux", "amd64"));
    put(&store, &Index::build(Format::Oci, &[listed]).expect("an index")).await;
    let subject = Descriptor::new(MediaType::OciManifest, Digest::of(b"about"), 5);
    let edit = Edit {
        labels_to_annotations: vec!["org.*".to_owned()],
        annotations: pairs(false, &[("of", Some("manifest"))]),
        index_annotations: pairs(false, &[("of", Some("index"))]),
        descriptor_annotations: pairs(false, &[("of", Some("descriptor"))]),
        layer_annotations: pairs(false, &[("of", Some("layer"))]),
        artifact_type: word("example/type"),
        subject: To::Set(subject.clone()),
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    let index = document(&store, &done.descriptor).await;
    assert_eq!(index.annotations()["of"], "index");
    assert_eq!(
        (index.artifact_type(), index.subject()),
        (Some("example/type"), Some(&subject))
    );
    let child = &index.children()[0];
    assert_eq!(child.annotations["of"], "descriptor");
    let manifest = document(&store, child).await;
    let keys: Vec<&str> = manifest.annotations().keys().map(String::as_str).collect();
    assert_eq!(keys, ["of", "org.a", "org.b"]);
    assert_eq!((manifest.artifact_type(), manifest.subject()), (None, None));
    assert_eq!(manifest.children()[1].annotations["of"], "layer");
    let undo = Edit {
        annotations: pairs(true, &[]),
        index_annotations: pairs(false, &[("of", None)]),
        descriptor_annotations: pairs(true, &[]),
        layer_annotations: pairs(true, &[]),
        artifact_type: To::Remove,
        subject: To::Remove,
        ..Edit::default()
    };
    let done = edited(&store, &undo).await.expect("edited");
    assert_eq!(
        document(&store, &done.descriptor).await.children()[0].digest,
        one.digest
    );
}

#[tokio::test]
async fn build_arguments_leave_the_history() {
    let store = Memory::new();
    let history = concat!(
        r#""history":[{"created_by":"ARG TOKEN=x","empty_layer":true},{"created_by":"ENV A=1","empty_layer":true, "own":1},"#,
        r#"{"created_by":"RUN |2 TOKEN=x B=1 /bin/sh -c make", "own":2}],"#
    );
    image(&store, history, &[layer(|_| {})]).await;
    let edit = |name: &str| Edit {
        build_args: vec![name.to_owned()],
        ..Edit::default()
    };
    let done = edited(&store, &edit("TOKEN")).await.expect("edited");
    let text = config(&store, &done.descriptor).await;
    let expected = concat!(
        r#""history":[{"created_by":"ENV A=1","empty_layer":true, "own":1},"#,
        r#"{"created_by":"RUN |1 B=1 /bin/sh -c make", "own":2}],"#
    );
    assert!(text.contains(expected), "{text}");
    let error = edited(&store, &edit("TOKEN")).await.expect_err("it is gone");
    assert!(
        error.to_string().contains("tells of a build argument \"TOKEN\""),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_small_stands_in_the_manifest_and_what_is_not_does_not() {
    let store = Memory::new();
    let small = layer(|_| {});
    let large = layer(|writer| {
        for number in 0..100_u32 {
            let name = number.wrapping_mul(2_654_435_761).to_string();
            writer.append(&Header::directory(name)).expect("appended");
        }
    });
    assert!(
        small.0.len() < 200 && large.0.len() > 200,
        "{} {}",
        small.0.len(),
        large.0.len()
    );
    image(&store, "", &[small.clone(), large]).await;
    let edit = |most| Edit {
        config: ConfigEdit {
            user: word("a"),
            ..ConfigEdit::default()
        },
        inline: Some(most),
        ..Edit::default()
    };
    let done = edited(&store, &edit(200)).await.expect("edited");
    let children = document(&store, &done.descriptor).await.children();
    let data: Vec<_> = children.iter().map(|child| child.data.clone()).collect();
    assert_eq!(data, [None, Some(small.0), None]);
    let done = edited(&store, &edit(1 << 10)).await.expect("edited");
    let children = document(&store, &done.descriptor).await.children();
    assert_eq!(
        children[0].verified_data().map(|data| data.len() as u64),
        Some(children[0].size)
    );
    let done = edited(&store, &edit(0)).await.expect("edited");
    let children = document(&store, &done.descriptor).await.children();
    assert!(children.iter().all(|child| child.data.is_none()));
}

#[tokio::test]
async fn what_was_meant_for_nothing_is_said_and_nothing_changes() {
    let store = Memory::new();
    let found = image(&store, "", &[layer(|_| {})]).await;
    let cases = [
        (
            Edit {
                remove_layers: vec!["0".parse().expect("a layer"), "7".parse().expect("a layer")],
                ..Edit::default()
            },
            "there is no layer 7 in ",
        ),
        (
            Edit {
                remove_files: vec![Pattern::new("etc/*").expect("a pattern")],
                ..Edit::default()
            },
            "has a file \"etc/*\"",
        ),
        (
            Edit {
                index_annotations: pairs(false, &[("a", Some("b"))]),
                ..Edit::default()
            },
            "is a single image, so there is no index",
        ),
        (
            Edit {
                promote_annotations: true,
                ..Edit::default()
            },
            "is a single image, so there is no index",
        ),
        (
            Edit {
                config: ConfigEdit {
                    healthcheck_fields: HealthcheckFields {
                        retries: To::Set(2),
                        ..HealthcheckFields::default()
                    },
                    ..ConfigEdit::default()
                },
                ..Edit::default()
            },
            "has a health check, of which something could change",
        ),
    ];
    for (edit, message) in cases {
        let error = edited(&store, &edit).await.expect_err("nothing is meant");
        assert!(error.to_string().contains(message), "{error}");
        let now = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
        assert_eq!(now.digest, found.digest);
    }
    assert_eq!(
        "x".parse::<WhichLayer>().expect_err("no layer").to_string(),
        "\"x\" is neither the number of a layer, the lowest being 0, nor its digest, nor eight or more digits that it begins with: \"x\" is not a digest: there is no colon in it"
    );
}
