//! Are registry:2's configurations read as it reads them?

use super::*;
use crate::{arguments, verbs::serve::config::table::Table};

const OWN: &str = include_str!("registry.yml");

fn read_with(text: &str, variables: &[(&str, &str)], has_data: bool) -> Result<Translated, String> {
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    super::read(text, Path::new("c.yml"), &variables, has_data)
}

fn said(translated: &Translated) -> Vec<String> {
    let line = |said: &Said| format!("{}={}", said.name, said.values.join("|"));
    translated.said.iter().map(line).collect()
}

/// What is said beside what every configuration says.
fn more(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: /r}}}}\n{text}");
    let translated = read_with(&text, variables, false).expect("a configuration");
    let mut said = said(&translated);
    said.retain(|line| !["location=absolute", "idle-upload-kept=168h", "data=/r/teu"].contains(&line.as_str()));
    said
}

#[test]
fn the_configuration_of_its_image_is_read() {
    let translated = read_with(OWN, &[], false).expect("a configuration");
    assert_eq!(
        said(&translated),
        [
            "listen=:5000",
            "location=absolute",
            "header=X-Content-Type-Options: nosniff",
            "idle-upload-kept=168h",
            "data=/nonexistent/registry/teu",
        ]
    );
    assert_eq!(
        translated.warnings,
        [
            "c.yml: health.storagedriver has no meaning here: /readyz, and /debug/health at http.debug.addr, look whether what is kept can be \
             reached when they are asked",
            "c.yml: line 4: log.fields.service has no meaning here: lines of the log have fields of their own; what reads them can add some",
            "c.yml: line 7: storage.cache.blobdescriptor has no meaning here: what is looked up is in the directory's own database, and needs no \
             cache",
        ]
    );
}

#[test]
fn what_means_something_only_beside_another_is_warned_of_alone() {
    for (text, expected) in [
        (
            "http: {tls: {certificate: c, key: k, clientauth: require-and-verify-client-cert}}",
            "c.yml: http.tls.clientauth has no meaning here: no client is asked for a certificate where http.tls.clientcas names no authority",
        ),
        (
            "catalog: {maxentries: 7}",
            "c.yml: catalog.maxentries has no meaning here: a page of any list, of tags too, has as many items as max.page says",
        ),
    ] {
        let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: /r}}}}\n{text}");
        let translated = read_with(&text, &[], false).expect("a configuration");
        assert_eq!(translated.warnings, [expected]);
    }
}

#[test]
fn each_key_that_means_something_is_a_setting() {
    for (text, expected) in [
        (
            "http: {addr: 'localhost:5001', prefix: /a/, relativeurls: true}",
            &["listen=localhost:5001", "prefix=/a/", "location=relative"][..],
        ),
        ("http: {host: 'https://b:1'}", &["location=https://b:1"]),
        (
            "http: {host: 'https://b:1', relativeurls: yes}",
            &["location=https://b:1"],
        ),
        (
            "http: {http2: {disabled: true}, draintimeout: 60s}",
            &["http2=false", "time-stop=60s"],
        ),
        (
            "http: {headers: {A: [b, c], D: e}}",
            &["header=A: b|A: c", "header=D: e"],
        ),
        (
            "http: {tls: {certificate: c, key: k, clientcas: [a, b]}}",
            &[
                "tls-certificate=c",
                "tls-key=k",
                "tls-clients=a|b",
                "tls-clients-unnamed=true",
                "tls-clients-required=true",
            ],
        ),
        (
            "http: {tls: {certificate: c, key: k, clientcas: [a], clientauth: verify-client-cert-if-given}}",
            &[
                "tls-certificate=c",
                "tls-key=k",
                "tls-clients=a",
                "tls-clients-unnamed=true",
            ],
        ),
        (
            "http: {debug: {addr: ':5001', prometheus: {enabled: true, path: /m}}}",
            &["metrics=:5001", "metrics-path=/m"],
        ),
        ("http: {debug: {addr: ':5001'}}", &["metrics=:5001"]),
        (
            "auth: {htpasswd: {realm: a b, path: /p}}",
            &["htpasswd=/p", "realm=a b"],
        ),
        (
            "auth: {token: {realm: u, service: s, issuer: i, rootcertbundle: /b}}",
            &["token-url=u", "token-service=s", "token-issuer=i", "token-keys=/b"],
        ),
        (
            "auth: {token: {realm: u, service: s, issuer: i, jwks: /j, autoredirect: false}}",
            &["token-url=u", "token-service=s", "token-issuer=i", "token-keys=/j"],
        ),
        ("auth: none", &[]),
        (
            "log: {level: debug, formatter: json, accesslog: {disabled: true}}",
            &["log-format=json", "log-requests=failures"],
        ),
        ("log: {formatter: logstash}", &["log-format=json"]),
        ("health: {storagedriver: {enabled: true, interval: 10s}}", &[]),
        ("validation: {disabled: true}", &["sparse-indexes=true"]),
        ("validation: {enabled: false}", &["sparse-indexes=true"]),
        (
            "validation: {manifests: {indexes: {platforms: none}}}",
            &["sparse-indexes=true"],
        ),
        (
            "validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux, architecture: arm64}]}}}",
            &["sparse-indexes=true"],
        ),
        ("validation: {manifests: {indexes: {platforms: all}}}", &[]),
        ("catalog: {maxentries: 7}", &[]),
    ] {
        assert_eq!(more(text, &[]), expected, "{text}");
    }
    let storage = |text: &str| {
        let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: /r}}, {text}}}");
        said(&read_with(&text, &[], false).expect("a configuration"))[1..].to_vec()
    };
    for (text, expected) in [
        (
            "delete: {enabled: true}",
            &["deletes=true", "idle-upload-kept=168h", "data=/r/teu"][..],
        ),
        ("delete: {enabled: false}", &["idle-upload-kept=168h", "data=/r/teu"]),
        (
            "delete: {enabled: true}, maintenance: {readonly: {enabled: true}}",
            &["read-only=true", "idle-upload-kept=168h", "data=/r/teu"],
        ),
        (
            "maintenance: {uploadpurging: {enabled: true, age: 1h, interval: 2h}}",
            &["idle-upload-kept=1h", "data=/r/teu"],
        ),
        (
            "maintenance: {uploadpurging: {enabled: false}}",
            &["idle-upload-kept=876000h", "data=/r/teu"],
        ),
        ("redirect: {disable: true}", &["idle-upload-kept=168h", "data=/r/teu"]),
    ] {
        assert_eq!(storage(text), expected, "{text}");
    }
}

#[test]
fn variables_count_before_the_file() {
    for (variables, expected) in [
        (&[("REGISTRY_HTTP_ADDR", "0.0.0.0:80")][..], &["listen=0.0.0.0:80"][..]),
        (
            // The one of the method comes first, whatever their order.
            &[
                ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
                ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
                ("REGISTRY_AUTH", "htpasswd"),
            ],
            &["htpasswd=/auth/htpasswd", "realm=Registry Realm"],
        ),
        (
            &[
                ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
                ("REGISTRY_AUTH_FILE", "/home/a/auth.json"),
            ],
            &["deletes=true"],
        ),
        (
            &[("REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin", "['*']")],
            &["header=access-control-allow-origin: *"],
        ),
        (
            &[
                ("REGISTRY_HTTP_TLS_CERTIFICATE", "c"),
                ("REGISTRY_HTTP_TLS_KEY", "k"),
                ("REGISTRY_HTTP_TLS_CLIENTCAS_0", "a"),
            ],
            &[
                "tls-certificate=c",
                "tls-key=k",
                "tls-clients=a",
                "tls-clients-unnamed=true",
                "tls-clients-required=true",
            ],
        ),
    ] {
        assert_eq!(more("http: {}", variables), expected, "{variables:?}");
    }
    let text = "version: 0.1\nstorage: inmemory\n";
    let variables = [
        ("REGISTRY_STORAGE", "filesystem"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/v"),
    ];
    let translated = read_with(text, &variables, false).expect("a configuration");
    assert!(said(&translated).contains(&"data=/v/teu".to_owned()), "{translated:?}");
    let error = read_with(text, &[("REGISTRY_HTTP_ADDR", "[")], false).expect_err("no YAML");
    assert!(error.contains("REGISTRY_HTTP_ADDR"), "{error}");
    let translated =
        read_with("version: 0.1", &[("REGISTRY_PORT_5000_TCP", "tcp://x")], false).expect("a configuration");
    assert_eq!(
        translated.warnings,
        ["REGISTRY_PORT_5000_TCP: there is no port.5000.tcp in what is known of registry:2's configuration"]
    );
}

#[test]
fn what_cannot_be_passed_over_is_refused() {
    for (text, says) in [
        ("", "c.yml: there is no version: 0.1"),
        ("version: 2", "c.yml: version 2 is not known"),
        ("version: [0.1]", "c.yml: line 1: version is a text"),
        (
            "version: 0.1\nstorage: {s3: {bucket: b}}",
            "c.yml: line 2: storage.s3 is not built",
        ),
        (
            "version: 0.1\nstorage: inmemory",
            "c.yml: line 2: storage.inmemory is not built",
        ),
        (
            "version: 0.1\nauth:\n  - htpasswd: {path: /p}",
            "c.yml: line 3: auth is a list, and has to be a map",
        ),
        (
            "version: 0.1\nauth: {silly: {realm: a}}",
            "c.yml: line 2: auth.silly is not built",
        ),
        ("version: 0.1\nauth: htpasswd", "c.yml: auth.htpasswd has no path"),
        (
            "version: 0.1\nauth: {token: {realm: u, service: s}}",
            "c.yml: auth.token.issuer is not there",
        ),
        (
            "version: 0.1\nauth: {token: {realm: u, service: s, issuer: i}}",
            "neither rootcertbundle nor jwks",
        ),
        (
            "version: 0.1\nauth: {token: {autoredirect: true}}",
            "c.yml: line 2: auth.token.autoredirect is not built",
        ),
        (
            "version: 0.1\nproxy: {remoteurl: 'https://a'}",
            "c.yml: line 2: proxy.remoteurl is not built",
        ),
        (
            "version: 0.1\nhttp: {tls: {letsencrypt: {cachefile: /c}}}",
            "c.yml: line 2: http.tls.letsencrypt.cachefile is not built",
        ),
        (
            "version: 0.1\nhttp: {tls: {letsencrypt: {email: a@b}}}",
            "c.yml: line 2: http.tls.letsencrypt.email is not built",
        ),
        (
            "version: 0.1\nhttp: {net: unix, addr: /run/x}",
            "c.yml: http.net is unix",
        ),
        ("version: 0.1\nhttp: {addr: [a]}", "c.yml: line 2: http.addr is a text"),
        (
            "version: 0.1\nhttp: {relativeurls: maybe}",
            "http.relativeurls is true or false, and not \"maybe\"",
        ),
        (
            "version: 0.1\nhttp: {tls: {clientcas: [a], clientauth: request-client-cert}}",
            "verifies nothing",
        ),
        ("version: 0.1\nlog: {formatter: xml}", "log.formatter is xml"),
        ("version: 0.1\n- a", "c.yml: line 2"),
    ] {
        let error = read_with(text, &[], false).expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    // Where the directory is said elsewhere, a bucket is not what would be used.
    let translated = read_with("version: 0.1\nstorage: {s3: {bucket: b}}", &[], true).expect("a configuration");
    assert_eq!(
        translated.warnings,
        [
            "c.yml: line 2: storage.s3.bucket has no meaning here: what is pushed is kept in the directory that --data names"
        ]
    );
    assert!(!said(&translated).iter().any(|line| line.starts_with("data=")));
}

#[test]
fn each_key_without_a_meaning_is_named() {
    for (path, _) in MEANINGLESS {
        let mut text = String::from("version: 0.1\n");
        let keys: Vec<&str> = path.split('.').chain(["x"]).collect();
        for (depth, key) in keys.iter().enumerate() {
            text.push_str(&format!(
                "{}{key}:{}\n",
                "  ".repeat(depth),
                if depth + 1 == keys.len() { " y" } else { "" }
            ));
        }
        // What else these must have.
        if keys[0] == "auth" {
            text.push_str("    path: p\n    realm: u\n    service: s\n    issuer: i\n    jwks: j\n");
        }
        let translated = read_with(&text, &[], true).expect(&text);
        let warned = translated
            .warnings
            .iter()
            .any(|line| line.contains(&format!("{path}.x has no meaning here: ")));
        assert!(warned, "{text}: {:?}", translated.warnings);
    }
}

#[test]
fn what_is_said_is_said_of_settings_that_there_are() {
    let text = "version: 0.1\nhttp: {addr: ':1', prefix: /a/, host: 'https://b', draintimeout: 1m, headers: {A: b}, http2: {disabled: true},\
        \n  tls: {certificate: c, key: k, clientcas: [a]}, debug: {addr: ':2', prometheus: {enabled: true, path: /m}}}\n\
        auth: {htpasswd: {realm: a, path: p}, token: {realm: u, service: s, issuer: i, jwks: j}}\n\
        log: {formatter: text, accesslog: {disabled: true}}\nvalidation: {disabled: true}\n\
        storage: {delete: {enabled: true}}";
    let translated = read_with(text, &[], false).expect("a configuration");
    assert_eq!(
        translated.warnings,
        [
            "c.yml: http.debug.prometheus has no meaning here: metrics are called teu_registry_…, and none as registry:2's"
        ]
    );
    let command = arguments::command();
    let table = Table::of(command.find_subcommand("serve").expect("a verb"));
    for said in translated.said {
        let setting = table
            .get(&said.name)
            .unwrap_or_else(|| panic!("there is no {}", said.name));
        for value in &said.values {
            setting
                .check(value)
                .unwrap_or_else(|why| panic!("{}: {why}", said.name));
        }
    }
}

/// What is understood and is not so here is said too, once for each.
#[test]
fn what_is_passed_over_is_said() {
    let warnings = |text: &str| {
        let text = format!("version: 0.1\n{text}");
        let translated = read_with(&text, &[], false).expect("a configuration");
        let paths = translated.warnings.iter().map(|line| {
            let path = line
                .strip_prefix("c.yml: ")
                .and_then(|line| line.split(" has no meaning here: ").next());
            path.expect("a path").to_owned()
        });
        paths.collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("log: {level: debug}", &["log.level"][..]),
        ("log: {level: info}", &[]),
        (
            "health: {storagedriver: {enabled: true, interval: 10s, threshold: 3}}",
            &["health.storagedriver"],
        ),
        (
            "storage: {maintenance: {uploadpurging: {enabled: true, interval: 2h}}}",
            &["storage.maintenance.uploadpurging.interval"],
        ),
        ("storage: {redirect: {disable: false}}", &["storage.redirect.disable"]),
        ("storage: {redirect: {disable: true}}", &[]),
        (
            "validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux}]}}}",
            &["validation.manifests.indexes.platformlist"],
        ),
        ("http: {debug: {addr: ':1'}}", &[]),
        (
            "http: {debug: {addr: ':1', prometheus: {enabled: true}}}",
            &["http.debug.prometheus"],
        ),
    ] {
        assert_eq!(warnings(text), expected, "{text}");
    }
}

/// No text makes it panic, and none takes long.
#[test]
fn any_text_is_read_or_refused() {
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("32 bits")
    };
    for _ in 0..2000 {
        let mut text: Vec<u8> = OWN.bytes().collect();
        for _ in 0..next() % 8 {
            if text.is_empty() {
                break;
            }
            let (place, with) = (next() % text.len(), next());
            match with % 4 {
                0 => text[place] = b":-[]{}&*!|>'\"%@`#\n\t ,?~"[with / 4 % 23],
                1 => drop(text.remove(place)),
                2 => text.truncate(place.max(1)),
                _ => text.insert(place, b"*&[{:- \n"[with / 4 % 8]),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let _ = read_with(&text, &[("REGISTRY_HTTP_ADDR", &text)], false);
    }
}

/// What a variable says is not looked for in the file.
#[test]
fn what_a_variable_says_is_told_by_its_name() {
    const FILE: &str =
        "version: 0.1\nstorage: {filesystem: {rootdirectory: /r}}\nhttp: {addr: ':1', headers: {A: [b]}}";
    for (name, value, says) in [
        (
            "REGISTRY_STORAGE_DELETE_ENABLED",
            "maybe",
            "storage.delete.enabled is true or false",
        ),
        ("REGISTRY_HTTP_ADDR", "[a]", "http.addr is a text"),
        ("REGISTRY_HTTP", "{addr: {a: b}}", "http.addr is a text"),
        ("REGISTRY_HTTP_NET", "unix", "http.net is unix"),
        ("REGISTRY_HTTP_HEADERS", "a", "http.headers has names"),
        ("REGISTRY_LOG_FORMATTER", "xml", "log.formatter is xml"),
        ("REGISTRY_AUTH", "htpasswd", "auth.htpasswd has no path"),
        ("REGISTRY_AUTH_SILLY_REALM", "r", "auth.silly "),
        ("REGISTRY_STORAGE_S3_BUCKET", "b", "storage.s3 "),
        ("REGISTRY_VERSION", "0.2", "version 0.2"),
    ] {
        let error = read_with(FILE, &[(name, value)], false).expect_err(name);
        let expected = format!("{name}: {says}");
        assert!(error.starts_with(&expected), "{name}: {error}");
    }
    let translated = read_with(
        FILE,
        &[("REGISTRY_HTTP_ADDR", ":2"), ("REGISTRY_HTTP_SECRET", "s")],
        false,
    );
    let translated = translated.expect("a configuration");
    let place = |name: &str| {
        let said = translated.said.iter().find(|said| said.name == name);
        said.expect("said").place.clone()
    };
    assert_eq!(place("listen"), "REGISTRY_HTTP_ADDR: http.addr");
    assert_eq!(place("header"), "c.yml: http.headers.A");
    let [warning] = &translated.warnings[..] else {
        panic!("{:?}", translated.warnings);
    };
    assert!(warning.starts_with("REGISTRY_HTTP_SECRET: http.secret "), "{warning}");
}
