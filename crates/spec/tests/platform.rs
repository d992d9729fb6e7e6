//! Platforms: how they are spelt, and which of several images is for a machine.

#![allow(missing_docs, reason = "a test is not an interface")]

use proptest::prelude::*;
use teu_spec::{Descriptor, Digest, MediaType, Platform, annotation};

fn platform(text: &str) -> Platform {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// As an index states it: `os/architecture[/variant]`, with the version in brackets, nothing normalised.
fn stated(text: &str) -> Platform {
    let (text, os_version) = match text.split_once('(') {
        Some((os, rest)) => {
            let (version, rest) = rest.split_once(')').unwrap();
            (format!("{os}{rest}"), version.to_owned())
        }
        None => (text.to_owned(), String::new()),
    };
    let mut parts = text.split('/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap(),
        architecture: parts.next().unwrap(),
        variant: parts.next().unwrap_or_default(),
        os_version,
        ..Platform::default()
    }
}

fn manifest(platform: Option<Platform>) -> Descriptor {
    Descriptor {
        platform,
        ..Descriptor::new(MediaType::OciManifest, Digest::of(b""), 0)
    }
}

#[test]
fn a_platform_has_one_spelling_that_can_be_compared() {
    for (stated_as, normalized) in [
        ("linux/amd64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/5", "linux/arm/v5"),
        ("linux/arm/8", "linux/arm/v8"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/ppc64le", "linux/ppc64le"),
        ("linux/riscv64/rva23u64", "linux/riscv64/rva23u64"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
    ] {
        assert_eq!(stated(stated_as).normalized().to_string(), normalized, "{stated_as}");
        assert_eq!(platform(stated_as).to_string(), normalized, "{stated_as}");
        assert_eq!(platform(normalized), platform(stated_as));
    }
}

#[test]
fn a_person_may_say_less_or_say_it_in_another_tools_way() {
    let host = Platform::host();
    assert_eq!(host, host.normalized());
    assert_eq!(
        platform("windows/amd64:10.0.17763.1"),
        platform("windows(10.0.17763.1)/amd64")
    );
    assert_eq!(platform("arm64"), Platform::new(&host.os, "arm64"));
    assert_eq!(platform("armhf").to_string(), format!("{}/arm/v7", host.os));
    // Beside a system any may stand.
    assert_eq!(platform("linux/foo"), Platform::new("linux", "foo"));
    assert_eq!(platform("windows").architecture, host.architecture);
    assert_eq!(platform("windows(10.0)").os_version, "10.0");
    for (text, reason) in [
        ("", "it must be os/architecture[/variant]"),
        ("/", "it must be"),
        ("linux/", "it must be"),
        ("/amd64", "it must be"),
        ("linux//v7", "it must be"),
        ("linux/arm/v7/x", "it must be"),
        ("linux/amd64:", "it must be"),
        ("linux()/amd64", "it must be"),
        ("linux(1/amd64", "it must be"),
        ("linux/am d64", "it must be"),
        ("linux/\u{1b}[2J", "it must be"),
        ("linux/é", "it must be"),
        ("windows(1)/amd64:2", "stands in it twice"),
        ("arm64:1", "it must be"),
        ("foo", "one word alone must be an operating system or a CPU"),
        ("v7", "one word alone must be"),
    ] {
        let error = text.parse::<Platform>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{text:?} is not a valid platform: ")),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
    let error = "x".repeat(256).parse::<Platform>().unwrap_err().to_string();
    assert!(
        error.contains("longer than the limit of 255 bytes") && error.len() < 400,
        "{error}"
    );
}

/// The machine, what is offered, and which of it is chosen; `-` states no platform.
#[test]
fn the_best_image_for_a_machine_is_chosen() {
    let cases: &[(&str, &[&str], Option<usize>)] = &[
        ("linux/amd64", &[], None),
        ("linux/amd64", &["linux/arm64", "linux/amd64", "linux/amd64"], Some(1)),
        ("linux/amd64", &["windows/amd64", "linux/386"], None),
        ("linux/amd64", &["LINUX/x86_64"], Some(0)),
        ("linux/arm64", &["linux/amd64", "linux/arm64/v8"], Some(1)),
        ("linux/arm64/v8", &["linux/amd64", "linux/arm64"], Some(1)),
        ("linux/arm64", &["linux/arm64/v9"], None),
        ("linux/arm64/v9", &["linux/arm64", "linux/arm64/v9"], Some(1)),
        ("linux/arm64/v9", &["linux/arm64/v8"], Some(0)),
        // A CPU runs what is for lesser ones, the greatest first, wherever they stand.
        (
            "linux/arm/v7",
            &["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64"],
            Some(2),
        ),
        ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"], Some(1)),
        ("linux/arm/v7", &["linux/arm/v8"], None),
        ("linux/arm/v8", &["linux/arm/v5", "linux/arm/v7"], Some(1)),
        (
            "linux/arm/v6",
            &["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"],
            Some(2),
        ),
        ("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"], Some(1)),
        ("linux/arm/v5", &["linux/arm/v7", "linux/arm/v6"], None),
        ("linux/arm", &["linux/arm/v6", "linux/arm/v7"], Some(1)),
        // One that states no variant is taken for v7 where that runs, and is better than nothing where it may not.
        ("linux/arm/v7", &["linux/arm/v6", "linux/arm"], Some(1)),
        ("linux/arm/v6", &["linux/arm", "linux/arm/v5"], Some(1)),
        ("linux/arm/v6", &["linux/arm"], Some(0)),
        (
            "linux/amd64/v3",
            &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
            Some(1),
        ),
        ("linux/amd64/v3", &["linux/amd64/v1"], Some(0)),
        ("linux/amd64", &["linux/amd64/v2"], None),
        ("linux/amd64/v2", &["linux/amd64/v3", "linux/amd64"], Some(1)),
        // A variant that nobody knows: the same, or the common one.
        ("linux/amd64/x", &["linux/amd64", "linux/amd64/x"], Some(1)),
        ("linux/amd64/x", &["linux/amd64/y", "linux/amd64"], Some(1)),
        ("linux/riscv64/a", &["linux/riscv64"], Some(0)),
        ("linux/riscv64", &["linux/riscv64/a"], None),
        ("linux/arm/x", &["linux/arm/v7"], None),
        // Versions of the operating system: the same, or one that goes on where it ends, the latest.
        (
            "windows/amd64",
            &["windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64"],
            Some(0),
        ),
        (
            "windows(10.0.20348)/amd64",
            &[
                "windows(10.0.17763.1)/amd64",
                "windows(10.0.20348.9)/amd64",
                "windows(10.0.20348.10)/amd64",
                "windows(10.0.203480.11)/amd64",
            ],
            Some(2),
        ),
        ("windows(10.0.20348.9)/amd64", &["windows(10.0.20348.10)/amd64"], None),
        ("windows(10.0.20348.9)/amd64", &["windows(10.0.20348)/amd64"], None),
        ("windows(10.0)/amd64", &["windows/amd64"], None),
        ("windows(10.0.20348.9)/amd64", &["windows(10.0.20348.9)/amd64"], Some(0)),
        // A manifest that states no platform where nothing else fits.
        ("linux/amd64", &["-", "linux/arm64", "linux/amd64"], Some(2)),
        ("linux/amd64", &["linux/arm64", "-", "-"], Some(1)),
        // buildkit's attestations state one that no machine is.
        ("linux/amd64", &["unknown/unknown"], None),
    ];
    for (machine, offered, chosen) in cases {
        let manifests: Vec<Descriptor> = offered
            .iter()
            .map(|offered| manifest((*offered != "-").then(|| stated(offered))))
            .collect();
        assert_eq!(
            platform(machine).choose(&manifests),
            *chosen,
            "{machine} of {offered:?}"
        );
        if let ([offered], true) = (offered, offered != &["-"]) {
            assert_eq!(platform(machine).matches(&stated(offered)), chosen.is_some());
        }
    }
}

#[test]
fn features_that_are_asked_for_must_be_there_and_others_are_worse() {
    let with = |features: &[&str]| Platform {
        os_features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        ..Platform::new("windows", "amd64")
    };
    let choose = |wanted: &[&str], offered: &[&[&str]]| {
        let manifests: Vec<_> = offered.iter().map(|offered| manifest(Some(with(offered)))).collect();
        with(wanted).choose(&manifests)
    };
    assert_eq!(choose(&[], &[&["win32k"], &[]]), Some(1));
    assert_eq!(choose(&[], &[&["win32k"]]), Some(0));
    assert_eq!(choose(&["win32k"], &[&[], &["win32k"]]), Some(1));
    assert_eq!(choose(&["win32k"], &[&["win32k", "x"], &["win32k"]]), Some(1));
    assert_eq!(choose(&["win32k", "y"], &[&["win32k"]]), None);
}

#[test]
fn of_two_images_for_one_machine_the_one_in_zstd_is_chosen_then_the_first() {
    let machine = Platform::new("linux", "amd64");
    let plain = manifest(Some(machine.clone()));
    let mut zstd = plain.clone();
    zstd.annotations
        .insert(annotation::COMPRESSION_ZSTD.to_owned(), "true".to_owned());
    let mut other = plain.clone();
    other
        .annotations
        .insert(annotation::COMPRESSION_ZSTD.to_owned(), "false".to_owned());
    assert_eq!(machine.choose([&plain, &zstd, &zstd]), Some(1));
    assert_eq!(machine.choose([&plain, &other]), Some(0));
    assert_eq!(machine.choose([&zstd, &plain]), Some(0));
    // A better variant counts for more.
    let v3 = Platform {
        variant: "v3".to_owned(),
        ..machine
    };
    assert_eq!(v3.choose([&zstd, &manifest(Some(v3.clone()))]), Some(1));
}

proptest! {
    #[test]
    fn what_is_read_is_normalised_and_reads_the_same_again(text in "[a-zA-Z0-9_.()/:-]{0,24}|(linux|windows|macos)(\\([0-9.]{1,8}\\))?/(arm|arm64|amd64|x86_64)(/v?[0-9])?|.*") {
        if let Ok(platform) = text.parse::<Platform>() {
            prop_assert_eq!(&platform.normalized(), &platform);
            prop_assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform.clone()));
            prop_assert!(platform.matches(&platform), "{}", platform);
        }
    }

    #[test]
    fn a_spelling_changes_nothing(os in "(linux|Linux|windows|macos)", architecture in "(arm|arm64|aarch64|amd64|x86_64|386|s390x)", variant in "(v[5-9])?") {
        let one = Platform { os, architecture, variant, ..Platform::default() };
        prop_assert_eq!(one.normalized().normalized(), one.normalized());
        prop_assert!(one.matches(&one.normalized()) && one.normalized().matches(&one));
    }
}
