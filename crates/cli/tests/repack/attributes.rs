//! Extended attributes that `teu unpack` does not set: are they in the image still that `teu repack` makes?

use super::*;

/// An image of one layer, in which files have attributes that no tree on this machine gets.
fn image_with(room: &Room) {
    let attributed = |header: Header, mode: u32, names: &[&str]| {
        let (mut header, content) = entry(header, mode, 0);
        for name in names {
            header.xattrs.insert(name.as_bytes().to_vec(), name.as_bytes().to_vec());
        }
        (header, content)
    };
    let mut writer = Writer::new(Vec::new());
    for (header, content) in [
        attributed(Header::directory("journal/"), 0o755, &["system.posix_acl_default"]),
        attributed(Header::directory("logs/"), 0o755, &["trusted.a", "security.selinux"]),
        attributed(Header::file("logs/mode", 8), 0o644, &["security.selinux"]),
        attributed(Header::file("logs/content", 8), 0o644, &["security.ima"]),
        attributed(Header::file("logs/gone", 8), 0o644, &["security.ima"]),
        attributed(Header::file("logs/kind", 8), 0o644, &["security.ima"]),
        attributed(Header::symlink("logs/link", "mode"), 0o777, &["security.selinux"]),
    ] {
        writer.append_data(&header, content).expect("written");
    }
    let (layer, mut made) = (writer.finish().expect("whole"), image());
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
    made.config["history"] = json!([]);
    made.layers = vec![(TAR.to_owned(), layer)];
    room.layout("images").image("app", &made);
}

#[test]
fn what_unpack_did_not_set_stays_in_the_image() {
    let room = Room::new();
    image_with(&room);
    let rootless = match rustix::process::geteuid().is_root() {
        true => &[][..],
        false => &["--rootless"],
    };
    let unpack = [&["unpack", "oci:images:app", "bundle"], rootless].concat();
    room.teu(unpack).succeeds();
    let root = room.path("bundle/rootfs");
    fs::write(root.join("journal/new"), "").expect("written");
    fs::set_permissions(root.join("logs/mode"), PermissionsExt::from_mode(0o600)).expect("a mode");
    fs::write(root.join("logs/content"), "another").expect("written");
    fs::remove_file(root.join("logs/gone")).expect("removed");
    fs::remove_file(root.join("logs/kind")).expect("removed");
    fs::create_dir(root.join("logs/kind")).expect("made");
    let packed = room
        .teu(["repack", "bundle", "oci:images:next", "--refresh-bundle"])
        .succeeds();
    assert_eq!(
        packed
            .stderr
            .lines()
            .filter(|line| line.contains("left out"))
            .collect::<Vec<_>>(),
        [
            "teu: warning: left out, as the files are others now, extended attributes that unpack did not set: logs/content"
        ]
    );
    let differ = |from: &str, to: &str| {
        let raw = room.teu(["diff", "--files", "-o", "json", from, to]).ran().stdout;
        let report: Value = serde_json::from_str(&raw).expect("JSON");
        let files = report["files"].as_array().cloned().unwrap_or_default();
        let differ = |file: &Value| format!("{} {} {}", file["path"], file["change"], file["xattrs"]).replace('"', "");
        files.iter().map(differ).collect::<Vec<_>>()
    };
    let hex = "security.ima"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let lost = format!("[{{beforeHex:{hex},afterHex:null,name:security.ima}}]");
    assert_eq!(
        differ("oci:images:app", "oci:images:next"),
        [
            "/journal/new added null".to_owned(),
            format!("/logs/content changed {lost}"),
            "/logs/gone removed null".to_owned(),
            format!("/logs/kind changed {lost}"),
            "/logs/mode changed null".to_owned(),
        ]
    );
    // The bundle remembers them still.
    fs::set_permissions(root.join("logs/mode"), PermissionsExt::from_mode(0o640)).expect("a mode");
    fs::set_permissions(root.join("journal"), PermissionsExt::from_mode(0o700)).expect("a mode");
    let packed = room.teu(["repack", "bundle", "oci:images:last"]).succeeds();
    assert!(!packed.stderr.contains("left out"), "{}", packed.stderr);
    assert_eq!(
        differ("oci:images:next", "oci:images:last"),
        ["/journal changed null", "/logs/mode changed null"]
    );
}
