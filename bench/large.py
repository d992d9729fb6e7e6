"""Rows: a file of 2 GiB, half of which compresses, and five small layers beside it, from place to place, in gzip, in zstd and as it is.

After the first moments the large layer is alone, so that here it is told what one stream costs; and, with six blobs at a time, that memory does not follow
the image.
"""

import functools
import os
import subprocess

import limits
from aims import HOW
from process import ROOT
from rig import layout_digest


def image(bench, how):
    if bench.options.smoke:
        return bench.image
    bench.need(9 << 30)
    bench.once("large", lambda: subprocess.run([os.path.join(ROOT, "scripts/corpus.sh"), bench.corpus, "large"], check=True))
    bench.once("touched", lambda: bench.touched(7 << 30))
    return os.path.join(bench.corpus, "six-" + how)


def row(bench, kind, how, title, state, source, destination, prepare, digest, to):
    """One of four ways. Debian's skopeo is left out, which takes two to four times as long as the current one in all of them."""
    at = image(bench, how)
    directory = os.path.join(at, "blobs/sha256")
    blobs = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    result = bench.row(
        "large-%s-%s" % (kind, how), "%s, a file of 2 GiB, %s" % (title, "not compressed" if how == "plain" else how), state,
        lambda tool: bench.copy(tool, source, destination, as_it_is=True),
        prepare=lambda _: prepare(),
        check=lambda _: (digest(), layout_digest(at)),
        tools=[tool for tool in bench.tools if tool.key != "debian"],
        turns=2 if how == "gzip" else 1, limits=limits.copied(bench, blobs, bench.work, to),
    )  # fmt: skip
    bench.fresh("out")
    for registry in (bench.registry, bench.origin):
        if registry and kind != "local":
            registry.empty()
    return result


def local(bench, how):
    out = os.path.join(bench.work, "out")
    return row(
        bench, "local", how, "oci → oci", "cold: the layout is empty", ("oci", image(bench, how)), ("oci", out),
        lambda: bench.fresh("out"), lambda: layout_digest(out), "file",
    )  # fmt: skip


def pull(bench, how):
    out = os.path.join(bench.work, "out")
    bench.registry.empty()
    bench.fill_registry(image(bench, how), "large:1")
    return row(
        bench, "pull", how, "registry → oci", "cold: the layout is empty", ("docker", "large:1"), ("oci", out),
        lambda: bench.fresh("out"), lambda: layout_digest(out), "file",
    )  # fmt: skip


def push(bench, how):
    return row(
        bench, "push", how, "oci → registry", "cold: the registry is empty", ("oci", image(bench, how)), ("docker", "large:1"),
        bench.registry.empty, lambda: bench.registry.digest("large:1"), "socket",
    )  # fmt: skip


def copy(bench, how):
    bench.second_registry().empty()
    bench.fill_registry(image(bench, how), "large:1", "origin")
    return row(
        bench, "copy", how, "registry → registry", "cold: the other registry is empty", ("origin", "large:1"), ("docker", "large:1"),
        bench.registry.empty, lambda: bench.registry.digest("large:1"), "socket",
    )  # fmt: skip


WAYS = {"pull": pull, "push": push, "copy": copy, "local": local}
ROWS = {"large-%s-%s" % (kind, how): functools.partial(way, how=how) for kind, way in WAYS.items() for how in HOW}
NEEDS_REGISTRY = {key for key in ROWS if "-local-" not in key}
