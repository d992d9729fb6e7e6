"""Rows: many small images at once, that are up to date."""

import hashlib
import io
import json
import os
import tarfile

import aims
import limits
import tools
from process import measure

LAYER, CONFIG, MANIFEST = ("application/vnd.oci.image." + kind for kind in ("layer.v1.tar", "config.v1+json", "manifest.v1+json"))


def layout(path, count):
    """A layout of so many images, `small:0000` and on, of one small layer each."""
    blobs = os.path.join(path, "blobs/sha256")
    os.makedirs(blobs)

    def put(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as f:
            f.write(content)
        return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(content)}

    def image(name):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            entry = tarfile.TarInfo("file")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
        layer = put(LAYER, content.getvalue())
        rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
        config = put(CONFIG, json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode())
        whole = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        top = put(MANIFEST, json.dumps(whole).encode())
        return dict(top, annotations={"org.opencontainers.image.ref.name": "small:" + name})

    manifests = [image("%04d" % number) for number in range(count)]
    with open(os.path.join(path, "index.json"), "w") as f:
        json.dump({"schemaVersion": 2, "manifests": manifests}, f)
    with open(os.path.join(path, "oci-layout"), "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')


def filled(bench):
    """The registry with all of them in one repository; how many they are."""
    count = 20 if bench.options.smoke else 1000
    path = os.path.join(bench.work, "small")
    if not os.path.exists(path):
        layout(path, count)
    if not bench.registry.digest("small:%04d" % (count - 1)):
        teu = bench.teu
        flags = ["--progress", "none", "--dest-tls-verify=false"]
        measure([teu.path, "sync", *flags, "oci:" + path, "docker://" + bench.registry.host], bench.env)
    return count


def command(bench, tool):
    host = bench.registry.host
    source, destination = "%s/small" % host, "%s/mirror-%s" % (host, tool.key)
    if tool.key == "teu":
        flags = ["--progress", "none", "--src-tls-verify=false", "--dest-tls-verify=false"]
        return [tool.path, "sync", *flags, "docker://" + source, "docker://" + destination]
    if tool.key in ("current", "debian"):
        flags = ["--src-tls-verify=false", "--dest-tls-verify=false", "--src", "docker", "--dest", "docker"]
        return [tool.path, "--insecure-policy", "sync", *flags, source, destination]
    if tool.key == "crane":
        return [tool.path, "copy", "--insecure", "--all-tags", source, destination + "/small"]
    if tool.key == "regsync":
        config = os.path.join(bench.work, "regsync.yml")
        known = {"version": 1, "creds": [{"registry": host, "tls": "disabled"}]}
        with open(config, "w") as f:
            json.dump({**known, "sync": [{"source": source, "target": destination + "/small", "type": "repository"}]}, f)
        return [tool.path, "once", "-c", config]
    return None  # The library, regctl and oras copy one image at a time.


def sync(bench):
    """Each tool is asked for what it brought itself in the warm-up."""
    count = filled(bench)
    last = "small:%04d" % (count - 1)

    def check(tool):
        return bench.registry.digest("mirror-%s/%s" % (tool.key, last)), bench.registry.digest(last)

    def prepare(tool):
        if not bench.registry.digest("mirror-%s/%s" % (tool.key, last)):
            measure(command(bench, tool), bench.env)

    row = bench.row(
        "sync", "registry → registry, %s small images, up to date" % format(count, ","), "warm: all is there",
        lambda tool: command(bench, tool), prepare=prepare, check=check, turns=3,
        limits=limits.asked(bench, count, "small", "mirror-teu/small"),
        tools=[tool for tool in (*bench.tools, tools.built(bench.peers, "regsync", "github.com/regclient/regclient")) if tool],
    )  # fmt: skip
    return row._replace(reached=reached(row, count, 2, "a HEAD at either end for each"))


def sync_layout(bench):
    """Of teu alone: skopeo syncs into no layout, and never twice into a directory."""
    count = filled(bench)
    path = os.path.join(bench.work, "small-mirror")
    flags = ["--progress", "none", "--src-tls-verify=false"]
    argv = [bench.teu.path, "sync", *flags, "docker://%s/small" % bench.registry.host, "oci:" + path]

    def prepare(_):
        if not os.path.exists(path):
            measure(argv, bench.env)

    row = bench.row(
        "sync-layout", "registry → oci, %s small images, up to date" % format(count, ","), "warm: all is there",
        lambda tool: argv if tool.key == "teu" else None, prepare=prepare, turns=2,
        limits=limits.asked(bench, count, "small"),
    )  # fmt: skip
    return row._replace(reached=reached(row, count, 1, "a HEAD for each"))


def reached(row, count, each, what):
    ours = next(iter(row.medians.values()))
    # The list of tags comes by pages.
    return [aims.at_most("requests, " + what, count * each + 20, ours.requests, "%d")]


ROWS = {"sync": sync, "sync-layout": sync_layout}
NEEDS_REGISTRY = set(ROWS)
