//! Do the tests of the command line stand on firm ground? What they make is what the peers read.

use crate::support::{Asks, Peer, Room, image, peers};

#[test]
fn an_image_made_by_hand_is_read_by_us_and_by_skopeo() {
    let room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    layout.index("all", &[("linux/amd64", &image()), ("linux/arm64/v8", &image())]);
    assert_eq!(
        room.teu(["digest", "oci:images:app"]).succeeds().stdout,
        format!("{digest}\n")
    );
    let test = "an_image_made_by_hand_is_read_by_us_and_by_skopeo";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let there = format!("docker://{}/app:1", registry.host);
    for name in ["app", "all"] {
        let here = format!("oci:images:{name}");
        room.skopeo([
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &here,
            &there,
        ])
        .succeeds();
        let ours = room
            .teu(["inspect", "--raw", "--tls-verify=false", &there])
            .succeeds()
            .stdout;
        assert_eq!(
            ours,
            room.skopeo(["inspect", "--raw", "--tls-verify=false", &there])
                .succeeds()
                .stdout
        );
        assert_eq!(ours, room.teu(["inspect", "--raw", &here]).succeeds().stdout);
    }
}

#[test]
fn a_room_is_empty_and_its_own() {
    let mut room = Room::new();
    room.set("SET", "1");
    let said = room.run("env", [""; 0]).env("GIVEN", "2").succeeds().stdout;
    let mut names: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["GIVEN", "HOME", "LC_ALL", "PATH", "SET", "TMPDIR", "XDG_RUNTIME_DIR"]
    );
    assert_eq!(room.as_skopeo(["--version"]).ran_with(b"").code, 0);
    assert!(room.teu(["no-such-verb"]).fails(2).contains("no-such-verb"));
}
