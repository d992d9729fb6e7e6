//! Does `teu analyze` tell what is hidden, and does its exit code say that a threshold is passed?

use crate::support::{Room, image, layer};
use serde_json::Value;
use teu_spec::Digest;

#[test]
fn what_is_written_twice_is_told_and_fails_where_a_threshold_says_so() {
    let room = Room::new();
    let mut made = image();
    let again = layer("hello again\n");
    made.config["rootfs"]["diff_ids"]
        .as_array_mut()
        .expect("a list")
        .push(Digest::of(&again).to_string().into());
    made.layers
        .push(("application/vnd.oci.image.layer.v1.tar".to_owned(), again));
    room.layout("images").image("app", &made);

    let found = room.teu(["analyze", "-o", "json", "oci:images:app"]).succeeds().stdout;
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["layers"][0]["createdBy"], "/bin/sh -c #(nop) ADD file");
    assert_eq!(found["layers"][0]["hidden"]["bytes"], 6);
    assert_eq!(found["seen"]["bytes"], 12);
    assert_eq!((&found["wastedBytes"], &found["userBytes"]), (&18.into(), &12.into()));
    assert_eq!(found["hiddenFiles"][0]["path"], "/file");
    assert_eq!(found["failed"], serde_json::json!([]));

    let text = room.teu(["analyze", "oci:images:app"]).succeeds().stdout;
    assert!(text.contains("efficiency  0.3333, as dive measures it\n"), "{text}");
    for (flag, threshold) in [
        ("--lowest-efficiency", "0.34"),
        ("--highest-wasted-bytes", "17B"),
        ("--highestUserWastedPercent", "1.4"),
        ("--highest-hidden-bytes", "5"),
    ] {
        let ran = room.teu(["analyze", flag, threshold, "oci:images:app"]).ran();
        assert_eq!(ran.code, 20, "{flag}");
        assert!(ran.stdout.contains("\nFAILED "), "{}", ran.stdout);
    }
    let within = [
        "--lowest-efficiency=0.33",
        "--highest-wasted-bytes=18",
        "--highest-user-wasted-percent=1.5",
        "--highest-hidden-bytes=0.006kB",
    ];
    room.teu([&["analyze"], &within[..], &["oci:images:app"]].concat())
        .succeeds();
    // What nothing can be past is no threshold.
    for (threshold, why) in [
        (
            "--lowest-efficiency=nan",
            "\"nan\" is no share; write a number such as 0.95",
        ),
        (
            "--lowest-efficiency=95",
            "an efficiency is from 0 to 1, and not 95; 0.95 is perhaps meant",
        ),
        ("--highest-user-wasted-percent=10", "and not 10; 0.1 is perhaps meant"),
        ("--highest-user-wasted-percent=inf", "\"inf\" is no share"),
        ("--highest-wasted-bytes=1.5", "\"1.5\" is no number of bytes"),
    ] {
        let error = room.teu(["analyze", threshold, "oci:images:app"]).fails(2);
        assert!(error.contains(why), "{threshold}: {error}");
    }
}
