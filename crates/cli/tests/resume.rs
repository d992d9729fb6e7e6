//! Is what crossed the wire before `kill -9` asked for again? And does a name ever point at what is not there?

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Room, counting::Counting};
use serde_json::Value;

/// What was on its way when the process was killed, in the kernel or in memory.
const SLACK: u64 = 8 << 20;

struct Scene {
    room: Room,
    registry: Counting,
}

impl Scene {
    fn new(mebibytes: usize) -> Self {
        Self {
            room: Room::new(),
            registry: Counting::start(mebibytes),
        }
    }

    fn arguments(&self) -> Vec<String> {
        ["copy", "--src-tls-verify=false"]
            .map(str::to_owned)
            .into_iter()
            .chain([
                format!("docker://{}/app:1", self.registry.host),
                "oci:images:app".to_owned(),
            ])
            .collect()
    }

    /// Begins a copy.
    fn start(&self) -> Copying {
        let mut run = self.room.teu(self.arguments());
        run.0.stdout(Stdio::null()).stderr(Stdio::null());
        Copying(run.0.spawn().expect("teu runs"))
    }

    /// Copies to the end.
    fn copy(&self) {
        let ran = self.room.teu(self.arguments()).succeeds();
        assert_eq!(ran.stdout, format!("{}\n", self.registry.digest));
    }

    /// The digests that the layout's names point at.
    fn named(&self) -> Vec<String> {
        let index = fs::read(self.room.path("images/index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
        let digest = |manifest: &Value| manifest["digest"].as_str().expect("a digest").to_owned();
        manifests.iter().map(digest).collect()
    }

    fn parts(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.room.path("images/blobs")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| is_part(path)).collect()
    }

    /// Waits until what the registry sent before it stopped is in the layout, but for what may be on its way.
    fn wait_for_part(&self) {
        self.registry.stopped();
        let wanted = self.registry.layer.size / 2 - SLACK;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let sizes = self.parts().into_iter().filter_map(|part| part.metadata().ok());
            if sizes.map(|metadata| metadata.len()).max() >= Some(wanted) {
                return;
            }
            assert!(Instant::now() < until, "the part does not grow");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The image is there, whole, and called by its name.
    fn verify(&self) {
        assert_eq!(self.named(), [self.registry.digest.to_string()]);
        self.room.teu(["verify", "oci:images:app"]).succeeds();
    }
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(".teu-"))
}

/// A copy under way.
struct Copying(Child);

impl Copying {
    /// `kill -9`.
    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn only_the_rest_crosses_the_wire(mebibytes: usize) {
    let scene = Scene::new(mebibytes);
    let size = scene.registry.layer.size;
    let copying = scene.start();
    scene.wait_for_part();
    assert_eq!(scene.named(), Vec::<String>::new(), "a name of what is not there yet");
    copying.kill();
    assert_eq!(scene.named(), Vec::<String>::new(), "a name of what is not there");
    let first = scene.registry.taken();
    assert!(first >= size / 2 && first < size, "{first}");

    scene.copy();
    let second = scene.registry.taken();
    assert!(second <= size / 2 + SLACK, "{second} bytes crossed the wire again");
    scene.verify();
    assert_eq!(scene.parts(), Vec::<PathBuf>::new());

    scene.copy();
    assert_eq!(scene.registry.taken(), 0);
}

#[test]
fn only_the_rest_of_a_killed_pull_crosses_the_wire() {
    only_the_rest_crosses_the_wire(128);
}

#[test]
#[ignore = "it takes long"]
fn only_the_rest_of_a_killed_pull_of_1_gib_crosses_the_wire() {
    only_the_rest_crosses_the_wire(1024);
}

#[test]
fn two_copies_into_one_layout_do_not_harm_each_other_where_one_is_killed() {
    let scene = Scene::new(64);
    let first = scene.start();
    scene.wait_for_part();
    // The second finds the part taken, and does without it.
    scene.copy();
    scene.verify();
    first.kill();
    scene.verify();
    scene.registry.taken();
    scene.copy();
    assert_eq!(scene.registry.taken(), 0);

    // And where it is the second that is killed, the first goes on.
    let scene = Scene::new(64);
    let mut first = scene.start();
    scene.wait_for_part();
    let second = scene.start();
    let mut others = 0;
    while others == 0 {
        let parts = scene.parts();
        others = parts
            .iter()
            .filter(|part| !part.to_string_lossy().contains(".teu-part-"))
            .count();
        others += usize::from(!scene.named().is_empty());
        thread::sleep(Duration::from_millis(1));
    }
    second.kill();
    scene.registry.let_go();
    assert!(first.0.wait().expect("it ends").success());
    scene.verify();
}
