//! Do containerd and Docker push to it and pull from it, by HTTP and by TLS, with a password, a token, a token of another server and a certificate? Their daemons, in the room of a test.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{
    daemon::{Daemon, containerd, docker as dockerd, host, socket},
    lab::{Lab, has},
    login::{CREDENTIALS, Login, labs},
};
use serde_json::json;
use teu_spec::Digest;

/// How many uploads were begun.
fn uploads(lab: &Lab) -> usize {
    let log = lab.met().log.lock().expect("a log");
    let begins = |target: &str| target.contains("/blobs/uploads/");
    log.iter()
        .filter(|asked| asked.method == "POST" && begins(&asked.target))
        .count()
}

/// What the registry is called. By TLS, so that its certificate is held to something, and it is shown theirs: 127.0.0.0/8 is asked by HTTP first, or by TLS
/// that checks nothing.
fn called(lab: &Lab) -> String {
    lab.choose(format!("0.0.0.0:{}", lab.met().address.port()), lab.host())
}

fn ctr(lab: &Lab, verb: &str, arguments: &[&str]) -> String {
    let first = ["--address", &socket(lab), "images", verb];
    lab.run("ctr", [&first[..], arguments].concat())
}

/// An image and an index go to and fro, at a registry that is called and reached so.
fn ctr_carries(lab: &Lab, registry: &str, reached: &[&str]) {
    let image = |name: &str| format!("{registry}/{name}");
    let pull = |name: &str, more: &[&str]| {
        ctr(
            lab,
            "pull",
            &[reached, &["--snapshotter", "native"], more, &[&image(name)]].concat(),
        );
    };
    let push = |to: &str, from: &str| {
        ctr(lab, "push", &[reached, &[&image(to), &image(from)]].concat());
    };
    pull("seed:1", &[]);
    push("ctr:1", "seed:1");
    assert_eq!(lab.found("ctr", "1").raw(), lab.image.raw());
    lab.is_the_same("ctr", "1");
    // All of it is there.
    let before = uploads(lab);
    assert_ne!(before, 0);
    push("ctr:2", "seed:1");
    push("ctr:1", "seed:1");
    assert_eq!(uploads(lab), before);
    assert_eq!(lab.found("ctr", "2").raw(), lab.image.raw());
    // What was pushed is what is pulled again, without what is kept here.
    ctr(lab, "rm", &["--sync", &image("seed:1")]);
    pull("ctr:1", &[]);
    let images = ctr(lab, "ls", &["--quiet"]);
    assert_eq!(images, format!("{}\n", image("ctr:1")));
    let index = lab.push_index();
    pull("multi:1", &["--all-platforms"]);
    push("all:1", "multi:1");
    assert_eq!(lab.found("all", "1").raw(), index.raw());
    for member in index.children() {
        lab.is_whole("all", &member.digest.to_string());
    }
}

#[test]
fn containerd_by_http() {
    let test = "clients_engines::containerd_by_http";
    if !has(test, &["containerd", "ctr"]) {
        return;
    }
    let lab = Lab::new();
    let Some(_daemon) = containerd(test, &lab) else { return };
    ctr_carries(&lab, &lab.host(), &["--plain-http"]);
}

#[test]
fn containerd_that_logs_in() {
    let test = "clients_engines::containerd_that_logs_in";
    if !has(test, &["containerd", "ctr"]) {
        return;
    }
    for (login, lab) in labs(test) {
        let Some(_daemon) = containerd(test, &lab) else { return };
        let registry = called(&lab);
        let reached: &[&str] = lab.choose(&["--tlscacert", "certificates/ca.crt"], &["--plain-http"]);
        let known = [reached, &["--user", CREDENTIALS]].concat();
        let hosts = hosts(&lab, &registry);
        let reached = login.choose(&known, &["--hosts-dir", &hosts]);
        ctr_carries(&lab, &registry, &reached);
    }
}

/// How containerd is told of a registry's authority, and of a certificate to show.
fn hosts(lab: &Lab, registry: &str) -> String {
    let at = lab.path("hosts").join(registry);
    fs::create_dir_all(&at).expect("a directory");
    let file = |name: &str| lab.path("certificates").join(name);
    let text = format!(
        "[host.\"https://{registry}\"]\nca = {:?}\nclient = [[{:?}, {:?}]]\n",
        file("ca.crt"),
        file("client.cert"),
        file("client.key")
    );
    fs::write(at.join("hosts.toml"), text).expect("written");
    lab.path("hosts").display().to_string()
}

fn docker(lab: &Lab, arguments: &[&str]) -> String {
    lab.run("docker", [&["--host", &host(lab)], arguments].concat())
}

/// Both daemons, and the directory that is `/etc/docker` for Docker's.
fn engines(test: &str, lab: &Lab, etc: &Path) -> Option<[Daemon; 2]> {
    let below = containerd(test, lab)?;
    // The one above ends first.
    Some([dockerd(test, lab, etc)?, below])
}

/// An image goes to and fro, at a registry that is called so.
fn docker_carries(lab: &Lab, registry: &str) {
    let image = |name: &str| format!("{registry}/{name}");
    docker(lab, &["pull", &image("seed:1")]);
    docker(lab, &["tag", &image("seed:1"), &image("docker:1")]);
    docker(lab, &["push", &image("docker:1")]);
    lab.is_the_same("docker", "1");
    let pushed = lab.found("docker", "1");
    // The layer is mounted, or sent; of what is there nothing is.
    let before = uploads(lab);
    assert_ne!(before, 0);
    docker(lab, &["push", &image("docker:1")]);
    assert_eq!(uploads(lab), before);
    assert_eq!(lab.found("docker", "1").raw(), pushed.raw());
    // What was pushed is what is pulled again, without what is kept here.
    docker(lab, &["rmi", &image("seed:1"), &image("docker:1")]);
    assert_eq!(docker(lab, &["images", "--quiet"]), "");
    docker(lab, &["pull", &image("docker:1")]);
    let digests = docker(
        lab,
        &["inspect", "--format", "{{json .RepoDigests}}", &image("docker:1")],
    );
    let digest = Digest::of(pushed.raw());
    assert_eq!(
        digests.trim(),
        json!([format!("{}@{digest}", image("docker"))]).to_string()
    );
    // Of an index comes what was asked for.
    lab.push_index();
    docker(lab, &["pull", "--platform", "linux/s390x", &image("multi:1")]);
    let found = docker(lab, &["inspect", "--format", "{{.Architecture}}", &image("multi:1")]);
    assert_eq!(found, "s390x\n");
}

#[test]
fn docker_by_http() {
    let test = "clients_engines::docker_by_http";
    if !has(test, &["containerd", "dockerd", "docker", "unshare"]) {
        return;
    }
    let lab = Lab::new();
    let etc = lab.path("etc");
    fs::create_dir(&etc).expect("a directory");
    let Some(_daemons) = engines(test, &lab, &etc) else {
        return;
    };
    docker_carries(&lab, &lab.host());
    // Its engine knows images alone; its client makes an index of them in the registry.
    let all = lab.image("docker:all");
    docker(&lab, &["tag", &lab.image("multi:1"), &lab.image("docker:2")]);
    docker(&lab, &["push", &lab.image("docker:2")]);
    let create = ["manifest", "create", "--insecure", &all];
    docker(
        &lab,
        &[&create[..], &[&lab.image("docker:1"), &lab.image("docker:2")]].concat(),
    );
    docker(&lab, &["manifest", "push", "--insecure", &all]);
    let index = lab.found("docker", "all");
    let named: BTreeSet<Digest> = index.children().into_iter().map(|member| member.digest).collect();
    let there = ["1", "2"].map(|tag| Digest::of(lab.found("docker", tag).raw()));
    assert_eq!(named, BTreeSet::from(there));
}

#[test]
fn docker_that_logs_in() {
    let test = "clients_engines::docker_that_logs_in";
    if !has(test, &["containerd", "dockerd", "docker", "unshare"]) {
        return;
    }
    for (login, lab) in labs(test) {
        let registry = called(&lab);
        let known = lab.path("etc/certs.d").join(&registry);
        fs::create_dir_all(&known).expect("a directory");
        // Without TLS there are none.
        for file in fs::read_dir(lab.path("certificates")).into_iter().flatten() {
            let file = file.expect("a file");
            fs::copy(file.path(), known.join(file.file_name())).expect("copied");
        }
        let Some(_daemons) = engines(test, &lab, &lab.path("etc")) else {
            return;
        };
        // What everybody may pull needs no login. By Basic its client would want one for whatever asks for any.
        if matches!(login, Login::Token | Login::OutsideToken) {
            docker(&lab, &["pull", &format!("{registry}/seed:1")]);
            docker(&lab, &["rmi", &format!("{registry}/seed:1")]);
        }
        if login != Login::Certificate {
            docker(
                &lab,
                &["login", "--username", "user", "--password", "secret", &registry],
            );
        }
        docker_carries(&lab, &registry);
    }
}
