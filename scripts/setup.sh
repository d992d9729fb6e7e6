#!/usr/bin/env bash
# Installs what teu's make targets need and this machine lacks. Says one line for each thing it installs, and nothing where all is there.
#
# usage: scripts/setup.sh GROUP…     groups: build, lab, peers, go, bench, lint, fuzz
set -euo pipefail

# command or file:package of Debian 12, by group
build=(cc:gcc /usr/include/stdio.h:libc6-dev make:make pkg-config:pkg-config git:git curl:curl update-ca-certificates:ca-certificates)
lab=(mmdebstrap:mmdebstrap jq:jq skopeo:skopeo runc:runc python3:python3)
peers=(skopeo:skopeo umoci:umoci docker-registry:docker-registry buildah:buildah podman:podman conmon:conmon runc:runc crun:crun
  ctr:containerd dockerd:docker.io
  mmdebstrap:mmdebstrap zstd:zstd jq:jq python3:python3 openssl:openssl htpasswd:apache2-utils mkfs.xfs:xfsprogs filefrag:e2fsprogs strace:strace
  man:man-db groff:groff zsh:zsh fish:fish ip:iproute2 unshare:util-linux)
bench=(skopeo:skopeo umoci:umoci zstd:zstd docker-registry:docker-registry mmdebstrap:mmdebstrap python3:python3 mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs
  openssl:openssl igzip:isal pigz:pigz nginx:nginx-light /usr/include/openssl/evp.h:libssl-dev)

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    say "cannot run as root: $*"
    return 1
  fi
}

# Packages whose command, or file, is not there.
debian() {
  local missing=() pair wanted
  for pair in "$@"; do
    wanted=${pair%%:*}
    if [[ $wanted = /* ]]; then [ -e "$wanted" ] && continue; fi
    command -v "$wanted" >/dev/null 2>&1 || [ -x "/usr/sbin/$wanted" ] || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "this is no Debian: please install ${missing[*]}; what needs them is skipped"
    return 0
  fi
  say "installing Debian's ${missing[*]}"
  # No daemon may start: Debian's own docker-registry configuration listens on every address.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=1
  fi
  local log
  log=$(mktemp)
  if ! { as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    say "apt-get failed:"
    tail -n 20 "$log"
    say "what needs ${missing[*]} is skipped"
  fi
  rm -f "$log"
  if [ -n "$made" ]; then as_root rm -f "$policy"; fi
}

rust() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
  if command -v cargo >/dev/null; then
    found=$(rustc --version 2>/dev/null | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ]; then return; fi
    if command -v rustup >/dev/null; then
      say "Rust $found is there and $wanted is needed: updating it by rustup"
      rustup --quiet update stable
      return
    fi
    say "Rust $found is there, from elsewhere than rustup, and $wanted is needed"
  fi
  say "installing the Rust toolchain by rustup"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile default || {
    say "rustup cannot be had: install Rust $wanted or newer by hand (https://rustup.rs) and start again"
    return 1
  }
}

# Go, for what is tested and measured beside us and comes as Go's modules. Debian 12's own is too old for them, and new enough to fetch a newer one: that
# is a module too, which Go's checksum database vouches for, whatever is set here. From 1.21 on Go fetches what it needs by itself, unless it is told not to.
go() {
  local wanted=1.26.8 found machine work place
  found=$(command go env GOVERSION 2>/dev/null) || found=
  found=${found#go}
  local least=1.21
  [ "$(command go env GOTOOLCHAIN 2>/dev/null)" != local ] || least=1.26
  if [ -n "$found" ] && [ "$(printf '%s\n' "$least" "$found" | sort -V | head -n 1)" = "$least" ]; then return; fi
  case $(uname -m) in
    x86_64) machine=amd64 ;;
    aarch64) machine=arm64 ;;
    *) machine= ;;
  esac
  if [ -z "$machine" ] || ! command -v apt-get >/dev/null; then
    say "please install Go $least or newer; what needs it is skipped"
    return 0
  fi
  place=/usr/local/lib/go-$wanted
  if [ -x "$place/bin/go" ]; then
    say "Go $wanted is in $place, but an older one is found first: put $place/bin first in PATH"
    return 0
  fi
  say "installing Go $wanted by Go's module proxy, in $place with a link in /usr/local/bin"
  work=$(mktemp -d)
  if ! (
    cd "$work" && as_root apt-get -qq update && apt-get -qq download golang-1.19-go golang-1.19-src &&
      for package in *.deb; do dpkg --extract "$package" . || exit; done &&
      GOROOT=$work/usr/lib/go-1.19 GOPATH=$work/modules GOCACHE=$work/cache GOFLAGS=-modcacherw \
        GOSUMDB=sum.golang.org GONOSUMDB='' GOPRIVATE='' GOINSECURE='' \
        "$work/usr/lib/go-1.19/bin/go" mod download "golang.org/toolchain@v0.0.1-go$wanted.linux-$machine" &&
      # A module has no file that may be run.
      cd "modules/pkg/mod/golang.org/toolchain@v0.0.1-go$wanted.linux-$machine" && find bin pkg/tool -type f -exec chmod 755 {} + &&
      as_root rm -rf "$place" && as_root cp -r . "$place" && as_root chmod -R a+rX "$place" &&
      for program in go gofmt; do
        # A Go that is there already, and is too old, is not replaced.
        if [ -e "/usr/local/bin/$program" ] && [ ! -L "/usr/local/bin/$program" ]; then continue; fi
        as_root ln -sf "$place/bin/$program" /usr/local/bin || exit
      done
  ) >"$work/log" 2>&1; then
    tail -n 5 "$work/log"
    say "Go cannot be had; what needs it is skipped"
  fi
  rm -rf "$work"
}

# A tool of cargo's, built from its published source.
cargo_tool() {
  if command -v "$1" >/dev/null || [ -x "$HOME/.cargo/bin/$1" ]; then return; fi
  say "installing $1 by cargo (some minutes)"
  local log
  log=$(mktemp)
  cargo install --quiet --locked "$1" >"$log" 2>&1 || {
    tail -n 5 "$log"
    say "$1 cannot be had; what needs it is skipped"
  }
  rm -f "$log"
}

for group in "$@"; do
  case $group in
    build) debian "${build[@]}"; rust ;;
    lab) debian "${lab[@]}" ;;
    peers) debian "${peers[@]}" ;;
    go) go ;;
    bench) debian "${bench[@]}" ;;
    lint) cargo_tool cargo-deny ;;
    fuzz) debian c++:g++ ;; # libFuzzer is C++, built with the targets
    *) say "no such group: $group"; exit 2 ;;
  esac
done
