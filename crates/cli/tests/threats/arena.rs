//! Where an image is let loose: a room with canaries, and what is asked of each verb.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use teu_archive::{
    codec::{Compression, Encoder},
    tar::{EntryKind, Reader},
};
use teu_spec::Digest;

use crate::support::{
    Ran, Room,
    canaries::{self, Except, SONG, Seen, listed, listing, look},
    image,
};

pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Who reads images, shows what is in them, and takes it out.
const LOOKERS: [&[&str]; 8] = [
    &["files", "oci:images:evil"],
    &["files", "-l", "oci:images:evil"],
    &["cat", "oci:images:evil", "etc/passwd"],
    &["export", "--file=out.tar", "oci:images:evil"],
    &["analyze", "oci:images:evil"],
    &["diff", "oci:honest:app", "oci:images:evil"],
    &["extract", "oci:images:evil", "/.", "out"],
    &["squash", "--dry-run", "oci:images:evil"],
];

/// A layer as it is stored, and what its DiffID says.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) kind: &'static str,
    pub(crate) blob: Vec<u8>,
    pub(crate) diff_id: Digest,
}

impl From<Vec<u8>> for Layer {
    fn from(tar: Vec<u8>) -> Self {
        Self {
            kind: TAR,
            diff_id: Digest::of(&tar),
            blob: tar,
        }
    }
}

impl Layer {
    /// An archive that is compressed as it should be.
    pub(crate) fn packed(tar: &[u8], compression: Compression) -> Self {
        let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
        std::io::Write::write_all(&mut encoder, tar).expect("written");
        Self {
            kind: if compression == Compression::Gzip { GZIP } else { ZSTD },
            blob: encoder.finish().expect("whole"),
            diff_id: Digest::of(tar),
        }
    }
}

/// A room with canaries in it.
pub(crate) struct Arena {
    pub(crate) room: Room,
    except: Except,
    before: Seen,
}

impl Arena {
    pub(crate) fn new() -> Self {
        let room = Room::new();
        room.layout("honest").image("app", &image());
        canaries::plant(&room.path(""));
        let top = room.path("..");
        let top = top.canonicalize().expect("it is there");
        // What the program itself is told to write, and what it remembers.
        let but = [
            "work/dest",
            "work/again",
            "work/images",
            "work/out",
            "work/out.tar",
            "home/.cache",
        ];
        let loose = ["work", "home", "tmp", "runtime"];
        let at = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|name| top.join(name)).collect() };
        let except = Except {
            but: at(&but),
            loose: at(&loose),
        };
        let before = look(&top, &except);
        Self { room, except, before }
    }

    fn top(&self) -> PathBuf {
        self.room.path("..").canonicalize().expect("it is there")
    }

    /// The directory of canaries.
    pub(crate) fn out(&self) -> PathBuf {
        self.top().join("work/outside")
    }

    /// A path in it, as an image would say it.
    pub(crate) fn outside(&self, name: &str) -> String {
        self.out().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Fails where anything but what the program was told to make is not as it was.
    #[track_caller]
    pub(crate) fn check(&self, what: &str) {
        let now = look(&self.top(), &self.except);
        let other = |one: &Seen, two: &Seen| -> Vec<String> {
            let differ = one.iter().filter(|(path, seen)| two.get(*path) != Some(*seen));
            differ
                .map(|(path, seen)| format!("{}: {seen}", path.display()))
                .collect()
        };
        let (lost, new) = (other(&self.before, &now), other(&now, &self.before));
        assert!(
            lost.is_empty() && new.is_empty(),
            "{what}: outside there was {lost:#?}, and now is {new:#?}"
        );
    }

    /// Runs `teu`, within the limits; nothing outside changes, no canary is heard, and no terminal obeys what is said.
    #[track_caller]
    pub(crate) fn teu(&self, what: &str, arguments: &[&str]) -> Ran {
        let what = format!("{what}: teu {}", arguments.join(" "));
        let ran = self.room.teu(arguments).guarded(&what);
        self.check(&what);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains(SONG), "{what}: it tells what is outside: {said}");
        let obeyed = |letter: char| letter.is_control() && letter != '\n';
        assert!(!said.contains(obeyed), "{what}: {said:?}");
        assert!(!said.contains("panicked"), "{what}: {said}");
        ran
    }

    /// Puts an image of these layers, the lowest first, into the layout.
    pub(crate) fn put(&self, layers: &[Layer]) {
        let mut made = image();
        made.config["rootfs"]["diff_ids"] = layers.iter().map(|layer| json!(layer.diff_id.to_string())).collect();
        made.config["history"] = json!([]);
        made.layers = layers
            .iter()
            .map(|layer| (layer.kind.to_owned(), layer.blob.clone()))
            .collect();
        self.room.layout("images").image("evil", &made);
    }

    /// The image is unpacked, and this is what is there, as [`canaries::listing`] shows it; `device?` is no device, but shown by those that make no
    /// files. All who look see the same, and what is packed again is the same again.
    #[track_caller]
    pub(crate) fn stays<L: Into<Layer> + Clone>(&self, what: &str, layers: &[L], tree: &[&str]) {
        let layers: Vec<Layer> = layers.iter().cloned().map(Into::into).collect();
        self.put(&layers);
        let ran = self.teu(what, &["verify", "oci:images:evil"]);
        assert_eq!(ran.code, 0, "{what}: {}{}", ran.stdout, ran.stderr);
        let made: Vec<&str> = tree.iter().copied().filter(|line| !line.ends_with('?')).collect();
        for flag in ways() {
            remove(&self.room.path("dest"));
            let ran = self.teu(what, &["unpack", flag, "oci:images:evil", "dest"]);
            assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
            assert_eq!(self.listing("dest/rootfs"), made, "{what}");
        }
        let names: Vec<String> = tree.iter().map(|line| without_content(line)).collect();
        for how in LOOKERS {
            let ran = self.teu(what, how);
            let is_shown = match how[0] {
                "cat" => matches!(ran.code, 0 | 2),
                // They differ.
                "diff" => ran.code == 1,
                _ => ran.code == 0,
            };
            assert!(is_shown, "{what}, {how:?}: {}", ran.stderr);
        }
        assert_eq!(self.files(what), names, "{what}: files");
        assert_eq!(self.exported(), names, "{what}: export");
        for line in made.iter().filter(|line| !line.contains([':', '\\'])) {
            if let Some((path, content)) = line.split_once(' ')
                && !content.starts_with("->")
            {
                let path = path.replace("OUT", &self.outside(""));
                let ran = self.teu(what, &["cat", "oci:images:evil", &path]);
                assert_eq!(
                    (ran.code, ran.stdout.as_str()),
                    (0, content),
                    "{what}: cat {path}: {}",
                    ran.stderr
                );
            }
        }
        self.comes_back(what, &made);
        self.tidy();
    }

    /// What is packed unchanged brings no layer, and with a change is unpacked as the same again.
    #[track_caller]
    fn comes_back(&self, what: &str, made: &[&str]) {
        let ran = self.teu(what, &["repack", "-o", "json", "dest", "oci:images:again"]);
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        let packed: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(packed["layers"], json!([]), "{what}: repack");
        fs::write(self.room.path("dest/rootfs/zz-new"), "new").expect("written");
        let ran = self.teu(what, &["repack", "dest", "oci:images:again"]);
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        let ran = self.teu(
            what,
            &["unpack", "--rootless", "--rootfs-only", "oci:images:again", "again"],
        );
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        let mut expected: Vec<&str> = made.to_vec();
        expected.push("zz-new new");
        assert_eq!(self.listing("again"), expected, "{what}: again");
    }

    /// The image is not unpacked, with these words, and nothing of it is left; nobody shows a tree; `verify` ends with this code, and says the same
    /// words where it is not 0.
    #[track_caller]
    pub(crate) fn refused<L: Into<Layer> + Clone>(&self, what: &str, layers: &[L], words: &str, verified: i32) {
        let layers: Vec<Layer> = layers.iter().cloned().map(Into::into).collect();
        self.put(&layers);
        self.is_refused(what, words, verified);
    }

    /// The same for what is called `evil` in the layout already.
    #[track_caller]
    pub(crate) fn is_refused(&self, what: &str, words: &str, verified: i32) {
        let ran = self.teu(what, &["verify", "oci:images:evil"]);
        assert_eq!(ran.code, verified, "{what}: verify: {}{}", ran.stdout, ran.stderr);
        if verified != 0 {
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(words), "{what}: verify: {said}");
        }
        for flag in ways() {
            let ran = self.teu(what, &["unpack", flag, "oci:images:evil", "dest"]);
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains(words), "{what}: {}", ran.stderr);
            assert!(!self.room.path("dest").exists(), "{what}: it is there");
        }
        for how in LOOKERS {
            let ran = self.teu(what, how);
            let none = match how[0] {
                // A file of an upper layer may be read without the lower ones.
                "cat" => true,
                // 1 would be that they differ.
                "diff" => ran.code == 2,
                // Of one layer none is made, whatever is in it.
                "squash" if ran.code == 0 => ran.stdout == "nothing would change\n",
                _ => matches!(ran.code, 1 | 2),
            };
            assert!(none, "{what}, {how:?}: {}{}", ran.stdout, ran.stderr);
        }
        assert!(!self.room.path("out").exists(), "{what}: it is taken out");
        assert!(!self.room.path("out.tar").exists(), "{what}: it is exported");
        self.tidy();
    }

    /// What is in a directory, as [`canaries::listing`] shows it.
    pub(crate) fn listing(&self, name: &str) -> Vec<String> {
        listing(&self.room.path(name).canonicalize().expect("it is there"), &self.out())
    }

    /// The same without contents, as `teu files` tells it.
    fn files(&self, what: &str) -> Vec<String> {
        let ran = self.room.teu(["files", "-o", "json", "oci:images:evil"]).guarded(what);
        let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let files = told["files"].as_array().expect("a list").iter().map(|file| {
            let bytes = |key: &str| match file[format!("{key}Hex")].as_str() {
                Some(hex) => (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                    .collect(),
                None => file[key].as_str().expect("a text").as_bytes().to_vec(),
            };
            let path = bytes("path");
            let what = match file["type"].as_str().expect("a type") {
                "directory" => "/".to_owned(),
                "symlink" => format!(" -> {}", bytes("target").escape_ascii()),
                "fifo" => "|".to_owned(),
                "file" => String::new(),
                _ => "?".to_owned(),
            };
            (path.strip_prefix(b"/").map_or(path.clone(), <[u8]>::to_vec), what)
        });
        listed(files, &self.out())
    }

    /// The same of what `teu export` wrote.
    fn exported(&self) -> Vec<String> {
        let archive = fs::read(self.room.path("out.tar")).expect("an archive");
        let mut reader = Reader::new(&archive[..]);
        let mut files = Vec::new();
        while let Some(entry) = reader.next_entry().expect("an entry") {
            let header = entry.header();
            let what = match header.kind {
                EntryKind::Directory => "/".to_owned(),
                EntryKind::Symlink => format!(" -> {}", header.link.escape_ascii()),
                EntryKind::Fifo => "|".to_owned(),
                EntryKind::Regular | EntryKind::HardLink => String::new(),
                _ => "?".to_owned(),
            };
            let path = header.path.strip_suffix(b"/").unwrap_or(&header.path).to_vec();
            if path != b"." {
                files.push((path, what));
            }
        }
        listed(files, &self.out())
    }

    pub(crate) fn tidy(&self) {
        for made in ["dest", "again", "images", "out"] {
            remove(&self.room.path(made));
        }
        // It is there only where it was exported.
        let _ = fs::remove_file(self.room.path("out.tar"));
        self.check("tidied");
    }
}

/// Flags of `unpack`: files are given to their owners, where that can be done, or all of them are the user's.
fn ways() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &["--sync", "--rootless"],
        false => &["--rootless"],
    }
}

/// Removes a directory, however deep.
pub(crate) fn remove(path: &Path) {
    let removed = std::process::Command::new("rm").arg("-rf").arg(path).status();
    assert!(removed.is_ok_and(|removed| removed.success()), "{}", path.display());
}

/// A line of a listing without the content of a file.
fn without_content(line: &str) -> String {
    match line.split_once(' ') {
        Some((path, rest)) if !rest.starts_with("->") => path.to_owned(),
        _ => line.to_owned(),
    }
}
