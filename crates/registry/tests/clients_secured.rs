//! Do real clients find their way by TLS, with a password, a token and a certificate?

use std::fs;

use crate::support::{
    lab::{CRANE, Lab, ORAS, REGCTL, has, module},
    login::{CREDENTIALS, Login, labs},
};
use serde_json::json;

const CERTIFICATE: [&str; 4] = [
    "--cert-file",
    "certificates/client.cert",
    "--key-file",
    "certificates/client.key",
];

#[test]
fn skopeo() {
    let test = "clients_secured::skopeo";
    if !has(test, &["skopeo"]) {
        return;
    }
    for (login, lab) in labs(test) {
        let at = |name: &str| format!("docker://{}", lab.image(name));
        let copy = ["--insecure-policy", "copy"];
        // What everybody may read needs no password.
        let anybody = ["--src-cert-dir=certificates", &at("seed:1"), "oci:layout:1"];
        lab.run("skopeo", [&copy[..], &anybody].concat());
        let to = at("skopeo:1");
        let known = login.choose(&["--dest-creds", CREDENTIALS], &[]);
        let images = ["--dest-cert-dir=certificates", "oci:layout:1", &to];
        lab.run("skopeo", [&copy[..], &known, &images].concat());
        lab.is_the_same("skopeo", "1");
        log_in(&lab, login);
        // From repository to repository, with rights in both.
        let both = [
            "--src-cert-dir=certificates",
            "--dest-cert-dir=certificates",
            &to,
            &at("mounted:1"),
        ];
        lab.run("skopeo", [&copy[..], &both].concat());
        lab.is_the_same("mounted", "1");
        let tags = lab.run("skopeo", ["list-tags", "--cert-dir=certificates", &at("skopeo")]);
        assert!(tags.contains("\"1\""), "{tags}");
        lab.run("skopeo", ["delete", "--cert-dir=certificates", &to]);
        lab.server.get("/v2/skopeo/manifests/1").expect(404);
    }
}

/// Has skopeo keep the password, where there is one.
fn log_in(lab: &Lab, login: Login) {
    if login.is_by_password() {
        let host = lab.host();
        let shown = ["-u", "user", "-p", "secret", &host];
        lab.run("skopeo", [&["login", "--cert-dir=certificates"], &shown[..]].concat());
    }
}

#[test]
fn umoci_beside_skopeo() {
    let test = "clients_secured::umoci_beside_skopeo";
    if !has(test, &["umoci", "skopeo"]) {
        return;
    }
    for (login, lab) in labs(test) {
        log_in(&lab, login);
        let at = |name: &str| format!("docker://{}", lab.image(name));
        let copy = |arguments: &[&str]| lab.run("skopeo", [&["--insecure-policy", "copy"], arguments].concat());
        copy(&["--src-cert-dir=certificates", &at("seed:1"), "oci:layout:1"]);
        let change = ["--tag", "2", "--config.label", "by=umoci"];
        lab.run("umoci", [&["config", "--image", "layout:1"], &change[..]].concat());
        copy(&["--dest-cert-dir=certificates", "oci:layout:2", &at("umoci:2")]);
        lab.is_whole("umoci", "2");
        let config = lab.found("umoci", "2").children()[0].digest;
        let config = lab.server.get(&format!("/v2/umoci/blobs/{config}")).expect(200).json();
        assert_eq!(config["config"]["Labels"], json!({"by": "umoci"}));
        copy(&["--src-cert-dir=certificates", &at("umoci:2"), "oci:again:2"]);
    }
}

fn engine(name: &str) {
    let test = format!("clients_secured::{name}");
    if !has(&test, &[name]) {
        return;
    }
    for (login, lab) in labs(&test) {
        let policy = lab.path("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).expect("written");
        let (root, run) = (lab.path("storage"), lab.path("run"));
        let paths = [&root, &run, &policy].map(|path| path.to_str().expect("a path"));
        let run = |verb: &str, arguments: &[&str]| {
            let storage = [
                "--root",
                paths[0],
                "--runroot",
                paths[1],
                "--storage-driver",
                "vfs",
                verb,
            ];
            lab.run(name, [&storage[..], arguments].concat())
        };
        let checked = ["--cert-dir=certificates", "--signature-policy", paths[2]];
        let known = login.choose(&["--creds", CREDENTIALS], &[]);
        let checked = [&checked[..], &known].concat();
        run("pull", &[&checked[..], &[&lab.image("seed:1")]].concat());
        let to = format!("docker://{}", lab.image(&format!("{name}:1")));
        run("push", &[&checked[..], &[&lab.image("seed:1"), &to]].concat());
        lab.is_the_same(name, "1");
    }
}

#[test]
fn podman() {
    engine("podman");
}

#[test]
fn buildah() {
    engine("buildah");
}

#[test]
fn crane() {
    let Some(crane) = module("clients_secured::crane", &CRANE) else {
        return;
    };
    for (login, lab) in labs("clients_secured::crane") {
        if login == Login::Certificate {
            // It has no way to be told of one.
            continue;
        }
        lab.run(&crane, ["auth", "login", &lab.host(), "-u", "user", "-p", "secret"]);
        lab.run(&crane, ["copy", &lab.image("seed:1"), &lab.image("crane:1")]);
        lab.is_the_same("crane", "1");
        assert_eq!(lab.run(&crane, ["ls", &lab.image("crane")]), "1\n");
        assert_eq!(lab.run(&crane, ["catalog", &lab.host()]), "crane\nseed\n");
        lab.run(&crane, ["delete", &lab.image("crane:1")]);
        lab.server.get("/v2/crane/manifests/1").expect(404);
    }
}

#[test]
fn oras() {
    let Some(oras) = module("clients_secured::oras", &ORAS) else {
        return;
    };
    for (login, lab) in labs("clients_secured::oras") {
        let authority = ["--ca-file", "certificates/ca.crt"];
        let checked = [&authority[..], &login.choose(&[], &CERTIFICATE)].concat();
        let run = |verb: &str, arguments: &[&str]| lab.run(&oras, [&[verb], &checked[..], arguments].concat());
        if login.is_by_password() {
            run("login", &["-u", "user", "-p", "secret", &lab.host()]);
        }
        fs::write(lab.path("notes.txt"), "notes\n").expect("written");
        run("push", &[&lab.image("oras:1"), "notes.txt:text/plain"]);
        fs::create_dir(lab.path("pulled")).expect("a directory");
        run("pull", &["-o", "pulled", &lab.image("oras:1")]);
        assert_eq!(fs::read(lab.path("pulled/notes.txt")).expect("a file"), b"notes\n");
        let about = ["--artifact-type", "text/notes", &lab.image("seed:1"), "notes.txt"];
        run("attach", &about);
    }
}

#[test]
fn regctl() {
    let Some(regctl) = module("clients_secured::regctl", &REGCTL) else {
        return;
    };
    for (login, lab) in labs("clients_secured::regctl") {
        let host = lab.host();
        let file = |name: &str| fs::read_to_string(lab.path("certificates").join(name)).expect("a file");
        let authority = file("ca.crt");
        let set = ["registry", "set", "--cacert", &authority, "--skip-check", &host];
        lab.run(&regctl, set);
        match login.is_by_password() {
            true => lab.run(&regctl, ["registry", "login", "-u", "user", "-p", "secret", &host]),
            false => {
                let (certificate, key) = (file("client.cert"), file("client.key"));
                let set = [
                    "registry",
                    "set",
                    "--client-cert",
                    &certificate,
                    "--client-key",
                    &key,
                    &host,
                ];
                lab.run(&regctl, set)
            }
        };
        lab.run(&regctl, ["image", "copy", &lab.image("seed:1"), &lab.image("regctl:1")]);
        lab.is_the_same("regctl", "1");
        lab.run(&regctl, ["tag", "rm", &lab.image("regctl:1")]);
        lab.server.get("/v2/regctl/manifests/1").expect(404);
    }
}
