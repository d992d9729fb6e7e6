#!/usr/bin/env bash
# Part of scripts/image.sh --try, within a network of its own: podman runs the image, skopeo pushes and pulls.
#
# usage: scripts/image_try.sh LAYOUT DIRECTORY
set -euo pipefail
layout=$1 files=$2

podman() { command podman --root "$files/storage" --runroot "$files/run" --storage-driver vfs "$@"; }
fail() {
  printf 'image: FAILED: %s\n' "$*"
  podman logs teu 2>&1 | tail -n 20 || true
  podman rm -f teu >/dev/null 2>&1 || true
  exit 1
}

ip link set lo up
podman load --quiet --input "$files/image.tar" >"$files/loaded"
id=$(podman images --quiet --no-trunc)
address=127.0.0.1:5000

# start: a container on the volume `kept`, until it says that it can be asked.
start() {
  podman run --detach --name teu --network host --read-only --cap-drop all --security-opt no-new-privileges --volume kept:/var/lib/teu "$id" >/dev/null
  local n
  for n in $(seq 100); do
    podman logs teu 2>/dev/null | grep -q ':5000' && return
    sleep 0.1
  done
  fail "it did not begin to listen"
}

start
[ "$(podman inspect --format '{{.Config.User}}' teu)" = 65532:65532 ] || fail "it runs as another user"
skopeo copy --quiet --dest-tls-verify=false "oci:$layout:teu" "docker://$address/teu/self:1" || fail "skopeo cannot push"
podman stop --time 10 teu >/dev/null
code=$(podman wait teu)
[ "$code" = 0 ] || fail "it ended with $code"
podman rm teu >/dev/null
start
skopeo copy --quiet --src-tls-verify=false "docker://$address/teu/self:1" "oci:$files/pulled:1" || fail "skopeo cannot pull"
wanted=$(skopeo inspect --raw "oci:$layout:teu" | sha256sum)
[ "$(skopeo inspect --raw "oci:$files/pulled:1" | sha256sum)" = "$wanted" ] || fail "another image came back"
podman stop --time 10 teu >/dev/null
podman rm teu >/dev/null
podman volume rm kept >/dev/null
