//! Moments, as Go reads and writes them. What is expected here was printed by Go.

#![allow(missing_docs, reason = "a test is not an interface")]

use proptest::prelude::*;
use teu_spec::Timestamp;

#[test]
fn moments_are_read_and_written_as_go_does() {
    let cases = [
        (
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05 +0000 UTC",
            1_704_164_645,
            0,
        ),
        (
            "2024-01-02T03:04:05.1000+00:00",
            "2024-01-02T03:04:05.1Z",
            "2024-01-02 03:04:05.1 +0000 UTC",
            1_704_164_645,
            100_000_000,
        ),
        (
            "2024-01-02T03:04:05.123456789+10:00",
            "2024-01-02T03:04:05.123456789+10:00",
            "2024-01-02 03:04:05.123456789 +1000 +1000",
            1_704_128_645,
            123_456_789,
        ),
        (
            "2024-01-02T03:04:05.1234567899Z",
            "2024-01-02T03:04:05.123456789Z",
            "2024-01-02 03:04:05.123456789 +0000 UTC",
            1_704_164_645,
            123_456_789,
        ),
        (
            "2024-01-02T03:04:05.0000000001Z",
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05 +0000 UTC",
            1_704_164_645,
            0,
        ),
        (
            "2024-01-02T03:04:05-00:30",
            "2024-01-02T03:04:05-00:30",
            "2024-01-02 03:04:05 -0030 -0030",
            1_704_166_445,
            0,
        ),
        (
            "2024-01-02T03:04:05-00:00",
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05 +0000 UTC",
            1_704_164_645,
            0,
        ),
        (
            "2024-01-02T03:04:05+23:59",
            "2024-01-02T03:04:05+23:59",
            "2024-01-02 03:04:05 +2359 +2359",
            1_704_078_305,
            0,
        ),
        (
            "0000-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "0000-01-01 00:00:00 +0000 UTC",
            -62_167_219_200,
            0,
        ),
        (
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "0001-01-01 00:00:00 +0000 UTC",
            -62_135_596_800,
            0,
        ),
        (
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31 23:59:59.999999999 +0000 UTC",
            253_402_300_799,
            999_999_999,
        ),
        (
            "2024-02-29T00:00:00Z",
            "2024-02-29T00:00:00Z",
            "2024-02-29 00:00:00 +0000 UTC",
            1_709_164_800,
            0,
        ),
        (
            "2000-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "2000-02-29 00:00:00 +0000 UTC",
            951_782_400,
            0,
        ),
        (
            "1969-12-31T23:59:59.5Z",
            "1969-12-31T23:59:59.5Z",
            "1969-12-31 23:59:59.5 +0000 UTC",
            -1,
            500_000_000,
        ),
        (
            "1883-11-18T12:03:58-04:56",
            "1883-11-18T12:03:58-04:56",
            "1883-11-18 12:03:58 -0456 -0456",
            -2_717_650_802,
            0,
        ),
        (
            "1600-02-29T12:00:00+14:00",
            "1600-02-29T12:00:00+14:00",
            "1600-02-29 12:00:00 +1400 +1400",
            -11_671_005_600,
            0,
        ),
    ];
    for (text, written, printed, unix, nanosecond) in cases {
        let moment: Timestamp = text.parse().unwrap();
        assert_eq!(moment.to_string(), written, "{text}");
        assert_eq!(moment.go_string(), printed, "{text}");
        assert_eq!(moment.unix(), unix, "{text}");
        assert_eq!(moment.nanosecond(), nanosecond, "{text}");
        assert_eq!(written.parse(), Ok(moment));
    }
    assert_eq!(Timestamp::GO_ZERO.to_string(), "0001-01-01T00:00:00Z");
    assert_eq!(Timestamp::from_unix(0, 0).unwrap().to_string(), "1970-01-01T00:00:00Z");
}

#[test]
fn what_is_no_moment_is_refused() {
    let refused_by_go_too = [
        "",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-01-02T24:00:00Z",
        "2024-01-02T23:60:00Z",
        "2024-01-02T23:59:60Z",
        "2024-01-02 03:04:05Z",
        "2024-01-02t03:04:05Z",
        "2024-01-02T03:04:05z",
        "2024-01-02T03:04:05",
        "2024-01-02T03:04:05.Z",
        "2024-1-02T03:04:05Z",
        "+2024-01-02T03:04:05Z",
        "12024-01-02T03:04:05Z",
        "2024-01-02T03:04:05+0100",
        "2024-01-02T03:04:05+01",
        "2024-01-02T03:04Z",
        "2024-01-02T03:04:05Z ",
    ];
    // Go reads these, and calls it a bug that is kept for those who rely on it; RFC 3339 has none of them.
    let read_by_go = [
        "2024-01-02T03:04:05+24:00",
        "2024-01-02T03:04:05+05:60",
        "2024-01-02T03:04:05,5Z",
        "2024-01-02T3:04:05Z",
    ];
    for text in refused_by_go_too.into_iter().chain(read_by_go) {
        let error = text.parse::<Timestamp>().unwrap_err().to_string();
        assert_eq!(error, format!("not a valid time: {text:?} is not a moment by RFC 3339"));
    }
    assert_eq!(Timestamp::from_unix(253_402_300_800, 0), None);
    assert_eq!(Timestamp::from_unix(-62_167_219_201, 0), None);
    assert_eq!(Timestamp::from_unix(i64::MAX, 0), None);
    assert_eq!(Timestamp::from_unix(i64::MIN, 0), None);
    assert_eq!(Timestamp::from_unix(0, 1_000_000_000), None);
}

proptest! {
    #[test]
    fn a_moment_is_the_same_by_its_seconds_and_by_its_text(
        seconds in -62_167_219_200_i64..253_402_300_800,
        nanosecond in 0_u32..1_000_000_000,
    ) {
        let moment = Timestamp::from_unix(seconds, nanosecond).unwrap();
        prop_assert_eq!((moment.unix(), moment.nanosecond()), (seconds, nanosecond));
        prop_assert_eq!(moment.to_string().parse::<Timestamp>(), Ok(moment));
    }

    #[test]
    fn no_string_does_harm(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}.{0,12}|.*") {
        if let Ok(moment) = text.parse::<Timestamp>() {
            prop_assert_eq!(moment.to_string().parse::<Timestamp>(), Ok(moment));
            let utc = Timestamp::from_unix(moment.unix(), moment.nanosecond());
            prop_assert!(utc.is_none_or(|utc| utc.unix() == moment.unix()));
        }
    }
}
