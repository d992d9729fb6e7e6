#!/usr/bin/env bash
# Format, clippy, documentation and dependencies: all without a warning.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo clippy --quiet --workspace --all-targets --all-features -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --all-features
if command -v cargo-deny >/dev/null; then
  cargo deny --log-level error check licenses bans sources
  # The advisories come from a git repository; a machine that does not reach it cannot check them.
  if ! timeout 120 cargo deny --log-level error check advisories >"${TMPDIR:-/tmp}/teu-advisories.$$" 2>&1; then
    if grep -qiE 'failed to (fetch|clone|obtain|load|open)|unable to|could not|timed out|network|advisory database' "${TMPDIR:-/tmp}/teu-advisories.$$" || [ ! -s "${TMPDIR:-/tmp}/teu-advisories.$$" ]; then
      echo "SKIPPED advisories: the advisory database is out of reach"
    else
      cat "${TMPDIR:-/tmp}/teu-advisories.$$"
      exit 1
    fi
  fi
  rm -f "${TMPDIR:-/tmp}/teu-advisories.$$"
else
  echo "SKIPPED cargo-deny: it is not installed"
fi
