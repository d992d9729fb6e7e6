#!/usr/bin/env bash
# The exercise, an image without Docker: its way from a registry to a directory, what it is made of there, what becomes of it when it is changed
# by hand and pushed back, its files run as a container, and an image that attacks who unpacks it. Each step is shown as a person would type it,
# then done, then checked; the first that is not what it should be ends the lab.
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
# holds WHAT COMMAND…: a check that a command makes.
holds() {
  local what=$1
  shift
  checks=$((checks + 1))
  "$@" || fail "$what: that is not so"
  printf '%s✓ %s%s\n' "$good" "$what" "$plain"
}
# same WHAT GOT WANTED
same() {
  checks=$((checks + 1))
  [ "$2" = "$3" ] || fail "$1: $2 instead of $3"
  printf '%s✓ %s%s\n' "$good" "$1" "$plain"
}

# ---------------------------------------------------------------- what it needs

for need in jq python3 sha256sum; do
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
printf '%s$ teu serve --data registry --listen %s 2>registry.log &%s\n' "$strong" "$host" "$plain"
(cd "$lab" && exec teu serve --data registry --listen "$host" >/dev/null 2>registry.log) &
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
# What it is to run later, and what is changed then; no shell is asked of an image that we do not know.
entrypoint='["cat","/etc/os-release"]' file=etc/os-release line='VARIANT="changed in its bundle"'
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
  entrypoint='["/opt/app/hello"]' file=opt/app/hello line='echo and from its bundle'
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
platform='' override=''
here="linux/$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')"
if [ "$(quietly "teu manifest get oci:images:$tag | jq 'has(\"manifests\")'")" = true ]; then
  run "teu manifest get oci:images:$tag | jq ."
  say "An index: one manifest for each platform. The index of images/ names this one, which is a blob like any other."
  # This machine's image where there is one, else the first.
  wanted=$here
  platforms=$(quietly "teu manifest get oci:images:$tag | jq -r '.manifests[].platform | .os + \"/\" + .architecture'")
  grep -qx "$wanted" <<<"$platforms" || wanted=$(head -n 1 <<<"$platforms")
  platform="--platform $wanted "
  [ "$wanted" = "$here" ] || override="--override-os ${wanted%%/*} --override-arch ${wanted#*/} "
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
  run "teu blob get oci:images $layer | gunzip >layer.tar"
  run "sha256sum layer.tar"
  same "decompressed, it has the DiffID of the configuration" "sha256:$(cut -d' ' -f1 <<<"$out")" \
    "$(quietly "teu config ${platform}oci:images:$tag | jq -r '.rootfs.diff_ids[0]'")"
  run "tar tvf layer.tar >layer.list && tail -n 8 layer.list"
  say "A tar archive of $(wc -l <"$lab/layer.list") entries, of which these are the last."
fi

title "Names in the registry"
run "teu list-tags --tls-verify=false docker://$host/$name"
run "teu tag --tls-verify=false $remote stable"
run "teu list-tags --tls-verify=false docker://$host/$name"
same "it has another name" "$(jq -c '.Tags | sort' <<<"$out")" "$(jq -nc --arg tag "$tag" '[$tag, "stable"] | sort')"
run "teu digest --tls-verify=false docker://$host/$name:stable"
same "both names point at the same" "$out" "$digest"

title "A second copy costs nothing"
# How many requests were answered, once no more are being written down.
requests() {
  local before=-1 now
  until now=$(grep -cE ' (GET|HEAD|POST|PUT|PATCH|DELETE) /v2/' "$lab/registry.log" || true) && [ "$now" = "$before" ]; do
    before=$now
    sleep 0.1
  done
  echo "$now"
}
before=$(requests)
run "teu copy --all --src-tls-verify=false $remote oci:images:$tag"
after=$(requests)
run "tail -n $((after - before)) registry.log | grep -oE '[A-Z]+ /v2/[^ ]* [0-9]+'"
same "one question was asked, and no blob came" "$((after - before)) $(cut -c 1-4 <<<"$out")" "1 HEAD"
before=$(requests)
run "teu copy --all --dest-tls-verify=false oci:images:$tag $remote"
same "the same the other way" "$(($(requests) - before))" 1

title "Another entrypoint, by hand"
say "The entrypoint stands in the configuration, whose digest stands in the manifest, whose digest stands in the index: each is made anew."
run "teu config ${platform}oci:images:$tag | jq '.config.Entrypoint = $entrypoint | del(.config.Cmd)' >config.json"
run "teu blob put oci:images config.json"
read -r config size <<<"$out"
run "teu manifest get ${platform}oci:images:$tag | jq '.config.digest = \"$config\" | .config.size = $size' >manifest.json"
if [ -n "$platform" ]; then
  old=$(quietly "teu manifest get ${platform}oci:images:$tag | sha256sum | cut -d' ' -f1")
  run "teu blob put oci:images manifest.json"
  read -r manifest size <<<"$out"
  run "teu manifest get oci:images:$tag | jq '(.manifests[] | select(.digest == \"sha256:$old\")) |= (.digest = \"$manifest\" | .size = $size)' >index.json"
  run "teu manifest put oci:images:by-hand index.json"
else
  run "teu manifest put oci:images:by-hand manifest.json"
fi
changed=$out
run "teu ls oci:images"
say "Two images, and the layers once: only these documents are new. What do teu and skopeo see?"
run "teu inspect ${override}--config oci:images:by-hand | jq -c .config.Entrypoint"
same "teu sees the new entrypoint" "$out" "$entrypoint"
if command -v skopeo >/dev/null; then
  run "skopeo ${override}inspect --config oci:images:by-hand | jq -c .config.Entrypoint"
  same "so does skopeo" "$out" "$entrypoint"
fi

title "Back to the registry"
before=$(requests)
run "teu copy --all --dest-tls-verify=false oci:images:by-hand docker://$host/$name:by-hand"
same "it has the digest there that it has here" "$(tail -n 1 <<<"$out")" "$changed"
run "tail -n +$((before + 1)) registry.log | grep -oE '(POST|PUT) /v2/[^ ?]*'"
same "one blob went there, the configuration: the layers are there" "$(grep -c 'POST' <<<"$out")" 1

title "The same by one command"
run "teu edit --dry-run ${platform}--entrypoint '$entrypoint' --cmd '' --to oci:images:edited oci:images:$tag"
run "teu edit ${platform}--entrypoint '$entrypoint' --cmd '' --to oci:images:edited oci:images:$tag"
run "teu inspect ${override}--config oci:images:edited | jq -c '[.config.Entrypoint, .config.Cmd]'"
same "it has the new entrypoint and nothing beside it" "$out" "[$entrypoint,null]"
say "What was not named keeps every byte; and $tag is what it was:"
run "teu digest oci:images:$tag"
same "it has the digest that it had" "$out" "$digest"

title "As files, which run"
rootless=
[ "$(id -u)" = 0 ] || rootless='--rootless '
run "teu unpack ${rootless}${platform}oci:images:by-hand bundle"
run "ls bundle bundle/rootfs"
run "jq -c .process.args bundle/config.json"
same "a runtime is to run the new entrypoint" "$out" "$entrypoint"
runtime=
for candidate in crun runc; do
  command -v "$candidate" >/dev/null || continue
  if reason=$(quietly "$candidate --root state run --bundle bundle lab 2>&1"); then
    runtime=$candidate
    break
  fi
  say "$candidate cannot run it here: $(tail -n 1 <<<"$reason")"
done
if [ -n "$runtime" ]; then
  run "$runtime --root state run --bundle bundle lab"
  holds "it runs, without Docker" test -n "$out"
elif [ -n "$image" ]; then
  say "It is not run: no runtime can do it here, or it has no such program."
else
  echo "SKIPPED lab, the bundle runs: neither crun nor runc can run it here"
fi

title "Changed, and an image again"
run "echo '$line' >>bundle/rootfs/$file"
run "teu repack --compress gzip bundle oci:images:repacked"
layers=$(quietly "teu manifest get ${platform}oci:images:by-hand | jq '.layers | length'")
same "there is one layer more" "$(quietly "teu manifest get oci:images:repacked | jq '.layers | length'")" $((layers + 1))
run "teu blob get oci:images \$(teu manifest get oci:images:repacked | jq -r '.layers[-1].digest') | tar tzv"
same "what has changed is in it and no other file" "$(grep -cv '^d' <<<"$out") ${out##*/}" "1 ${file##*/}"

run "teu diff ${platform}--content oci:images:by-hand oci:images:repacked || test \$? = 1"
holds "the line is all that the files differ in" grep -qxF "+$line" <<<"$out"
same "one file" "$(grep -c '^  [-+~] /' <<<"$out")" 1

title "Is all of it right?"
run "teu verify oci:images:$tag"
run "teu verify oci:images:by-hand"
run "teu verify oci:images:repacked"
say "And where some bytes are others?"
run "cp -r images broken && printf corrupted | dd of=broken/blobs/sha256/$hex bs=1 seek=100 conv=notrunc status=none"
refused "teu verify oci:broken:$tag"
holds "the broken layer is found and named" grep -qF "${hex:0:12}" <<<"$out"
quietly "rm -rf broken"

title "What nobody names any more"
for changed in by-hand edited repacked; do
  run "teu untag oci:images:$changed"
done
run "teu gc --grace 0s --dry-run oci:images"
run "teu gc --grace 0s oci:images"
same "the configuration that was made by hand is gone" "$(quietly "test -e images/blobs/sha256/${config#sha256:} && echo there || echo gone")" gone
run "teu verify oci:images:$tag"
if command -v skopeo >/dev/null; then
  say "Others read what is left as well:"
  run "skopeo inspect --raw oci:images:$tag | sha256sum"
  same "skopeo gives the same bytes" "sha256:$(cut -d' ' -f1 <<<"$out")" "$digest"
fi

title "An image that attacks who unpacks it"
say "A link that leads out, and a file put through it. Old tools wrote it wherever the link led; here it leads to a directory beside the bundle."
run "mkdir outside && echo untouched >outside/canary"
cat >"$lab/attack.py" <<'PY'
import io, sys, tarfile

# usage: attack.py ARCHIVE LINK TARGET FILE: a link, then a file that is to go where it leads.
archive, link, target, file = sys.argv[1:]
with tarfile.open(archive, "w") as tar:
    entry = tarfile.TarInfo(link)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
    entry = tarfile.TarInfo(file)
    entry.size = len(b"owned\n")
    tar.addfile(entry, io.BytesIO(b"owned\n"))
PY
run "python3 attack.py through.tar escape $lab/outside escape/canary"
run "teu new oci:evil:through && teu append --quiet oci:evil:through through.tar"
run "teu verify oci:evil:through"
run "teu unpack ${rootless}oci:evil:through caught"
say "Such links are legal, and honest images have them. They are followed as the image's own root would have it, so that nothing leads out:"
run "cat caught/rootfs$lab/outside/canary outside/canary"
same "the file is inside, and what is outside is as it was" "$out" $'owned\nuntouched'
say "Another: the root of the image itself is to be the link (CVE-2021-29136). No honest image has that."
run "python3 attack.py root.tar . $lab/outside canary"
refused "teu new oci:evil:root && teu append --quiet oci:evil:root root.tar"
holds "no image is made of it here" grep -qF 'it is the root' <<<"$out"
say "So it is made by hand, as an attacker does:"
size() { stat -c %s "$lab/$1"; }
sha() { echo "sha256:$(sha256sum "$lab/$1" | cut -d' ' -f1)"; }
printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(sha root.tar)" >"$lab/evil-config.json"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%s}]}' \
  "$(sha evil-config.json)" "$(size evil-config.json)" "$(sha root.tar)" "$(size root.tar)" >"$lab/evil.json"
run "teu blob put oci:evil root.tar && teu blob put oci:evil evil-config.json"
run "teu manifest put oci:evil:root evil.json"
refused "teu verify oci:evil:root"
holds "it is found before anything is unpacked" grep -qF 'it is the root' <<<"$out"
refused "teu unpack ${rootless}oci:evil:root owned"
holds "it is refused, and it is said why" grep -qF 'it is the root' <<<"$out"
run "ls owned 2>&1 || cat outside/canary"
same "nothing was unpacked, and what is outside is as it was" "$(tail -n 1 <<<"$out")" untouched

printf '\n%s%s checks held.%s\n' "$strong" "$checks" "$plain"
say "$lab is yours to play with: images/ is the layout, registry/ what the registry kept. To go on there:"
printf '  cd %s\n  export PATH=$PWD/bin:$PATH\n  teu serve --data registry --listen %s &\n  teu help\n' "$lab" "$host"
