//! Does the registry do what distribution-spec asks for? Its own conformance suite, in the version that is being written, nothing left out.
//!
//! The suite is a Go program, of the version that is pinned here.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{fs, path::Path, process::Command, sync::Arc};

use crate::support::{Server, go::Module, writable};
use teu_depot::Depot;
use teu_store::{ManyInMemory, Repositories};

const SUITE: Module = Module {
    name: "conformance",
    module: "github.com/opencontainers/distribution-spec/conformance",
    package: "github.com/opencontainers/distribution-spec/conformance",
    version: "v0.0.0-20260831232431-97274622c111",
};

#[test]
fn all_of_the_specification_is_there() {
    conforms("all_of_the_specification_is_there", Arc::new(ManyInMemory::sparse()));
}

#[test]
fn all_of_it_is_there_over_a_depot() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = teu_depot::Settings {
        sparse: teu_depot::Sparse::All,
        ..Default::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime.block_on(Depot::open(&directory.path().join("depot"), settings));
    conforms("all_of_it_is_there_over_a_depot", Arc::new(depot.expect("a depot")));
}

/// Runs the suite on a registry of these.
fn conforms(name: &str, repositories: Arc<dyn Repositories>) {
    let program = match SUITE.program() {
        Ok(program) => program,
        Err(reason) => return eprintln!("SKIPPED {name}: {reason}"),
    };
    let server = Server::of(repositories, writable());
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{name}"));
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
