//! Does `teu serve` do what flags, variables and files say, in this order, and say what is wrong with them?

use crate::support::{Room, Served, ask, image};
use serde_json::{Value, json};

fn shown(room: &Room, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let mut run = room.teu(["serve", "-o", "json", "--print-config"].iter().chain(arguments));
    for (name, value) in variables {
        run = run.env(name, value);
    }
    serde_json::from_str(&run.succeeds().stdout).expect("JSON")
}

#[test]
fn a_flag_counts_before_a_variable_and_that_before_a_file() {
    let room = Room::new();
    let file = "listen = \":1\"\ndeletes = true\nimmutable = [\"a:*\", \"b:*\"]\n[max]\npage = 7\nmanifest = \"1MiB\"\n[tls]\nclients-unnamed = true\n";
    room.file("serve.toml", file);
    let config = ["--config", "serve.toml"];
    let only_file = shown(&room, &config, &[]);
    let all = [
        ("listen", json!(":1")),
        ("deletes", json!(true)),
        ("immutable", json!(["a:*", "b:*"])),
        ("max.page", json!(7)),
        ("max.manifest", json!("1MiB")),
        ("tls.clients-unnamed", json!(true)),
        ("max.tags", json!(100)),
        ("data", Value::Null),
        ("idle.connection", json!("5m")),
    ];
    for (key, value) in &all {
        assert_eq!(only_file[key], *value, "{key}");
    }
    let variables = [
        ("TEU_SERVE_CONFIG", "serve.toml"),
        ("TEU_SERVE_LISTEN", ":2"),
        ("TEU_SERVE_MAX_PAGE", "8"),
        ("TEU_SERVE_IMMUTABLE", "c:*,d:*"),
        ("TEU_SERVE_DELETES", "no"),
    ];
    let flags = ["--max-page", "9", "--deletes=true", "--tls-clients-unnamed=false"];
    let together = shown(&room, &flags, &variables);
    for (key, value) in [
        ("listen", json!(":2")),
        ("deletes", json!(true)),
        ("immutable", json!(["c:*", "d:*"])),
        ("max.page", json!(9)),
        ("max.manifest", json!("1MiB")),
        ("tls.clients-unnamed", json!(false)),
    ] {
        assert_eq!(together[key], value, "{key}");
    }
    // What is shown is a file that says the same.
    let printed = room
        .teu(["serve", "--print-config", "--config", "serve.toml", "--max-page=9"])
        .succeeds();
    room.file("again.toml", &printed.stdout);
    let again = shown(&room, &["--config", "again.toml"], &[]);
    assert_eq!(again, shown(&room, &["--config", "serve.toml", "--max-page=9"], &[]));
}

#[test]
fn a_variable_that_says_nothing_is_warned_of_by_each_verb() {
    let room = Room::new();
    let warning = "teu: warning: there is no variable TEU_SERVE_ACCES_POLICY, and it says nothing; TEU_SERVE_ACCESS_POLICY is the nearest\n";
    let shown = room
        .teu(["serve", "--print-config"])
        .env("TEU_SERVE_ACCES_POLICY", "access.toml");
    assert_eq!(shown.succeeds().stderr, warning);
    let backup = room
        .teu(["serve", "backup", "copy"])
        .env("TEU_SERVE_ACCES_POLICY", "access.toml");
    assert!(backup.fails(2).starts_with(warning));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let room = Room::new();
    for (text, code, says) in [
        (
            "lisen = \":1\"",
            2,
            "serve.toml: line 1: there is no setting lisen; listen is the nearest",
        ),
        (
            "\n[tls]\nkeys = 1",
            2,
            "serve.toml: line 3: there is no setting tls.keys; tls.key is the nearest",
        ),
        (
            "[max]\nmanifest = \"huge\"",
            2,
            "serve.toml: line 2: max.manifest: \"huge\" is no number of bytes",
        ),
        (
            "[max]\npage = -1",
            2,
            "serve.toml: line 2: max.page: \"-1\" is no number that it can be",
        ),
        (
            "[idle]\nbody = 60",
            2,
            "serve.toml: line 2: idle.body: \"60\" is no time; write one such as 90s",
        ),
        (
            "[log]\nformat = \"xml\"",
            2,
            "serve.toml: line 2: log.format: \"xml\" is none of text, json",
        ),
        (
            "listen = \"5000\"",
            2,
            "serve.toml: line 1: listen: \"5000\" is no address and port",
        ),
        (
            "[max]\nmanifest = \"5MiB\"",
            2,
            "--max-manifest is more than the 4194304 bytes",
        ),
        ("[max]\nconnections = 0", 2, "--max-connections is 0, which lets nobody"),
        ("[idle]\nbody = \"0s\"", 2, "--idle-body is 0, which lets nobody"),
        ("[time]\nhead = \"0s\"", 2, "--time-head is 0, which lets nobody"),
        (
            "[max]\nuploads-kept = 0",
            2,
            "--max-uploads-kept is 0, which lets nobody push",
        ),
        (
            "[idle]\nupload-kept = \"0s\"",
            2,
            "--idle-upload-kept is 0, which lets nobody push",
        ),
        (
            "read-only = true\ndeletes = true",
            2,
            "--read-only cannot be used with --deletes",
        ),
        ("[gc]\ninterval = \"1ms\"", 2, "--gc-interval is at least a second"),
        (
            "[gc]\nlease = \"0s\"",
            2,
            "it is at least 1s: what was pushed is to be there still",
        ),
        (
            "[token]\nlifetime = \"90s\"",
            2,
            "--token-lifetime means nothing without --tokens or --token-keys",
        ),
        (
            "[token]\nurl = \"https://a/token\"\nservice = \"s\"",
            2,
            "--token-url means nothing without --tokens or --token-keys",
        ),
        (
            "htpasswd = \"users\"\ntokens = true\n[token]\nlifetime = \"25h\"",
            2,
            "--token-lifetime is at most 24h",
        ),
        ("realm = \"here\"", 2, "--realm means nothing without --htpasswd"),
        (
            "header = \"Content-length: 5\"",
            2,
            "--header cannot be content-length, which answers have of their own",
        ),
        ("prefix = \"registry\"", 2, "\"registry\" is no prefix of paths"),
        ("location = \"registry.example\"", 2, "is no URL to put paths behind"),
        (
            "header = \"X\"",
            2,
            "\"X\" is no header; --header and each line of TEU_SERVE_HEADER is NAME: VALUE",
        ),
        (
            "tokens = true\n[token]\nkeys = \"k\"",
            2,
            "--tokens cannot be used with --token-keys",
        ),
        (
            "[token]\nkeys = \"http://a/jwks\"\nurl = \"https://a/token\"",
            2,
            "is asked in plain HTTP",
        ),
        ("x", 2, "serve.toml: line 1: key with no value, expected `=`"),
    ] {
        room.file("serve.toml", text);
        let run = room.teu([
            "serve",
            "--config",
            "serve.toml",
            "--data",
            "kept",
            "--listen",
            "127.0.0.1:0",
        ]);
        let run = match text.starts_with("listen") {
            true => room.teu(["serve", "--config", "serve.toml", "--data", "kept"]),
            false => run,
        };
        let said = run.fails(code);
        assert!(said.contains(says), "{text}: {said}");
    }
    let said = room.teu(["serve", "--config", "nothing.toml"]).fails(1);
    assert!(said.contains("nothing.toml cannot be read: No such file"), "{said}");
    room.file("long.toml", vec![b'#'; (1 << 20) + 1]);
    let said = room.teu(["serve", "--config", "long.toml"]).fails(1);
    assert!(
        said.contains("long.toml cannot be read: it has more than 1048576 bytes"),
        "{said}"
    );
    let said = room
        .teu(["serve", "--config", "a", "--distribution-config", "b"])
        .fails(2);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn a_variable_that_says_nothing_is_named() {
    let room = Room::new();
    let run = room
        .teu(["serve", "--listen", "127.0.0.1:0"])
        .env("TEU_SERVE_DELETES", "");
    let said = run.fails(2);
    assert!(
        said.contains("the variable TEU_SERVE_DELETES says that; unset it where it is to say nothing"),
        "{said}"
    );
    let said = room.teu(["serve", "--deletes="]).fails(2);
    assert!(!said.contains("variable"), "{said}");
}

#[test]
fn a_server_does_what_its_file_says() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string();
    let file = "data = \"kept\"\nimmutable = \"*:v1\"\nprefix = \"/x/\"\nheader = [\"X-A: b\", \"X-A: c\"]\nmetrics = \"127.0.0.1:0\"\n\
        metrics-path = \"/m\"\n[log]\nformat = \"json\"\nrequests = \"failures\"\n[max]\nmanifest = 300\n";
    room.file("serve.toml", file);
    let served = Served::start(&room, &["--config", "serve.toml"]);
    let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let base = ask(&served.address, &format!("GET /x/v2/ {close}\r\n"));
    assert!(base.starts_with("HTTP/1.1 200 OK\r\n"), "{base}");
    assert!(base.contains("X-A: b\r\n") && base.contains("X-A: c\r\n"), "{base}");
    assert!(ask(&served.address, &format!("GET /v2/ {close}\r\n")).starts_with("HTTP/1.1 404"));
    let begun = ask(
        &served.address,
        &format!("POST /x/v2/a/blobs/uploads/ {close}Content-Length: 0\r\n\r\n"),
    );
    assert!(begun.contains("\r\nLocation: /x/v2/a/blobs/uploads/"), "{begun}");
    let put = format!(
        "PUT /x/v2/a/manifests/1 {close}Content-Length: 301\r\n\r\n{}",
        " ".repeat(301)
    );
    assert!(ask(&served.address, &put).starts_with("HTTP/1.1 413"));
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0));
    let stopped = r#","message":"stopped; uploads that are kept for who goes on with them: 1"}"#;
    assert!(
        said.lines().count() == 1 && said.trim_end().ends_with(stopped),
        "{said}"
    );
    // What is done with the directory takes it of the file too.
    let gc = room
        .teu(["serve", "gc", "--config", "serve.toml", "--dry-run", "-o", "json"])
        .succeeds();
    assert!(gc.stdout.contains("\"candidates\""), "{}", gc.stdout);
    let served = Served::start(&room, &["--config", "serve.toml", "--prefix=/", "--max-manifest=4MiB"]);
    let (first, moved) = (served.image("a:v1"), "oci:images:app");
    let copy = ["copy", "--dest-tls-verify=false", moved, &first];
    room.teu(copy).succeeds();
    let named = room.teu(["digest", "--tls-verify=false", &first]).succeeds();
    assert_eq!(named.stdout.trim(), digest);
}

#[test]
fn untagged_manifests_go_where_that_is_wanted() {
    let room = Room::new();
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    room.layout("many")
        .index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let old = room.layout("old").image("app", &{
        let mut old = image();
        old.config["author"] = "before".into();
        old
    });
    let served = Served::start(&room, &["--data", "kept"]);
    let to = served.image("team/app:1");
    let copy = |from: &str| {
        room.teu(["copy", "--all", "--dest-tls-verify=false", from, &to])
            .succeeds()
    };
    copy("oci:old:app");
    copy("oci:many:all");
    drop(served);
    let told = room
        .teu(["serve", "gc", "--data", "kept", "--untagged", "--dry-run", "-o", "json"])
        .succeeds();
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let expected = json!([{"repository": "team/app", "digest": old.to_string()}]);
    assert_eq!(told["untagged"], expected);
    let done = room.as_registry(["--version"]).succeeds();
    assert!(done.stdout.starts_with("registry "), "{}", done.stdout);
    let done = room
        .teu(["serve", "gc", "--data", "kept", "--untagged", "-o", "json"])
        .succeeds();
    let done: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(done["untagged"], expected);
    let again = room
        .teu(["serve", "gc", "--data", "kept", "--untagged", "-o", "json"])
        .succeeds();
    let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!(again["untagged"], json!([]));
    let served = Served::start(&room, &["--data", "kept"]);
    let from = served.image("team/app:1");
    room.teu(["copy", "--all", "--src-tls-verify=false", &from, "oci:pulled:all"])
        .succeeds();
    room.teu(["verify", "oci:pulled:all"]).succeeds();
}

/// What may be given several times stands in the lines of a variable.
#[test]
fn a_variable_has_a_line_for_each_of_several() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    room.teu(["init", "oci:empty"]).succeeds();
    let run = room
        .teu(["serve", "--listen", "127.0.0.1:0"])
        .env("TEU_SERVE_LAYOUTS", "oci:images\nteam/other=oci:empty\n")
        .env("TEU_SERVE_HEADER", "X-One: a\nX-Two: b\n");
    let served = Served::of(run);
    let catalog = room.teu(["catalog", "--tls-verify=false", &served.address]).succeeds();
    assert_eq!(catalog.stdout, "images\nteam/other\n");
    let request = "GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(&served.address, request).to_lowercase();
    assert!(
        answer.contains("\r\nx-one: a\r\n") && answer.contains("\r\nx-two: b\r\n"),
        "{answer}"
    );
    drop(served);
    let wrong = room.teu(["serve", "oci:images"]).env("TEU_SERVE_HEADER", "X-One: a\nb");
    let said = wrong.fails(2);
    assert!(
        said.contains("\"b\" is no header; --header and each line of TEU_SERVE_HEADER is NAME: VALUE"),
        "{said}"
    );
}
