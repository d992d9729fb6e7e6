#!/usr/bin/env bash
# The current builds of what `make bench` measures teu beside, by Go's modules, in DIR/bin: crane, regctl, regsync, oras, umoci, skopeo,
# imagecopy (the library that skopeo is made of, see bench/imagecopy), and the registries registry:3 and zot. What is there is kept; what cannot be had is said
# with its reason, and has no columns.
#
# usage: scripts/peers.sh DIR
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:?usage: scripts/peers.sh DIR}
mkdir -p "$out/bin"
out=$(cd "$out" && pwd)
tags="containers_image_openpgp containers_image_storage_stub exclude_graphdriver_btrfs exclude_graphdriver_devicemapper"

say() { printf 'peers: %s\n' "$*"; }

command -v go >/dev/null || {
  say "SKIPPED crane, regctl, regsync, oras, current umoci and skopeo, registry:3 and zot: there is no go here"
  exit 0
}
export CGO_ENABLED=0 GOFLAGS=-modcacherw

# attempt NAME COMMAND…: one line for what is built, one for what is not to be had.
attempt() {
  local name=$1
  shift
  [ ! -x "$out/bin/$name" ] || return 0
  say "building $name"
  "$@" >"$out/$name.log" 2>&1 || say "SKIPPED $name: $(tail -n 1 "$out/$name.log")"
}

crane() { GOBIN=$out/bin go install github.com/google/go-containerregistry/cmd/crane@latest; }

regctl() { GOBIN=$out/bin go install github.com/regclient/regclient/cmd/regctl@latest; }

regsync() { GOBIN=$out/bin go install github.com/regclient/regclient/cmd/regsync@latest; }

oras() { GOBIN=$out/bin go install oras.land/oras/cmd/oras@latest; }

# It stands on a fork of go-mtree, which `go install` does not take from it.
umoci() {
  local module fork
  module=$(mktemp -d)
  (
    cd "$module"
    go mod init peers
    go get github.com/opencontainers/umoci@latest
    fork=$(sed -n 's/^replace .*go-mtree => \(\S*\) \(\S*\)$/\1@\2/p' "$(go list -m -f '{{.Dir}}' github.com/opencontainers/umoci)/go.mod")
    [ -z "$fork" ] || go mod edit -replace "github.com/vbatts/go-mtree=$fork"
    go get github.com/opencontainers/umoci/cmd/umoci
    go build -mod=mod -o "$out/bin/umoci" github.com/opencontainers/umoci/cmd/umoci
  ) || {
    rm -rf "$module"
    return 1
  }
  rm -rf "$module"
}

# Its build tags want it built inside a module, not installed by its path.
skopeo() {
  local module
  module=$(mktemp -d)
  (
    cd "$module"
    go mod init peers
    go get github.com/containers/skopeo@latest
    go get github.com/containers/skopeo/cmd/skopeo
    go build -mod=mod -tags "$tags" -o "$out/bin/skopeo" github.com/containers/skopeo/cmd/skopeo
  ) || {
    rm -rf "$module"
    return 1
  }
  rm -rf "$module"
}

imagecopy() { go -C bench/imagecopy build -tags "$tags" -o "$out/bin/imagecopy" .; }

registry() { GOBIN=$out/bin go install github.com/distribution/distribution/v3/cmd/registry@latest; }

# Without its extensions, as zot-minimal is.
zot() {
  local module
  module=$(mktemp -d)
  (
    cd "$module"
    go mod init peers
    go get zotregistry.dev/zot/v2/cmd/zot@latest
    go build -mod=mod -o "$out/bin/zot" zotregistry.dev/zot/v2/cmd/zot
  ) || {
    rm -rf "$module"
    return 1
  }
  rm -rf "$module"
}

attempt crane crane
attempt regctl regctl
attempt regsync regsync
attempt oras oras
attempt umoci umoci
attempt skopeo skopeo
[ ! bench/imagecopy/main.go -nt "$out/bin/imagecopy" ] || rm -f "$out/bin/imagecopy"
attempt imagecopy imagecopy
attempt registry registry
attempt zot zot
