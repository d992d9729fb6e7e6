//! What umoci unpacked, how umoci tells it, and what podman runs.

use super::*;
use crate::support::Podman;

#[test]
fn what_umoci_unpacked_is_packed() {
    let test = "what_umoci_unpacked_is_packed";
    if !is_root(test) || !peers(test, &["umoci"]) {
        return;
    }
    let room = Room::new();
    let before = put(&room);
    for (bundle, rootless) in [("bundle", false), ("rootless", true)] {
        let flags: &[&str] = if rootless { &["--rootless"] } else { &[] };
        let unpack = |image: &str, to: &str| {
            let arguments = [&["unpack"], flags, &["--image", image, to]].concat();
            room.run("umoci", arguments).succeeds();
        };
        unpack("images:app", bundle);
        let same = room.teu(["repack", bundle, "oci:images:same"]).succeeds();
        assert_eq!(same.stdout, format!("{before}\n"));
        let root = room.path(bundle).join("rootfs");
        fs::write(root.join("etc/a"), "CONTENT\n").expect("written");
        set_time(&root.join("etc/a"), 1_600_000_000);
        fs::remove_dir_all(root.join("full")).expect("removed");
        fs::hard_link(root.join("usr/bin/su"), root.join("usr/third")).expect("a link");
        let image = format!("images:by-{bundle}");
        room.teu(["repack", "--refresh-bundle", bundle, &format!("oci:{image}")])
            .succeeds();
        let entries = [
            "./",
            ".wh.full",
            "etc/",
            "etc/a",
            "usr/",
            "usr/bin/",
            "usr/bin/su",
            "usr/bin/sudo => usr/bin/su",
            "usr/third => usr/bin/su",
        ];
        assert_eq!(layer(&room, &format!("oci:{image}"), 1), entries);
        let again = format!("{bundle}-again");
        unpack(&image, &again);
        assert_eq!(seen(&room.path(&again).join("rootfs")), seen(&root));
        // It is a bundle of teu's from now on.
        let same = room.teu(["repack", bundle, "oci:images:same2"]).succeeds();
        assert!(same.stderr.contains("nothing has changed"), "{}", same.stderr);
        assert!(!room.path(bundle).join("umoci.json").exists());
    }
}

#[test]
fn a_history_is_told_as_umoci_tells_it() {
    let room = Room::new();
    let before = put(&room);
    fs::create_dir(room.path("more")).expect("made");
    let by = [
        "--history-author=me",
        "--history.comment=\u{1b}[31mred",
        "--history-created=2026-01-31T12:00:00Z",
    ];
    room.teu([&["append"], &by[..], &["--to=oci:images:two", "oci:images:app", "more"]].concat())
        .succeeds();
    let told = |image: &str| -> Value {
        let json = room.teu(["-o", "json", "stat", image]).succeeds().stdout;
        serde_json::from_str(&json).expect("JSON")
    };
    let one = told("oci:images:app");
    assert_eq!(one["digest"], before.to_string());
    // There is no history, and the layer is there nevertheless.
    let layers = manifest(&room, "oci:images:two")["layers"].clone();
    let lowest = json!({"layer": layers[0], "diff_id": Digest::of(&base()).to_string(), "empty_layer": false});
    assert_eq!(one["history"], json!([lowest]));
    let text = room.teu(["stat", "oci:images:app"]).succeeds().stdout;
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().expect("titles")[..3], ["LAYER", "SIZE", "DIFFID"]);
    let diff_id = Digest::of(&base()).short();
    assert_eq!(lines.next().expect("a layer")[3..], [&diff_id, "-", "-", "-"]);
    // What a history says does not act on a terminal.
    put_history(
        &room,
        json!([{"created_by": "\u{1b}[31mx", "author": "me", "empty_layer": true, "created": null}]),
    );
    let text = room.teu(["stat", "oci:images:told"]).succeeds().stdout;
    assert!(text.contains("\\u{1b}[31mx") && !text.contains('\u{1b}'), "{text}");
    let told = told("oci:images:told");
    let first =
        json!({"layer": null, "diff_id": null, "created_by": "\u{1b}[31mx", "author": "me", "empty_layer": true});
    assert_eq!(told["history"][0], first);
    assert_eq!(told["history"][1]["diff_id"], Digest::of(&base()).to_string());
}

fn put_history(room: &Room, history: Value) {
    let (layer, mut made) = (base(), image());
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
    made.config["history"] = history;
    made.layers = vec![(TAR.to_owned(), layer)];
    room.layout("images").image("told", &made);
}

/// The shell of this machine, with all that it needs, as files of a tree.
fn shell(root: &Path) -> Option<()> {
    let needs = Command::new("ldd").arg("/bin/sh").output().ok()?;
    let needs = String::from_utf8(needs.stdout).ok()?;
    let libraries = needs.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/bin/sh"]) {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent()?).ok()?;
        fs::copy(file, to).ok()?;
    }
    Some(())
}

#[test]
fn podman_runs_what_was_packed() {
    let test = "podman_runs_what_was_packed";
    if !is_root(test) || !peers(test, &["ldd"]) {
        return;
    }
    let room = Room::new();
    // Without a volume, for which podman wants more of a machine.
    put_history(&room, json!([]));
    let root = room.path("bundle/rootfs");
    room.teu(["unpack", "oci:images:told", "bundle"]).succeeds();
    shell(&root).expect("a shell");
    fs::create_dir(root.join("shared")).expect("made");
    fs::set_permissions(root.join("shared"), PermissionsExt::from_mode(0o1777)).expect("a mode");
    room.teu(["repack", "--refresh-bundle", "bundle", "oci:images:shell"])
        .succeeds();
    let Some(podman) = Podman::that_runs(test, &room, "oci:images:shell") else {
        return;
    };
    // What engines make of a directory of which a layer has no word, of whiteouts, and of names across layers.
    fs::write(root.join("shared/new"), "new\n").expect("written");
    set_time(&root.join("shared"), 1_600_000_000);
    fs::remove_dir_all(root.join("etc/deep")).expect("removed");
    fs::hard_link(root.join("usr/bin/su"), root.join("shared/su")).expect("a link");
    room.teu(["repack", "bundle", "oci:images:changed"]).succeeds();
    let script = "test -k /shared && test -w /shared && read line < /shared/new && echo $line
        test -e /etc/deep || echo gone
        test /shared/su -ef /usr/bin/sudo && test -u /shared/su && echo linked";
    let ran = podman.run("oci:images:changed", script);
    assert_eq!(ran.stdout, "new\ngone\nlinked\n", "{}", ran.stderr);
}
