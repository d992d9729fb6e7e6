#!/usr/bin/env python3
"""Makes the seeds of the targets of archives and layers anew: usage: fuzz/seeds.py"""
import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import tarfile
import tempfile

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(target, name, content):
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / f"{name}.seed").write_bytes(content)


def entry(name, kind=tarfile.REGTYPE, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def archive(form, *entries, **options):
    out = io.BytesIO()
    # No padding to 20 blocks: a fuzzer learns nothing from zeros.
    with tarfile.open(fileobj=out, mode="w", format=form, **options) as tar:
        for info, content in entries:
            content.seek(0)
            tar.addfile(info, content)
        size = tar.offset
    return out.getvalue()[: size + 1024]


def gnu(*options, name="f", content=b"x", holes=False):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / name
        with open(path, "wb") as file:
            if holes:
                file.seek(1 << 16)
            file.write(content)
            if holes:
                file.truncate(1 << 18)
        fixed = ["--mtime=@0", "--owner=0", "--group=0", "--mode=0644", "--blocking-factor=1"]
        command = ["tar", "--create", "--file=-", *fixed, *options, "-C", directory, name]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
    return b"".join(unnumbered(raw[at : at + 512]) for at in range(0, len(raw), 512))


def unnumbered(block):
    """A block without the number of the process, which GNU tar puts into the names of sparse files and no option changes."""
    name = re.sub(rb"GNUSparseFile\.\d+/", b"GNUSparseFile.1/", block[:100].rstrip(b"\0")).ljust(100, b"\0")
    if b"GNUSparseFile." not in name or name == block[:100]:
        return block
    block = name + block[100:]
    return block[:148] + b"%06o\0 " % tarfile.calc_chksums(block)[0] + block[156:]


links = [
    entry("d/", tarfile.DIRTYPE, mode=0o755),
    entry("d/f", content=b"content\n", mtime=1),
    entry("d/h", tarfile.LNKTYPE, linkname="d/f"),
    entry("d/s", tarfile.SYMTYPE, linkname="../d/f"),
]
pax = {"SCHILY.xattr.user.a": "b", "comment": "one\ntwo"}
put("tar_reader", "ustar", archive(tarfile.USTAR_FORMAT, *links))
put("tar_reader", "pax", archive(tarfile.PAX_FORMAT, entry("é" * 60, mtime=-1.5, uid=1 << 22, pax_headers=pax)))
put("tar_reader", "global", archive(tarfile.PAX_FORMAT, entry("a"), pax_headers={"uname": "root"}))
put("tar_reader", "gnu-long", archive(tarfile.GNU_FORMAT, entry("n" * 150, tarfile.SYMTYPE, linkname="t" * 120)))
put("tar_reader", "sparse-old", gnu("--format=oldgnu", "--sparse", holes=True))
posix = ["--format=posix", "--pax-option=delete=atime,delete=ctime", "--sparse"]
for version in ["0.0", "0.1", "1.0"]:
    put("tar_reader", f"sparse-{version}", gnu(*posix, f"--sparse-version={version}", holes=True))

text = b"The same words, the same words, the same bytes. " * 8
for member, count in [("one", 1), ("two", 2)]:
    put("gzip_decoder", member, b"".join(gzip.compress(text, mtime=0) for _ in range(count)))
header = b"\x1f\x8b\x08\x1c\0\0\0\0\0\xff" + b"\x03\0xyz" + b"name\0" + b"comment\0"
put("gzip_decoder", "header", header + gzip.compress(text, mtime=0)[10:])

zstd = [subprocess.run(["zstd", "-q", *level], input=text, capture_output=True, check=True).stdout for level in (["-1"], ["-19"])]
put("zstd_decoder", "one", zstd[0])
put("zstd_decoder", "two", b"".join(zstd))
put("zstd_decoder", "skippable", b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd[0])
sized = subprocess.run(["zstd", "-q", "--stream-size=384"], input=text, capture_output=True, check=True).stdout
put("zstd_decoder", "sized", sized)

# Layers: archives one behind the other, and for rootfs_apply a byte that chooses how they are unpacked. The target puts its own path in place of this one.
OUT = "/dev/shm/teu-fuzz-0000000/outside"
DIRECTORY, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ustar = lambda *entries: archive(tarfile.USTAR_FORMAT, *entries)
marks = {"SCHILY.xattr.user.mark": "yes", "SCHILY.xattr.trusted.overlay.opaque": "y", "mtime": "1.5"}
through = [entry("l", LINK, linkname=OUT), entry("l/canary", content=b"x", mode=0o777, uid=7)]
layers = {
    "tree": [ustar(*links)],
    "through": [ustar(*through, entry("l/new/", DIRECTORY), entry("l/link", LINK, linkname="x"))],
    "up": [ustar(entry("../outside/canary", content=b"x"), entry("../root-evil/", DIRECTORY), entry("a/../..", DIRECTORY, mode=0))],
    "hard": [ustar(entry("h", HARD, linkname="../outside/canary"), entry("h", content=b"x"))],
    "linked": [ustar(entry("l", LINK, linkname=OUT), entry("h", HARD, linkname="l"), entry("h", content=b"x"))],
    "lower": [ustar(through[0]), ustar(*through[1:], entry("l/.wh.canary"), entry("l/.wh..wh..opq"))],
    "late": [ustar(entry("d/", DIRECTORY, mtime=1), entry("d", LINK, linkname=OUT), entry("d/", DIRECTORY, mode=0o700))],
    "proc": [ustar(entry("p", LINK, linkname="/proc/self/cwd"), entry("p/canary", content=b"x"))],
    "nodes": [ustar(entry("p", tarfile.FIFOTYPE), entry("p", content=b"x"), entry("c", tarfile.CHRTYPE, devmajor=1, devminor=3))],
    "pax": [archive(tarfile.PAX_FORMAT, entry("a", content=b"x", pax_headers=marks), entry("d/", DIRECTORY, pax_headers=marks))],
    "hidden": [
        ustar(entry("d/e/f", content=b"x"), entry("a", content=b"x")),
        ustar(entry("d/e/g", content=b"x"), entry("d/.wh..wh..opq"), entry(".wh.a"), entry(".wh.d")),
        ustar(entry("h", HARD, linkname="d/e/g"), entry(".wh..wh.plnk"), entry("d/.wh.")),
    ],
}
for name, archives in layers.items():
    put("rootfs_apply", name, b"".join(archives) + b"\x10")
    # With a layer below, as the lowest is never ahead of its turn.
    put("ahead", name, b"".join([ustar(*through), *archives]) + b"\x10")
    if len(archives) == 1:
        put("layer", name, archives[0])

# No archives: what a fuzzer makes of such bytes are layers of entries.
put("whiteouts", "few", bytes(range(0, 256, 5)) * 2)
put("whiteouts", "many", bytes(value * value % 251 for value in range(400)))


def image_archives():
    """One image of one layer, as `docker save` writes it and as a layout in a tar file."""
    layer = archive(tarfile.USTAR_FORMAT, entry("f", content=b"x"))
    hexed = lambda content: hashlib.sha256(content).hexdigest()  # noqa: E731
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hexed(layer)}"]}}).encode()
    listing = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}]).encode()
    files = {"l/layer.tar": layer, "c.json": config, "manifest.json": listing}
    put("image_archive", "docker", archive(tarfile.USTAR_FORMAT, *[entry(name, content=content) for name, content in files.items()]))
    kind = "application/vnd.oci.image"
    described = lambda what, content: {"mediaType": f"{kind}.{what}", "digest": f"sha256:{hexed(content)}", "size": len(content)}  # noqa: E731
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": described("config.v1+json", config), "layers": [described("layer.v1.tar", layer)],
    }).encode()
    named = {**described("manifest.v1+json", manifest), "annotations": {"org.opencontainers.image.ref.name": "app"}}
    index = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    files |= {f"blobs/sha256/{hexed(content)}": content for content in [config, layer, manifest]}
    put("image_archive", "layout", archive(tarfile.USTAR_FORMAT, *[entry(name, content=content) for name, content in files.items()]))


image_archives()
