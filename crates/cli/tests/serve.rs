//! Is a layout a registry under `teu serve`? To skopeo, to teu itself, and to whoever is not allowed to write.

use crate::support::{Room, Served, image, peers};

#[test]
fn a_layout_is_pulled_from_and_pushed_to() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string();
    room.teu(["init", "oci:empty"]).succeeds();
    let served = Served::start(
        &room,
        &["--writable", "--deletes", "oci:images", "team/other=oci:empty"],
    );
    let catalog = room.teu(["catalog", "--tls-verify=false", &served.address]).succeeds();
    assert_eq!(catalog.stdout, "images\nteam/other\n");
    let (from, to) = (served.image("images:app"), served.image("team/other:new"));
    let copy = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    room.teu(copy.iter().copied().chain([&from[..], &to])).succeeds();
    let named = room.teu(["digest", "oci:empty:new"]).succeeds().stdout;
    assert_eq!(named.trim(), digest);
    room.teu(["verify", "oci:empty:new"]).succeeds();
    if peers("a_layout_is_pulled_from_and_pushed_to beside skopeo", &["skopeo"]) {
        let again = served.image("images:by-skopeo");
        room.skopeo(["copy", "--dest-tls-verify=false", "oci:empty:new", &again])
            .succeeds();
        let named = room.teu(["digest", "oci:images:by-skopeo"]).succeeds().stdout;
        assert_eq!(named.trim(), digest);
        room.skopeo(["copy", "--src-tls-verify=false", &again, "dir:pulled"])
            .succeeds();
    }
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    // The images of an index come before it, each acknowledged by itself, and are listed only as its parts in the end.
    room.layout("many")
        .index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let many = served.image("team/other:many");
    room.teu(["copy", "--all", "--dest-tls-verify=false", "oci:many:all", &many])
        .succeeds();
    let listed = room.teu(["ls", "oci:empty"]).succeeds().stdout;
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["new", "many"]);
    room.teu(["untag", "--tls-verify=false", &many]).succeeds();
    room.teu(["untag", "--tls-verify=false", &to]).succeeds();
    assert_eq!(room.teu(["ls", "oci:empty"]).succeeds().stdout, "");
    let (code, said) = served.stop("TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("teu: stopped; no upload was under way\n"), "{said}");
    let pushed = said
        .lines()
        .filter(|line| line.contains(" PUT /v2/team/other/manifests/new 201 "));
    assert_eq!(pushed.count(), 1, "{said}");
}

#[test]
fn nothing_is_written_unless_it_may_be() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let before = std::fs::read(room.path("images/index.json")).expect("an index");
    let served = Served::start(&room, &["--progress=json", "oci:images"]);
    let (from, to) = (served.image("images:app"), served.image("images:new"));
    room.teu(["copy", "--src-tls-verify=false", &from, "oci:copy:app"])
        .succeeds();
    let refused = room
        .teu(["copy", "--dest-tls-verify=false", "oci:copy:app", &to])
        .fails(1);
    assert!(refused.contains("this registry can only be read"), "{refused}");
    assert_eq!(std::fs::read(room.path("images/index.json")).expect("an index"), before);
    let (code, said) = served.stop("INT");
    assert_eq!(code, Some(0), "{said}");
    let lines = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let mut lines: Vec<serde_json::Value> = lines.collect();
    let last = lines.pop().expect("that it stopped");
    assert_eq!(last["message"], "stopped; no upload was under way");
    for line in lines {
        assert!(line["status"].is_u64() && line["peer"].is_string(), "{line}");
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    room.layout("Upper").image("app", &image());
    let here = "127.0.0.1:0";
    for (listen, arguments, code, says) in [
        (
            here,
            &["oci:images:app"][..],
            2,
            "a layout is served as a whole: write oci:DIRECTORY",
        ),
        (here, &["dir:images"], 2, "dir:images is no layout"),
        (
            here,
            &["oci:Upper"],
            2,
            "\"Upper\" is no name for a repository; write NAME=oci:Upper",
        ),
        (here, &["Bad=oci:images"], 1, "Bad"),
        (
            here,
            &["oci:images", "images=oci:Upper"],
            1,
            "two places cannot both be the repository images",
        ),
        (
            here,
            &["oci:nowhere"],
            2,
            "there is no directory nowhere; teu init makes an empty layout",
        ),
        (here, &["--deletes", "oci:images"], 2, "--writable"),
        ("192.0.2.1:0", &["oci:images"], 1, "--listen takes another address"),
    ] {
        let run = room.teu(["serve", "--listen", listen].iter().chain(arguments));
        let said = run.fails(code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
