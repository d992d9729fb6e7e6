//! Do logins hold? `teu login` and `logout` against a registry that asks for a password, with skopeo reading what we write and we what it
//! writes, and with credential helpers.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
};

use crate::support::{Asks, Peer, Room, image, peers};
use serde_json::{Value, json};

const PASSWORD: Asks = Asks {
    password: true,
    tls: false,
};

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON")
}

#[test]
fn a_login_is_checked_kept_used_and_forgotten() {
    let Some(registry) = Peer::start("a_login_is_checked_kept_used_and_forgotten", PASSWORD) else {
        return;
    };
    let (room, host) = (Room::new(), registry.host.as_str());
    let kept = room.runtime("containers/auth.json");
    let login = |user: &str, password: &str| {
        room.teu(["login", "--tls-verify=false", "-u", user, "--password-stdin", host])
            .ran_with(password.as_bytes())
    };
    let refused = login("user", "guess\n");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert_eq!(
        refused.stderr,
        format!("teu: logging into {host:?}: invalid username/password\n")
    );
    assert!(!kept.exists(), "nothing is written that the registry did not take");
    assert!(
        room.teu(["login", "--get-login", host])
            .fails(1)
            .contains(&format!("not logged into {host}"))
    );

    let taken = login("user", "secret\n");
    assert_eq!(
        (taken.code, taken.stdout.as_str()),
        (0, "Login Succeeded!\n"),
        "{}",
        taken.stderr
    );
    assert_eq!(json_of(&kept), json!({"auths": {host: {"auth": "dXNlcjpzZWNyZXQ="}}}));
    assert_eq!(fs::metadata(&kept).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(room.teu(["login", "--get-login", host]).succeeds().stdout, "user\n");
    assert_eq!(
        room.teu(["login", "--tls-verify=false", host]).succeeds().stdout,
        format!(
            "Authenticating with existing credentials for {host}\nExisting credentials are valid. Already logged in to {host}\n"
        )
    );

    room.layout("images").image("app", &image());
    let there = format!("docker://{host}/team/app:1");
    room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &there])
        .succeeds();
    room.teu(["digest", "--tls-verify=false", &there]).succeeds();
    let stranger = room
        .teu(["digest", "--no-creds", "--tls-verify=false", &there])
        .fails(1);
    assert!(stranger.contains(&format!("teu login {host}")), "{stranger}");
    room.teu([
        "digest",
        "--no-creds",
        "--creds",
        "user:secret",
        "--tls-verify=false",
        &there,
    ])
    .ran();

    assert_eq!(
        room.teu(["logout", host]).succeeds().stdout,
        format!("Removed login credentials for {host}\n")
    );
    assert_eq!(json_of(&kept), json!({"auths": {}}));
    assert!(
        room.teu(["logout", host])
            .fails(1)
            .contains(&format!("not logged into {host}"))
    );
    login("user", "secret");
    assert_eq!(
        room.teu(["logout", "--all"]).succeeds().stdout,
        "Removed login credentials for all registries\n"
    );
    assert_eq!(json_of(&kept), json!({"auths": {}}));
}

#[test]
fn programs_read_what_became_of_a_login() {
    let Some(registry) = Peer::start("programs_read_what_became_of_a_login", PASSWORD) else {
        return;
    };
    let (room, host) = (Room::new(), registry.host.as_str());
    let told = |arguments: &[&str]| -> Value {
        let printed = room.teu(arguments.iter().chain(&["-o", "json"])).succeeds();
        serde_json::from_str(&printed.stdout).expect("JSON alone")
    };
    let login = ["login", "--tls-verify=false", "-v", "-u", "user", "-p", "secret", host];
    let kept = room.runtime("containers/auth.json");
    assert_eq!(told(&login), json!({"registry": host, "kept": kept}));
    let again = ["login", "--tls-verify=false", host];
    assert_eq!(told(&again), json!({"registry": host, "kept": null}));
    assert_eq!(told(&["logout", host]), json!({"removed": host}));
    assert_eq!(told(&["logout", "--all"]), json!({"removed": "all"}));
}

#[test]
fn skopeo_reads_our_logins_and_we_read_its() {
    let test = "skopeo_reads_our_logins_and_we_read_its";
    let Some(registry) = Peer::start(test, PASSWORD) else {
        return;
    };
    if !peers(test, &["skopeo"]) {
        return;
    }
    let (room, host) = (Room::new(), registry.host.as_str());
    room.layout("images").image("app", &image());
    let there = format!("docker://{host}/team/app:1");
    let login = ["login", "--tls-verify=false", "-v", "-u", "user", "-p", "secret", host];
    let kept = room.runtime("containers/auth.json");
    // What both say, and what is in the file then.
    let ours = room.as_skopeo(login).succeeds();
    let of_ours = json_of(&kept);
    fs::remove_file(&kept).expect("removed");
    let theirs = room.skopeo(login).succeeds();
    assert_eq!((ours.stdout, ours.stderr), (theirs.stdout, theirs.stderr));
    assert_eq!(of_ours, json_of(&kept));
    room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &there])
        .succeeds();
    // Unknown fields stay, in both directions.
    fs::write(
        &kept,
        br#"{"auths": {"other.example": {"auth": "YTpi"}}, "unknown": {"a": [1]}}"#,
    )
    .expect("written");
    room.teu(login).succeeds();
    assert_eq!(
        json_of(&kept),
        json!({
            "auths": {"other.example": {"auth": "YTpi"}, host: {"auth": "dXNlcjpzZWNyZXQ="}},
            "unknown": {"a": [1]},
        })
    );
    room.skopeo(["inspect", "--tls-verify=false", &there]).succeeds();
    // Every word of theirs is ours, of whatever is asked.
    for arguments in [
        vec!["login", "--get-login", host],
        vec!["login", "--tls-verify=false", host],
        vec!["logout", host],
        vec!["logout", host],
        vec!["login", "--get-login", host],
        vec!["logout", "--all"],
        vec!["logout", "--all", host],
        vec!["login", "--tls-verify=false", "-u", "user", "-p", "guess", host],
        vec!["login", "--password-stdin", host],
        vec!["login", "--password-stdin", "-u", "user", "-p", "secret", host],
    ] {
        let before = fs::read(&kept).expect("read");
        let theirs = room.skopeo(&arguments).ran();
        let after = fs::read(&kept).expect("read");
        fs::write(&kept, before).expect("written");
        let ours = room.as_skopeo(&arguments).ran();
        assert_eq!((ours.code, ours.stdout), (theirs.code, theirs.stdout), "{arguments:?}");
        assert_eq!(message(&ours.stderr), message(&theirs.stderr), "{arguments:?}");
        let after: Value = serde_json::from_slice(&after).expect("JSON");
        assert_eq!(json_of(&kept)["auths"], after["auths"], "{arguments:?}");
    }
}

/// What is said of an error, without when.
fn message(stderr: &str) -> &str {
    stderr.split_once(" level=").map_or(stderr, |(_, message)| message)
}

#[test]
fn a_login_may_be_for_a_part_of_a_registry_or_in_dockers_file() {
    let Some(registry) = Peer::start("a_login_may_be_for_a_part_of_a_registry_or_in_dockers_file", PASSWORD) else {
        return;
    };
    let (room, host) = (Room::new(), registry.host.as_str());
    room.layout("images").image("app", &image());
    let part = format!("{host}/team");
    room.teu(["login", "--tls-verify=false", "-u", "user", "-p", "secret", &part])
        .succeeds();
    assert_eq!(
        json_of(&room.runtime("containers/auth.json")),
        json!({"auths": {&part: {"auth": "dXNlcjpzZWNyZXQ="}}})
    );
    let copy = |to: &str| room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", to]);
    copy(&format!("docker://{part}/app:1")).succeeds();
    copy(&format!("docker://{host}/other/app:1")).fails(1);
    room.teu(["logout", &part]).succeeds();
    copy(&format!("docker://{part}/app:2")).fails(1);

    let docker = room.home(".docker/config.json");
    fs::create_dir_all(docker.parent().expect("a directory")).expect("made");
    let to = docker.to_str().expect("UTF-8");
    let login = [
        "login",
        "--tls-verify=false",
        "-u",
        "user",
        "-p",
        "secret",
        "--compat-auth-file",
        to,
    ];
    assert!(
        room.teu(login.iter().copied().chain([part.as_str()]))
            .fails(1)
            .contains("as a whole")
    );
    let said = room.teu(login.iter().copied().chain(["-v", host])).succeeds().stdout;
    assert_eq!(said, format!("Used:  {to}\nLogin Succeeded!\n"));
    assert_eq!(json_of(&docker), json!({"auths": {host: {"auth": "dXNlcjpzZWNyZXQ="}}}));
    // It is found there, but not ours to forget.
    copy(&format!("docker://{host}/other/app:1")).succeeds();
    assert!(
        room.teu(["logout", host])
            .fails(1)
            .contains("Please use docker logout instead")
    );
}

#[test]
fn files_of_credentials_are_asked_in_order() {
    let Some(registry) = Peer::start("files_of_credentials_are_asked_in_order", PASSWORD) else {
        return;
    };
    let (mut room, host) = (Room::new(), registry.host.as_str());
    let right = json!({"auths": {host: {"auth": "dXNlcjpzZWNyZXQ="}}}).to_string();
    let wrong = json!({"auths": {host: {"auth": "dXNlcjpndWVzcw=="}}}).to_string();
    let ask = |room: &Room| room.teu(["catalog", "--tls-verify=false", host]).ran().code;
    assert_eq!(ask(&room), 1, "nobody is let in");
    let places = [
        room.home(".dockercfg"),
        room.home(".docker/config.json"),
        room.home(".config/containers/auth.json"),
        room.runtime("containers/auth.json"),
        room.path("given.json"),
    ];
    room.set("UNUSED", "");
    // Each of them goes before those that were there before it.
    for (number, place) in places.iter().enumerate() {
        fs::create_dir_all(place.parent().expect("a directory")).expect("made");
        let write = |text: &str| match place.ends_with(".dockercfg") {
            true => fs::write(place, json_text(text)).expect("written"),
            false => fs::write(place, text).expect("written"),
        };
        if number == 4 {
            room.set("REGISTRY_AUTH_FILE", place);
        }
        write(&right);
        assert_eq!(ask(&room), 0, "{}", place.display());
        write(&wrong);
        assert_eq!(ask(&room), 1, "{}", place.display());
    }
    // What was given by hand goes before all.
    assert_eq!(
        room.teu(["catalog", "--creds", "user:secret", "--tls-verify=false", host])
            .ran()
            .code,
        0
    );
    let here = room.file("here.json", &right);
    let here = here.to_str().expect("UTF-8");
    assert_eq!(
        room.teu(["catalog", "--authfile", here, "--tls-verify=false", host])
            .ran()
            .code,
        0
    );
    // A file that cannot be understood is no file that knows nothing.
    fs::write(&places[4], "{").expect("written");
    let said = room.teu(["catalog", "--tls-verify=false", host]).fails(1);
    assert!(said.contains("given.json"), "{said}");
}

/// What `.dockercfg` holds of a newer file.
fn json_text(text: &str) -> String {
    let value: Value = serde_json::from_str(text).expect("JSON");
    value["auths"].to_string()
}

#[test]
fn credential_helpers_keep_and_forget() {
    let Some(registry) = Peer::start("credential_helpers_keep_and_forget", PASSWORD) else {
        return;
    };
    let (mut room, host) = (Room::new(), registry.host.as_str());
    // A helper that keeps what it is told in a file.
    let helper = room.file(
        "bin/docker-credential-drawer",
        "#!/bin/sh\nset -e\ndrawer=$HOME/drawer\ncase $1 in\nstore) cat > $drawer ;;\nget) cat > /dev/null; test -e $drawer \
         || { echo credentials not found in native keychain; exit 1; }; cat $drawer ;;\nerase) cat > /dev/null; rm -f $drawer ;;\nesac\n",
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("made a program");
    let path = std::env::var("PATH").expect("a path");
    room.set("PATH", format!("{}:{path}", room.path("bin").display()));
    let kept = room.runtime("containers/auth.json");
    fs::create_dir_all(kept.parent().expect("a directory")).expect("made");
    let before = json!({"credHelpers": {host: "drawer"}}).to_string();
    fs::write(&kept, &before).expect("written");
    let said = room
        .teu(["login", "-v", "--tls-verify=false", "-u", "user", "-p", "secret", host])
        .succeeds()
        .stdout;
    assert_eq!(said, "Used:  credential helper: drawer\nLogin Succeeded!\n");
    assert_eq!(
        fs::read_to_string(&kept).expect("read"),
        before,
        "no secret is in the file"
    );
    assert_eq!(
        json_of(&room.home("drawer")),
        json!({"ServerURL": host, "Username": "user", "Secret": "secret"})
    );
    room.teu(["catalog", "--tls-verify=false", host]).succeeds();
    assert_eq!(room.teu(["login", "--get-login", host]).succeeds().stdout, "user\n");
    room.teu(["logout", host]).succeeds();
    assert!(!room.home("drawer").exists());
    room.teu(["catalog", "--tls-verify=false", host]).fails(1);
}

#[test]
fn certificates_are_found_where_they_lie() {
    let asks = Asks {
        password: false,
        tls: true,
    };
    let Some(registry) = Peer::start("certificates_are_found_where_they_lie", asks) else {
        return;
    };
    let (room, host) = (Room::new(), registry.host.as_str());
    let stranger = room.teu(["catalog", host]).fails(1);
    assert!(stranger.contains("certificate"), "{stranger}");
    let authority = fs::read(registry.authority()).expect("read");
    room.file("given/ca.crt", &authority);
    room.teu(["catalog", "--cert-dir", "given", host]).succeeds();
    let authority_file = registry.authority();
    room.teu(["catalog", host])
        .env("SSL_CERT_FILE", &authority_file)
        .succeeds();
    room.teu(["catalog", host])
        .env("SSL_CERT_DIR", room.path("given"))
        .succeeds();
    room.teu(["catalog", "--tls-verify=false", host]).succeeds();
    room.teu(["--tls-verify=false", "catalog", host]).succeeds();
    room.teu(["--tls-verify=false", "catalog", "--tls-verify=true", host])
        .fails(1);
    let own = room.home(".config/containers/certs.d").join(host);
    fs::create_dir_all(&own).expect("made");
    fs::write(own.join("ca.crt"), authority).expect("written");
    room.teu(["catalog", host]).succeeds();
}

/// A directory that others lock is no reason to wait, and two logins at once keep both.
#[test]
fn a_login_locks_nothing_but_its_own_file() {
    let Some(registry) = Peer::start("a_login_locks_nothing_but_its_own_file", PASSWORD) else {
        return;
    };
    let (room, host) = (Room::new(), registry.host.as_str());
    let directory = fs::File::open(room.path("")).expect("a directory");
    directory.lock().expect("locked");
    let file = room.path("auth.json");
    let file = file.to_str().expect("UTF-8");
    let login = |key: &str| {
        room.teu([
            "login",
            "--tls-verify=false",
            "--authfile",
            file,
            "-u",
            "user",
            "-p",
            "secret",
            key,
        ])
        .succeeds()
    };
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            scope.spawn(move || login(&format!("{host}/{name}")));
        }
    });
    let kept = json_of(Path::new(file));
    assert_eq!(kept["auths"].as_object().map(serde_json::Map::len), Some(4), "{kept}");
    let mut left: Vec<_> = fs::read_dir(room.path(""))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.retain(|name| name != "auth.json");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_wait_for_a_file_of_credentials_is_told_of() {
    let room = Room::new();
    let file = room.file("auth.json", br#"{"auths": {"registry.example": {"auth": "dTpw"}}}"#);
    let locked = fs::File::open(&file).expect("open");
    locked.lock().expect("locked");
    let mut run = room.teu(["logout", "--all", "--authfile", file.to_str().expect("UTF-8")]);
    let mut child = run
        .0
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut told = String::new();
    BufReader::new(child.stderr.take().expect("piped"))
        .read_line(&mut told)
        .expect("read");
    assert_eq!(
        told,
        format!("waiting: another process has {} locked\n", file.display())
    );
    locked.unlock().expect("unlocked");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(json_of(&file), serde_json::json!({"auths": {}}));
}
