use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use teu_spec::{ImageConfig, go_json};

use super::{is_json, render, value::Value};

/// The value that `go/main.go` makes its lines of, and what JSON makes of it.
fn output() -> (Value, Json) {
    let (first, second) = (
        format!("sha256:{}", "ab".repeat(32)),
        format!("sha256:{}", "cd".repeat(32)),
    );
    let labels: BTreeMap<String, String> = [("b", "2"), ("a", "1"), ("html", "<a>&\u{2028}é")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let annotations: BTreeMap<String, String> = [("k".to_owned(), "v".to_owned())].into();
    let layer = |kind: &str, digest: &str, size: i64, annotations: Option<&BTreeMap<String, String>>| {
        let json = json!({"MIMEType": kind, "Digest": digest, "Size": size, "Annotations": annotations});
        let fields = vec![
            ("MIMEType", Value::text(kind)),
            ("Digest", Value::digest(digest)),
            ("Size", Value::Int(size)),
            ("Annotations", Value::map(annotations)),
        ];
        (Value::structure("types.ImageInspectLayer", fields, json.clone()), json)
    };
    let (layers, layers_json): (Vec<_>, Vec<_>) = [
        layer("application/vnd.oci.image.layer.v1.tar+gzip", &first, 123, None),
        layer("application/vnd.oci.image.layer.v1.tar", &second, 4, Some(&annotations)),
    ]
    .into_iter()
    .unzip();
    let json = json!({
        "Name": "registry.example/team/app",
        "Digest": first,
        "RepoTags": ["1", "latest"],
        "Created": "2026-11-23T07:52:32.3+10:00",
        "DockerVersion": "",
        "Labels": labels,
        "Architecture": "amd64",
        "Os": "linux",
        "Layers": [first, second],
        "LayersData": layers_json,
        "Env": null,
    });
    let fields = vec![
        ("Name", Value::text("registry.example/team/app")),
        ("Tag", Value::text("")),
        ("Digest", Value::digest(&first)),
        ("RepoTags", Value::texts(Some(&["1", "latest"]))),
        ("Created", Value::time("2026-11-23T07:52:32.3+10:00".parse().ok())),
        ("DockerVersion", Value::text("")),
        ("Labels", Value::map(Some(&labels))),
        ("Architecture", Value::text("amd64")),
        ("Os", Value::text("linux")),
        ("Layers", Value::texts(Some(&[first, second]))),
        ("LayersData", Value::list(layers)),
        ("Env", Value::texts::<String>(None)),
    ];
    (Value::structure("inspect.Output", fields, json.clone()), json)
}

/// Checks every line that Go made of its templates.
fn as_go(lines: &str, value: &Value, json: &Json) {
    let mut failed = Vec::new();
    for line in lines.lines() {
        let line: Json = serde_json::from_str(line).expect("JSON");
        let template = line["template"].as_str().expect("a template");
        let ours = match is_json(template) {
            true => Ok(go_json::indented(json, "    ").expect("JSON") + "\n"),
            false => render(template, value.clone()),
        };
        match (&ours, line["output"].as_str()) {
            (Ok(ours), Some(go)) if ours == go => {}
            (Err(_), None) => {}
            _ => failed.push(format!("{template}\n  ours {ours:?}\n  Go's {line}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn templates_print_as_gos_do() {
    let (value, json) = output();
    as_go(include_str!("go/output.jsonl"), &value, &json);
}

#[test]
fn templates_of_a_configuration_print_as_gos_do() {
    let config = ImageConfig::parse(include_bytes!("go/config.json").as_slice().into()).expect("a config");
    let json: Json = serde_json::from_str(&config.to_go_json("    ").expect("JSON")).expect("JSON");
    as_go(
        include_str!("go/config.jsonl"),
        &Value::config(&config).expect("a value"),
        &json,
    );
}

/// Whatever is asked for, an answer or an error comes of it, and that at once.
#[test]
fn no_template_is_too_wild() {
    let (value, _) = output();
    let deep = |open: &str, close: &str| format!("{}x{}", open.repeat(5000), close.repeat(5000));
    let mut wild = vec![
        deep("{{if true}}", "{{end}}"),
        deep("{{with .Name}}", "{{end}}"),
        deep("{{if true}}{{else}}", "{{end}}"),
        format!("{{{{{}}}}}", deep("(", ")")),
        format!("{{{{{}}}}}", "not ".repeat(5000) + "true"),
        format!("{{{{.Name{}}}}}", " | print".repeat(5000)),
        format!("{{{{{}}}}}", "(print ".repeat(90) + "1" + &")".repeat(90)),
        format!("{{{{.{}}}}}", "a.".repeat(5000) + "b"),
        "{{if true}}".to_owned() + &"{{else if true}}".repeat(5000) + "{{end}}",
        "{{range .}}{{template \"T\"}}{{end}}{{define \"T\"}}{{template \"T\"}}{{end}}".to_owned(),
        "{{range 99999999999}}{{end}}".to_owned(),
        "{{range 9999999}}{{printf \"%1000d\" 1}}{{end}}".to_owned(),
        "{{printf \"%99999999999999999999d\" 1}}{{printf \"%.99999999999f\" 1.5}}{{printf \"%[99]d%[0]d%[-1]d%[x]d%[\" 1}}".to_owned(),
        "{{$x := \"0123456789abcdef\"}}{{range 60}}{{$x = print $x $x}}{{end}}".to_owned(),
        "{{pad \"x\" 99999999999 1}}".to_owned(),
        "{{slice .Name -1}}{{index .Name -1}}".to_owned(),
        "{{slice \"é\" 1}}{{index \"é\" 1}}{{printf \"%.1s\" \"é\"}}{{truncate \"é\" 1}}".to_owned(),
        "{{-9223372036854775808}}{{9223372036854775808}}{{0x}}{{'\\777'}}{{\"\\xff\"}}{{\"\\ud800\"}}".to_owned(),
        "table \t\t\t{{.Name}}\n\té\t\n".to_owned(),
    ];
    // Every beginning of every template that the others are about, and with a part left out.
    for line in include_str!("go/output.txt").lines() {
        let places: Vec<usize> = line.char_indices().map(|(place, _)| place).collect();
        wild.extend(places.iter().map(|place| line[..*place].to_owned()));
        wild.extend(
            places
                .windows(2)
                .map(|pair| format!("{}{}", &line[..pair[0]], &line[pair[1]..])),
        );
    }
    for template in wild {
        // What comes of it is another test's question.
        let _ = render(&template, value.clone());
    }
}

/// Each template calls the next one twice: nothing loops, and there are 2^60 calls to make.
#[test]
fn calls_that_would_never_end_are_ended() {
    let chain: String = (0..60)
        .map(|n| {
            format!(
                "{{{{define \"{n}\"}}}}{{{{template \"{0}\"}}}}{{{{template \"{0}\"}}}}{{{{end}}}}",
                n + 1
            )
        })
        .collect();
    let text = format!("{chain}{{{{define \"60\"}}}}{{{{end}}}}{{{{template \"0\"}}}}");
    let error = render(&text, Value::Nil).expect_err("it goes on for ever");
    assert!(error.contains("more often than the limit of"), "{error}");
}
