#!/usr/bin/env bash
# Runs each fuzz target of fuzz/ for a while; fails on the first crash of any, naming the input that made it.
#
# usage: scripts/fuzz.sh SECONDS [TARGET…]
#        scripts/fuzz.sh --build               builds them, and runs nothing
#
# Environment: SANITIZER, such as address: what is built anew with it finds more, and runs at half the speed.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET…]}
shift
command -v c++ >/dev/null || {
  echo "fuzz: there is no C++ compiler, in which libFuzzer is built"
  exit 1
}
# Coverage and sanitizers need the compiler's unstable options; the stable compiler grants them on this request.
export RUSTC_BOOTSTRAP=1
# With a target, so that build scripts and procedural macros stay as they are.
triple=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares stack-depth; do
  flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
# Branches that are one to the processor are two to who looks for ways.
flags+=(-Cllvm-args=-simplifycfg-branch-fold-threshold=0)
profile=fuzz
if [ -n "${SANITIZER:-}" ]; then
  flags+=("-Zsanitizer=$SANITIZER")
  profile=soak
fi
RUSTFLAGS="${flags[*]}" cargo build --quiet --manifest-path fuzz/Cargo.toml --profile "$profile" --target "$triple"
program=${CARGO_TARGET_DIR:-fuzz/target}/$triple/$profile/teu-fuzz
[ "$seconds" != --build ] || exit 0

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  listed=$(TEU_FUZZ=list "$program") && [ -n "$listed" ] || {
    echo "fuzz: $program lists no targets"
    exit 1
  }
  mapfile -t targets <<<"$listed"
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
crashed=()
printf '%-20s %12s %8s %9s  %s\n' target executions cover corpus result
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  result=ok
  TEU_FUZZ=$target "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" >"$logs/$target" 2>&1 || result=CRASH
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$target")
  cover=$(grep -oE 'cov: [0-9]+' "$logs/$target" | tail -n 1 | cut -d' ' -f2 || true)
  corpus=$(find "fuzz/corpus/$target" -type f | wc -l)
  printf '%-20s %12s %8s %9s  %s\n' "$target" "${executions:--}" "${cover:--}" "$corpus" "$result"
  if [ "$result" != ok ]; then
    artifact=$(grep -oE 'fuzz/artifacts/[^ ]+' "$logs/$target" | tail -n 1 || true)
    crashed+=("$target ${artifact:-(no artifact: it did not start)}")
    grep -vE '^(#[0-9]+|INFO)' "$logs/$target" | tail -n 25
  fi
done
[ ${#crashed[@]} = 0 ] || {
  echo
  printf 'fuzz: crashed: %s\n' "${crashed[@]}"
  echo "fuzz: run it again with: TEU_FUZZ=TARGET $program ARTIFACT"
  exit 1
}
