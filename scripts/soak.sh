#!/usr/bin/env bash
# What takes too long for every change: the tests marked `ignore`, a layer of 2 GiB copied every way, and each fuzz target for an hour. What
# came of it belongs into docs/soak.md.
#
# usage: scripts/soak.sh [SECONDS_EACH]      how long each fuzz target runs: 3600
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-3600}
say() { printf 'soak: %s\n' "$*"; }

say "the long tests"
cargo test --workspace --all-features --release -- --ignored --nocapture
say "memory with a layer of 2 GiB"
cargo run --quiet --package bench -- --turns 1 --only large-local-gzip,large-pull-gzip,large-push-gzip,large-copy-gzip
say "each fuzz target for $seconds s"
SANITIZER=address scripts/fuzz.sh "$seconds"
say "all of it held; note it in docs/soak.md with $(git rev-parse --short HEAD) and the date"
