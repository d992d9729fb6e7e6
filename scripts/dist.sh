#!/usr/bin/env bash
# The static binary: built, guarded in size, and run in a root directory that holds nothing else. Left in target/dist/ with its checksum.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=$((20 * 1000 * 1000)) # bytes
machine=$(uname -m)
musl=$machine-unknown-linux-musl
gnu=$machine-unknown-linux-gnu
target_dir=${CARGO_TARGET_DIR:-target}
dist=target/dist

say() { printf 'dist: %s\n' "$*"; }
has_std() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

has_std "$musl" || { command -v rustup >/dev/null && rustup --quiet target add "$musl" >/dev/null 2>&1; } || true
if has_std "$musl" && command -v musl-gcc >/dev/null; then
  # musl resolves names by itself (/etc/hosts, /etc/resolv.conf): no NSS module is loaded.
  triple=$musl
else
  # With --target, so that build scripts and procedural macros stay dynamic.
  triple=$gnu
  RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
  say "no musl here (rustup target add $musl; Debian's musl-tools): linking glibc statically"
fi
# Where it is loaded is written into it some 15,000 times: by RELR in a bit each, which glibc knows from 2.36 on and musl from 1.2.4.
export RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=-Wl,-z,pack-relative-relocs"
say "building for $triple"
cargo build --quiet --release --package teu --target "$triple"

mkdir -p "$dist"
binary=$dist/teu-$machine-linux
install -m 755 "$target_dir/$triple/release/teu" "$binary"
(cd "$dist" && sha256sum "$(basename "$binary")" >"$(basename "$binary").sha256")

# Of a static position-independent program ldd says "statically linked", of another static one that it is no dynamic executable.
if ldd "$binary" 2>/dev/null | grep -qE '=>|ld-linux|ld-musl'; then
  say "FAILED: $binary wants shared libraries:"
  ldd "$binary"
  exit 1
fi
bytes=$(stat -c %s "$binary")
[ "$bytes" -lt "$limit" ] || {
  say "FAILED: $binary has $bytes bytes; the limit is $limit"
  exit 1
}

# An empty root: the binary, what it is given to read, a place to write.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc"
cp "$binary" "$root/teu"
empty_root() {
  if [ "$(id -u)" = 0 ]; then
    env -i PATH=/ "$(command -v chroot || echo /usr/sbin/chroot)" "$root" "$@"
  else
    env -i PATH=/ unshare --user --map-root-user "$(command -v chroot || echo /usr/sbin/chroot)" "$root" "$@"
  fi
}
if ! empty_root /teu --version >"$root/version"; then
  say "FAILED: it does not run in an empty root"
  exit 1
fi
scripts/corpus.sh "${TEU_CORPUS:-target/corpus}" small
cp -r "${TEU_CORPUS:-target/corpus}/edge" "$root/edge"
empty_root /teu copy --quiet oci:/edge:latest oci:/copy:latest
empty_root /teu verify oci:/copy:latest >/dev/null

# A name that only /etc/hosts of the empty root has, resolved without NSS: a registry that answers under it.
printf '127.0.0.1 registry.teu.test\n' >"$root/etc/hosts"
if empty_root /teu list-tags --tls-verify=false docker://registry.teu.test:1/none >/dev/null 2>"$root/error"; then
  say "FAILED: a registry answered at port 1"
  exit 1
fi
if ! grep -qiE 'refused' "$root/error"; then
  say "FAILED: the name of the empty root's /etc/hosts was not resolved:"
  cat "$root/error"
  exit 1
fi
say "$(cat "$root/version"), $triple, $bytes bytes (limit $limit), static; copies, verifies and resolves names in an empty root"
say "$binary, $(cut -d' ' -f1 "$binary.sha256")"
