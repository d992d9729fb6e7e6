//! What waits in a copy is bounded, whichever way it goes.

use crate::{
    MIB, Peaks, one_file, peak,
    support::{Room, Served, image, peers},
    told, within,
};

/// What a copy may take, which inflates nothing.
const COPIED: u64 = 64 << 20;
/// What it may take that has six large layers under way: a build for tests has 13 MiB more than a release of the program alone.
const SIX: u64 = COPIED + if cfg!(debug_assertions) { 4 * MIB } else { 0 };

#[test]
fn a_copy_of_256_mib_takes_little_whichever_way_it_goes() {
    let test = "a_copy_of_256_mib_takes_little_whichever_way_it_goes";
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    room.teu(["new", "oci:images:app"]).succeeds();
    // It is a blob of its own size.
    let append = ["append", "--compress=none", "oci:images:app", "-"];
    peak(&room, &append, 0, one_file(256 * MIB));
    let server = Served::start(&room, &["--data", "depot"]);
    let there = server.image("app:1");
    let peaks = copied(
        &room,
        &[
            ("layout to registry", "oci:images:app", &there),
            ("registry to layout", &there, "oci:back:app"),
            ("registry to archive", &there, "oci-archive:app.tar:app"),
        ],
    );
    let archive = std::fs::metadata(room.path("app.tar")).expect("there").len();
    assert!(archive > 256 * MIB, "{archive} bytes went over the wire");
    told(test, "256 MiB", &peaks);
    within(&peaks, COPIED);
}

/// Makes six layers of 41 to 46 MiB of which nothing can be compressed, every second in gzip, and prints their DiffIDs. What is compressed by a debug build of
/// ours takes minutes.
const LAYERS: &str = "import gzip, hashlib, io, random, tarfile
for number in range(6):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode='w') as tar:
        entry = tarfile.TarInfo('data')
        entry.size = 41 + number << 20
        tar.addfile(entry, io.BytesIO(random.Random(number).randbytes(entry.size)))
    layer = layer.getvalue()
    print('sha256:' + hashlib.sha256(layer).hexdigest())
    with open(f'layer{number}', 'wb') as file:
        file.write(gzip.compress(layer, 1) if number % 2 else layer)";

/// What waits of each of six layers is in memory at once.
#[test]
fn a_copy_of_six_layers_at_once_takes_little_whichever_way_it_goes() {
    let test = "a_copy_of_six_layers_at_once_takes_little_whichever_way_it_goes";
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    let made = room.run("python3", ["-c", LAYERS]).succeeds();
    let mut six = image();
    six.config["rootfs"]["diff_ids"] = made.stdout.lines().collect();
    six.config["history"] = serde_json::json!([]);
    let layer = |number: usize| {
        let kind = ["tar", "tar+gzip"][number % 2];
        let content = std::fs::read(room.path(format!("layer{number}"))).expect("read");
        (format!("application/vnd.oci.image.layer.v1.{kind}"), content)
    };
    six.layers = (0..6).map(layer).collect();
    room.layout("images").image("six", &six);
    drop(six);
    let servers = ["depot", "elsewhere"].map(|data| Served::start(&room, &["--data", data]));
    let [there, elsewhere] = servers.each_ref().map(|server| server.image("six:1"));
    let peaks = copied(
        &room,
        &[
            ("layout to layout", "oci:images:six", "oci:beside:six"),
            ("layout to registry", "oci:images:six", &there),
            ("registry to layout", &there, "oci:back:six"),
            ("registry to registry", &there, &elsewhere),
        ],
    );
    told(test, "six of 41 to 46 MiB", &peaks);
    within(&peaks, SIX);
}

/// Copies from each first place to the second, which has the same image then.
fn copied(room: &Room, copies: &[(&'static str, &str, &str)]) -> Peaks {
    let digest = |of: &str| room.teu(["digest", "--tls-verify=false", of]).succeeds().stdout;
    let copied = |(name, from, to): &(&'static str, &str, &str)| {
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        let copied = peak(room, &[&["copy", from, to], &plain[..]].concat(), 0, |_| {});
        assert_eq!(digest(to), digest(from), "{name}");
        (*name, copied)
    };
    copies.iter().map(copied).collect()
}
