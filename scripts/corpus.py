#!/usr/bin/env python3
"""Makes OCI layouts out of tar files: the half of scripts/corpus.sh that shell does badly.

usage: corpus.py small|bench|many|large DIR
       corpus.py local FILE DIRECTORY MEBIBYTES    a tar of this machine's files, where Debian's archive is out of reach

The standard library alone. Nothing here depends on the clock, on the order of a directory or on chance that is not seeded, so that the same
input gives the same digests with the same zlib.
"""

import concurrent.futures
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zlib

MTIME = 1700000000
CREATED = "2023-11-14T22:13:20Z"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MIB = 1 << 20


class Layout:
    """An OCI layout in the making. It takes its name, by a rename, when it is whole."""

    def __init__(self, path):
        self.final, self.path = path, path + ".part"
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(os.path.join(self.path, "blobs", "sha256"))

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.path, "blobs", "sha256", digest), "wb") as f:
            f.write(data)
        return "sha256:" + digest, len(data)

    def document(self, value, media_type):
        digest, size = self.blob(json.dumps(value, separators=(",", ":")).encode())
        return {"mediaType": media_type, "digest": digest, "size": size}

    def layer(self, source, level=6):
        """Compresses a tar file into a blob; gives its descriptor and its DiffID."""
        part = os.path.join(self.path, "%s.%x" % (os.path.basename(source), zlib.crc32(source.encode())))
        plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
        deflate = zlib.compressobj(level, zlib.DEFLATED, 31)
        with open(source, "rb") as tar, open(part, "wb") as out:
            while True:
                chunk = tar.read(MIB)
                data = deflate.compress(chunk) if chunk else deflate.flush()
                plain.update(chunk)
                packed.update(data)
                out.write(data)
                size += len(data)
                if not chunk:
                    break
        os.rename(part, os.path.join(self.path, "blobs", "sha256", packed.hexdigest()))
        return {"mediaType": LAYER, "digest": "sha256:" + packed.hexdigest(), "size": size}, "sha256:" + plain.hexdigest()

    def stored(self, source, how):
        """A tar file as it is, or compressed by zstd; the same two things of it."""
        part = os.path.join(self.path, "part")
        if how == "zstd":
            subprocess.run(["zstd", "-q", "-3", "-T0", "-o", part, source], check=True)
        else:
            shutil.copy(source, part)
        (plain, _), (stored, size) = of(source), of(part)
        os.rename(part, os.path.join(self.path, "blobs", "sha256", stored))
        media_type = LAYER.removesuffix("+gzip") + ("+zstd" if how == "zstd" else "")
        return {"mediaType": media_type, "digest": "sha256:" + stored, "size": size}, "sha256:" + plain

    def image(self, architecture, layers, variant=None):
        """layers: (descriptor, DiffID, how it was made)."""
        config = {
            "created": CREATED,
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/bin/bash"],
                "Labels": {"org.opencontainers.image.title": "Debian's packages, unpacked"},
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id, _ in layers]},
            "history": [{"created": CREATED, "created_by": how} for _, _, how in layers],
        }
        platform = {"architecture": architecture, "os": "linux"}
        if variant:
            config["variant"] = platform["variant"] = variant
        manifest = self.document(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self.document(config, CONFIG),
                "layers": [descriptor for descriptor, _, _ in layers],
            },
            MANIFEST,
        )
        manifest["platform"] = platform
        return manifest

    def index(self, manifests):
        return self.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, INDEX)

    def finish(self, descriptor):
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        for name, value in (
            ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
            ("index.json", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}),
        ):
            with open(os.path.join(self.path, name), "w") as f:
                json.dump(value, f)
        shutil.rmtree(self.final, ignore_errors=True)
        os.rename(self.path, self.final)


def of(path):
    """A file's digest and size."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest(), os.path.getsize(path)


def member(tar, name, data=None, **fields):
    info = tarfile.TarInfo(name)
    info.mtime = MTIME
    for field, value in fields.items():
        setattr(info, field, value)
    if data is not None:
        info.size = len(data)
    tar.addfile(info, io.BytesIO(data) if data is not None else None)


def made(path, fill):
    """A tar file that `fill` writes, kept when it is there."""
    if not os.path.exists(path):
        with tarfile.open(path + ".part", "w", format=tarfile.PAX_FORMAT) as tar:
            fill(tar)
        os.rename(path + ".part", path)
    return path


def difference(lower, upper, path):
    """What of the tar `upper`, of a whole tree, the tar `lower` lacks or has otherwise, and whiteouts for what it has more: the next layer, as a build
    makes it."""

    def identity(info):
        return info.type, info.size, info.mode, info.uid, info.gid, info.linkname, info.mtime

    def fill(out):
        with tarfile.open(lower) as tar:
            known = {info.name: identity(info) for info in tar}
        with tarfile.open(upper) as tar:
            there = {info.name for info in tar}
        gone = {}
        for name in sorted(known.keys() - there):
            gone.setdefault(os.path.dirname(name), []).append(os.path.basename(name))
        with tarfile.open(upper) as tar:
            for info in tar:
                if known.get(info.name) != identity(info):
                    add(out, info, tar)
                for name in gone.get(info.name, ()):
                    member(out, info.name + "/.wh." + name, b"")

    return made(path, fill)


def add(out, info, tar):
    """A member of another tar. When a build ran is no matter."""
    info.mtime = min(int(info.mtime), MTIME)
    info.pax_headers.pop("mtime", None)
    out.addfile(info, tar.extractfile(info) if info.isreg() else None)


def first(tree, path):
    """The tar of a whole tree, as a layer."""

    def fill(out):
        with tarfile.open(tree) as tar:
            for info in tar:
                add(out, info, tar)

    return made(path, fill)


def small_files(tar, directories=20):
    chance = random.Random(42)
    for directory in range(directories):
        member(tar, "srv/d%02d" % directory, type=tarfile.DIRTYPE, mode=0o755)
        for file in range(100):
            text = chance.randbytes(chance.randrange(50, 2000)).hex().encode() + b"\n"
            member(tar, "srv/d%02d/f%02d.txt" % (directory, file), text, mode=0o644)


def application(tar):
    member(tar, "opt", type=tarfile.DIRTYPE, mode=0o755)
    member(tar, "opt/app", type=tarfile.DIRTYPE, mode=0o755)
    member(tar, "opt/app/hello", b"#!/bin/bash\necho hello from teu\n", mode=0o755)
    member(tar, "opt/app/current", type=tarfile.SYMTYPE, linkname="hello")
    member(tar, "srv/d00/.wh.f00.txt", b"")
    member(tar, "srv/d01/.wh..wh..opq", b"")
    member(tar, "srv/d01/new.txt", b"what was here before is hidden\n", mode=0o644)


def edge_lower(tar):
    directory = tarfile.DIRTYPE
    member(tar, "a", type=directory, mode=0o755)
    member(tar, "a/keep", b"keep\n")
    member(tar, "a/gone", b"gone\n")
    member(tar, "b", type=directory, mode=0o750)
    for i in range(5):
        member(tar, "b/f%d" % i, b"x")
    member(tar, "dir-to-file", type=directory, mode=0o755)
    member(tar, "dir-to-file/x", b"x")
    member(tar, "file-to-dir", b"f")
    member(tar, "hard-1", b"hard\n")
    member(tar, "hard-2", type=tarfile.LNKTYPE, linkname="hard-1")
    member(tar, "absolute", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    member(tar, "upwards", type=tarfile.SYMTYPE, linkname="../../../../etc")
    member(tar, "fifo", type=tarfile.FIFOTYPE, mode=0o600)
    member(tar, "null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    member(tar, "setuid", b"#!", mode=0o4755)
    member(tar, "sticky", type=directory, mode=0o1777)
    member(tar, "closed", type=directory, mode=0)
    member(tar, "closed/in", b"z", mode=0)
    member(tar, "long/" + "n" * 255, b"l")
    member(tar, "/".join(["deep" * 10] * 30), b"d")
    member(tar, "names/ключ-ü-日本", b"u")
    member(tar, "names/with space", b"s")
    member(tar, "large-id", b"i", uid=4000000, gid=4000001)
    member(tar, "large-uid-only", b"i", uid=2**31)
    member(tar, "fraction", b"m", pax_headers={"mtime": "1234567890.123456789"})
    member(tar, "xattr", b"x", pax_headers={"SCHILY.xattr.user.color": "blue"})


def edge_upper(tar):
    member(tar, "a/.wh.gone", b"")
    member(tar, "b/new-before", b"n")
    member(tar, "b/.wh..wh..opq", b"")
    member(tar, "b/new-after", b"n")
    member(tar, "dir-to-file", b"now a file")
    member(tar, "file-to-dir", type=tarfile.DIRTYPE, mode=0o755)
    member(tar, "file-to-dir/y", b"y")
    member(tar, "./dot-slash", b"d")
    member(tar, ".wh.never-was", b"")


def half(out, mebibytes, seed=0):
    """A tar of one file of so many MiB, of which each other one compresses by half, as what a layer holds already compressed does not."""
    chance = random.Random(seed)

    class Half(io.RawIOBase):
        def __init__(self):
            self.number, self.rest = 0, b""

        def read(self, size=-1):
            if not self.rest and self.number < mebibytes:
                self.rest = chance.randbytes(MIB // 2).hex().encode() if self.number % 2 else chance.randbytes(MIB)
                self.number += 1
            given, self.rest = self.rest[:size], self.rest[size:]
            return given

    info = tarfile.TarInfo("data-%d.bin" % seed)
    info.size, info.mtime = mebibytes * MIB, MTIME
    out.addfile(info, Half())


def packed(layout, jobs):
    """Layers side by side: (tar file, level, how it was made)."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda job: layout.layer(job[0], job[1]), jobs)
        return [(descriptor, diff_id, job[2]) for (descriptor, diff_id), job in zip(done, jobs)]


def small(out):
    tars = os.path.join(out, ".tar")
    files = made(os.path.join(tars, "small-files.tar"), small_files)
    app = made(os.path.join(tars, "application.tar"), application)
    layout = Layout(os.path.join(out, "debian"))
    amd64, arm64, files, app = packed(
        layout,
        [
            (os.path.join(tars, "base-amd64.tar"), 6, "mmdebstrap --variant=extract bookworm"),
            (os.path.join(tars, "base-arm64.tar"), 6, "mmdebstrap --variant=extract --architectures=arm64 bookworm"),
            (files, 6, "two thousand small files"),
            (app, 6, "an application; one file and one directory below it are hidden"),
        ],
    )
    layout.finish(
        layout.index([layout.image("amd64", [amd64, files, app]), layout.image("arm64", [arm64, files, app], variant="v8")])
    )

    layout = Layout(os.path.join(out, "edge"))
    lower = made(os.path.join(tars, "edge-lower.tar"), edge_lower)
    upper = made(os.path.join(tars, "edge-upper.tar"), edge_upper)
    layout.finish(layout.image("amd64", packed(layout, [(lower, 6, "hard names"), (upper, 6, "whiteouts")])))


def bench(out):
    tars = os.path.join(out, ".tar")
    steps = ("debian", "ca-certificates, curl, gnupg …", "git, mercurial, openssh-client …", "gcc, g++, make and the libraries to build with")
    trees = [os.path.join(tars, "bench-%d.tar" % number) for number in (1, 2, 3, 4)]
    if os.path.exists(trees[3]):
        layers = [first(trees[0], os.path.join(tars, "bench-1-only.tar"))]
        for number in (1, 2, 3):
            layers.append(difference(trees[number - 1], trees[number], os.path.join(tars, "bench-%d-only.tar" % (number + 1))))
    else:
        layers = [os.path.join(tars, "local-%d.tar" % number) for number in (1, 2, 3, 4)]
    layout = Layout(os.path.join(out, "bench"))
    layout.finish(layout.image("amd64", packed(layout, [(tar, 6, step) for tar, step in zip(layers, steps)])))


def many(out):
    layout = Layout(os.path.join(out, "many"))
    tar = os.path.join(out, ".tar", "many.tar")
    layers = packed(layout, [(made(tar, lambda tar: small_files(tar, 1000)), 6, "a hundred thousand small files")])
    layout.finish(layout.image("amd64", layers))


def large(out):
    """A large layer and five small ones, as many as are copied at a time, stored in three ways."""
    sizes = (2048, 4, 4, 4, 4, 4)

    def tar(seed):
        return made(os.path.join(out, ".tar", "six-%d.tar" % seed), lambda out: half(out, sizes[seed], seed))

    tars = [tar(seed) for seed in range(len(sizes))]
    for name in ("gzip", "zstd", "plain"):
        layout = Layout(os.path.join(out, "six-" + name))
        if os.path.exists(layout.final):
            shutil.rmtree(layout.path)
            continue
        layers = [layout.layer(tar, 1) if name == "gzip" else layout.stored(tar, name) for tar in tars]
        made_of = ["a file of %d MiB, half of it compressible" % size for size in sizes]
        layout.finish(layout.image("amd64", [(*layer, how) for layer, how in zip(layers, made_of)]))


def local(path, root, mebibytes):
    """So many MiB of this machine's files, in an order that does not change."""
    left = mebibytes * MIB
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for directory, directories, files in os.walk(root):
            directories.sort()
            for file in sorted(files):
                source = os.path.join(directory, file)
                if os.path.islink(source) or not os.path.isfile(source) or os.path.getsize(source) > left:
                    continue
                try:
                    with open(source, "rb") as f:
                        data = f.read()
                except OSError:
                    continue
                left -= len(data)
                member(tar, source.lstrip("/"), data, mode=os.stat(source).st_mode & 0o777)


def main():
    if len(sys.argv) == 3 and sys.argv[1] in ("small", "bench", "many", "large"):
        {"small": small, "bench": bench, "many": many, "large": large}[sys.argv[1]](sys.argv[2])
    elif len(sys.argv) == 5 and sys.argv[1] == "local":
        local(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
