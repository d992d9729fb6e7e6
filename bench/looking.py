"""Rows: what is in an image, and is it what it says? Its files listed and printed, two images compared, all of it checked."""

import os
import shutil

import aims
import large
import limits
from inside import MEMORY, layers, linked, many, peers, texts
from process import measure


def forget_contents(bench):
    """No table of contents that teu keeps of a layer is there any more."""
    shutil.rmtree(bench.env["XDG_CACHE_HOME"], ignore_errors=True)


def once(bench):
    """Each layer hashed as it is stored, and inflated."""
    found = layers(bench.image)
    return [*limits.digests(bench, found, diff_ids=False), *limits.inflate(found)]


def twice(bench):
    """The same, and hashed as it is inflated."""
    found = layers(bench.image)
    return [*limits.digests(bench, found), *limits.inflate(found)]


# ---------------------------------------------------------------- checked


def verify(bench):
    who = peers(bench)
    script = 'for layer; do zcat "$layer" | sha256sum || exit; done'

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "verify", "oci:%s:latest" % bench.image]
        return [tool.path, "-c", script, "sh", *layers(bench.image)]

    return bench.row(
        "verify", "verify, oci", "cold: each layer's digest and DiffID; teu also every entry, zcat no digest",
        command, tools=who.here(who.teu, who.zcat), turns=5, limit=MEMORY, limits=twice(bench),
    )  # fmt: skip


def verify_remote(bench):
    who = peers(bench)
    bench.fill_registry(bench.image, "bench:1")
    name = "%s/bench:1" % bench.registry.host

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "verify", "--tls-verify=false", "docker://" + name]
        return [tool.path, "validate", "--insecure", "--remote", name]

    return bench.row(
        "verify-remote", "verify, registry", "cold: each layer's digest and DiffID",
        command, tools=who.here(who.teu, who.crane), turns=3, limit=MEMORY, limits=twice(bench),
    )  # fmt: skip


# ---------------------------------------------------------------- listed


def list_row(bench, key, title, image, first):
    who = peers(bench)
    repeat = 1 if first or bench.options.smoke else 10

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "files", "--long", "oci:%s:latest" % image]
        script = 'for layer; do tar -tvzf "$layer" || exit; done'
        return [tool.path, "-c", script, "sh", *layers(image)]

    return bench.row(
        key, title, "cold: no layer was seen before" if first else "warm: all were seen before, %d times" % repeat,
        command,
        prepare=lambda tool: forget_contents(bench) if first else None,
        tools=who.here(who.teu, who.list) if first else who.here(who.teu), repeat=repeat, turns=5, limit=MEMORY,
        limits=once(bench) if first else (),
    )  # fmt: skip


def files_first(bench):
    return list_row(bench, "files", "files, gzip", bench.image, True)


def files_again(bench):
    return list_row(bench, "files-again", "files, again", bench.image, False)


def files_many_again(bench):
    return list_row(bench, "files-many-again", "files of 100,000, again", many(bench), False)


def changed(bench):
    """An image that differs in its uppermost layer."""

    def make():
        image, added = linked(bench, bench.image, "changed"), os.path.join(bench.work, "some-texts")
        texts(added, 1 << 16)
        measure([bench.teu.path, "append", "--quiet", "oci:%s:latest" % image, added], bench.env)
        return image

    return bench.once("changed", make)


def diff_row(bench, key, title, first):
    """Beside what tar lists of the layers of both, compared."""
    who, other = peers(bench), changed(bench)
    repeat = 1 if first or bench.options.smoke else 10
    below, above = layers(bench.image), layers(other)
    script = """at=$1; shift; side=a
        for layer; do [ "$layer" != / ] || { side=b; continue; }; tar -tvzf "$layer" >>"$at.$side" || exit; done
        sort -o "$at.a" "$at.a" && sort -o "$at.b" "$at.b" && diff "$at.a" "$at.b"; outcome=$?; rm "$at.a" "$at.b"; exit $outcome"""

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "diff", "oci:%s:latest" % bench.image, "oci:%s:latest" % other]
        return [tool.path, "-c", script, "sh", os.path.join(bench.work, "listed"), *below, "/", *above]

    return bench.row(
        key, title, "cold: no layer was seen before" if first else "warm: all layers were seen before, %d times" % repeat,
        command,
        prepare=lambda _: forget_contents(bench) if first else None,
        tools=who.here(who.teu, who.list) if first else who.here(who.teu),
        repeat=repeat, turns=3 if first else 5, limit=MEMORY, status=1,
    )  # fmt: skip


def diff_first(bench):
    return diff_row(bench, "diff", "diff of two images", True)


def diff_again(bench):
    return diff_row(bench, "diff-again", "diff of two images, again", False)


# ---------------------------------------------------------------- one file of a large image


def cat_row(bench, key, title, first):
    """A file that the lowest layer has: all of them are looked into. tar does the same from the highest on, until one has it."""
    who = peers(bench)
    repeat = 1 if first or bench.options.smoke else 10
    path = "hard-1" if bench.options.smoke else "./etc/debian_version"
    script = 'path=$1; shift; for layer; do tar -xzOf "$layer" "$path" 2>/dev/null && exit; done; exit 1'

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "cat", "oci:%s:latest" % bench.image, "/" + path.removeprefix("./")]
        return [tool.path, "-c", script, "sh", path, *reversed(layers(bench.image))]

    return bench.row(
        key, title, "cold: no layer was seen before" if first else "warm: all were seen before, %d times" % repeat,
        command,
        prepare=lambda _: forget_contents(bench) if first else None,
        tools=who.here(who.teu, who.print) if first else who.here(who.teu),
        repeat=repeat, turns=5, limit=MEMORY, limits=once(bench) if first else (),
    )  # fmt: skip


def cat_first(bench):
    return cat_row(bench, "cat", "cat of a file of the lowest layer", True)


def cat_again(bench):
    return cat_row(bench, "cat-again", "cat of a file of the lowest layer, again", False)


def cat_remote(bench):
    """A small file that the uppermost layer has, of an image of more than a GiB in a registry. Counted is what is sent."""
    who = peers(bench)
    image = large.image(bench, "gzip")
    added = os.path.join(bench.work, "one-file")
    os.makedirs(added, exist_ok=True)
    with open(os.path.join(added, "hello"), "w") as f:
        f.write("hello\n")
    bench.registry.empty()
    bench.fill_registry(image, "large:1")
    name = "docker://%s/large:1" % bench.registry.host
    measure([who.teu.path, "append", "--quiet", "--tls-verify=false", name, added], bench.env)
    before, sent = [0], []

    def prepare(_):
        forget_contents(bench)
        before[0] = bench.registry.sent()

    def check(_):
        sent.append(bench.registry.sent() - before[0])
        return 0, 0

    result = bench.row(
        "cat-remote", "cat of one file, registry", "cold: no layer was seen before",
        lambda tool: [tool.path, "cat", "--tls-verify=false", name, "/hello"],
        prepare=prepare, check=check, tools=who.here(who.teu), turns=5, limit=MEMORY,
    )  # fmt: skip
    bench.registry.empty()
    whole = sum(os.path.getsize(layer) for layer in layers(image))
    return result._replace(reached=[aims.at_most("bytes sent, of %.0f MB" % (whole / 1e6), 10_000, max(sent), "%d")])


ROWS = {
    "verify": verify,
    "verify-remote": verify_remote,
    "files": files_first,
    "files-again": files_again,
    "files-many-again": files_many_again,
    "diff": diff_first,
    "diff-again": diff_again,
    "cat": cat_first,
    "cat-again": cat_again,
    "cat-remote": cat_remote,
}
NEEDS_REGISTRY = {"verify-remote", "cat-remote"}
