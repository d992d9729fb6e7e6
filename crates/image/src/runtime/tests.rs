use serde_json::{Value, json};
use teu_rootfs::Range;
use teu_spec::ImageConfig;
use teu_store::ErrorKind;

use super::*;

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\n# a comment:x:7:7::/:\nbroken\nbob:x:1000:100:Bob:/home/bob:/bin/sh\r\n\
    far:x:4294967295:1::/:/\n2000:x:5:5::/five:/\nnohome:x:6:6\n";
const GROUP: &[u8] =
    b"root:x:0:\nbin:x:1:root,bob\nadm:x:4:bob,carl\nusers:x:100:bob\nadm2:x:4:bob\nwheel:x:10:bobby\n";

fn accounts() -> Accounts {
    Accounts {
        passwd: PASSWD.to_vec(),
        group: GROUP.to_vec(),
    }
}

#[test]
fn users_are_who_they_are_in_the_image() {
    let user = |uid, gid, additional_gids: &[u32], home: Option<&str>| User {
        uid,
        gid,
        additional_gids: additional_gids.to_vec(),
        home: home.map(str::to_owned),
    };
    for (wanted, expected) in [
        ("", user(0, 0, &[1], Some("/root"))),
        ("root", user(0, 0, &[1], Some("/root"))),
        ("0", user(0, 0, &[1], Some("/root"))),
        ("bob", user(1000, 100, &[1, 4], Some("/home/bob"))),
        ("bob:", user(1000, 100, &[1, 4], Some("/home/bob"))),
        ("1000", user(1000, 100, &[1, 4], Some("/home/bob"))),
        ("1000:100", user(1000, 100, &[], Some("/home/bob"))),
        ("bob:adm", user(1000, 4, &[], Some("/home/bob"))),
        ("bob:4294967294", user(1000, 4_294_967_294, &[], Some("/home/bob"))),
        ("1234:5678", user(1234, 5678, &[], None)),
        ("1234:adm", user(1234, 4, &[], None)),
        // A number is a number, whatever is called so.
        ("2000", user(2000, 0, &[], None)),
        ("nohome", user(6, 6, &[], None)),
    ] {
        assert_eq!(accounts().resolve(wanted).unwrap(), expected, "{wanted:?}");
    }
    for wanted in [
        "carl",
        "bob:carl",
        "-1",
        "4294967295",
        "99999999999",
        "bob:1:2",
        "far",
        " bob",
    ] {
        let error = accounts().resolve(wanted).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{wanted:?}: {error}");
    }
    assert_eq!(Accounts::default().resolve("").unwrap(), User::default());
}

fn made(config: &Value, options: &Options) -> Value {
    let config = ImageConfig::parse(serde_json::to_vec(config).unwrap().into()).unwrap();
    let first = configuration(&config, &accounts(), options).unwrap();
    assert_eq!(configuration(&config, &accounts(), options).unwrap(), first);
    serde_json::from_slice(&first).unwrap()
}

fn full() -> Value {
    json!({
        "created": "2026-11-23T17:52:32.3Z", "author": "Ann", "architecture": "arm64", "variant": "v8",
        "os": "linux", "os.features": ["a", "b"],
        "config": {
            "User": "bob", "WorkingDir": "srv", "Entrypoint": ["/bin/app", "-x"], "Cmd": ["serve"],
            "Env": ["A=1", "PATH=/bin", "A=2=3"], "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Volumes": {"/data/": {}, "/": {}, "cache": {}}, "StopSignal": "SIGUSR1",
            "Labels": {"org.opencontainers.image.author": "Bea", "x": "y", "": "nothing"},
        },
        "rootfs": {"type": "layers", "diff_ids": []},
    })
}

#[test]
fn an_image_becomes_what_a_runtime_runs() {
    let spec = made(&full(), &Options::default());
    let process = &spec["process"];
    assert_eq!(spec["ociVersion"], "1.0.2");
    assert_eq!(process["args"], json!(["/bin/app", "-x", "serve"]));
    assert_eq!(
        process["env"],
        json!(["A=2=3", "PATH=/bin", "TERM=xterm", "HOME=/home/bob"])
    );
    assert_eq!(process["cwd"], "/srv");
    assert_eq!(
        process["user"],
        json!({"uid": 1000, "gid": 100, "additionalGids": [1, 4]})
    );
    assert_eq!(process["terminal"], false);
    assert_eq!(spec["root"], json!({"path": "rootfs"}));
    assert_eq!(
        spec["annotations"],
        json!({
            "org.opencontainers.image.architecture": "arm64",
            "org.opencontainers.image.author": "Bea",
            "org.opencontainers.image.created": "2026-11-23T17:52:32.3Z",
            "org.opencontainers.image.exposedPorts": "443/tcp,80/tcp",
            "org.opencontainers.image.os": "linux",
            "org.opencontainers.image.os.features": "a,b",
            "org.opencontainers.image.stopSignal": "SIGUSR1",
            "org.opencontainers.image.variant": "v8",
            "x": "y",
        })
    );
    let destinations: Vec<&str> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    assert_eq!(
        destinations,
        [
            "/proc",
            "/dev",
            "/dev/pts",
            "/dev/shm",
            "/dev/mqueue",
            "/sys",
            "/sys/fs/cgroup",
            "/data",
            "/cache"
        ]
    );
    let namespaces = |spec: &Value| -> Vec<String> {
        let list = spec["linux"]["namespaces"].as_array().unwrap();
        list.iter()
            .map(|one| one["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(namespaces(&spec), ["pid", "ipc", "uts", "mount", "network"]);
    assert!(spec["linux"].get("uidMappings").is_none());

    let map = |outside| {
        let range = Range {
            inside: 0,
            outside,
            count: 1,
        };
        Ranges::new(vec![range]).unwrap()
    };
    let rootless = made(
        &full(),
        &Options {
            rootless: true,
            maps: Some(Maps::new(map(1000), map(100)).unwrap()),
            terminal: true,
        },
    );
    assert_eq!(namespaces(&rootless), ["pid", "ipc", "uts", "mount", "user"]);
    assert_eq!(
        rootless["linux"]["uidMappings"],
        json!([{"containerID": 0, "hostID": 1000, "size": 1}])
    );
    assert!(rootless["linux"].get("resources").is_none());
    assert_eq!(rootless["process"]["user"], json!({"uid": 1000, "gid": 100}));
    assert_eq!(rootless["process"]["terminal"], true);
    let text = rootless.to_string();
    assert!(!text.contains("gid=5") && !text.contains("cgroup\""), "{text}");
    // One alone is none.
    for (users, groups, said) in [
        (map(1), Ranges::default(), "whose groups have no map; 0:0:4294967295"),
        (Ranges::default(), map(1), "whose users have no map"),
    ] {
        let error = Maps::new(users, groups).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_an_image_does_not_say_is_as_runtimes_have_it() {
    let spec = made(
        &json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}),
        &Options::default(),
    );
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(
        spec["process"]["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
            "HOME=/root"
        ])
    );
}

#[test]
fn what_cannot_run_says_why() {
    for (change, kind, words) in [
        (
            json!({"os": "windows"}),
            ErrorKind::Unsupported,
            "only Linux has such bundles",
        ),
        (
            json!({"config": {"User": "nobody\u{1b}[2J"}}),
            ErrorKind::Invalid,
            "user \"nobody\\u{1b}[2J\", which its etc/passwd does not have",
        ),
        (json!({"config": {"Env": ["A"]}}), ErrorKind::Invalid, "not NAME=VALUE"),
        (json!({"config": {"Env": ["=A"]}}), ErrorKind::Invalid, "not NAME=VALUE"),
    ] {
        let mut config = full();
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = ImageConfig::parse(serde_json::to_vec(&config).unwrap().into()).unwrap();
        let error = configuration(&config, &accounts(), &Options::default()).unwrap_err();
        assert_eq!(*error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
    }
}
