//! Are many images copied as skopeo copies them, each to its place, once, and without one that is lost?

use std::{
    fs,
    io::{Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{
    Asks, Peer, Room, Served,
    answers::{self, Answers, status},
    image, layer, peers,
    tree::content,
};
use serde_json::Value;

/// A registry of ours with images in two repositories; all but one share their layer.
fn served(room: &Room) -> Served {
    let layout = room.layout("images");
    layout.image("app", &image());
    layout.index("all", &[("linux/amd64", &image()), ("linux/arm64", &image())]);
    let mut other = image();
    other.layers[0].1 = layer("other\n");
    other.config["rootfs"]["diff_ids"][0] = teu_spec::Digest::of(&layer("other\n")).to_string().into();
    layout.image("other", &other);
    let server = Served::start(room, &["--data", "served"]);
    for (from, to) in [
        ("app", "team/app:1.0"),
        ("app", "team/app:1.1"),
        ("all", "team/app:2.0"),
        ("other", "team/app:latest"),
        ("other", "app:1.0"),
    ] {
        let from = format!("oci:images:{from}");
        room.teu(["copy", "--all", "--dest-tls-verify=false", &from, &server.image(to)])
            .succeeds();
    }
    server
}

/// What is said on standard error, without the time.
fn said(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter(|line| line.contains("level=info"));
    let line = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let mut lines: Vec<_> = lines.filter_map(line).collect();
    lines.retain(|line| line.contains(" image ref ") || line.contains("Synced"));
    lines
}

#[test]
fn what_skopeo_makes_is_made() {
    let test = "sync::what_skopeo_makes_is_made";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    let server = served(&room);
    let here = &server.address;
    let (app, one) = (format!("{here}/team/app"), format!("{here}/team/app:1.1"));
    let list = format!(
        "{here}:\n  images: {{team/app: [\"1.0\", latest], app: []}}\n  images-by-tag-regex: {{team/app: '^2'}}\n  tls-verify: false\n"
    );
    room.file("list.yaml", list);
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    for (name, arguments) in [
        ("all", &["--src", "docker", "--dest", "dir", &app][..]),
        ("one", &["-s", "docker", "-d", "dir", "--scoped", &one]),
        ("index", &["-s", "docker", "-d", "dir", "--all", &app]),
        ("list", &["-s", "yaml", "-d", "dir", "--scoped", "list.yaml"]),
    ] {
        let run = |tool: &str, ours: bool| {
            let to = format!("{tool}-{name}");
            let arguments = [&["sync"], &plain[..], arguments, &[&to]].concat();
            match ours {
                true => room.as_skopeo(arguments).succeeds(),
                false => room.skopeo(arguments).succeeds(),
            }
        };
        let (theirs, ours) = (run("theirs", false), run("ours", true));
        let (theirs_here, ours_here) = (room.path(format!("theirs-{name}")), room.path(format!("ours-{name}")));
        assert_eq!(content(&ours_here), content(&theirs_here), "{name}");
        let renamed = |line: &String| line.replace("theirs-", "ours-");
        let (mut theirs, mut ours) = (
            said(&theirs.stderr).iter().map(renamed).collect::<Vec<_>>(),
            said(&ours.stderr),
        );
        if name == "list" {
            // skopeo goes through a list in no order.
            let place = |line: &mut String| {
                if let Some((_, rest)) = line.split_once(" from=") {
                    *line = rest.to_owned();
                }
            };
            theirs.iter_mut().chain(&mut ours).for_each(place);
            theirs.sort();
            ours.sort();
        }
        assert_eq!(ours, theirs, "{name}");
    }
    // And back, into a registry of another's.
    let host = &registry.host;
    for (name, from, scoped) in [("all", "theirs-all", false), ("scoped", "theirs-one", true)] {
        let from = room.path(from).display().to_string();
        let run = |tool: &str, ours: bool| {
            let to = format!("{host}/{tool}/{name}");
            let scope = scoped.then_some("--scoped");
            let mut arguments = vec!["sync", "-s", "dir", "-d", "docker", plain[1], &from, &to];
            arguments.extend(scope);
            match ours {
                true => room.as_skopeo(arguments).ran(),
                false => room.skopeo(arguments).ran(),
            }
        };
        let (theirs, ours) = (run("theirs", false), run("ours", true));
        assert_eq!(ours.code, theirs.code, "{}{}", ours.stderr, theirs.stderr);
        let renamed: Vec<_> = said(&theirs.stderr)
            .iter()
            .map(|line| line.replace("/theirs/", "/ours/"))
            .collect();
        assert_eq!(said(&ours.stderr), renamed);
    }
}

#[test]
fn a_layout_mirrors_a_repository_and_gives_it_back() {
    let room = Room::new();
    let server = served(&room);
    let from = server.image("team/app");
    let sync = |arguments: &[&str]| {
        room.teu(
            [
                &["sync", "--src-tls-verify=false", "--dest-tls-verify=false"],
                arguments,
            ]
            .concat(),
        )
    };
    let digest = |name: &str| {
        let digest = room.teu(["digest", "--tls-verify=false", name]).succeeds().stdout;
        digest.trim_end().to_owned()
    };
    let copied = sync(&["--all", "--digestfile=digests", &from, "oci:mirror"]).succeeds();
    let expected: String = ["1.0", "1.1", "2.0", "latest"]
        .map(|tag| {
            format!(
                "{} oci:mirror:app:{tag}\n",
                digest(&server.image(&format!("team/app:{tag}")))
            )
        })
        .concat();
    // In the order in which they were done.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_by_key(|line| line.split_once(' ').map(|(_, name)| name.to_owned()));
        lines.join("\n") + "\n"
    };
    assert_eq!(sorted(&copied.stdout), expected);
    let digests = fs::read_to_string(room.path("digests")).expect("a file");
    assert_eq!(digests, copied.stdout);
    // What several images have in common came once, though four went on side by side.
    let came = copied.stderr.lines().filter(|line| line.ends_with(" copied"));
    let mut came: Vec<&str> = came.collect();
    let all = came.len();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len(), all, "{}", copied.stderr);

    // Again nothing comes, and nothing is lost where one name is there already in another form.
    let again = sync(&["--all", "-o", "json", &from, "oci:mirror"]).succeeds();
    let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
    let counts = again["images"].as_array().expect("a list").iter();
    assert!(
        counts
            .clone()
            .all(|image| image["bytes"] == 0 && image["manifests"] == 0),
        "{again}"
    );
    assert_eq!(counts.count(), 4);

    sync(&["--all", "--append-suffix=-old", "oci:mirror", &server.image("back")]).succeeds();
    for tag in ["1.0", "2.0", "latest"] {
        let (there, back) = (format!("team/app:{tag}"), format!("back/app:{tag}-old"));
        assert_eq!(digest(&server.image(&back)), digest(&server.image(&there)));
    }
    // A name that is no repository's is a tag of the layout.
    let planned = sync(&["--dry-run", "oci:images", &server.image("p")]).succeeds();
    let to = server.image("p/images");
    assert_eq!(
        planned.stdout,
        format!("oci:images:app {to}:app\noci:images:all {to}:all\noci:images:other {to}:other\n")
    );
    room.teu(["ls", "--tls-verify=false", &server.image("p/images")])
        .fails(2);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let room = Room::new();
    let server = served(&room);
    let here = &server.address;
    let list = |text: &str| room.file("list.yaml", format!("{here}:\n  tls-verify: false\n{text}"));
    let refused = |arguments: &[&str], code, words: &str| {
        let said = room
            .teu([&["sync", "--src-tls-verify=false"], arguments].concat())
            .fails(code);
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!room.path("new").exists(), "{arguments:?}");
    };
    refused(
        &["app", "dir:new"],
        2,
        "it is not said what SOURCE, \"app\", is; begin it with docker://",
    );
    refused(&["dir:a", "new"], 2, "it is not said what DESTINATION");
    refused(&["dir:a", "dir:new"], 2, "consider using rsync");
    refused(&["dir:absent", "oci:new"], 2, "looking for images in absent");
    refused(&[&server.image("nothing"), "oci:new"], 2, "listing the tags");
    fs::create_dir(room.path("empty")).expect("made");
    refused(&["dir:empty", "oci:new"], 2, "no images to copy are found in dir:empty");
    list("  images: {app: [], team/app: [\"1.0\"]}\n");
    refused(
        &["yaml:list.yaml", "oci:new"],
        2,
        "would both become oci:new:app:1.0; keep their whole names with --scoped",
    );
    list("  images: {app: 1.0}\n");
    refused(
        &["yaml:list.yaml", "oci:new"],
        2,
        "the list list.yaml: line 3: the tags of an image are a list",
    );
    refused(&["-s", "yaml", "-d", "docker", "list.yaml", "UPPER/x"], 2, "list.yaml");

    refused(
        &["-s", "dir", &server.image("app"), "oci:new"],
        2,
        "and --src says something else",
    );
    refused(
        &[&server.image("app"), "oci:new:app"],
        2,
        "a colon can stand in no path",
    );
    refused(
        &["--all", &server.image("team/app"), &server.image("team")],
        2,
        "would be copied onto itself",
    );
    let other = here.replace("127.0.0.1", "localhost");
    list(&format!("  images: {{app: []}}\n{other}:\n  images: {{app: []}}\n"));
    refused(
        &["--src-creds=me:secret", "yaml:list.yaml", "oci:new"],
        2,
        "names 2 registries without credentials of their own",
    );
    // Two names that would get one tag.
    let layout = room.layout("two");
    layout.image("a/app", &image());
    layout.image("b/app:latest", &image());
    refused(&["oci:two", &server.image("x")], 2, "would both become");

    // What is there is not written over; what an enemy called an image of a layout leads nowhere else.
    room.file("usb/app:1.0/kept", "kept");
    let said = room
        .teu(["sync", "--src-tls-verify=false", &server.image("app"), "dir:usb"])
        .fails(1);
    assert!(
        said.contains("refusing to overwrite the directory usb/app:1.0"),
        "{said}"
    );
    assert_eq!(content(&room.path("usb")).len(), 1);
    let planned = [
        "sync",
        "--dry-run",
        "--src-tls-verify=false",
        &server.image("app"),
        "dir:usb",
    ];
    room.teu(planned).fails(1);
    let layout = room.layout("hostile");
    layout.image("../../escaped:1", &image());
    for scoped in [&["--scoped"][..], &[]] {
        let arguments = [&["sync"], scoped, &["oci:hostile", "dir:usb/below"]].concat();
        let ran = room.teu(arguments).ran();
        assert!(ran.code != 0 || scoped.is_empty(), "{ran:?}");
        assert!(!room.path("escaped:1").exists() && !room.path("usb/escaped:1").exists());
    }
}

#[test]
fn one_failure_ends_it_or_is_told_at_the_end() {
    let room = Room::new();
    let server = served(&room);
    let here = &server.address;
    room.file(
        "list.yaml",
        format!(
            "{here}:\n  tls-verify: false\n  images: {{absent: [x], team/app: [latest], nowhere: []}}\n  images-by-semver: {{team/app: '>= 1.1'}}\n"
        ),
    );
    room.teu(["sync", "yaml:list.yaml", "oci:first"]).fails(2);
    // One that ends it is in the report too, behind what was done until then.
    let layout = room.layout("some");
    for name in ["app:1", "broken:1"] {
        layout.image(name, &image());
    }
    let broken = "dir:some-dir";
    room.teu(["sync", "oci:some", broken]).succeeds();
    let lost = room.path("some-dir/broken:1/manifest.json");
    fs::write(&lost, "{}").expect("written");
    let ran = room.teu(["sync", "-o", "json", "--images=1", broken, "oci:to"]).ran();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["images"][0]["destination"], "oci:to:app:1");
    assert_eq!(report["failed"][0]["source"], "dir:some-dir/broken:1");
    let error = report["failed"][0]["error"].as_str().expect("words");
    assert_eq!(ran.stderr.lines().last(), Some(format!("teu: {error}").as_str()));
    let ran = room
        .teu(["sync", "--keep-going", "-o", "json", "yaml:list.yaml", "oci:mirror"])
        .ran();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let of = |list: &str, key: &str| -> Vec<String> {
        let items = report[list].as_array().expect("a list").iter();
        items.map(|item| item[key].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(
        of("images", "destination"),
        ["oci:mirror:app:latest", "oci:mirror:app:1.1", "oci:mirror:app:2.0"]
    );
    assert_eq!(of("failed", "destination"), ["-", "oci:mirror:absent:x"]);
    assert!(
        ran.stderr
            .ends_with("teu: 2 images or repositories were not copied, for the reasons above\n"),
        "{}",
        ran.stderr
    );
    let names = room.teu(["ls", "oci:mirror"]).succeeds().stdout;
    assert_eq!(names.lines().count(), 3, "{names}");
}

/// skopeo leaves out of a list what it cannot list, and calls that no failure; an image that cannot be copied is one.
#[test]
fn what_cannot_be_listed_is_left_out_as_skopeo_does() {
    if !peers("sync::what_cannot_be_listed_is_left_out_as_skopeo_does", &["skopeo"]) {
        return;
    }
    let room = Room::new();
    let server = served(&room);
    for (number, repositories) in [
        "nowhere: [], team/app: [latest]",
        "nowhere: []",
        "nowhere: [], absent: [x]",
    ]
    .into_iter()
    .enumerate()
    {
        let here = &server.address;
        room.file(
            "list.yaml",
            format!("{here}:\n  tls-verify: false\n  images: {{{repositories}}}\n"),
        );
        for keep_going in [&["--keep-going"][..], &[]] {
            let run = |tool: &str, ours: bool| {
                let to = format!("{tool}-{number}-{}", keep_going.len());
                let arguments = [&["sync", "-s", "yaml", "-d", "dir"], keep_going, &["list.yaml", &to]].concat();
                let ran = match ours {
                    true => room.as_skopeo(arguments).ran(),
                    false => room.skopeo(arguments).ran(),
                };
                let synced: Vec<_> = said(&ran.stderr)
                    .into_iter()
                    .filter(|line| line.contains("Synced"))
                    .collect();
                let errors = ran.stderr.lines().filter(|line| line.contains("level=error")).count() > 0;
                // Of an image that is not there newer ones say so by 2.
                (ran.code == 0, synced, errors, room.path(to).exists())
            };
            assert_eq!(run("ours", true), run("theirs", false), "{repositories} {keep_going:?}");
        }
    }
}

/// Copies go on while nobody reads what is printed.
#[test]
fn a_stopped_reader_holds_up_no_copy() {
    let room = Room::new();
    let layout = room.layout("images");
    for number in 0..5 {
        layout.image(&format!("app:{number}"), &image());
    }
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    // As much as a pipe holds: the first line has no place.
    writer.write_all(&[b'\n'; 64 << 10]).expect("room");
    let mut sync = room.teu(["sync", "--images=1", "--progress=none", "oci:images", "oci:mirror"]);
    let mut child = sync.0.stdout(writer).spawn().expect("it runs");
    drop(sync);
    let begun = Instant::now();
    while room.teu(["ls", "oci:mirror"]).ran().stdout.lines().count() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "held up");
    }
    assert!(child.try_wait().expect("asked").is_none(), "it waits for its reader");
    let mut printed = String::new();
    reader.read_to_string(&mut printed).expect("text");
    assert!(child.wait().expect("ended").success());
    let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
}

/// What was put of an image whose layer is missing is not listed beside those that came whole.
#[test]
fn what_failed_half_way_is_listed_nowhere() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut broken = image();
    broken.layers[0].1 = layer("missing\n");
    let digest = teu_spec::Digest::of(&broken.layers[0].1);
    broken.config["rootfs"]["diff_ids"][0] = digest.to_string().into();
    layout.index("all:1", &[("linux/amd64", &image()), ("linux/arm64", &broken)]);
    layout.image("whole:1", &image());
    fs::remove_file(room.path(format!("images/blobs/sha256/{}", digest.hex()))).expect("removed");
    let ran = room
        .teu(["sync", "--all", "--keep-going", "oci:images", "oci:mirror"])
        .ran();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let names = room.teu(["ls", "oci:mirror"]).succeeds().stdout;
    assert_eq!(names.lines().count(), 1, "{names}");
    assert!(names.starts_with("whole:1 "), "{names}");
}

#[test]
fn images_that_were_not_copied_are_a_failure_though_nobody_reads_what_is_printed() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("whole:1", &image());
    layout.image("broken:1", &image());
    room.teu(["sync", "oci:images", "dir:some"]).succeeds();
    fs::write(room.path("some/broken:1/manifest.json"), "{}").expect("written");
    for format in ["json", "text"] {
        let run = room.teu(["sync", "--keep-going", "-o", format, "dir:some", "oci:mirror"]);
        let output = run.unread();
        assert_eq!(output.status.code(), Some(1), "{format}: {output:?}");
    }
    // Nor is it well that it cannot be printed.
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut run = room.teu(["sync", "oci:images", "oci:all"]);
    let output = run.0.stdout(full).stderr(Stdio::piped()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(room.teu(["ls", "oci:all"]).succeeds().stdout.lines().count(), 2);
}

/// Of what is not there the manifest is asked for at once, and of what is up to date what its name points at.
#[test]
fn each_tag_takes_one_question_for_its_manifest() {
    let room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    let registry = Answers::start(move |request| match request.target.contains("/tags/list") {
        true => (200, Vec::new(), br#"{"name":"app","tags":["1","2"]}"#.to_vec()),
        false => answers::served(&layout, &digest, request).unwrap_or(status(404)),
    });
    let from = format!("docker://{}/app", registry.host);
    let mut before = 0;
    for method in ["GET", "HEAD"] {
        room.teu(["sync", "--src-tls-verify=false", &from, "oci:mirror"])
            .succeeds();
        let lines = registry.lines();
        let mut asked: Vec<&String> = lines[before..]
            .iter()
            .filter(|line| line.contains("/manifests/"))
            .collect();
        asked.sort();
        assert_eq!(
            asked,
            [1, 2]
                .map(|tag| format!("{method} /v2/app/manifests/{tag}"))
                .iter()
                .collect::<Vec<_>>()
        );
        before = lines.len();
    }
}
