//! teu beside its peers: `cargo run -p bench -- --only pull,push` builds what is measured and what measures it, and goes on as `scripts/bench.py`, with the
//! same arguments (`--list`, `--only ROW,ROW`, `--turns N`, `--write`; `--help` tells all). `make bench` installs what Debian has for it first.
//!
//! `TEU` in the environment names another program than the one that is given to users, which is built by `scripts/dist.sh`.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<std::convert::Infallible, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the package has no parent")?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let has = |names: &[&str]| arguments.iter().any(|given| names.iter().any(|name| given == name));
    if !has(&["--list", "--page", "--help", "-h"]) {
        build(root, has(&["--smoke"]))?;
    }
    let script = root.join("scripts/bench.py");
    let error = Command::new(&script).args(arguments).exec();
    Err(format!("{}: {error}", script.display()))
}

/// The clients and what measures, as they are released, or as they are tested; teu, unless one was named; and the peers, where it is for more than to see that all works.
fn build(root: &Path, smoke: bool) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let in_root = |program: &dyn AsRef<std::ffi::OsStr>| {
        let mut command = Command::new(program);
        command.current_dir(root);
        command
    };
    let done = |mut command: Command| match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().display())),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    };
    let mut helpers = in_root(&cargo);
    helpers.args(match smoke {
        // No speed is told: as the tests have them, so that after those there is nothing to build.
        true => "test --quiet --workspace --all-features --no-run --test measure".split(' '),
        false => "build --quiet --release --package bench --features load --bin load --bin measure".split(' '),
    });
    done(helpers)?;
    if env::var_os("TEU").is_none() {
        done(in_root(&root.join("scripts/dist.sh")))?;
    }
    if !smoke {
        let mut peers = in_root(&root.join("scripts/peers.sh"));
        peers.arg("target/peers");
        done(peers)?;
    }
    Ok(())
}
