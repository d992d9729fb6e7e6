#!/usr/bin/env bash
# teu's own image, made by teu of its static binary: no Docker, no base, the same bytes from the same binary.
#
# usage: scripts/image.sh [--try] [BINARY [DESTINATION]]
#
# BINARY is target/dist/teu-MACHINE-linux (make dist), DESTINATION the layout target/dist/image. SOURCE_DATE_EPOCH says when it was made; else the
# last commit does. --try has podman run it, and skopeo push to it and pull from it, in a network namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

try=
if [ "${1:-}" = --try ]; then
  try=1
  shift
fi
binary=${1:-target/dist/teu-$(uname -m)-linux}
layout=${2:-target/dist/image}
# What the user of the image may write to belongs to nobody of the host.
user=65532:65532

say() { printf 'image: %s\n' "$*"; }

[ -x "$binary" ] || {
  say "there is no $binary; make dist builds it"
  exit 1
}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
source=$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
licence=$(sed -n 's/^license = "\(.*\)"/\1/p' Cargo.toml)
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

# make LAYOUT: the image `teu` in a layout, for its digest.
make() {
  local image=oci:$1:teu root=$files/root data=$files/data label
  local labels=(
    "org.opencontainers.image.title=teu"
    "org.opencontainers.image.description=A registry, and all that one does to images"
    "org.opencontainers.image.version=$version"
    "org.opencontainers.image.source=$source"
    "org.opencontainers.image.licenses=$licence"
    "org.opencontainers.image.created=$created"
  )
  rm -rf "$root" "$data"
  install -D -m 755 "$binary" "$root/teu"
  # A new volume has its owner and mode of what the image has in its place.
  install -d -m 700 "$data"
  "$binary" new --force --created "$created" "$image" >"$files/said"
  "$binary" append --quiet --owner 0:0 "$image" "$root" >"$files/said"
  "$binary" insert --quiet --owner $user "$image" "$data" /var/lib/teu >"$files/said"
  local all=()
  for label in "${labels[@]}"; do all+=(--label "$label" --annotation "$label"); done
  "$binary" edit --quiet "${all[@]}" --user $user --port 5000/tcp --volume /var/lib/teu \
    --entrypoint '["/teu"]' \
    --cmd serve --env TEU_SERVE_LISTEN=0.0.0.0:5000 --env TEU_SERVE_DATA=/var/lib/teu "$image" >"$files/said"
  "$binary" gc "oci:$1" >"$files/said"
  "$binary" digest "$image"
}

digest=$(make "$layout")
"$binary" verify "oci:$layout:teu" >"$files/said" || {
  cat "$files/said"
  exit 1
}
say "oci:$layout:teu, $digest, $(du -sb "$layout" | cut -f1) bytes"
[ -n "$try" ] || exit 0

again=$(make "$files/again")
[ "$again" = "$digest" ] || {
  say "FAILED: made again it is $again"
  exit 1
}
for program in podman skopeo ip unshare; do
  command -v $program >/dev/null || {
    echo "SKIPPED image: $program is missing"
    exit 0
  }
done
if ! unshare --net --mount true 2>/dev/null; then
  echo "SKIPPED image: a network of its own, to try it in, cannot be had here"
  exit 0
fi

cat >"$files/containers.conf" <<'END'
[containers]
# podman raises limits on its own, which not everybody may; low ones can be had everywhere.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
printf '{"default": [{"type": "insecureAcceptAnything"}]}' >"$files/policy.json"
export CONTAINERS_CONF=$files/containers.conf HOME=$files
mkdir -p "$files/.config/containers"
cp "$files/policy.json" "$files/.config/containers/policy.json"

# podman makes a name of a layout's path, which not every path can be.
"$binary" copy --quiet "oci:$layout:teu" "oci-archive:$files/image.tar:teu"
# Loopback alone: nothing of this is seen from outside, and no port is taken that another has.
unshare --net --mount scripts/image_try.sh "$layout" "$files"
say "podman runs it as $user on a new volume, skopeo pushes to it and pulls from it, and what was pushed outlives the container"
