#!/usr/bin/env bash
# The first exercise: an image's way from a registry to a directory, what it is made of there, and what becomes of it when it is changed by
# hand. Each step is shown as a person would type it, then done, then checked; the first that is not what it should be ends the lab.
#
# usage: scripts/lab.sh [IMAGE]      IMAGE, such as docker://docker.io/library/alpine:3.19, stands in for Debian's content
#
# Environment: LAB, the directory that it leaves (lab); TEU, a binary (target/release/teu, which is built); TEU_CORPUS, where images are made.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-}
lab=${LAB:-$PWD/lab}
corpus=${TEU_CORPUS:-$PWD/target/corpus}
registry_pid=
checks=0
step=0

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  strong=$'\e[1m' good=$'\e[32m' bad=$'\e[31m' faint=$'\e[2m' plain=$'\e[0m'
else
  strong='' good='' bad='' faint='' plain=''
fi

stop() {
  if [ -n "$registry_pid" ]; then
    kill "$registry_pid" 2>/dev/null || true
    wait "$registry_pid" 2>/dev/null || true
  fi
}
trap stop EXIT

title() {
  step=$((step + 1))
  printf '\n%s%s. %s%s\n' "$strong" "$step" "$1" "$plain"
}
say() { printf '%s%s%s\n' "$faint" "$*" "$plain"; }
fail() {
  printf '%slab: %s%s\n' "$bad" "$*" "$plain" >&2
  exit 1
}

# run COMMAND: shows it, does it in the lab, shows what it says, and keeps that in $out.
run() {
  printf '%s$ %s%s\n' "$strong" "$1" "$plain"
  # A person's shell, but for its end where one command of a pipe fails.
  if ! out=$(cd "$lab" && bash -o pipefail -c "$1" 2>&1); then
    printf '%s\n' "$out"
    fail "that command failed"
  fi
  [ -z "$out" ] || printf '%s\n' "$out"
}
# refused COMMAND: the same for one that must fail.
refused() {
  printf '%s$ %s%s\n' "$strong" "$1" "$plain"
  if out=$(cd "$lab" && bash -o pipefail -c "$1" 2>&1); then
    printf '%s\n' "$out"
    fail "that command should have failed"
  fi
  printf '%s\n' "$out"
}
# quietly COMMAND: what a step needs to know, unseen.
quietly() { (cd "$lab" && bash -o pipefail -c "$1"); }
# same WHAT GOT WANTED
same() {
  checks=$((checks + 1))
  [ "$2" = "$3" ] || fail "$1: $2 instead of $3"
  printf '%s✓ %s%s\n' "$good" "$1" "$plain"
}

# ---------------------------------------------------------------- what it needs

for need in docker-registry jq python3 sha256sum; do
  command -v "$need" >/dev/null || fail "$need is missing: on Debian 12 \`make lab\` installs it; elsewhere please install it and come again"
done
if [ -z "${TEU:-}" ]; then
  echo "lab: building teu (some minutes the first time)"
  cargo build --quiet --release --package teu
  TEU=${CARGO_TARGET_DIR:-target}/release/teu
fi
teu=$(realpath "$TEU")

if [ -e "$lab" ] && [ ! -e "$lab/.teu-lab" ] && [ -n "$(ls -A "$lab")" ]; then
  fail "$lab is there and is not of an earlier lab: move it away, or name another directory in LAB"
fi
rm -rf "$lab"
mkdir -p "$lab/bin"
touch "$lab/.teu-lab"
lab=$(cd "$lab" && pwd)
ln -s "$teu" "$lab/bin/teu"
export PATH="$lab/bin:$PATH"

# ---------------------------------------------------------------- the exercise

title "A registry on this machine"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
host=127.0.0.1:$port
cat >"$lab/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $lab/registry}, delete: {enabled: true}}
http: {addr: "$host"}
YML
printf '%s$ docker-registry serve registry.yml >registry.log 2>&1 &%s\n' "$strong" "$plain"
(cd "$lab" && exec docker-registry serve registry.yml >registry.log 2>&1) &
registry_pid=$!
for _ in $(seq 500); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  kill -0 "$registry_pid" 2>/dev/null || fail "the registry ended at once: see $lab/registry.log"
  sleep 0.01
done
say "It listens at $host, for this machine alone, and speaks plain HTTP: hence --tls-verify=false below, in skopeo's words."
run "teu catalog --tls-verify=false $host"
same "it is empty" "$out" ""

title "An image for it"
name=debian tag=12
if [ -n "$image" ]; then
  if reason=$(teu digest --retry-times 0 "$image" 2>&1); then
    name=$(basename "${image%%@*}")
    tag=${name#*:}
    [ "$tag" != "$name" ] || tag=latest
    name=${name%%:*}
    from=$image
  elif grep -qiE 'dns error|resolv|timed out|no answer|unreachable|connection refused|no route' <<<"$reason"; then
    say "$image is out of this machine's reach:"
    say "  $reason"
    say "Debian's content takes its place."
    image=
  else
    printf '%s\n' "$reason"
    fail "$image cannot be had"
  fi
fi
if [ -z "$image" ]; then
  "$PWD/scripts/corpus.sh" "$corpus" small
  cp -r "$corpus/debian" "$lab/made"
  from=oci:made:latest
  say "made/ is an OCI layout of Debian's packages bash and coreutils, unpacked, for two architectures."
fi
remote=docker://$host/$name:$tag
run "teu copy --all --dest-tls-verify=false $from $remote"
digest=$(tail -n 1 <<<"$out")
run "teu catalog --tls-verify=false $host"
same "the registry has it" "$out" "$name"

title "From the registry to a directory"
run "teu copy --all --src-tls-verify=false $remote oci:images:$tag"
same "the copy has the digest of its source" "$(tail -n 1 <<<"$out")" "$digest"
run "ls images images/blobs/sha256 | cut -c 1-64"
say "An OCI layout: a marker, an index of names, and files whose names are the SHA-256 of what is in them."
run "jq . images/index.json"
same "the index says what $tag is called" "$(quietly "jq -r '.manifests[0].digest' images/index.json")" "$digest"

title "What is it?"
run "teu inspect oci:images:$tag"
run "teu tree oci:images:$tag"

title "Its parts: index, manifest, configuration"
platform=
if [ "$(quietly "teu manifest get oci:images:$tag | jq 'has(\"manifests\")'")" = true ]; then
  run "teu manifest get oci:images:$tag | jq ."
  say "An index: one manifest for each platform. The index of images/ names this one, which is a blob like any other."
  # This machine's image where there is one, else the first.
  wanted="linux/$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')"
  platforms=$(quietly "teu manifest get oci:images:$tag | jq -r '.manifests[].platform | .os + \"/\" + .architecture'")
  grep -qx "$wanted" <<<"$platforms" || wanted=$(head -n 1 <<<"$platforms")
  platform="--platform $wanted "
fi
run "teu manifest get ${platform}oci:images:$tag | jq ."
say "A manifest: the configuration and the layers, by digest and size."
run "teu config ${platform}oci:images:$tag | jq ."
say "The configuration: how to run it, and the digest of each layer before it was compressed."
run "teu history oci:images:$tag"

title "Is a layer what it is called?"
layer=$(quietly "teu manifest get ${platform}oci:images:$tag | jq -r '.layers[0].digest'")
hex=${layer#sha256:}
run "sha256sum images/blobs/sha256/$hex"
same "the file has the digest that is its name" "$(cut -d' ' -f1 <<<"$out")" "$hex"
if [ "$(quietly "head -c 2 images/blobs/sha256/$hex | od -An -tx1 | tr -d ' '")" = 1f8b ]; then
  run "teu blob get oci:images $layer | gunzip | sha256sum"
  same "unpacked, it has the DiffID of the configuration" "sha256:$(cut -d' ' -f1 <<<"$out")" \
    "$(quietly "teu config ${platform}oci:images:$tag | jq -r '.rootfs.diff_ids[0]'")"
  run "teu blob get oci:images $layer | tar tzf - | head -n 8 || true"
fi

title "Names in the registry"
run "teu list-tags --tls-verify=false docker://$host/$name"
run "teu tag --tls-verify=false $remote stable"
run "teu list-tags --tls-verify=false docker://$host/$name"
same "it has another name" "$(jq -c '.Tags | sort' <<<"$out")" "$(jq -nc --arg tag "$tag" '[$tag, "stable"] | sort')"
run "teu digest --tls-verify=false docker://$host/$name:stable"
same "both names point at the same" "$out" "$digest"

title "A second copy costs nothing"
requests() { grep -cE '"(GET|HEAD|POST|PUT|PATCH|DELETE) /v2/' "$lab/registry.log" || true; }
before=$(requests)
run "teu copy --all --src-tls-verify=false $remote oci:images:$tag"
after=$(requests)
run "tail -n $((after - before)) registry.log | grep -oE '\"[A-Z]+ /v2/[^\"]*\" [0-9]+'"
same "one question was asked, and no blob came" "$((after - before)) $(cut -c 2-5 <<<"$out")" "1 HEAD"
before=$(requests)
run "teu copy --all --dest-tls-verify=false oci:images:$tag $remote"
same "the same the other way" "$(($(requests) - before))" 1

title "Changed by hand, step by step"
run "teu config ${platform}oci:images:$tag | jq '.config.Env += [\"CHANGED=by hand\"]' >config.json"
run "teu blob put oci:images config.json"
read -r config size <<<"$out"
run "teu manifest get ${platform}oci:images:$tag | jq '.config.digest = \"$config\" | .config.size = $size' >manifest.json"
run "teu manifest put oci:images:by-hand manifest.json"
run "teu inspect oci:images:by-hand | jq -c .Env"
same "the new image says what was added" "$(jq -r '.[-1]' <<<"$out")" "CHANGED=by hand"
run "teu ls oci:images"
say "Two images, and the layers once: only a configuration and a manifest are new."

title "Is all of it right?"
run "teu verify oci:images:$tag"
run "teu verify oci:images:by-hand"
say "And where some bytes are others?"
run "cp -r images broken && printf corrupted | dd of=broken/blobs/sha256/$hex bs=1 seek=100 conv=notrunc status=none"
refused "teu verify oci:broken:$tag"
checks=$((checks + 1))
printf '%s✓ the broken layer is found: %s%s\n' "$good" "$(grep -qF "${hex:0:12}" <<<"$out" && echo "it is named" || fail "its digest is not named")" "$plain"
quietly "rm -rf broken"

title "What nobody names any more"
run "teu untag oci:images:by-hand"
run "teu gc --grace 0s --dry-run oci:images"
run "teu gc --grace 0s oci:images"
same "the configuration made by hand is gone" "$(quietly "test -e images/blobs/sha256/${config#sha256:} && echo there || echo gone")" gone
run "teu verify oci:images:$tag"
if command -v skopeo >/dev/null; then
  say "Others read what is left as well:"
  run "skopeo inspect --raw oci:images:$tag | sha256sum"
  same "skopeo gives the same bytes" "sha256:$(cut -d' ' -f1 <<<"$out")" "$digest"
fi

printf '\n%s%s checks held.%s\n' "$strong" "$checks" "$plain"
say "$lab is yours to play with: images/ is the layout, registry/ what the registry kept. To go on there:"
printf '  cd %s\n  export PATH=$PWD/bin:$PATH\n  docker-registry serve registry.yml &\n  teu help\n' "$lab"
