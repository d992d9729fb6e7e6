//! Do real clients find their way by TLS, with a password and with a token?

mod support;

use std::{fs, sync::Arc, time::Duration};

use support::{
    certificates::authority,
    lab::{CRANE, Lab, ORAS, REGCTL, has, module},
};
use teu_registry::auth::{Gate, Guard, Issuer, Passwords, Policy, SigningKey, Tokens, Trusted};

const CREDENTIALS: &str = "user:secret";
const POLICY: &str = r#"
[[rule]]
who = ["anonymous"]
repositories = ["seed"]
allow = ["pull"]

[[rule]]
who = ["user"]
repositories = ["**"]
allow = ["pull", "push", "overwrite", "delete", "list"]
"#;

/// Places that ask for a password, and that ask for a token. Says loudly why there are none.
fn labs(test: &str) -> Vec<Lab> {
    let Some(shown) = authority(test) else {
        return Vec::new();
    };
    let of = |tokens: Option<Tokens>| {
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let guard = Guard {
            passwords: Some(Passwords::parse(&format!("user:{hash}")).expect("a file")),
            policy: Some(Policy::parse(POLICY).expect("a policy")),
            tokens,
            ..Guard::default()
        };
        Lab::secured(&shown, Gate::new(guard))
    };
    let key = SigningKey::generate().expect("a key");
    let tokens = Tokens {
        trusted: Trusted {
            issuer: "teu".to_owned(),
            service: "teu".to_owned(),
            keys: key.keys(),
        },
        realm: None,
        issuer: Some(Issuer {
            key: Arc::new(key),
            lifetime: Duration::from_secs(300),
            refresh: None,
        }),
    };
    vec![of(None), of(Some(tokens))]
}

#[test]
fn skopeo() {
    let test = "clients_secured::skopeo";
    if !has(test, &["skopeo"]) {
        return;
    }
    for lab in labs(test) {
        let at = |name: &str| format!("docker://{}", lab.image(name));
        let copy = ["--insecure-policy", "copy"];
        // What everybody may read needs no password.
        let anybody = ["--src-cert-dir=certificates", &at("seed:1"), "oci:layout:1"];
        lab.run("skopeo", [&copy[..], &anybody].concat());
        let to = at("skopeo:1");
        let known = [
            "--dest-cert-dir=certificates",
            "--dest-creds",
            CREDENTIALS,
            "oci:layout:1",
            &to,
        ];
        lab.run("skopeo", [&copy[..], &known].concat());
        lab.is_the_same("skopeo", "1");
        let login = [
            "login",
            "--cert-dir=certificates",
            "-u",
            "user",
            "-p",
            "secret",
            &lab.host(),
        ];
        lab.run("skopeo", login);
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

fn engine(name: &str) {
    let test = format!("clients_secured::{name}");
    if !has(&test, &[name]) {
        return;
    }
    for lab in labs(&test) {
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
        let checked = [
            "--cert-dir=certificates",
            "--signature-policy",
            paths[2],
            "--creds",
            CREDENTIALS,
        ];
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
    for lab in labs("clients_secured::crane") {
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
    for lab in labs("clients_secured::oras") {
        let login = [
            "login",
            "--ca-file",
            "certificates/ca.crt",
            "-u",
            "user",
            "-p",
            "secret",
            &lab.host(),
        ];
        lab.run(&oras, login);
        fs::write(lab.path("notes.txt"), "notes\n").expect("written");
        let checked = ["--ca-file", "certificates/ca.crt"];
        lab.run(
            &oras,
            [&["push"], &checked[..], &[&lab.image("oras:1"), "notes.txt:text/plain"]].concat(),
        );
        fs::create_dir(lab.path("pulled")).expect("a directory");
        lab.run(
            &oras,
            [&["pull"], &checked[..], &["-o", "pulled", &lab.image("oras:1")]].concat(),
        );
        assert_eq!(fs::read(lab.path("pulled/notes.txt")).expect("a file"), b"notes\n");
        let attach = [
            "attach",
            "--artifact-type",
            "text/notes",
            &lab.image("seed:1"),
            "notes.txt",
        ];
        lab.run(&oras, [&attach[..], &checked].concat());
    }
}

#[test]
fn regctl() {
    let Some(regctl) = module("clients_secured::regctl", &REGCTL) else {
        return;
    };
    for lab in labs("clients_secured::regctl") {
        let host = lab.host();
        let authority = fs::read_to_string(lab.path("certificates/ca.crt")).expect("a certificate");
        lab.run(
            &regctl,
            ["registry", "set", "--cacert", &authority, "--skip-check", &host],
        );
        lab.run(&regctl, ["registry", "login", "-u", "user", "-p", "secret", &host]);
        lab.run(&regctl, ["image", "copy", &lab.image("seed:1"), &lab.image("regctl:1")]);
        lab.is_the_same("regctl", "1");
        lab.run(&regctl, ["tag", "rm", &lab.image("regctl:1")]);
        lab.server.get("/v2/regctl/manifests/1").expect(404);
    }
}
