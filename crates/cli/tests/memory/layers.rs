//! What is in a layer is looked at, unpacked and packed again.

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
};

use teu_archive::tar::{Header, Writer};

use crate::{
    MIB, Peaks, one_file, peak,
    support::{Room, peers},
    told, within,
};

const LIMIT: u64 = 128 << 20;
/// What each of some 200,000 entries may take.
const ENTRY: u64 = 192;

/// Appends the layer that `layer` writes to a new image, and a small one to that for another.
fn made(room: &Room, file: &str, layer: impl FnOnce(&mut dyn Write) + Send + 'static) -> u64 {
    room.teu(["new", "oci:images:app"]).succeeds();
    let peak = peak(room, &["append", "oci:images:app", "-"], 0, layer);
    room.teu(["copy", "oci:images:app", "oci:images:upper"]).succeeds();
    let mut tar = Writer::new(Vec::new());
    tar.append_data(&Header::file(file, 3), b"new").expect("written");
    std::fs::write(room.path("upper.tar"), tar.finish().expect("whole")).expect("written");
    room.teu(["append", "oci:images:upper", "upper.tar"]).succeeds();
    peak
}

/// Looks into an image with all that does; `file` is one of its files. Nothing of what was kept in mind helps the next one.
fn looked(room: &Room, file: &str) -> Peaks {
    let upper = "oci:images:upper";
    let steps = [
        ("files", vec![upper], 0),
        ("analyze", vec![upper], 0),
        ("cat", vec![upper, file], 0),
        ("export", vec![upper], 0),
        ("explore", vec![upper], 0),
        ("diff", vec!["oci:images:app", upper], 1),
        ("squash", vec![upper, "--to", "oci:images:one"], 0),
    ];
    let run = |(verb, arguments, code): &(&'static str, Vec<&str>, i32)| {
        drop(std::fs::remove_dir_all(room.home(".cache")));
        (*verb, peak(room, &[&[*verb], &arguments[..]].concat(), *code, |_| {}))
    };
    steps.iter().map(run).collect()
}

/// Unpacks the image, packs it again as it is, and with a change; takes all files out of it.
fn taken_apart(room: &Room, file: &str) -> Peaks {
    let flag = match rustix::process::geteuid().is_root() {
        true => "--devices",
        false => "--rootless",
    };
    let touched = room.path("bundle/rootfs").join(file);
    let unpack = peak(room, &["unpack", flag, "oci:images:app", "bundle"], 0, |_| {});
    let same = peak(room, &["repack", "bundle", "oci:images:same"], 0, |_| {});
    // All of it is read again, and is in the new layer.
    std::fs::set_permissions(&touched, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let changed = peak(room, &["repack", "bundle", "oci:images:changed"], 0, |_| {});
    std::fs::remove_dir_all(room.path("bundle")).expect("removed");
    let extract = extracted(room);
    vec![
        ("unpack", unpack),
        ("repack", same),
        ("repack of a change", changed),
        ("extract", extract),
    ]
}

/// Takes all files out of the image.
fn extracted(room: &Room) -> u64 {
    peak(room, &["extract", "oci:images:app", "/", "taken"], 0, |_| {})
}

/// Does with a layer all that goes through a layer; every peak is within the limit.
fn bounded(test: &str, what: &str, file: &str, layer: impl FnOnce(&mut dyn Write) + Send + 'static) {
    if !peers(test, &["python3"]) {
        return;
    }
    let room = Room::new();
    let mut peaks = vec![("append", made(&room, file, layer))];
    peaks.push(("verify", peak(&room, &["verify", "oci:images:app"], 0, |_| {})));
    peaks.extend(looked(&room, file));
    peaks.extend(taken_apart(&room, file));
    told(test, what, &peaks);
    within(&peaks, LIMIT);
}

/// So many entries: directories of a thousand files, each with a path of 100 bytes, and every tenth file a link to the one before it.
fn many_entries(count: u64) -> impl FnOnce(&mut dyn Write) + Send + 'static {
    move |sink| {
        let mut sink = io::BufWriter::with_capacity(1 << 20, sink);
        let mut writer = Writer::new(&mut sink);
        let mut before = String::new();
        for number in 0..count {
            let path = path_of(number);
            let header = match number % 1000 {
                0 => Header::directory(path.rsplit_once('/').map_or("", |(directory, _)| directory)),
                place if place % 10 == 9 => Header::hard_link(path.clone(), before),
                _ => Header::file(path.clone(), 0),
            };
            writer.append(&header).expect("written");
            before = path;
        }
        writer.finish().expect("whole");
        sink.flush().expect("written");
    }
}

fn path_of(number: u64) -> String {
    format!("srv/{:0>40}/{number:0>54}", number / 1000)
}

#[test]
fn a_layer_of_256_mib_takes_no_more_than_others() {
    let test = "a_layer_of_256_mib_takes_no_more_than_others";
    bounded(test, "256 MiB", "data", one_file(256 * MIB));
}

#[test]
fn thirty_thousand_entries_take_no_more_than_few() {
    let test = "thirty_thousand_entries_take_no_more_than_few";
    bounded(test, "30,000 entries", &path_of(1), many_entries(30_000));
}

#[test]
fn each_entry_takes_what_a_million_may() {
    let test = "each_entry_takes_what_a_million_may";
    if !peers(test, &["python3"]) {
        return;
    }
    const FEW: u64 = 20_000;
    const MANY: u64 = 220_000;
    let measured = |count: u64| {
        let room = Room::new();
        made(&room, &path_of(1), many_entries(count));
        let mut peaks = looked(&room, &path_of(1));
        peaks.push(("extract", extracted(&room)));
        told(test, &format!("{count} entries"), &peaks);
        peaks
    };
    for ((verb, few), (_, many)) in measured(FEW).into_iter().zip(measured(MANY)) {
        let each = many.saturating_sub(few) / (MANY - FEW);
        assert!(
            each <= ENTRY,
            "{verb} took {each} bytes for each entry more, and the limit is {ENTRY}"
        );
    }
}

#[test]
#[ignore = "writes 10 GiB: TMPDIR names where"]
fn a_layer_of_10_gib_is_within_the_limit() {
    let test = "a_layer_of_10_gib_is_within_the_limit";
    bounded(test, "10 GiB", "data", one_file(10 << 30));
}

#[test]
#[ignore = "makes a million files: TMPDIR names where"]
fn a_million_entries_are_within_the_limit() {
    let test = "a_million_entries_are_within_the_limit";
    bounded(test, "1,000,000 entries", &path_of(1), many_entries(1_000_000));
}
