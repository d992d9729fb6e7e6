"""Rows: inside an image. Its files unpacked, packed again, put into another.

A bundle is compared with umoci's, which is what teu makes; the files alone with what tar extracts, which checks no digest and hides nothing.
"""

import gzip
import json
import os
import random
import shutil
import tarfile

import aims
import limits
import tools
from process import Failed, measure, skipped
from tools import Tool

# What teu may take, whatever the image.
MEMORY = 128 << 20
CHANGED = 24 << 20  # bytes that repack finds new
ADDED = 96 << 20  # bytes that append and insert put into an image


class Peers:
    """Who else does these jobs, as far as it is here."""

    def __init__(self, bench):
        by_key = {tool.key: tool for tool in bench.tools}
        self.teu, self.crane = by_key["teu"], by_key.get("crane")
        self.debian = None
        self.umoci = tools.built(bench.peers, "umoci", "github.com/opencontainers/umoci", "umoci now")
        if shutil.which("umoci"):
            self.debian = Tool("umoci-debian", "umoci (Debian)", shutil.which("umoci"), "0.4")
        else:
            skipped("Debian's umoci", "it is not installed")
        self.tar = Tool("tar", "tar", "/bin/sh", "")
        self.zcat = Tool("zcat", "zcat | sha256sum", "/bin/sh", "")
        self.list = Tool("tar", "tar tzf", "/bin/sh", "")
        self.print = Tool("tar", "tar xzf -O", "/bin/sh", "")

    def here(self, *tools):
        return [tool for tool in tools if tool]


def peers(bench):
    return bench.once("peers", lambda: Peers(bench))


# ---------------------------------------------------------------- images


def layers(image):
    """The files of an image's layers, the lowest first. (The images of these rows are for one platform.)"""

    def blob(descriptor):
        return os.path.join(image, "blobs", *descriptor["digest"].split(":"))

    with open(os.path.join(image, "index.json")) as f:
        manifest = json.load(f)["manifests"][0]
    with open(blob(manifest)) as f:
        return [blob(layer) for layer in json.load(f)["layers"]]


def many(bench):
    return os.path.join(bench.corpus, "edge" if bench.options.smoke else "many")


def as_zstd(bench, image):
    """An image with its layers in zstd."""
    if not shutil.which("zstd"):
        raise Failed("zstd is missing")
    at = os.path.join(bench.work, "zstd-" + os.path.basename(image))
    if not os.path.exists(at):
        teu = peers(bench).teu
        source, to = "oci:%s:latest" % image, "oci:%s:latest" % at
        measure([teu.path, "copy", "--quiet", "--dest-compress-format", "zstd", source, to], bench.env)
    return at


def linked(bench, image, name, disk=None):
    """A layout that can be written to, made in no time: its blobs are links of a copy that is on the same disk."""
    kept = os.path.join(disk or bench.work, "kept-" + os.path.basename(image))
    if not os.path.exists(kept):
        shutil.copytree(image, kept)
    path = bench.fresh(name, disk)
    shutil.copytree(kept, path, copy_function=lambda at, to: shutil.copy(at, to) if at.endswith(".json") else os.link(at, to))
    return path


def merged(image):
    """How many files an image has and how many bytes are in them, by Python's tarfile: what every tool is to make of it."""
    tree = {}

    def remove(path, itself):
        # What is in a directory has that directory in the tree: nothing there, nothing to look for among 100,000 names.
        if path not in tree:
            return
        for name in [name for name in tree if (itself and name == path) or name.startswith(path + "/")]:
            del tree[name]

    for layer in layers(image):
        with gzip.open(layer) as content, tarfile.open(fileobj=content) as tar:
            entries = [(os.path.normpath(info.name).lstrip("/"), info) for info in tar]
        for path, info in entries:
            directory, name = os.path.split(path)
            if name == ".wh..wh..opq":
                remove(directory, False)
            elif name.startswith(".wh."):
                remove(os.path.join(directory, name[4:]), True)
        for path, info in entries:
            if os.path.basename(path).startswith(".wh.") or path == "." or info.ischr() or info.isblk():
                continue
            if not info.isdir():
                remove(path, True)
            size = tree.get(os.path.normpath(info.linkname).lstrip("/"), 0) if info.islnk() else info.size
            tree[path] = size if info.isreg() or info.islnk() else 0
            while os.path.dirname(path):
                path = os.path.dirname(path)
                tree.setdefault(path, 0)
    return len(tree), sum(tree.values())


def found(root):
    """The same of a tree on the disk."""
    count = size = 0
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            seen = os.lstat(os.path.join(directory, name))
            if not os.path.isdir(os.path.join(directory, name)) and (seen.st_mode & 0o170000) in (0o020000, 0o060000):
                continue
            count += 1
            size += seen.st_size if (seen.st_mode & 0o170000) == 0o100000 else 0
    return count, size


def wanted(bench, image):
    return bench.once("tree of " + image, lambda: merged(image))


# ---------------------------------------------------------------- unpack


def unpack_command(tool, image, out):
    if tool.key == "teu":
        return [tool.path, "unpack", "--progress", "none", "oci:%s:latest" % image, out]
    return [tool.path, "unpack", "--image", image + ":latest", out]


def parts(bench, image, like=None, disk=None):
    """What nobody who unpacks it can leave out."""
    tree = limits.tree(bench, peers(bench).teu, like or image)
    all_layers = layers(image)
    return [*limits.digests(bench, all_layers), *limits.inflate(all_layers, zstd=like), *limits.files(bench, tree, disk)]


def ext4(bench):
    return bench.file_system("ext4", 6 << 30)


def unpack_row(bench, key, title, image, like=None, disk=None, tools=None, turns=3):
    """A bundle that is new, beside the current umoci unless others are given. `like` is the same image in gzip."""
    who, out = peers(bench), os.path.join(disk or bench.work, "bundle")

    return bench.row(
        key, title, "cold: the bundle is new",
        lambda tool: unpack_command(tool, image, out),
        prepare=lambda _: bench.fresh("bundle", disk),
        check=lambda tool: (found(os.path.join(out, "rootfs")), wanted(bench, like or image)),
        tools=tools or who.here(who.teu, who.umoci or who.debian), turns=turns, limit=MEMORY, limits=parts(bench, image, like, disk),
    )  # fmt: skip


def files_row(bench, key, title, image, like=None, disk=None):
    """The files alone, beside tar."""
    who, out = peers(bench), os.path.join(disk or bench.work, "files")
    flags = "--zstd -xf" if like else "-xzf"

    def prepare(tool):
        bench.fresh("files", disk)
        if tool.key != "teu":
            os.mkdir(out)

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "unpack", "--progress", "none", "--rootfs-only", "oci:%s:latest" % image, out]
        script = 'out=$1; shift; for layer; do tar -C "$out" --numeric-owner %s "$layer" || exit; done' % flags
        # In a tiny image of hard cases a file takes a directory's place, which tar does not do.
        return [tool.path, "-c", script, "sh", out, *layers(image)[: 1 if bench.options.smoke else None]]

    return bench.row(
        key, title, "cold: the files alone, into a new directory",
        command,
        prepare=prepare,
        # tar knows no whiteouts.
        check=lambda tool: (found(out), wanted(bench, like or image)) if tool.key == "teu" else (0, 0),
        tools=who.here(who.teu, who.tar), turns=3, limit=MEMORY, limits=parts(bench, image, like, disk),
    )  # fmt: skip


def unpack(bench):
    who = peers(bench)
    return unpack_row(bench, "unpack", "unpack, gzip, tmpfs", bench.image, tools=who.here(who.teu, who.umoci, who.debian))


def unpack_zstd(bench):
    return unpack_row(bench, "unpack-zstd", "unpack, zstd, tmpfs", as_zstd(bench, bench.image), like=bench.image)


def many_row(bench, key, title, disk=None):
    """Umoci takes half a minute a turn."""
    return unpack_row(bench, key, title, many(bench), disk=disk, turns=2)


def unpack_many_zstd(bench):
    image = many(bench)
    return unpack_row(bench, "unpack-many-zstd", "unpack, small files, zstd, tmpfs", as_zstd(bench, image), like=image, turns=2)


def unpack_many(bench):
    return many_row(bench, "unpack-many", "unpack, small files, tmpfs")


def unpack_ext4(bench):
    return unpack_row(bench, "unpack-ext4", "unpack, gzip, ext4", bench.image, disk=ext4(bench))


def unpack_many_ext4(bench):
    return many_row(bench, "unpack-many-ext4", "unpack, small files, ext4", disk=ext4(bench))


def files(bench):
    return files_row(bench, "unpack-files", "unpack, gzip, tmpfs", bench.image)


def files_zstd(bench):
    return files_row(bench, "unpack-files-zstd", "unpack, zstd, tmpfs", as_zstd(bench, bench.image), like=bench.image)


def files_many(bench):
    return files_row(bench, "unpack-files-many", "unpack, small files, tmpfs", many(bench))


def files_ext4(bench):
    return files_row(bench, "unpack-files-ext4", "unpack, gzip, ext4", bench.image, disk=ext4(bench))


# ---------------------------------------------------------------- layers


def texts(directory, size):
    """Files of hexadecimal digits, which compress by half, as programs do."""
    chance = random.Random(size)
    os.makedirs(directory)
    for number in range(max(1, size >> 20)):
        with open(os.path.join(directory, "%03d.txt" % number), "wb") as f:
            f.write(chance.randbytes(min(size, 1 << 20) // 2).hex().encode())


def beside(who, sizes, what):
    """How much larger than the current umoci's it is, what teu made."""
    if who.umoci not in sizes:
        return []
    return [aims.beside(what, sizes[who.umoci], sizes[who.teu], who.umoci.title)]


def busy(result):
    """How many processors were at work, of all that there are: nine tenths of them is what "all" is taken to be."""
    ours = next(iter(result.medians.values()))
    return [aims.at_least("processors at work", 0.9 * os.cpu_count(), ours.cpu / ours.wall)]


def append_row(bench, key, title, state, source, turns=None, flags=(), parts=(), disk=None):
    """A directory as a new layer. Both compress it with gzip at the level that they have when nothing is said, but for what flags say."""
    who, layout = peers(bench), os.path.join(disk or bench.work, "layout")
    sizes = {}

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "append", "--progress", "none", *flags, "oci:%s:latest" % layout, source]
        return [tool.path, "insert", "--image", layout + ":latest", source, "/added"]

    def check(tool):
        sizes[tool] = os.path.getsize(layers(layout)[-1])
        return len(layers(layout)), len(layers(bench.image)) + 1

    result = bench.row(
        key, title, "cold: the layer is new; " + state,
        command,
        prepare=lambda _: linked(bench, bench.image, "layout", disk),
        check=check,
        tools=who.here(who.teu, who.umoci or who.debian), turns=turns, limit=MEMORY, limits=parts,
    )  # fmt: skip
    bench.fresh("layout", disk)
    return result._replace(reached=[*beside(who, sizes, "size of the new layer"), *busy(result)])


def append_digits(bench, key, title, disk=None):
    source = os.path.join(bench.work, "added")
    texts(source, 1 << 16 if bench.options.smoke else ADDED)
    state = "%d files of 1 MiB of digits, in which nothing comes twice" % (ADDED >> 20)
    result = append_row(bench, key, title, state, source, parts=limits.deflate(source), disk=disk)
    shutil.rmtree(source)
    return result


def append(bench):
    return append_digits(bench, "append", "96 MiB appended, gzip")


def append_ext4(bench):
    """The layout is there; what is appended is in memory."""
    return append_digits(bench, "append-ext4", "96 MiB appended, gzip, ext4", disk=ext4(bench))


def append_tree(bench):
    source = limits.tree(bench, bench.teu, bench.image)
    state = "the files of the image, 944 MB of tar"
    return append_row(bench, "append-1g", "Debian's files appended, gzip", state, source, turns=2, parts=limits.deflate(source))


def append_equal(bench):
    """At a level whose output is as large as umoci's: what is compared is then the deflating alone."""
    source = limits.tree(bench, bench.teu, bench.image)
    title = "Debian's files appended, gzip at level 3"
    return append_row(bench, "append-1g-equal", title, "as large as what umoci makes", source, turns=2, flags=["--compress-level", "3"])


def repack_row(bench, key, title, disk=None):
    """A bundle that each tool unpacked itself, in which a few files were then changed."""
    who, place = peers(bench), disk or bench.work
    layout = os.path.join(place, "layout")
    changed = CHANGED if not bench.options.smoke else 1 << 16
    sizes = {}

    def bundle(tool):
        return os.path.join(place, "bundle-" + tool.key)

    def command(tool):
        if tool.key == "teu":
            return [tool.path, "repack", "--quiet", bundle(tool), "oci:%s:latest" % layout]
        compress = ["--compress=gzip"] if tool.key == "umoci" else []
        return [tool.path, "repack", *compress, "--image", layout + ":latest", bundle(tool)]

    def prepare(tool):
        if not os.path.exists(bundle(tool)):
            measure(unpack_command(tool, bench.image, bundle(tool)), bench.env)
            root = os.path.join(bundle(tool), "rootfs")
            texts(os.path.join(root, "changed"), changed)
            first = sorted(os.path.join(at, file) for at, _, files in os.walk(root) for file in files)
            # Of what was there one file has more in it, and one is gone.
            with open(next(file for file in first if os.path.isfile(file) and not os.path.islink(file)), "ab") as f:
                f.write(b"changed\n")
            os.unlink(first[-1])
        linked(bench, bench.image, "layout", disk)

    def check(tool):
        sizes[tool] = os.path.getsize(layers(layout)[-1])
        return len(layers(layout)), len(layers(bench.image)) + 1

    new = os.path.join(bench.work, "new-texts")
    if not os.path.exists(new):
        texts(new, changed)
    parts = limits.deflate(new)
    if not disk:
        # The tree that is looked at lies in memory.
        parts += limits.walk(limits.tree(bench, who.teu, bench.image))
    result = bench.row(
        key, title, "warm: 24 MiB are new, a file is changed, one gone",
        command, prepare=prepare, check=check,
        tools=who.here(who.teu, who.umoci or who.debian), turns=5, limit=MEMORY, limits=parts,
    )  # fmt: skip
    for tool in result.medians:
        shutil.rmtree(bundle(tool), ignore_errors=True)
    return result._replace(reached=beside(who, sizes, "size of the new layer"))


def repack(bench):
    return repack_row(bench, "repack", "repack after a small change, gzip")


def repack_ext4(bench):
    return repack_row(bench, "repack-ext4", "repack after a small change, gzip, ext4", disk=ext4(bench))


ROWS = {
    "unpack": unpack,
    "unpack-zstd": unpack_zstd,
    "unpack-many": unpack_many,
    "unpack-many-zstd": unpack_many_zstd,
    "unpack-ext4": unpack_ext4,
    "unpack-many-ext4": unpack_many_ext4,
    "unpack-files": files,
    "unpack-files-zstd": files_zstd,
    "unpack-files-many": files_many,
    "unpack-files-ext4": files_ext4,
    "append": append,
    "append-ext4": append_ext4,
    "append-1g": append_tree,
    "append-1g-equal": append_equal,
    "repack": repack,
    "repack-ext4": repack_ext4,
}
NEEDS_REGISTRY = set()
