//! Do real clients find their way with a password, a token, a token of another server and a certificate, by TLS and, where they permit it, without?

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

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

/// How skopeo is told of the certificate, or that there is none, of one side of a copy: `src-`, `dest-`; or of the only one.
fn checks(lab: &Lab, side: &str) -> String {
    lab.choose(
        format!("--{side}cert-dir=certificates"),
        format!("--{side}tls-verify=false"),
    )
}

/// All came by the token of another server, where there is one.
#[track_caller]
fn asked_the_issuer(login: Login, lab: &Lab) {
    assert_eq!(lab.tokens() > 0, login == Login::OutsideToken, "{login:?}");
}

#[test]
fn skopeo() {
    let test = "clients_secured::skopeo";
    if !has(test, &["skopeo"]) {
        return;
    }
    for (login, lab) in labs(test) {
        let at = |name: &str| format!("docker://{}", lab.image(name));
        let (from, dest, only) = (checks(&lab, "src-"), checks(&lab, "dest-"), checks(&lab, ""));
        let copy = |arguments: &[&str]| lab.run("skopeo", [&["--insecure-policy", "copy"], arguments].concat());
        // What everybody may read needs no password.
        copy(&[&from, &at("seed:1"), "oci:layout:1"]);
        let to = at("skopeo:1");
        let known = login.choose(&["--dest-creds", CREDENTIALS], &[]);
        copy(&[&known[..], &[&dest, "oci:layout:1", &to]].concat());
        lab.is_the_same("skopeo", "1");
        log_in(&lab, login);
        // From repository to repository, with rights in both.
        copy(&[&from, &dest, &to, &at("mounted:1")]);
        lab.is_the_same("mounted", "1");
        let tags = lab.run("skopeo", ["list-tags", &only, &at("skopeo")]);
        assert!(tags.contains("\"1\""), "{tags}");
        lab.run("skopeo", ["delete", &only, &to]);
        lab.server.get("/v2/skopeo/manifests/1").expect(404);
        asked_the_issuer(login, &lab);
    }
}

/// Has skopeo keep the password, where there is one.
fn log_in(lab: &Lab, login: Login) {
    if login.is_by_password() {
        let shown = ["login", &checks(lab, ""), "-u", "user", "-p", "secret", &lab.host()];
        lab.run("skopeo", shown);
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
        let (from, dest) = (checks(&lab, "src-"), checks(&lab, "dest-"));
        copy(&[&from, &at("seed:1"), "oci:layout:1"]);
        let change = ["--tag", "2", "--config.label", "by=umoci"];
        lab.run("umoci", [&["config", "--image", "layout:1"], &change[..]].concat());
        copy(&[&dest, "oci:layout:2", &at("umoci:2")]);
        lab.is_whole("umoci", "2");
        let config = lab.found("umoci", "2").children()[0].digest;
        let config = lab.server.get(&format!("/v2/umoci/blobs/{config}")).expect(200).json();
        assert_eq!(config["config"]["Labels"], json!({"by": "umoci"}));
        copy(&[&from, &at("umoci:2"), "oci:again:2"]);
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
        let checks = checks(&lab, "");
        let checked = [&checks, "--signature-policy", paths[2]];
        let known = login.choose(&["--creds", CREDENTIALS], &[]);
        let checked = [&checked[..], &known].concat();
        run("pull", &[&checked[..], &[&lab.image("seed:1")]].concat());
        let to = format!("docker://{}", lab.image(&format!("{name}:1")));
        run("push", &[&checked[..], &[&lab.image("seed:1"), &to]].concat());
        lab.is_the_same(name, "1");
        asked_the_issuer(login, &lab);
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
        let cannot = match login {
            Login::Certificate => Some("has no way to be told of a client's certificate"),
            Login::OutsideToken => Some("asks no other server for a token that is on this machine or link"),
            Login::Password | Login::Token => None,
        };
        if let Some(reason) = cannot {
            eprintln!("SKIPPED clients_secured::crane, {login:?}: it {reason}");
            continue;
        }
        let run = |arguments: &[&str]| {
            let insecure: &[&str] = lab.choose(&[], &["--insecure"]);
            lab.run(&crane, [insecure, arguments].concat())
        };
        run(&["auth", "login", &lab.host(), "-u", "user", "-p", "secret"]);
        run(&["copy", &lab.image("seed:1"), &lab.image("crane:1")]);
        lab.is_the_same("crane", "1");
        assert_eq!(run(&["ls", &lab.image("crane")]), "1\n");
        assert_eq!(run(&["catalog", &lab.host()]), "crane\nseed\n");
        run(&["delete", &lab.image("crane:1")]);
        lab.server.get("/v2/crane/manifests/1").expect(404);
    }
}

#[test]
fn oras() {
    let Some(oras) = module("clients_secured::oras", &ORAS) else {
        return;
    };
    for (login, lab) in labs("clients_secured::oras") {
        let reached: &[&str] = lab.choose(&["--ca-file", "certificates/ca.crt"], &["--plain-http"]);
        let checked = [reached, &login.choose(&[], &CERTIFICATE)].concat();
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
        // It shows its password when it is asked for it, and not before.
        let listed = lab.run(&oras, [&["repo", "ls"], &checked[..], &[&lab.host()]].concat());
        assert_eq!(listed, "oras\nseed\n", "{login:?}");
        asked_the_issuer(login, &lab);
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
        let authority = lab.choose(Some("ca.crt"), None).map(file);
        let reached = match &authority {
            Some(authority) => ["--cacert", authority],
            None => ["--tls", "disabled"],
        };
        lab.run(
            &regctl,
            [&["registry", "set", "--skip-check"], &reached[..], &[&host]].concat(),
        );
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
        assert_eq!(lab.run(&regctl, ["repo", "ls", &host]), "regctl\nseed\n", "{login:?}");
        lab.run(&regctl, ["tag", "rm", &lab.image("regctl:1")]);
        lab.server.get("/v2/regctl/manifests/1").expect(404);
        asked_the_issuer(login, &lab);
    }
}
