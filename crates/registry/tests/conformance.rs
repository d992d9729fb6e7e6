//! Does the registry do what distribution-spec asks for? Its own conformance suite, in the version that is being written, nothing left out.
//!
//! The suite is a Go program, of the version that is pinned here.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

mod support;

use std::{fs, path::Path, process::Command, sync::Arc};

use support::{Server, go::Module, writable};
use teu_store::ManyInMemory;

const SUITE: Module = Module {
    name: "conformance",
    module: "github.com/opencontainers/distribution-spec/conformance",
    package: "github.com/opencontainers/distribution-spec/conformance",
    version: "v0.0.0-20260831232431-97274622c111",
};

#[test]
fn all_of_the_specification_is_there() {
    let program = match SUITE.program() {
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
