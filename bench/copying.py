"""Rows: images from place to place, up to date, started and in memory."""

import os
import shutil
import subprocess

import limits
import many
from rig import ROOT, Failed, disk_kind, layout_digest, measure


def parts(bench, image=None, disk=None, writes=True):
    """What whoever copies and checks an image does with its blobs."""
    directory = os.path.join(image or bench.image, "blobs/sha256")
    blobs = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    return limits.copied(blobs, disk or bench.work, writes)



def pull(bench):
    bench.fill_registry(bench.image, "bench:1")
    out = os.path.join(bench.work, "out")
    return bench.row(
        "pull", "registry → oci", "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("docker", "bench:1"), ("oci", out)),
        prepare=lambda tool: bench.fresh("out"),
        check=lambda tool: (layout_digest(out), layout_digest(bench.image)),
        limits=parts(bench),
    )  # fmt: skip


def push(bench):
    return bench.row(
        "push", "oci → registry", "cold: the registry is empty",
        lambda tool: bench.copy(tool, ("oci", bench.image), ("docker", "pushed:1")),
        prepare=lambda tool: bench.registry.empty(),
        check=lambda tool: (bench.registry.digest("pushed:1"), layout_digest(bench.image)),
        # It is the registry that writes.
        limits=parts(bench, writes=False),
    )  # fmt: skip


def local_row(bench, key, title, disk=None, writes=True, **more):
    source = bench.image
    if disk:
        source = os.path.join(disk, "source")
        if not os.path.exists(source):
            shutil.copytree(bench.image, source)
            os.sync()
    out = os.path.join(disk or bench.work, "out")
    return bench.row(
        key, title, "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("oci", source), ("oci", out), **more),
        prepare=lambda tool: bench.fresh("out", disk),
        check=lambda tool: (layout_digest(out), layout_digest(source)),
        limits=parts(bench, source, disk, writes),
    )  # fmt: skip


def local(bench):
    return local_row(bench, "local", "oci → oci, bytes copied (%s)" % disk_kind(bench.work))


def local_ext4(bench):
    return local_row(bench, "local-ext4", "oci → oci, bytes copied (ext4)", bench.file_system("ext4", 6 << 30))


def local_reflink(bench):
    return local_row(bench, "local-reflink", "oci → oci, reflinks (xfs)", bench.file_system("xfs", 4 << 30), writes=False)


def local_trust(bench):
    return local_row(bench, "local-trust", "oci → oci, teu with --trust-source", teu_flags=["--trust-source"])


def again(bench, key, repeat):
    """Each tool is asked for what it brought itself in the warm-up, so that none stumbles over another's habits."""
    bench.fill_registry(bench.image, "bench:1")

    def place(tool):
        return os.path.join(bench.work, "again-" + tool.key)

    def prepare(tool):
        if not os.path.exists(place(tool)):
            measure(bench.copy(tool, ("docker", "bench:1"), ("oci", place(tool))), bench.env)

    return bench.row(
        key, "registry → oci, up to date" + (", %d times" % repeat if repeat > 1 else ""), "warm: all is there",
        lambda tool: bench.copy(tool, ("docker", "bench:1"), ("oci", place(tool))),
        prepare=prepare,
        check=lambda tool: (layout_digest(place(tool)), layout_digest(bench.image)),
        repeat=repeat, turns=3 if repeat > 1 else None, limits=limits.process(),
    )  # fmt: skip


def up_to_date(bench):
    return again(bench, "up-to-date", 1)


def up_to_date_100(bench):
    return again(bench, "up-to-date-100", 3 if bench.options.smoke else 100)


def up_to_date_push(bench):
    bench.fill_registry(bench.image, "bench:1")
    return bench.row(
        "up-to-date-push", "oci → registry, up to date", "warm: all is there",
        lambda tool: bench.copy(tool, ("oci", bench.image), ("docker", "bench:1")),
        check=lambda tool: (bench.registry.digest("bench:1"), layout_digest(bench.image)),
        limits=limits.process(),
    )  # fmt: skip


def start_version(bench):
    return bench.row(
        "start-version", "--version, 50 times", "warm",
        lambda tool: {"crane": [tool.path, "version"], "library": None}.get(tool.key, [tool.path, "--version"]),
        repeat=2 if bench.options.smoke else 50, limits=limits.process(),
    )  # fmt: skip


def start_inspect(bench):
    commands = {"teu": "inspect", "debian": "inspect", "current": "inspect"}
    return bench.row(
        "start-inspect", "inspect oci:, 50 times", "warm",
        lambda tool: [tool.path, commands[tool.key], "oci:%s:latest" % bench.image] if tool.key in commands else None,
        repeat=2 if bench.options.smoke else 50, limits=limits.process(),
    )  # fmt: skip


def memory_image(bench):
    if bench.options.smoke:
        return bench.image
    free = shutil.disk_usage(bench.work).free
    if free < 8 << 30:
        raise Failed("it needs 8 GiB on %s, where %.1f GiB are free" % (bench.options.disk, free / 2**30))
    subprocess.run([os.path.join(ROOT, "scripts/corpus.sh"), bench.corpus, "huge"], check=True)
    return os.path.join(bench.corpus, "huge")


def memory(bench):
    image, out = memory_image(bench), os.path.join(bench.work, "out")
    result = bench.row(
        "memory", "oci → oci, a layer of 2 GiB", "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("oci", image), ("oci", out)),
        prepare=lambda tool: bench.fresh("out"),
        check=lambda tool: (layout_digest(out), layout_digest(image)),
        turns=1, warm_up=False,
    )  # fmt: skip
    bench.fresh("out")
    return result


def memory_pull(bench):
    image, out = memory_image(bench), os.path.join(bench.work, "out")
    bench.registry.empty()
    bench.fill_registry(image, "huge:1")
    result = bench.row(
        "memory-pull", "registry → oci, a layer of 2 GiB", "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("docker", "huge:1"), ("oci", out)),
        prepare=lambda tool: bench.fresh("out"),
        check=lambda tool: (layout_digest(out), layout_digest(image)),
        turns=1, warm_up=False,
    )  # fmt: skip
    bench.fresh("out")
    bench.registry.empty()
    return result


def memory_push(bench):
    image = memory_image(bench)
    result = bench.row(
        "memory-push", "oci → registry, a layer of 2 GiB", "cold: the registry is empty",
        lambda tool: bench.copy(tool, ("oci", image), ("docker", "huge:1")),
        prepare=lambda tool: bench.registry.empty(),
        check=lambda tool: (bench.registry.digest("huge:1"), layout_digest(image)),
        turns=1, warm_up=False,
    )  # fmt: skip
    bench.registry.empty()
    return result


NOTES = """crane hashes nothing when it pushes a layout: it sends what the layout calls by a digest, and leaves it to the registry to find out. teu and
skopeo read and check what they send. The row `push` is therefore also given against those that do the same work."""

ROWS = {
    "pull": pull,
    "push": push,
    "local": local,
    "local-ext4": local_ext4,
    "local-reflink": local_reflink,
    "local-trust": local_trust,
    "up-to-date": up_to_date,
    "up-to-date-100": up_to_date_100,
    "up-to-date-push": up_to_date_push,
    **many.ROWS,
    "start-version": start_version,
    "start-inspect": start_inspect,
    "memory": memory,
    "memory-pull": memory_pull,
    "memory-push": memory_push,
}
NEEDS_REGISTRY = {"pull", "push", "up-to-date", "up-to-date-100", "up-to-date-push", "memory-pull", "memory-push"} | many.NEEDS_REGISTRY
