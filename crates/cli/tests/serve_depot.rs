//! Is `teu serve` without layouts a registry that keeps what it is given?

use std::{io::Write, os::unix::fs::PermissionsExt};

use crate::support::{self, Room, Served, image, peers, small::Small};
use serde_json::Value;

const COPY: [&str; 3] = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];

fn copy(room: &Room, from: &str, to: &str) -> support::Run {
    room.teu(COPY.iter().copied().chain([from, to]))
}

#[test]
fn what_is_pushed_is_kept_where_nobody_said_otherwise() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string();
    let served = Served::start(&room, &[]);
    copy(&room, "oci:images:app", &served.image("team/app:v1")).succeeds();
    let begun =
        "POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(support::ask(&served.address, begun).starts_with("HTTP/1.1 202"));
    support::ask(&served.address, "no request\r\n\r\n");
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(" - - - 400 0 B 0 ms (what came is no request, or one that can be read in two ways)\n"),
        "{said}"
    );
    assert!(
        said.ends_with("teu: stopped; uploads that are kept for who goes on with them: 1\n"),
        "{said}"
    );
    let kept = room.home(".local/share/teu/registry");
    let mode = std::fs::metadata(&kept).expect("its directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let kept = kept.to_str().expect("text");
    let served = Served::start(&room, &["--data", kept]);
    copy(&room, &served.image("team/app:v1"), "oci:pulled:v1").succeeds();
    assert_eq!(room.teu(["digest", "oci:pulled:v1"]).succeeds().stdout.trim(), digest);
    room.teu(["verify", "oci:pulled:v1"]).succeeds();
    let catalog = room.teu(["catalog", "--tls-verify=false", &served.address]).succeeds();
    assert_eq!(catalog.stdout, "team/app\n");
    let second = room.teu(["serve", "--listen", "127.0.0.1:0"]).fails(1);
    assert!(second.contains("another process has the depot"), "{second}");
    // Nothing is deleted unless that was allowed.
    let refused = room
        .teu(["delete", "--tls-verify=false", &served.image("team/app:v1")])
        .fails(1);
    assert!(refused.contains("nothing can be deleted here"), "{refused}");
    drop(served);
    let served = Served::start(&room, &["--data", kept, "--read-only"]);
    copy(&room, &served.image("team/app:v1"), "oci:pulled:again").succeeds();
    let refused = copy(&room, "oci:images:app", &served.image("team/app:v2")).fails(1);
    assert!(refused.contains("this registry can only be read"), "{refused}");
}

#[test]
fn skopeo_pushes_pulls_and_deletes() {
    if !peers("skopeo_pushes_pulls_and_deletes", &["skopeo"]) {
        return;
    }
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string();
    let served = Served::start(&room, &["--data", "kept", "--deletes"]);
    let name = served.image("team/app:v1");
    room.skopeo([
        "copy",
        "--preserve-digests",
        "--dest-tls-verify=false",
        "oci:images:app",
        &name,
    ])
    .succeeds();
    let inspected = room.skopeo(["inspect", "--tls-verify=false", &name]).succeeds().stdout;
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    assert_eq!(inspected["Digest"], digest);
    room.skopeo(["copy", "--src-tls-verify=false", &name, "dir:pulled"])
        .succeeds();
    room.skopeo(["delete", "--tls-verify=false", &name]).succeeds();
    room.skopeo(["inspect", "--tls-verify=false", &name]).ran();
    let listed = room.teu(["ls", "--tls-verify=false", &served.image("team/app")]);
    assert_eq!(listed.ran().stdout, "");
}

#[test]
fn gc_explains_beside_a_server_and_collects_without_one() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--data", "kept", "--deletes"]);
    let name = served.image("app:v1");
    copy(&room, "oci:images:app", &name).succeeds();
    let explain = ["serve", "gc", "--data", "kept", "--dry-run"];
    let said = room.teu(explain).succeeds().stdout;
    assert_eq!(said, "would free 0 B: 0 blobs\n");
    room.teu(["delete", "--tls-verify=false", &name]).succeeds();
    let said = room.teu(explain).succeeds().stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() > 1 && lines[0].contains(" app "), "{said}");
    assert!(lines[0].contains("stays until 2"), "{said}");
    assert_eq!(lines.last(), Some(&"would free 0 B: 0 blobs"));
    let json = room
        .teu(explain.iter().copied().chain(["-o", "json"]))
        .succeeds()
        .stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["candidates"].as_array().map(Vec::len), Some(lines.len() - 1));
    assert_eq!(json["candidates"][0]["goes"], false);
    let asked = room
        .teu(["serve", "gc", "--data", "kept", "-o", "json"])
        .succeeds()
        .stdout;
    let asked: Value = serde_json::from_str(&asked).expect("JSON");
    assert_eq!((&asked["blobs"], &asked["byServer"]), (&0.into(), &true.into()));
    let refused = room.teu(["serve", "gc", "--data", "kept", "--lease", "0"]).fails(1);
    assert!(refused.contains("another process has the depot"), "{refused}");
    assert!(refused.contains("--lease is for when it has ended"), "{refused}");
    drop(served);
    let json = room
        .teu(["serve", "gc", "--data", "kept", "-o", "json"])
        .succeeds()
        .stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["blobs"], &json["dryRun"]), (&0.into(), &false.into()));
    assert_eq!((&json["byServer"], &json["manifests"]), (&false.into(), &0.into()));
    let gone = lines.len() - 1;
    for (dry, lease, blobs) in [
        (true, "1h", 0),
        (true, "0", gone),
        (false, "1h", 0),
        (false, "0", gone),
        (false, "0", 0),
    ] {
        let mut line = vec!["serve", "gc", "--data", "kept", "-o", "json", "--lease", lease];
        if dry {
            line.push("--dry-run");
        }
        let json: Value = serde_json::from_str(&room.teu(line).succeeds().stdout).expect("JSON");
        assert_eq!(json["blobs"], blobs, "{dry} {lease}");
    }
    for gc in [
        &["serve", "gc", "--data", "nowhere"][..],
        &["serve", "gc", "--data", "images"],
    ] {
        room.teu(gc).fails(2);
    }
    assert!(!room.path("nowhere").exists() && !room.path("images/metadata.sqlite").exists());
}

/// What would go beside a server is what it lets go for who asks; and leases are reckoned from those that it gave.
#[test]
fn a_dry_run_says_what_goes_as_things_are() {
    let room = Room::new();
    room.layout("images").image("old", &image());
    let mut other = image();
    other.config["author"] = "another".into();
    room.layout("images").image("new", &other);
    let gc = |more: &[&str]| -> Value {
        let line = ["serve", "gc", "--data", "kept", "-o", "json"];
        let said = room.teu(line.iter().chain(more)).succeeds().stdout;
        serde_json::from_str(&said).expect("JSON")
    };
    let count = |said: &Value| said["untagged"].as_array().expect("a list").len();
    let served = Served::start(&room, &["--data", "kept", "--gc-lease", "2h", "--deletes"]);
    let name = served.image("app:latest");
    for image in ["oci:images:old", "oci:images:new"] {
        copy(&room, image, &name).succeeds();
    }
    assert_eq!(count(&gc(&["--untagged", "--dry-run"])), 0);
    assert_eq!(gc(&["--untagged"])["manifests"], 0);
    drop(served);
    let served = Served::start(&room, &["--data", "kept", "--gc-lease", "2h", "--read-only"]);
    assert_eq!(count(&gc(&["--untagged", "--dry-run"])), 1);
    drop(served);
    assert_eq!(count(&gc(&["--untagged", "--dry-run"])), 1);
    assert_eq!(gc(&["--untagged"])["manifests"], 1);
    // What it named alone was pushed a moment ago, by a lease of two hours.
    for (lease, more, goes) in [
        ("2h", None, false),
        ("1h", None, false),
        ("0", None, true),
        ("2h", Some("24h"), true),
    ] {
        let more = more.map_or(vec![], |had| vec!["--gc-lease", had]);
        let said = gc(&[&["--dry-run", "--lease", lease][..], &more[..]].concat());
        assert_eq!(said["blobs"].as_u64() > Some(0), goes, "{lease} {more:?}");
    }
}

/// Where that is wanted, what no tag leads to goes by itself; what is tagged stays, and what belongs to it.
#[test]
fn what_no_tag_leads_to_goes_where_the_settings_say_so() {
    let room = Room::new();
    let old = room.layout("images").image("old", &image()).to_string();
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    room.layout("many")
        .index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    other.config["author"] = "a third".into();
    let untagged = room.layout("images").image("third", &other).to_string();
    let flags = ["--gc-untagged", "1s", "--gc-lease", "1s", "--gc-interval", "1s"];
    let metrics = support::free_port();
    let served = Served::start(
        &room,
        &[&["--data", "kept", "--metrics", &metrics][..], &flags].concat(),
    );
    let name = served.image("app:latest");
    copy(&room, "oci:images:third", &name).succeeds();
    room.teu(["copy", "--all", "--dest-tls-verify=false", "oci:many:all", &name])
        .succeeds();
    let status = |digest: &str| {
        let request = format!("GET /v2/app/manifests/{digest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        support::ask(&served.address, &request)[9..12].to_owned()
    };
    support::until("what has no tag is gone", || status(&untagged) != "200");
    assert_eq!(
        (status(&untagged), status(&old)),
        ("404".into(), "200".into()),
        "a part of the index stays"
    );
    let told = || {
        support::ask(
            &metrics,
            "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
    };
    support::until("it is counted", || {
        told().lines().any(|line| line == "teu_registry_gc_manifests_total 1")
    });
    assert!(told().contains("\nteu_registry_gc_last_success_timestamp_seconds "));
    room.teu(["copy", "--all", "--src-tls-verify=false", &name, "oci:pulled:all"])
        .succeeds();
    room.teu(["verify", "oci:pulled:all"]).succeeds();
}

/// Who asked may be gone, or the disk be full; what was collected is counted as that, and not as what failed.
#[test]
fn a_collection_that_nobody_can_be_told_of_has_not_failed() {
    let room = Room::new();
    let metrics = support::free_port();
    drop(Served::start(&room, &["--data", "kept"]));
    let mut served = Served::start(&room, &["--data", "kept", "--read-only", "--metrics", &metrics]);
    std::fs::create_dir(room.path("kept/gc.answer-new")).expect("a directory");
    room.file("kept/gc.asked", "");
    let said = served.says_until("teu: warning: collecting garbage, as was asked: ");
    assert!(
        said.starts_with("teu: collected garbage, as was asked: freed 0 B") && said.contains("gc.answer-new"),
        "{said}"
    );
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let told = support::ask(&metrics, request);
    let has = |line: &str| told.lines().any(|found| found.starts_with(line));
    assert!(
        has("teu_registry_gc_failures_total 0") && has("teu_registry_gc_last_success_timestamp_seconds "),
        "{told}"
    );
}

/// Whoever deletes makes room, and whoever pushes takes none of what that needs.
#[test]
fn a_registry_on_a_full_disk_is_freed_by_who_deletes() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let Some(small) = Small::mount(room.path("small"), "8m") else {
        let line =
            "SKIPPED a_registry_on_a_full_disk_is_freed_by_who_deletes: a small file system needs root, and mount";
        writeln!(std::io::stderr(), "{line}").expect("said");
        return;
    };
    let served = Served::start(&room, &["--data", "small/kept", "--deletes"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    let mut filler = std::fs::File::create(small.0.join("filler")).expect("made");
    while filler.write_all(&[0; 4096]).is_ok() {}
    let push = || copy(&room, "oci:images:app", &served.image("other:v1"));
    let said = push().fails(1);
    assert!(said.contains("507"), "{said}");
    room.teu(["delete", "--tls-verify=false", &served.image("app:v1")])
        .succeeds();
    let gc = room.teu(["serve", "gc", "--data", "small/kept"]).succeeds();
    assert!(gc.stdout.starts_with("freed "), "{}", gc.stdout);
    let said = push().fails(1);
    assert!(said.contains("507"), "{said}");
    // So is it where no server runs.
    let (code, _) = served.stop("TERM");
    assert_eq!(code, Some(0));
    let gc = ["serve", "gc", "--data", "small/kept", "--lease", "0", "-o", "json"];
    let freed: Value = serde_json::from_str(&room.teu(gc).succeeds().stdout).expect("JSON");
    assert!(freed["blobs"].as_u64() > Some(0), "{freed}");
}

#[test]
fn a_damaged_database_is_said_and_nothing_goes() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--data", "kept", "--deletes"]);
    for n in 0..40 {
        copy(&room, "oci:images:app", &served.image(&format!("app{n}:latest"))).succeeds();
    }
    let (code, _) = served.stop("TERM");
    assert_eq!(code, Some(0));
    room.teu(["serve", "fsck", "--data", "kept"]).succeeds();
    let database = room.path("kept/metadata.sqlite");
    let mut bytes = std::fs::read(&database).expect("a database");
    let middle = bytes.len() / 2;
    bytes[8192..middle].fill(0xa5);
    std::fs::write(&database, bytes).expect("written");
    for line in [
        &["serve", "fsck", "--data", "kept"][..],
        &["serve", "fsck", "--data", "kept", "--repair"],
    ] {
        let ran = room.teu(line).ran();
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        assert!(ran.stdout.starts_with("the database is damaged: "), "{}", ran.stdout);
    }
    let refused = room.teu(["serve", "gc", "--data", "kept"]).fails(1);
    assert!(
        refused.contains("the database is damaged: ") && refused.contains("nothing is collected"),
        "{refused}"
    );
    let metrics = support::free_port();
    let mut served = Served::start(&room, &["--metrics", &metrics, "--data", "kept"]);
    let said = served.says();
    assert!(said.starts_with("teu: warning: the database is damaged: "), "{said}");
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let told = support::ask(&metrics, request);
    assert!(told.lines().any(|line| line == "teu_registry_damaged 1"), "{told}");
    let refused = room.teu(["serve", "gc", "--data", "kept"]).fails(1);
    assert!(
        refused.contains("the database is damaged, so that nothing is taken away"),
        "{refused}"
    );
}

/// A layout is served to be read unless something else is said, and may be said to be.
#[test]
fn a_layout_may_be_said_to_be_read_only() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--read-only", "oci:images"]);
    let refused = copy(&room, "oci:images:app", &served.image("images:other")).fails(1);
    assert!(refused.contains("this registry can only be read"), "{refused}");
}

#[test]
fn tags_may_be_immutable_and_indexes_sparse() {
    let room = Room::new();
    room.layout("images").image("one", &image());
    let mut other = image();
    other.config["author"] = "another".into();
    room.layout("images").image("two", &other);
    room.layout("many")
        .index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let served = Served::start(&room, &["--data", "kept", "--immutable", "app:v*", "--sparse"]);
    copy(&room, "oci:images:one", &served.image("app:v1")).succeeds();
    copy(&room, "oci:images:one", &served.image("app:v1")).succeeds();
    let refused = copy(&room, "oci:images:two", &served.image("app:v1")).fails(1);
    assert!(refused.contains("never moves"), "{refused}");
    copy(&room, "oci:images:two", &served.image("app:latest")).succeeds();
    let raw = room.teu(["manifest", "get", "oci:many:all"]).succeeds().stdout;
    std::fs::write(room.path("index.json"), raw).expect("written");
    let name = served.image("other:sparse");
    room.teu([
        "manifest",
        "put",
        "--allow-missing",
        "--tls-verify=false",
        &name,
        "index.json",
    ])
    .succeeds();
}

#[test]
fn what_cannot_be_kept_is_said() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    std::fs::write(room.path("file"), "").expect("written");
    std::fs::create_dir(room.path("empty")).expect("made");
    for (arguments, code, says) in [
        (&["--data", "images"][..], 1, "is not empty, and no depot"),
        (&["--data", "file"], 1, "file is no directory"),
        (
            &["--data", "typo", "--read-only"],
            2,
            "--read-only serves what is there, so say by --data where that is, or start without --read-only for a new one",
        ),
        (
            &["--data", "empty", "--read-only"],
            2,
            "--read-only serves what is there",
        ),
        (&["--data", "kept", "oci:images"], 2, "cannot be used with"),
        (&["--writable"], 2, "--writable is for layouts"),
        (&["--read-only", "--deletes"], 2, "cannot be used with"),
        (&["--read-only", "--writable", "oci:images"], 2, "cannot be used with"),
        (&["--sparse-indexes", "oci:images"], 2, "cannot be used with"),
        (&["--gc-untagged", "59m"], 2, "--gc-untagged is at least an hour"),
        (
            &["--gc-untagged", "59s", "--gc-lease", "1m"],
            2,
            "or --gc-lease where that is shorter",
        ),
        (&["--gc-untagged", "0", "--gc-lease", "1s"], 2, "at least an hour"),
        (&["--gc-lease", "999ms"], 2, "'--gc-lease <TIME>': it is at least 1s: "),
        (&["--deletes", "oci:images"], 2, "--deletes wants --writable"),
        (
            &["--immutable", "a:*,v*"],
            2,
            "it is REPOSITORY:TAG; *:v* are such tags of all repositories, and v*:* all tags of such repositories",
        ),
    ] {
        let said = room
            .teu(["serve", "--listen", "127.0.0.1:0"].iter().chain(arguments))
            .fails(code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    assert!(!room.path("typo").exists());
    assert_eq!(std::fs::read_dir(room.path("empty")).expect("there").count(), 0);
}

/// What is meant for a registry is told of as that, and not as an image whose transport was forgotten.
#[test]
fn a_directory_that_is_no_depot_is_told_what_it_may_be() {
    let room = Room::new();
    let made = |path: &str| std::fs::create_dir_all(room.path(path)).expect("made");
    made("kept/blobs/sha256");
    made("kept/uploads");
    made("theirs/docker/registry/v2");
    made("other/blobs");
    room.layout("images").image("app", &image());
    std::fs::write(room.path("file"), "").expect("written");
    let real = |path: &str| {
        room.path(path)
            .canonicalize()
            .expect("it is there")
            .display()
            .to_string()
    };
    let theirs = real("theirs");
    let cases: [(&[&str], String); 5] = [
        (
            &["serve", "--listen", "127.0.0.1:0", "--data", "kept"],
            format!(
                "{} is not empty, and no depot; what is in it is of one whose metadata.sqlite is gone; restore a backup to another directory",
                real("kept")
            ),
        ),
        (
            &["serve", "--listen", "127.0.0.1:0", "--data", "theirs"],
            format!(
                "{theirs} is not empty, and no depot; it is a registry:2's rootdirectory; give a directory of its own, into which teu serve import registry:{theirs} brings it"
            ),
        ),
        (
            &["serve", "--listen", "127.0.0.1:0", "--data", "images"],
            format!(
                "{} is not empty, and no depot; give a directory of its own",
                real("images")
            ),
        ),
        (
            &["serve", "backup", "--data", "kept", "other"],
            format!("there is no depot: {}/metadata.sqlite is not there", real("kept")),
        ),
        (
            &["serve", "fsck", "--data", "file"],
            format!("{} is no directory", real("file")),
        ),
    ];
    for (arguments, expected) in cases {
        let said = room.teu(arguments).ran().stderr;
        assert_eq!(said, format!("teu: {expected}\n"), "{arguments:?}");
    }
}

#[test]
fn fsck_finds_and_mends() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    let sound = room.teu(["serve", "fsck", "--data", "kept"]).succeeds().stdout;
    assert!(sound.ends_with(": all is as it should be\n"), "{sound}");
    let refused = room.teu(["serve", "fsck", "--repair", "--data", "kept"]).fails(1);
    assert!(refused.contains("without --repair it looks on"), "{refused}");
    drop(served);
    let layer = room.teu(["manifest", "get", "oci:images:app"]).succeeds().stdout;
    let layer: Value = serde_json::from_str(&layer).expect("JSON");
    let digest = layer["layers"][0]["digest"]
        .as_str()
        .expect("a digest")
        .replace(':', "-");
    let shard = room.path("kept/blobs").join(&digest[7..9]);
    let file = std::fs::read_dir(shard).expect("its directory").flatten();
    let file = file
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains(&digest));
    std::fs::write(file.expect("its file"), "damaged").expect("written");
    let found = room.teu(["serve", "fsck", "--data", "kept"]).ran();
    assert_eq!(found.code, 10);
    let line = "; needed by app:v1; --repair sets it aside, so that the next push heals it\n";
    assert!(found.stdout.contains(line), "{}", found.stdout);
    let found = room
        .teu(["serve", "fsck", "--repair", "--data", "kept", "-o", "json"])
        .ran();
    assert_eq!(found.code, 0);
    let found: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(found["findings"][0]["kind"], "lost");
    assert_eq!(found["findings"][0]["repositories"], serde_json::json!(["app"]));
    assert_eq!(found["findings"][0]["mended"], true);
    assert_eq!(found["findings"][0]["needed"][0]["tag"], "v1");
    assert_eq!(found["findings"][0]["neededMore"], 0);
    for repair in [&[][..], &["--repair"]] {
        let found = room.teu([&["serve", "fsck", "--data", "kept"], repair].concat()).ran();
        assert_eq!(found.code, 10);
        let line = ": lost before, and what needs it is hidden; needed by app:v1; push that again";
        assert!(found.stdout.contains(line), "{}", found.stdout);
    }
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    copy(&room, &served.image("app:v1"), "oci:healed:v1").succeeds();
    room.teu(["serve", "fsck", "--data", "kept"]).succeeds();
}

#[test]
fn what_is_lost_is_taken_back_from_a_copy() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    drop(served);
    room.teu(["serve", "backup", "--data", "kept", "copied"]).succeeds();
    let shards = std::fs::read_dir(room.path("kept/blobs")).expect("listed").flatten();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).expect("listed").flatten());
    std::fs::write(files.next().expect("a blob").path(), "damaged").expect("written");
    room.teu(["serve", "fsck", "--data", "kept", "--repair"]).succeeds();
    let backup = room.teu(["serve", "backup", "--data", "kept", "copied"]).ran();
    let says = "1 blob stay in copied that kept lost: without the server, teu serve fsck --data kept --repair --from copied takes them back\n";
    assert!(backup.code == 0 && backup.stderr.ends_with(says), "{}", backup.stderr);
    let repair = |from| room.teu(["serve", "fsck", "--data", "kept", "--repair", "--from", from]);
    let refused = repair("uploads").fails(2);
    assert!(refused.contains("uploads"), "{refused}");
    std::fs::create_dir(room.path("empty")).expect("made");
    let refused = repair("empty").fails(1);
    assert!(
        refused
            .contains("empty is neither a registry's directory nor a layout; give the copy that teu serve backup made"),
        "{refused}"
    );
    std::fs::create_dir_all(room.path("none/blobs/sha256")).expect("made");
    std::fs::write(room.path("none/oci-layout"), "{}").expect("written");
    assert_eq!(repair("none").ran().code, 10, "it is not there");
    let taken = repair("copied").succeeds().stdout;
    assert!(
        taken.contains(": taken back; needed by app:v1; shown again by app\n"),
        "{taken}"
    );
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, &served.image("app:v1"), "oci:pulled:v1").succeeds();
    let alone = room
        .teu(["serve", "fsck", "--data", "kept", "--from", "copied"])
        .fails(2);
    assert!(alone.contains("--repair"), "{alone}");
}

#[test]
fn a_blob_that_is_damaged_is_named_by_a_backup_and_all_else_is_copied() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    drop(served);
    let shards = std::fs::read_dir(room.path("kept/blobs")).expect("listed");
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.expect("a shard").path()).expect("listed"));
    let file = files.next().expect("a blob").expect("a file").path();
    let others = files.count();
    let mut content = std::fs::read(&file).expect("read");
    content[0] ^= 1;
    std::fs::write(&file, content).expect("written");
    let name = file.file_name().and_then(|name| name.to_str()).expect("text");
    let (digest, _) = name.rsplit_once('-').expect("a place");
    let digest = digest.replacen('-', ":", 1);
    let found = room.teu(["serve", "backup", "--data", "kept", "copied"]).ran();
    let line = format!("blob {digest}: not copied, its bytes in kept are not there, cannot be read, or are others\n");
    assert_eq!(
        (found.code, found.stdout.starts_with(&line)),
        (10, true),
        "{}",
        found.stdout
    );
    assert!(
        found.stdout.contains(&format!(": {others} copied, ")),
        "{}",
        found.stdout
    );
    room.teu(["serve", "fsck", "--data", "kept", "--repair"]).succeeds();
    room.teu(["serve", "backup", "--data", "kept", "copied"]).succeeds();
}

#[test]
fn a_copy_is_made_beside_a_server_and_brought_back() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string();
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, "oci:images:app", &served.image("app:v1")).succeeds();
    let backup = ["serve", "backup", "--data", "kept", "copied", "-o", "json"];
    let first: Value = serde_json::from_str(&room.teu(backup).succeeds().stdout).expect("JSON");
    assert!(
        first["copied"] == first["blobs"] && first["blobs"].as_u64() > Some(1),
        "{first}"
    );
    let second: Value = serde_json::from_str(&room.teu(backup).succeeds().stdout).expect("JSON");
    assert_eq!((&second["copied"], &second["blobs"]), (&0.into(), &first["blobs"]));
    let refused = room.teu(["serve", "restore", "--data", "kept", "copied"]).fails(1);
    assert!(refused.contains("keeps a registry already"), "{refused}");
    drop(Served::start(&room, &["--data", "empty"]));
    let refused = room.teu(["serve", "backup", "--data", "empty", "copied"]).fails(1);
    assert!(
        refused.contains("which would be lost; nothing was changed"),
        "{refused}"
    );
    drop(served);
    std::fs::remove_dir_all(room.path("kept")).expect("lost");
    room.teu(["serve", "restore", "--data", "kept", "copied"]).succeeds();
    room.teu(["serve", "fsck", "--data", "kept"]).succeeds();
    let served = Served::start(&room, &["--data", "kept"]);
    copy(&room, &served.image("app:v1"), "oci:pulled:v1").succeeds();
    assert_eq!(room.teu(["digest", "oci:pulled:v1"]).succeeds().stdout.trim(), digest);
}
