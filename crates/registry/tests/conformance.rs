//! Does the registry do what distribution-spec asks for? Its own conformance suite, in the version that is being written, nothing left out.
//!
//! The suite is a Go program. It is built once, into a cache beside the build, of the version that is pinned here.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use support::{Server, writable};
use teu_store::ManyInMemory;

const MODULE: &str = "github.com/opencontainers/distribution-spec/conformance";
const VERSION: &str = "v0.0.0-20260831232431-97274622c111";

/// The suite's program; what kept it from being built.
fn suite() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{VERSION}"));
    let program = directory.join("conformance");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&directory).expect("a directory");
    let go = |arguments: &[&str]| -> Result<Output, String> {
        let output = Command::new("go").args(arguments).current_dir(&directory).output();
        let output = output.map_err(|error| format!("go does not run: {error}"))?;
        match output.status.success() {
            true => Ok(output),
            false => Err(format!(
                "go {} fails: {}",
                arguments[0],
                String::from_utf8_lossy(&output.stderr)
                    .lines()
                    .last()
                    .unwrap_or_default()
            )),
        }
    };
    let module = format!("module conformance\n\ngo 1.24\n\nrequire {MODULE} {VERSION}\n");
    fs::write(directory.join("go.mod"), module).expect("written");
    let built = directory.join("conformance.new");
    let built = built.to_str().expect("a path");
    go(&["build", "-mod=mod", "-o", built, MODULE])?;
    fs::rename(built, &program).expect("renamed");
    Ok(program)
}

#[test]
fn all_of_the_specification_is_there() {
    let program = match suite() {
        Ok(program) => program,
        Err(reason) => return eprintln!("SKIPPED all_of_the_specification_is_there: {reason}"),
    };
    let server = Server::of(Arc::new(ManyInMemory::sparse()), writable());
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-results");
    let output = Command::new(program)
        .env_clear()
        .env("OCI_REGISTRY", server.address.to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "dev")
        .env("OCI_DATA_SPARSE", "true")
        .env("OCI_RESULTS_DIR", &results)
        .output()
        .expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let end = said.lines().rev().take(80).collect::<Vec<_>>();
    let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(
        output.status.success(),
        "{end}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report = fs::read_to_string(results.join("junit.xml")).expect("a report");
    let count = |name: &str| {
        let before = format!("{name}=\"");
        let values = report.split(&before).skip(1);
        let values = values.filter_map(|rest| rest.split('"').next()?.parse::<u64>().ok());
        values.max()
    };
    assert!(count("tests") > Some(900), "{end}");
    for outcome in ["failures", "errors"] {
        assert_eq!(count(outcome), Some(0), "{outcome}: {end}");
    }
    for outcome in ["<skipped", "<failure", "<error"] {
        assert!(!report.contains(outcome), "{outcome}: {end}");
    }
}
