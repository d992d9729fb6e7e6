"""Rows: an image from place to place, up to date, and teu started."""

import os
import shutil

import limits
import many
from process import measure
from rig import disk_kind, layout_digest


def parts(bench, image=None, disk=None, to="file"):
    """What whoever copies and checks an image does with its blobs."""
    directory = os.path.join(image or bench.image, "blobs/sha256")
    blobs = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    return limits.copied(bench, blobs, disk or bench.work, to, synced=disk is not None)


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
        # It is the registry that writes them to files.
        limits=parts(bench, to="socket"),
    )  # fmt: skip


def copy(bench):
    """From one registry to another that has nothing."""
    bench.second_registry()
    bench.fill_registry(bench.image, "bench:1", "origin")
    return bench.row(
        "copy", "registry → registry", "cold: the other registry is empty",
        lambda tool: bench.copy(tool, ("origin", "bench:1"), ("docker", "copied:1")),
        prepare=lambda tool: bench.registry.empty(),
        check=lambda tool: (bench.registry.digest("copied:1"), layout_digest(bench.image)),
        limits=parts(bench, to="socket"),
    )  # fmt: skip


def mount(bench):
    """To another repository of the same: what is there need not come again."""
    bench.fill_registry(bench.image, "bench:1")
    def prepare(_):
        bench.registry.empty()
        bench.fill_registry(bench.image, "bench:1")

    return bench.row(
        "mount", "registry → another repository of it", "cold: the repository is new, its registry has all of it",
        lambda tool: bench.copy(tool, ("docker", "bench:1"), ("docker", "mounted:1")),
        prepare=prepare,
        check=lambda tool: (bench.registry.digest("mounted:1"), layout_digest(bench.image)),
        turns=3,
    )  # fmt: skip


def local_row(bench, key, title, disk=None, to="file", **more):
    source = bench.image
    if disk:
        source = os.path.join(disk, "source")
        if not os.path.exists(source):
            shutil.copytree(bench.image, source)
    out = os.path.join(disk or bench.work, "out")

    return bench.row(
        key, title, "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("oci", source), ("oci", out), **more),
        prepare=lambda _: bench.fresh("out", disk),
        check=lambda tool: (layout_digest(out), layout_digest(source)),
        limits=parts(bench, source, disk, to),
    )  # fmt: skip


def local(bench):
    return local_row(bench, "local", "oci → oci, bytes copied (%s)" % disk_kind(bench.work))


def local_ext4(bench):
    return local_row(bench, "local-ext4", "oci → oci, bytes copied (ext4)", bench.file_system("ext4", 6 << 30))


def local_reflink(bench):
    return local_row(bench, "local-reflink", "oci → oci, reflinks (xfs)", bench.file_system("xfs", 4 << 30), to=None)


def local_trust(bench):
    """What teu does when it is told that the source is what it says; none of the others can be told."""
    disk = bench.file_system("xfs", 4 << 30)
    title = "oci → oci, reflinks (xfs), teu with --trust-source"
    return local_row(bench, "local-trust", title, disk, to=None, teu_flags=["--trust-source"])


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
        repeat=repeat, turns=3 if repeat > 1 else None, limits=limits.floor(bench, "bench:1", place(bench.teu)),
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
        limits=limits.floor(bench, "bench:1", bench.image),
    )  # fmt: skip


def start_version(bench):
    return bench.row(
        "start-version", "--version, 50 times", "warm",
        lambda tool: None if tool.key == "library" else [tool.path, "version" if tool.key in ("crane", "regctl", "oras") else "--version"],
        repeat=2 if bench.options.smoke else 50, limits=limits.process(),
    )  # fmt: skip


def start_inspect(bench):
    def command(tool):
        place = "%s:latest" % bench.image
        return {
            "regctl": [tool.path, "manifest", "get", "--format", "raw-body", "ocidir://" + place],
            "oras": [tool.path, "manifest", "fetch", "--oci-layout", place],
            **{key: [tool.path, "inspect", "oci:" + place] for key in ("teu", "current", "debian")},
        }.get(tool.key)

    return bench.row(
        "start-inspect", "inspect oci:, 50 times", "warm; regctl and oras only print the manifest",
        command, repeat=2 if bench.options.smoke else 50, limits=limits.process(),
    )  # fmt: skip


NOTES = """crane hashes nothing when it pushes a layout, nor oras when it copies to a registry: they send what the source calls by a digest, and leave it to the registry to find
out. teu, skopeo and regctl check what they send, crane too where it comes from a registry, and it is beside those who check that the CPU of such a row is to be less. skopeo's
own module is not to be had everywhere: its current version is its library then, go.podman.io/image, by bench/imagecopy, with skopeo's settings."""

ROWS = {
    "pull": pull,
    "push": push,
    "copy": copy,
    "mount": mount,
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
}
NEEDS_REGISTRY = {"pull", "push", "copy", "mount", "up-to-date", "up-to-date-100", "up-to-date-push"} | many.NEEDS_REGISTRY
