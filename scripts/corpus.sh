#!/usr/bin/env bash
# Images for tests, the lab and benchmarks, made of Debian's own packages: OCI layouts under DIR. What is there already is kept.
#
# usage: scripts/corpus.sh DIR [SIZE]
#   small   DIR/debian   latest: an index of linux/amd64 and linux/arm64, three layers each, two of them shared (about 30 MB)
#           DIR/edge     latest: names, modes and types that are hard to carry, whiteouts, an opaque directory
#   bench   and          DIR/bench   latest: linux/amd64, five layers (about 250 MB)
#           DIR/many    latest: linux/amd64, one layer of 100,000 small files (about 120 MB)
#   huge    and          DIR/huge    latest: linux/amd64, six layers, one of 2 GiB
#
# The same Debian packages give the same bytes. Where Debian's archive is out of reach, this machine's own files stand in, and a line says so.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:?usage: scripts/corpus.sh DIR [small|bench|huge]}
size=${2:-small}
case $size in small | bench | huge) ;; *)
  echo "corpus: no such size: $size (small, bench or huge)" >&2
  exit 2
  ;;
esac
command -v python3 >/dev/null || {
  echo "corpus: python3 is missing; please install it" >&2
  exit 1
}
mkdir -p "$out/.tar"
out=$(cd "$out" && pwd)

say() { printf 'corpus: %s\n' "$*"; }

# One caller at a time; the next one finds the work done.
exec 9>"$out/.lock"
flock 9

# tree NAME ARCHITECTURE PACKAGE,…: a root file system of these packages and what they need, unpacked and not configured (so that no
# emulator is needed for a foreign architecture), as a tar file.
tree() {
  local name=$1 architecture=$2 packages=$3 tar=$out/.tar/$1.tar part=$out/.tar/part-$1.tar
  [ ! -s "$tar" ] || return 0
  if command -v mmdebstrap >/dev/null; then
    say "unpacking Debian's $packages for $architecture"
    if SOURCE_DATE_EPOCH=1700000000 mmdebstrap --quiet --mode="$mode" --architectures="$architecture" --variant=extract \
      --include="$packages" bookworm "$part" >"$out/.tar/$name.log" 2>&1; then
      mv "$part" "$tar"
      return 0
    fi
    tail -n 3 "$out/.tar/$name.log" | sed 's/^/corpus: mmdebstrap: /'
  fi
  say "NOT DEBIAN'S CONTENT: mmdebstrap or Debian's archive is out of reach; files of this machine stand in for $packages ($architecture)"
  python3 scripts/corpus.py local "$part" "$name"
  mv "$part" "$tar"
}

mode=auto
[ "$(id -u)" != 0 ] || mode=root

if [ ! -e "$out/debian/index.json" ] || [ ! -e "$out/edge/index.json" ]; then
  tree base-amd64 amd64 base-files,bash,coreutils
  tree base-arm64 arm64 base-files,bash,coreutils
  say "making debian and edge"
  python3 scripts/corpus.py small "$out"
fi
if [ "$size" != small ] && [ ! -e "$out/bench/index.json" ]; then
  tree bench-1 amd64 base-files,bash,coreutils,apt
  tree bench-2 amd64 base-files,bash,coreutils,apt,perl,python3
  tree bench-3 amd64 base-files,bash,coreutils,apt,perl,python3,gcc,git
  say "making bench (some ten seconds)"
  python3 scripts/corpus.py bench "$out"
fi
if [ "$size" != small ] && [ ! -e "$out/many/index.json" ]; then
  say "making many (half a minute)"
  python3 scripts/corpus.py many "$out"
fi
if [ "$size" = huge ] && [ ! -e "$out/huge/index.json" ]; then
  say "making huge: 2.3 GiB"
  python3 scripts/corpus.py huge "$out"
fi
rm -f "$out"/.tar/*.tar # the layouts have what they need of them
