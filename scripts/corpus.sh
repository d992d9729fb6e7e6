#!/usr/bin/env bash
# Images for tests, the lab and benchmarks, made of Debian's own packages: OCI layouts under DIR. What is there already is kept.
#
# usage: scripts/corpus.sh DIR [SIZE]
#   small   DIR/debian   latest: an index of linux/amd64 and linux/arm64, three layers each, two of them shared (about 30 MB)
#           DIR/edge     latest: names, modes and types that are hard to carry, whiteouts, an opaque directory
#   bench   and          DIR/bench   latest: linux/amd64, Debian's buildpack-deps in its four layers (about 350 MB; 1 GB of files)
#           DIR/many    latest: linux/amd64, one layer of 100,000 small files (about 120 MB)
#   large   and          DIR/six-gzip, six-zstd, six-plain   latest: linux/amd64, a layer of one file of 2 GiB, half of which compresses, and five of 4 MiB
#
# The same Debian packages give the same bytes. Where Debian's archive is out of reach, this machine's own files stand in, and a line says so.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:?usage: scripts/corpus.sh DIR [small|bench|large]}
size=${2:-small}
case $size in small | bench | large) ;; *)
  echo "corpus: no such size: $size (small, bench or large)" >&2
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
  stand_in "$packages ($architecture)"
  case $architecture in
    arm64) python3 scripts/corpus.py local "$part" /usr/share 20 ;;
    *) python3 scripts/corpus.py local "$part" /usr/bin 40 ;;
  esac
  mv "$part" "$tar"
}

stand_in() { say "NOT DEBIAN'S CONTENT: mmdebstrap or Debian's archive is out of reach; files of this machine stand in for $1"; }

# What the image buildpack-deps has over Debian's own, layer by layer: thousands of images are built on it (those of Python, Node, Ruby, Perl …).
layers=(
  "ca-certificates curl gnupg netbase sq wget"
  "git mercurial openssh-client subversion procps"
  "autoconf automake bzip2 default-libmysqlclient-dev dpkg-dev file g++ gcc imagemagick libbz2-dev libc6-dev libcurl4-openssl-dev libdb-dev
   libevent-dev libffi-dev libgdbm-dev libglib2.0-dev libgmp-dev libjpeg-dev libkrb5-dev liblzma-dev libmagickcore-dev libmagickwand-dev
   libmaxminddb-dev libncurses5-dev libncursesw5-dev libpng-dev libpq-dev libreadline-dev libsqlite3-dev libssl-dev libtool libwebp-dev
   libxml2-dev libxslt1-dev libyaml-dev make patch unzip xz-utils zlib1g-dev"
)

# buildpack_deps: .tar/bench-1.tar and on, the whole tree as it was after each step of the build: installed and configured, without what a build throws
# away, without what is this machine's and without what mmdebstrap puts in the way of daemons.
buildpack_deps() {
  local number=1 packages hooks=() log=$out/.tar/bench.log
  [ ! -s "$out/.tar/bench-4.tar" ] || return 0
  # shellcheck disable=SC2016 # for the shell that runs the hook
  local snapshot='tar -C "$1" --create --one-file-system --sort=name --numeric-owner --format=pax --xattrs
    --pax-option=delete=atime,delete=ctime --transform=s,start-stop-daemon.REAL,start-stop-daemon,
    --exclude=./usr/sbin/start-stop-daemon --exclude=./usr/sbin/policy-rc.d --exclude=./etc/resolv.conf --exclude=./etc/hostname
    --exclude="./dev/*" --exclude="./proc/*" --exclude="./sys/*" --exclude="./run/*" --exclude="./tmp/*"
    --exclude="./var/lib/apt/lists/*" --exclude="./var/cache/*/*" --exclude="./var/log/*" --file='
  snapshot=${snapshot//$'\n'/ }
  # The tar of 1 says that a directory was changed meanwhile: those of the kernel are.
  hooks+=("--customize-hook=$snapshot'$out/.tar/bench-1.part' . || test \$? = 1")
  for packages in "${layers[@]}"; do
    number=$((number + 1))
    # shellcheck disable=SC2016
    hooks+=('--customize-hook=DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq install -y --no-install-recommends '"${packages//$'\n'/ }"
      "--customize-hook=$snapshot'$out/.tar/bench-$number.part' . || test \$? = 1")
  done
  if command -v mmdebstrap >/dev/null; then
    say "installing Debian's packages for buildpack-deps (two minutes)"
    if SOURCE_DATE_EPOCH=1700000000 mmdebstrap --quiet --mode="$mode" --architectures=amd64 --variant=minbase --format=null "${hooks[@]}" \
      bookworm /dev/null >"$log" 2>&1; then
      for number in 1 2 3 4; do mv "$out/.tar/bench-$number.part" "$out/.tar/bench-$number.tar"; done
      return 0
    fi
    tail -n 3 "$log" | sed 's/^/corpus: mmdebstrap: /'
    rm -f "$out"/.tar/bench-?.part
  fi
  return 1
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
  if ! buildpack_deps; then
    stand_in buildpack-deps
    number=0
    for directory in /usr/bin /usr/include /usr/share /usr/lib; do
      number=$((number + 1))
      python3 scripts/corpus.py local "$out/.tar/local-$number.tar" "$directory" 250
    done
  fi
  say "making bench (half a minute)"
  python3 scripts/corpus.py bench "$out"
fi
if [ "$size" != small ] && [ ! -e "$out/many/index.json" ]; then
  say "making many (half a minute)"
  python3 scripts/corpus.py many "$out"
fi
if [ "$size" = large ] && ! ls "$out"/six-{gzip,zstd,plain}/index.json >/dev/null 2>&1; then
  say "making six-gzip, six-zstd and six-plain: 2 GiB and five small layers, three times (two minutes)"
  python3 scripts/corpus.py large "$out"
fi
rm -f "$out"/.tar/*.tar # the layouts have what they need of them
