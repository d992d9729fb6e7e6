"""Python's tarfile as a peer: makes a tree for GNU tar, makes archives, and tells what it reads in one.

usage: peer.py tree DIRECTORY | make DIRECTORY | dump ARCHIVE
"""
import io
import os
import sys
import tarfile
import zlib
from decimal import Decimal


def hexed(text):
    return os.fsencode(text).hex()


def nanoseconds(info, key):
    if key in info.pax_headers:
        return str(int(Decimal(info.pax_headers[key]) * 10**9))
    return str(info.mtime * 10**9) if key == "mtime" else "-"


def dump(path):
    """One line an entry, of what both sides can say."""
    with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
        for info in tar:
            kinds = ["isreg", "islnk", "issym", "isdir", "ischr", "isblk", "isfifo"]
            kind = next(name[2:] for name in kinds if getattr(info, name)())
            content = tar.extractfile(info).read() if info.isreg() else b""
            device = (info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else (0, 0)
            prefix = "SCHILY.xattr."
            xattrs = {hexed(k[len(prefix) :]): hexed(v) for k, v in info.pax_headers.items() if k.startswith(prefix)}
            print(
                kind,
                hexed(info.name),
                hexed(info.linkname) if info.islnk() or info.issym() else "",
                f"{info.mode & 0o7777:o}",
                info.uid,
                info.gid,
                hexed(info.uname),
                hexed(info.gname),
                info.size,
                *(nanoseconds(info, key) for key in ("mtime", "atime", "ctime")),
                *device,
                ",".join(f"{k}={v}" for k, v in sorted(xattrs.items())),
                f"{len(content)}:{zlib.crc32(content):08x}",
                sep="\t",
            )


def tree(root):
    """Files of every sort that this machine lets us make."""
    root = os.fsencode(root)

    def path(name):
        return os.path.join(root, name)

    def file(name, content=b"content\n"):
        os.makedirs(os.path.dirname(path(name)), exist_ok=True)
        with open(path(name), "wb") as out:
            out.write(content)
        return path(name)

    def attempt(action, *arguments, **keywords):
        try:
            action(*arguments, **keywords)
        except OSError:
            pass

    os.makedirs(path(b"plain/empty-directory"))
    plain = file(b"plain/file")
    file(b"plain/empty", b"")
    file(b"plain/two-blocks", b"x" * 1024)
    os.symlink(b"../plain/file", path(b"plain/symlink"))
    os.symlink(b"/", path(b"plain/root"))
    os.link(plain, path(b"plain/hard-link"))
    os.chmod(file(b"plain/set-id"), 0o6755)
    os.mkdir(path(b"nodes"))
    os.mkfifo(path(b"nodes/fifo"))
    attempt(os.mknod, path(b"nodes/character"), 0o20600, os.makedev(1, 3))
    attempt(os.mknod, path(b"nodes/block"), 0o60600, os.makedev(7, 200))

    long = b"/".join([b"d" * 60] * 3) + b"/" + b"f" * 99
    file(b"odd/" + long)
    os.symlink(b"t" * 300, path(b"odd/long-symlink"))
    os.link(path(b"odd/" + long), path(b"odd/long-link"))
    file(b"odd/" + b"n" * 200)
    file("odd/née-☃".encode())
    file(b"odd/not-utf-8-\xff\xfe")
    file(b"odd/" + b"\xff" * 120)
    file(b"odd/new\nline and\ttab \\ and space ")
    # Archives have seconds in GNU's formats and fractions in PAX.
    os.utime(file(b"odd/before-1970"), ns=(-1_500_000_000, -1_500_000_000))
    os.utime(file(b"odd/fraction"), ns=(10**9 + 1, 10**9 + 120_000_000))
    attempt(os.utime, file(b"odd/far-away"), ns=(9_000_000_000 * 10**9, 9_000_000_000 * 10**9))
    attempt(os.chown, file(b"odd/large-ids"), 4_000_000_000, 3_000_000)
    attempt(os.setxattr, file(b"odd/xattrs"), b"user.teu", b"\0value=\n\xff")
    attempt(os.setxattr, path(b"odd/xattrs"), b"user.empty", b"")
    for name, holes in [(b"sparse/front", [1 << 18]), (b"sparse/many", [n << 16 for n in range(1, 60)]), (b"sparse/all", [])]:
        with open(file(name, b""), "r+b") as out:
            for hole in holes:
                out.seek(hole)
                out.write(b"data")
            out.truncate(4 << 20)


def make(directory):
    """An archive of each format, of entries that no file system need hold."""
    name = "é" * 80 + "/" + "n" * 80
    entries = [
        ("plain", {}),
        ("d/", {"type": tarfile.DIRTYPE, "mode": 0o1777}),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "plain"}),
        ("symlink", {"type": tarfile.SYMTYPE, "linkname": "../d", "mode": 0o777}),
        ("old", {"type": tarfile.AREGTYPE}),
        ("contiguous", {"type": tarfile.CONTTYPE}),
        ("fifo", {"type": tarfile.FIFOTYPE}),
        ("device", {"type": tarfile.CHRTYPE, "devmajor": 0o7777, "devminor": 0o777777}),
        ("p" * 90 + "/" + "f" * 90, {}),
        ("bytes-\udcff", {"uname": "n\udcfe"}),
        ("owner", {"uname": "u" * 31, "gname": "group"}),
        ("mode", {"mode": 0o7654}),
        ("late", {"mtime": (1 << 33) - 1, "uid": 0o7777777}),
    ]
    beyond = [
        (name, {"type": tarfile.SYMTYPE, "linkname": "\udc80" * 200}),
        ("/absolute/" + "../" * 80 + "x", {}),
        ("early", {"mtime": -1}),
        ("later", {"mtime": 1 << 40}),
        ("ids", {"uid": 0xFFFFFFFE, "gid": 1 << 21}),
    ]
    pax = [
        ("fraction", {"pax_headers": {"mtime": "-0.25", "atime": "1.5", "ctime": "1234567890.123456789"}}),
        ("xattrs", {"pax_headers": {"SCHILY.xattr.user.a": "x=y\nz", "SCHILY.xattr.user.b": ""}}),
        ("comment", {"pax_headers": {"comment": "12 path=evil\n"}}),
        ("long-owner", {"uname": "ü" * 40, "gname": "g" * 100}),
    ]
    formats = [
        ("ustar", tarfile.USTAR_FORMAT, entries),
        ("gnu", tarfile.GNU_FORMAT, entries + beyond),
        ("pax", tarfile.PAX_FORMAT, entries + beyond + pax),
    ]
    for label, form, list_of_entries in formats:
        path = os.path.join(directory, f"{label}.tar")
        # A global header too.
        options = {"pax_headers": {"comment": "global"}} if label == "pax" else {}
        with tarfile.open(path, "w", format=form, encoding="utf-8", errors="surrogateescape", **options) as tar:
            for index, (name, fields) in enumerate(list_of_entries):
                info = tarfile.TarInfo(name)
                for field, value in fields.items():
                    setattr(info, field, value)
                content = f"content of {index}".encode() * (index * 7) if info.isreg() else b""
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


{"dump": dump, "tree": tree, "make": make}[sys.argv[1]](sys.argv[2])
