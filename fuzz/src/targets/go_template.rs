//! A template as `--format` takes it, over a value of every kind that `inspect` prints: it is run or refused, and ends.

use crate::template::{self, value::Value};

pub(crate) fn run(text: &str) {
    template::is_json(text);
    let _ = template::print(text, value());
}

fn value() -> Value {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let labels = [
        ("a".to_owned(), "1".to_owned()),
        ("html".to_owned(), "<a>&é".to_owned()),
    ]
    .into();
    let layer = Value::structure(
        "types.ImageInspectLayer",
        vec![
            ("MIMEType", Value::text("layer")),
            ("Digest", Value::digest(&digest)),
            ("Size", Value::Int(123)),
        ],
        serde_json::json!({"MIMEType": "layer", "Digest": digest, "Size": 123}),
    );
    Value::structure(
        "inspect.Output",
        vec![
            ("Name", Value::text("registry.example/team/app")),
            ("Digest", Value::digest(&digest)),
            ("RepoTags", Value::texts(Some(&["1", "latest"]))),
            ("Created", Value::time("2026-11-23T07:52:32.3+10:00".parse().ok())),
            ("Labels", Value::map(Some(&labels))),
            ("LayersData", Value::list(vec![layer])),
            ("Env", Value::texts::<String>(None)),
        ],
        serde_json::json!({"Name": "registry.example/team/app", "Env": null}),
    )
}
