#!/usr/bin/env bash
# Every test and every check; at the end, what was skipped and why.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The whole output is shown as it comes. Tests print a line `SKIPPED name: reason` for what a machine cannot do.
status=0
cargo test --workspace --all-features -- --nocapture 2>&1 | tee "$log" || status=$?
scripts/lint.sh 2>&1 | tee -a "$log" || status=$?
echo
if grep -ohE 'SKIPPED .*' "$log" | sort -u | grep .; then echo "(the above was skipped)"; else echo "nothing was skipped"; fi
passed=$(grep -ohE '[0-9]+ passed' "$log" | awk '{n += $1} END {print n + 0}')
failed=$(grep -ohE '[0-9]+ failed' "$log" | awk '{n += $1} END {print n + 0}')
echo "$passed passed, $failed failed"
exit "$status"
