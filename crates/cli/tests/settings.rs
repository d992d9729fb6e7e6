//! Is heard what files, variables and flags say? registries.conf, proxies, the User-Agent, a limit of time; and a person at a terminal.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::support::{
    Asks, Peer, Room,
    answers::{Answers, status},
    image, peers,
};

/// A room with an image in a registry.
fn with_image(registry: &Peer) -> Room {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let there = format!("docker://{}/library/app:1", registry.host);
    room.teu(["copy", "-q", "--dest-tls-verify=false", "oci:images:app", &there])
        .succeeds();
    room
}

#[test]
fn registries_conf_is_found_and_kept_to() {
    let Some(registry) = Peer::start("registries_conf_is_found_and_kept_to", Asks::default()) else {
        return;
    };
    let mut room = with_image(&registry);
    let host = registry.host.as_str();
    let here = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let insecure = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    let there = format!("docker://{host}/library/app:1");
    let digest = |room: &Room, more: &[&str]| room.teu(["digest"].iter().chain(more)).ran();
    assert_eq!(digest(&room, &[&there]).code, 1, "it has no TLS");
    // By flag, by variable, in the user's own place and in its directory.
    let given = room.file("given.conf", &insecure);
    let given = given.to_str().expect("UTF-8");
    assert_eq!(digest(&room, &["--registries-conf", given, &there]).stdout, here);
    let own = room.home(".config/containers/registries.conf");
    fs::create_dir_all(own.parent().expect("a directory").join("registries.conf.d")).expect("made");
    fs::write(&own, &insecure).expect("written");
    assert_eq!(digest(&room, &[&there]).stdout, here);
    fs::remove_file(&own).expect("removed");
    assert_eq!(digest(&room, &[&there]).code, 1);
    let drop_in = own.with_file_name("registries.conf.d").join("10-own.conf");
    fs::write(&drop_in, &insecure).expect("written");
    assert_eq!(digest(&room, &[&there]).stdout, here);
    fs::remove_file(&drop_in).expect("removed");
    room.set("CONTAINERS_REGISTRIES_CONF", given);
    assert_eq!(digest(&room, &[&there]).stdout, here);
    // What a flag says of TLS goes before.
    assert_eq!(digest(&room, &["--tls-verify", &there]).code, 1);

    // A mirror is asked first, and for reading alone; a name without a registry means what is configured.
    let conf = format!(
        "unqualified-search-registries = [\"{host}\"]\n{insecure}\
         [[registry]]\nprefix = \"absent.example/library\"\nlocation = \"127.0.0.1:9/library\"\n\
         [[registry.mirror]]\nlocation = \"{host}/library\"\ninsecure = true\n\
         [[registry]]\nlocation = \"blocked.example\"\nblocked = true\n"
    );
    room.file("given.conf", conf);
    let mirrored = digest(&room, &["docker://absent.example/library/app:1"]);
    assert_eq!(mirrored.stdout, here, "{mirrored:?}");
    assert_eq!(digest(&room, &["library/app:1"]).stdout, here, "a short name");
    let blocked = digest(&room, &["docker://blocked.example/app:1"]);
    assert!(blocked.code == 1 && blocked.stderr.contains("blocked"), "{blocked:?}");
    // The first registry for short names is the one that a login without a name is to.
    let login = room.teu(["login", "-u", "user", "-p", "secret"]).ran();
    assert_eq!(login.stdout, "Login Succeeded!\n", "{login:?}");
    assert!(
        fs::read_to_string(room.runtime("containers/auth.json"))
            .expect("read")
            .contains(host)
    );
    // A file that is not understood, or not there, is no file that says nothing.
    room.file("given.conf", "[[registry]\n");
    let broken = digest(&room, &[&there]);
    assert!(broken.code == 1 && broken.stderr.contains("given.conf"), "{broken:?}");
    let absent = digest(&room, &["--registries-conf", "absent.conf", &there]);
    assert!(absent.code != 0 && absent.stderr.contains("absent.conf"), "{absent:?}");
}

#[test]
fn proxies_and_the_user_agent_are_as_they_were_said() {
    let room = Room::new();
    let nothing_there = || Answers::start(|_| status(404));
    let proxy = nothing_there();
    let digest = |name: &str, value: &str, more: &[&str]| {
        let arguments = ["digest", "--debug", "--retry-times=0"].iter().chain(more);
        room.teu(arguments).env(name, value).ran()
    };
    let there = "docker://registry.invalid/app:1";
    let by_proxy = format!("http://{}", proxy.host);
    assert_ne!(digest("HTTPS_PROXY", &by_proxy, &[there]).code, 0);
    assert_eq!(proxy.lines(), ["CONNECT registry.invalid:443"]);
    assert_ne!(
        digest("https_proxy", &by_proxy, &["--user-agent-prefix", "mine/1", there]).code,
        0
    );
    assert_eq!(proxy.lines(), ["CONNECT registry.invalid:443"; 2]);
    let registry = nothing_there();
    let plain = format!("docker://{}/app:1", registry.host);
    let run = room.teu(["digest", "--tls-verify=false", "--user-agent-prefix", "mine/1", &plain]);
    assert_eq!(
        run.env("NO_PROXY", "127.0.0.1").env("http_proxy", &by_proxy).ran().code,
        2
    );
    let seen = registry.seen();
    let head = seen.iter().find(|request| request.method == "HEAD").expect("asked");
    let agent = head.header("user-agent").expect("one");
    assert!(agent.contains("mine/1 teu/"), "{agent}");
    assert_eq!(proxy.seen().len(), 2, "no proxy was asked");
}

#[test]
fn a_command_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = format!("docker://{}/app:1", listener.local_addr().expect("its address"));
    let room = Room::new();
    let begun = Instant::now();
    let said = room
        .teu(["--command-timeout", "300ms", "digest", "--tls-verify=false", &there])
        .fails(1);
    assert!(said.contains("--command-timeout"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// Runs teu on a terminal of its own (python's pty), types what it is asked for, and prints what is shown.
const TYPIST: &str = r#"
import os, pty, signal, sys
signal.alarm(60)
answers = sys.argv[1].split(",")
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
while True:
    try:
        chunk = os.read(fd, 1024)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
    if shown.endswith(b": ") and answers:
        os.write(fd, answers.pop(0).encode() + b"\n")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_person_is_asked_and_a_password_not_shown() {
    let test = "a_person_is_asked_and_a_password_not_shown";
    if !peers(test, &["python3"]) {
        return;
    }
    let asks = Asks {
        password: true,
        tls: false,
    };
    let Some(registry) = Peer::start(test, asks) else {
        return;
    };
    let room = Room::new();
    let host = registry.host.as_str();
    let teu = env!("CARGO_BIN_EXE_teu");
    let typed = |answers: &str, more: &[&str]| {
        let fixed = ["-c", TYPIST, answers, teu, "login", "--tls-verify=false", host];
        room.run("python3", fixed.iter().chain(more)).ran()
    };
    let ran = typed("user,secret", &[]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "Username: user\r\nPassword: \r\nLogin Succeeded!\r\n"),
        "{ran:?}"
    );
    // The name that is known is offered.
    let kept = room.runtime("containers/auth.json");
    let wrong = fs::read_to_string(&kept)
        .expect("read")
        .replace("dXNlcjpzZWNyZXQ=", "dXNlcjpndWVzcw==");
    fs::write(&kept, wrong).expect("written");
    let ran = typed(",secret", &[]);
    assert!(ran.stdout.contains("Existing credentials are invalid"), "{ran:?}");
    assert!(
        ran.stdout
            .ends_with("Username (user): \r\nPassword: \r\nLogin Succeeded!\r\n"),
        "{ran:?}"
    );
    let ran = typed("guess", &["-u", "user"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!ran.stdout.contains("guess"), "{ran:?}");
    // Without a terminal nobody is waited for.
    let ran = room.teu(["login", "--tls-verify=false", "-u", "other", host]).ran();
    assert!(ran.code != 0 && ran.stderr.contains("--password-stdin"), "{ran:?}");
}
