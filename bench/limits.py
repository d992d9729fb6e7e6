"""What can the machine do? The parts that nobody who does a job can leave out, each alone, in turns with those who do it.

Each is done by the fastest program that Debian has for it: SHA-256 by openssl, which uses the processor's instructions; gzip by igzip (ISA-L), zstd by
zstd, both to nowhere; deflate by pigz; files by `cp -a`, which reads them from memory; bytes by `dd`, which has zeros for nothing. What a job takes beside the sum of its parts is what is left to win.
"""

import os
import shutil
import socket
import statistics
import subprocess
import threading

from process import ROOT, measure, skipped
from rig import Limit


def _script(key, title, script, *arguments, **more):
    return Limit(key, title, ("/bin/sh", "-c", script, "sh", *arguments), **more)


def _has(program, title):
    if shutil.which(program):
        return True
    skipped("the limit " + title, "%s is not installed" % program)
    return False


def uncompressed(bench, layers):
    """The same layers as tar files, which are made once."""
    made = []
    for layer in layers:
        at = os.path.join(bench.work, "plain", os.path.basename(layer))
        if not os.path.exists(at):
            os.makedirs(os.path.dirname(at), exist_ok=True)
            with open(layer, "rb") as f:
                program = "zstd" if f.read(4) == b"\x28\xb5\x2f\xfd" else "gzip"
            with open(at, "wb") as out:
                subprocess.run([program, "-dc", layer], stdout=out, check=True)
        made.append(at)
    return made


def digests(bench, layers, diff_ids=True):
    if not _has("openssl", "SHA-256"):
        return []
    files = [*layers, *(uncompressed(bench, layers) if diff_ids else [])]
    return [_script("sha256", "SHA-256 of what is hashed", 'exec openssl dgst -sha256 "$@"', *files)]


def copied(bench, blobs, disk, to="file", synced=False):
    """What a copy of these files is made of, to a file, to a socket, or, where the file system copies, to neither (None). Hashed in as many threads as there are and
    copied by cp they are shown, but parts that all must do are that they are hashed once and written. Where it is `synced`, as on a disk, it is shown what
    that takes, too, which those leave to the kernel who do not sync."""
    parts = []
    if _has("openssl", "SHA-256"):
        parts.append(_script("sha256", "SHA-256, one thread", 'exec openssl dgst -sha256 "$@"', *blobs))
        every = 'printf "%s\\0" "$@" | xargs -0 -n 1 -P 0 openssl dgst -sha256'
        parts.append(_script("sha256-all", "SHA-256, a thread for each blob", every, *blobs, counts=False))
    if to is None:
        to = os.path.join(disk, "cloned")
        script = 'to=$1; shift; mkdir "$to" && exec cp --reflink=always "$@" "$to"'
        parts.append(_script("clone", "cp --reflink=always", script, to, *blobs, removes=to, counts=False))
        if synced:
            script = 'to=$1; shift; mkdir "$to" && cp --reflink=always "$@" "$to" && exec sync -f "$to"'
            parts.append(_script("clone-sync", "cp --reflink=always, sync -f", script, to, *blobs, removes=to, counts=False))
    elif to == "socket":
        parts += sent(bench, blobs)
    elif to == "file":
        to = os.path.join(disk, "written")
        size = sum(os.path.getsize(blob) for blob in blobs)
        write = 'exec dd if=/dev/zero of="$1" bs=256K count=%d iflag=count_bytes status=none' % size
        parts.append(_script("write", "write (dd)", write, to, removes=to))
        if synced:
            parts.append(_script("write-sync", "write, sync (dd conv=fsync)", write + " conv=fsync", to, removes=to, counts=False))
        to = os.path.join(disk, "copied")
        script = 'to=$1; shift; mkdir "$to" && exec cp --reflink=never "$@" "$to"'
        parts.append(_script("cp", "cp --reflink=never", script, to, *blobs, removes=to, counts=False))
    return parts


def sent(bench, blobs):
    """The same bytes read and written to a socket of this machine, where somebody reads them and does nothing else."""

    def sink():
        listener = socket.create_server(("127.0.0.1", 0))

        def read():
            buffer = bytearray(1 << 20)
            while True:
                connection, _ = listener.accept()
                with connection:
                    while connection.recv_into(buffer):
                        pass

        threading.Thread(target=read, daemon=True).start()
        return listener.getsockname()[1]

    port = bench.once("sink", sink)
    script = 'port=$1; shift; exec cat "$@" >"/dev/tcp/127.0.0.1/$port"'
    return [Limit("sent", "send (cat to a socket)", ("/bin/bash", "-c", script, "bash", str(port), *blobs))]


def compiled(bench, name, *flags):
    """One of the programs in C that do by hand what cannot be left out, built once, or None."""

    def build():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            skipped("the limit " + name, "there is no C compiler")
            return None
        at = os.path.join(bench.work, name)
        done = subprocess.run(
            [compiler, "-O2", "-o", at, os.path.join(ROOT, "bench", name + ".c"), *flags], capture_output=True, text=True, check=False
        )
        if done.returncode:
            skipped("the limit " + name, (done.stderr.strip().split("\n") or ["it does not compile"])[-1])
            return None
        return at

    return bench.once("compiled " + name, build)


def floor(bench, name, layout):
    """What a copy cannot do without that finds all in its place: beside a process that does nothing, what bench/floor.c does by hand."""
    at = compiled(bench, "floor", "-static")
    if not at:
        return process()
    argv = (at, bench.registry.host.rsplit(":", 1)[1], name, layout)
    return [*process(), Limit("floor", "what it cannot do without, by hand (bench/floor.c)", argv, counts=False, repeats=True)]


def asked(bench, count, *repositories):
    """What a sync cannot do without that finds all in its place: the questions, four images at a time as teu has them."""
    at = compiled(bench, "floor_many", "-static")
    if not at:
        return []
    argv = (at, bench.registry.host.rsplit(":", 1)[1], "4", str(count), *repositories)
    return [Limit("asked", "the questions, by hand (bench/floor_many.c)", argv, counts=False)]


PUSHED = [("h", "received and hashed", False), ("hds", "received, hashed, written past the cache, synced", True)]


def pushed(bench, disk):
    """What a registry takes for a push of 100 MiB that does by hand what it cannot leave out: (title, CPU, whether that is all of it)."""
    at = compiled(bench, "floor_push", "-lcrypto")
    if not at:
        return []
    found = []
    directory = os.path.join(disk, "floor")
    os.makedirs(directory, exist_ok=True)
    for letters, title, whole in PUSHED:
        taken = []
        for _ in range(1 if bench.options.smoke else 3):
            done = subprocess.run([at, directory, "1024", letters], capture_output=True, text=True, check=False)
            if done.returncode:
                skipped("the limit floor_push", done.stderr.strip())
                return []
            taken.append(float(done.stdout.split()[-2]) / 1e3)
        found.append(("%s, by hand (bench/floor_push.c)" % title, statistics.median_low(taken), whole))
    shutil.rmtree(directory)
    return found


def process():
    return [Limit("process", "a process that does nothing (true)", ("/bin/true",), repeats=True)]


def deflate(tree):
    """What is new in a layer deflated, on all cores, at the level that teu has when nothing is said."""
    if not _has("pigz", "deflate"):
        return []
    return [_script("deflate", "deflate (tar, pigz)", 'tar -C "$1" -c . | pigz -5', tree)]


def walk(tree):
    """Every file of a tree looked at once."""
    return [_script("walk", "look at each file (find)", 'exec find "$1" -printf "%C@"', tree)]


def inflate(layers, zstd=False):
    program = "zstd" if zstd else "igzip"
    if not _has(program, "inflate"):
        return []
    # Neither closes its eyes to more than one file, and igzip keeps the names of one.
    return [_script("inflate", "inflate (%s)" % program, 'for layer; do %s -dc "$layer" || exit; done' % program, *layers)]


def files(bench, tree, disk=None):
    """Files written alone: a tree that is there is copied to the same disk, without reflinks."""
    to = os.path.join(disk or bench.work, "copied")
    return [_script("files", "files (cp -a)", 'exec cp -a --reflink=never "$1" "$2"', tree, to, removes=to)]


def tree(bench, teu, image):
    """The image's files on the bench's own disk, unpacked once."""
    at = os.path.join(bench.work, "tree-" + os.path.basename(image))
    if not os.path.exists(at):
        measure([teu.path, "unpack", "--progress", "none", "--rootfs-only", "oci:%s:latest" % image, at], bench.env)
    return at
