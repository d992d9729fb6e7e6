#!/usr/bin/env bash
# Runs each fuzz target of fuzz/ for a while; fails on the first crash of any, naming the input that made it.
#
# usage: scripts/fuzz.sh SECONDS [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET…]}
shift
[ -f fuzz/Cargo.toml ] || {
  echo "fuzz: there are no fuzz targets (fuzz/Cargo.toml)" >&2
  exit 1
}
command -v cargo-fuzz >/dev/null || {
  echo "fuzz: cargo-fuzz is missing: cargo install cargo-fuzz" >&2
  exit 1
}
# The sanitizer needs the compiler's unstable options; the stable compiler grants them on this request.
export RUSTC_BOOTSTRAP=1
# cargo-fuzz builds for its own triple, which may lack a standard library here; the compiler's own has one.
triple=$(rustc -vV | sed -n 's/^host: //p')

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
echo "fuzz: building ${#targets[@]} targets"
cargo fuzz build --target "$triple" 2>&1 | grep -E '^(warning: unused|error)|could not compile' || [ "${PIPESTATUS[0]}" = 0 ]

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
crashed=()
printf '%-28s %12s %8s %9s  %s\n' target executions cover corpus result
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target"
  result=ok
  cargo fuzz run --target "$triple" "$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 >"$logs/$target" 2>&1 || result=CRASH
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$target")
  cover=$(grep -oE 'cov: [0-9]+' "$logs/$target" | tail -n 1 | cut -d' ' -f2 || true)
  corpus=$(find "fuzz/corpus/$target" -type f | wc -l)
  printf '%-28s %12s %8s %9s  %s\n' "$target" "${executions:--}" "${cover:--}" "$corpus" "$result"
  if [ "$result" != ok ]; then
    artifact=$(grep -oE 'fuzz/artifacts/[^ ]+' "$logs/$target" | tail -n 1 || true)
    crashed+=("$target ${artifact:-(no artifact: it did not start)}")
    grep -vE '^(#[0-9]+|INFO)' "$logs/$target" | tail -n 25
  fi
done
[ ${#crashed[@]} = 0 ] || {
  echo
  printf 'fuzz: crashed: %s\n' "${crashed[@]}"
  echo "fuzz: run it again with: cargo fuzz run TARGET ARTIFACT"
  exit 1
}
