#!/usr/bin/env bash
# Every test and every check; at the end, what was skipped and why, and how many passed.
#
# All parts run even where one fails, and the exit code says whether any did. What they build they share in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
lab=$(mktemp -d)
failed=()
binary=$PWD/target/dist/teu-$(uname -m)-linux

# part NAME COMMAND…: its whole output is shown as it comes. What a machine cannot do prints a line `SKIPPED name: reason`.
part() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@" 2>&1 | tee -a "$log"; then
    printf '== %s: good, %s s\n' "$name" $((SECONDS - begin))
  else
    printf '== %s: FAILED, %s s\n' "$name" $((SECONDS - begin))
    failed+=("$name")
  fi
}

# behind NAME COMMAND…: begins it while other parts run, of which it takes the time that they leave: tests often wait, and one core links a
# release for minutes. `part NAME joined NAME` shows what it says until it ends, and is what it was.
declare -A behind
behind() {
  local name=$1
  shift
  : >"$lab/$name.log"
  setsid nice -n 15 bash -c '"$@"; outcome=$?; echo "It took $SECONDS s, behind other parts"; echo $outcome >"$0"' \
    "$lab/$name.outcome" "$@" >"$lab/$name.log" 2>&1 &
  behind[$name]=$!
}
joined() {
  tail -n +1 --follow --pid="${behind[$1]}" "$lab/$1.log"
  return "$(cat "$lab/$1.outcome")"
}
end() {
  local pid
  for pid in "${behind[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
  rm -rf "$log" "$lab"
}
trap end EXIT

smoke() {
  # The clients and what measures were built with the tests.
  TEU="$binary" cargo run --quiet --package bench -- --smoke
}

rm -f "$binary" # what a failed build left is not what is tested
behind dist scripts/dist.sh
# One after the other: a link of the release takes memory enough.
behind fuzz bash -c 'tail --follow --pid="$0" /dev/null && exec scripts/fuzz.sh "$1"' "${behind[dist]}" "${FUZZ_SECONDS:-3}"
part "tests" cargo test --workspace --all-features --no-fail-fast -- --nocapture
part "lint" scripts/lint.sh
part "dist" joined dist
if [ -x "$binary" ]; then
  # The binary that is given to users does the rest.
  if command -v jq >/dev/null; then
    part "lab" env TEU="$binary" LAB="$lab/lab" NO_COLOR=1 scripts/lab.sh
  else
    echo "SKIPPED lab: jq is missing" | tee -a "$log"
  fi
  part "image" scripts/image.sh --try "$binary" "$lab/image"
  part "bench, once, on a tiny image" smoke
else
  echo "SKIPPED lab, image and bench: there is no binary to try" | tee -a "$log"
fi
part "fuzz" joined fuzz

count() { grep -ohE "^test result: .* [0-9]+ $1" "$log" | grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }
echo
echo "Skipped:"
grep -ohE 'SKIPPED .*' "$log" | sort -u | sed 's/^SKIPPED /  /' | grep . || echo "  nothing"
ignored=$(count ignored)
[ "$ignored" = 0 ] || echo "  $ignored tests that are marked ignored: long ones, which make soak runs, and parts that other tests start"
echo "$(count passed) tests passed, $(count failed) failed, in $((SECONDS / 60)) min $((SECONDS % 60)) s"
[ ${#failed[@]} = 0 ] || {
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
}
