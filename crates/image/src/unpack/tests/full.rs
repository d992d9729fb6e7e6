//! What becomes of an image that a disk has room for, but not for what lies there ahead of its turn?

use super::*;

#[path = "../../../../rootfs/tests/support/small.rs"]
mod small;

use small::Small;

/// What is made ahead would take room that there is only once what it replaces is gone.
#[expect(clippy::print_stderr, reason = "a test that cannot run here says so")]
#[tokio::test]
async fn what_has_room_in_order_is_unpacked() {
    const SIZE: usize = 3 << 20;
    let home = tempfile::tempdir().expect("a directory");
    let Some(small) = Small::mount(home.path().join("small"), "5m") else {
        eprintln!("SKIPPED what_has_room_in_order_is_unpacked: a small file system needs root, and mount");
        return;
    };
    let (large, other, random) = (vec![b'a'; SIZE], vec![b'b'; SIZE], content(SIZE, 5));
    let replaced = Case::of(&[tar(&[file("a", &large)]), tar(&[file("a", &other)])]);
    // Its blob says how large it is.
    let told = Case::of(&[tar(&[file("a", &random)]), tar(&[file("a", &other)])]);
    let too_large = Case::of(&[tar(&[file("a", &large)]), tar(&[file("b", &other)])]);
    let lying = |lying| AheadLimits {
        least: 0,
        lying,
        ..AheadLimits::default()
    };
    for way in [never(), lying(0), lying(SIZE as u64), lying(512 << 20)] {
        for case in [&replaced, &told] {
            let (seen, ..) = case.unpacked_in(&small.0, way.clone()).await.expect("it has room");
            assert_eq!(seen[&b"a"[..]].5, Digest::of(&other), "{way:?}");
            fs::remove_dir_all(small.0.join("root")).expect("removed");
        }
        let error = too_large
            .unpacked_in(&small.0, way.clone())
            .await
            .expect_err("it is full");
        assert_eq!(error.kind(), &ErrorKind::Quota, "{way:?}: {error}");
        let said = error.to_string();
        assert!(
            said.contains(r#""b": cannot write the file: No space left"#),
            "{way:?}: {said}"
        );
    }
}
