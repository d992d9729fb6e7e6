"""Rows: what a registry takes to answer, beside other registries and nginx, with 1, 16 and 256 clients."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections import defaultdict, namedtuple

import aims
import limits
import servers
from process import Failed, helper, skipped
from rig import again, disk_kind, mebibytes, named, ratio, seconds

CLIENTS = (1, 16, 256)
# How long each turn takes.
SECONDS = 2.0
TURNS = 3
MEMORY = 100 << 20  # what teu may take with 256 clients

# CPU and times of one operation, in seconds; `rate` is how many there were in a second.
Sample = namedtuple("Sample", "cpu rate p50 p99 rss")

HEADINGS = ["job", "clients", "server", "CPU of each", "each second", "p50", "p99", "MiB", "CPU ÷ teu's"]
# Beside whom; how many times less CPU teu is to take, and how many times nginx's it may, is in aims.py.
PEERS = ("registry3", "zot")


class Result(namedtuple("Result", "key title state measured parts", defaults=[()])):
    """What came of a row: for each number of clients, a sample for each server, teu's first. `parts` are what parts of the job take alone: (title, CPU,
    whether it is all of it)."""

    headings = HEADINGS

    def lines(self):
        job = "%s; %s" % (self.title, self.state)
        for clients, samples in self.measured.items():
            ours = next(iter(samples.values()))
            for server, sample in samples.items():
                first = sample is ours
                yield [
                    job,
                    str(clients) if first else "",
                    ("%s %s" % (server.title, server.version)).strip(),
                    short(sample.cpu),
                    "%.0f" % sample.rate if sample.rate >= 10 else "%.1f" % sample.rate,
                    short(sample.p50),
                    short(sample.p99),
                    mebibytes(sample.rss),
                    "" if first else ratio(sample.cpu, ours.cpu),
                ]
                job = ""
        for title, cpu, _ in self.parts:
            yield ["", "", "limit: " + title, short(cpu), "", "", "", "", ratio(cpu, ours.cpu)]

    def kept(self):
        """All that it is judged by, as JSON has it."""
        measured = [[clients, [[*named(server), *sample] for server, sample in samples.items()]] for clients, samples in self.measured.items()]
        return {"state": self.state, "measured": measured, "parts": [list(part) for part in self.parts]}

    @classmethod
    def again(cls, key, title, kept):
        """What `kept` gave."""
        measured = {clients: {again(*one[:3]): Sample(*one[3:]) for one in samples} for clients, samples in kept["measured"]}
        return cls(key, title, kept["state"], measured, kept["parts"])

    def aims(self):
        """With 1, 16 and 256 clients: all of them are to reach it."""
        aim, limit = aims.SERVED.get(self.key), aims.BESIDE_NGINX.get(self.key)
        keyed = [{server.key: (server, sample) for server, sample in samples.items()} for samples in self.measured.values()]
        ours = [by_key["teu"][1] for by_key in keyed]
        for key in PEERS:
            if aim and all(key in by_key for by_key in keyed):
                times = [by_key[key][1].cpu / sample.cpu for by_key, sample in zip(keyed, ours)]
                yield aims.Aim("CPU", "≥ %.2f" % aim, "%s × %s" % (listed(times), keyed[0][key][0].title), round(min(times), 2) >= aim)
        if limit and all("nginx" in by_key for by_key in keyed):
            times = [sample.cpu / by_key["nginx"][1].cpu for by_key, sample in zip(keyed, ours)]
            yield aims.Aim("parts", "≤ %.2f" % limit, "%s × nginx" % listed(times), round(max(times), 2) <= limit)
        for title, cpu, whole in self.parts:
            if whole:
                yield aims.Aim("parts", "≤ 1.20", "%s × by hand" % listed(sample.cpu / cpu for sample in ours), max(sample.cpu / cpu for sample in ours) <= 1.2)
        yield aims.at_most("memory", MEMORY >> 20, max(sample.rss for sample in ours) / 2**20, "%.0f MiB")
        # Where none of them ended well with so many clients there is nothing to be beside.
        registries = [[sample.rss for key, (_, sample) in by_key.items() if key not in ("teu", "nginx")] for by_key in keyed]
        pairs = [(sample.rss, min(peers)) for sample, peers in zip(ours, registries) if peers]
        if pairs:
            told = ", ".join("%.0f of %.0f" % (our / 2**20, least / 2**20) for our, least in pairs)
            yield aims.Aim("memory", "≤ every peer's", told, all(our <= least for our, least in pairs))
        if self.key == "serve-tags":
            yield aims.at_most("first page", 5, ours[0].p50 * 1e3, "%.1f ms")
        if self.key == "serve-start":
            yield aims.at_most("until it answers", 1000, ours[0].p50 * 1e3, "%.1f ms")


def listed(values):
    return ", ".join("%.2f" % value for value in values)


def short(value):
    return "%.0f µs" % (value * 1e6) if value < 1e-3 else seconds(value)


def content(size):
    """Bytes that are the same in each run."""
    return random.Random(size).randbytes(size)


def digest(of):
    return "sha256:" + hashlib.sha256(of).hexdigest()


WARM, COLD = "warm: asked before", "cold: all of it is new"


class Served:
    """The servers, started once, with the same in each."""

    def __init__(self, bench):
        self.bench = bench
        self.load = helper("load")
        self.sizes = {"1 KiB": 1 << 10, "1 MiB": 1 << 20, "100 MiB": (2 if bench.options.smoke else 100) << 20}
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        blobs = {size: content(size) for size in self.sizes.values()}
        layers = [blobs[1 << 10], *(content(n) for n in range(2000, 2006))]

        def described(kind, of):
            return {"mediaType": "application/vnd.oci.image.%s" % kind, "digest": digest(of), "size": len(of)}

        manifest = {
            "schemaVersion": 2,
            "mediaType": servers.ACCEPT,
            "config": described("config.v1+json", config),
            "layers": [described("layer.v1.tar+gzip", layer) for layer in layers],
        }
        self.manifest = json.dumps(manifest, separators=(",", ":")).encode()
        self.small = [config, *layers]
        self.blobs = {size: digest(of) for size, of in blobs.items()}
        self.all = []
        for server in servers.find(bench):
            server.start()
            bench.servers.append(server)
            self.all.append(server)
            for blob in (*self.small, *blobs.values()):
                server.push(blob)
            server.tag(self.manifest, ["v1"])
        # Pushes are to a disk where what must last costs something.
        try:
            disk = bench.file_system("ext4", 12 << 30)
        except Failed as why:
            skipped("pushes to ext4", why)
            disk = bench.work
        self.disk = disk
        self.pushed = [servers.elsewhere(server, os.path.join(disk, "pushed")) for server in self.all if server.pushes]

    def empty(self, server):
        """A server of those that are pushed to, with what a manifest names."""
        server.empty()
        if server not in self.bench.servers:
            self.bench.servers.append(server)
        for blob in self.small:
            server.push(blob)

    def run(self, server, clients, most, job, time_limit=None):
        time_limit = time_limit or (0.1 if self.bench.options.smoke else SECONDS)
        # What it wrote before is no part of what it does now.
        server.forget_peak()
        before = server.cpu()
        argv = [self.load, server.host, str(clients), str(time_limit), str(most), *job]
        done = subprocess.run(argv, env=self.bench.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed("%s%s" % ("teu failed: " if server.key == "teu" else "", done.stderr.strip()))
        cpu = server.cpu() - before
        said = json.loads(done.stdout)
        count = said["operations"]
        return Sample(cpu / count, count / said["seconds"], said["p50"] / 1e6, said["p99"] / 1e6, server.peak())

    def row(self, key, title, state, job, pushes=False, most=1 << 40, clients=CLIENTS):
        smoke = self.bench.options.smoke
        measured = {}
        for count in clients:
            samples, failed = defaultdict(list), {}
            for _ in range(1 if smoke else min(TURNS, self.bench.options.turns)):
                for server in self.pushed if pushes else self.all:
                    if server in failed:
                        continue
                    try:
                        if pushes:
                            self.empty(server)
                        # A warm-up.
                        self.run(server, min(count, 16), 16, job, 0.2)
                        samples[server].append(self.run(server, count, max(most, count), job))
                    except Failed as error:
                        if "teu failed" in str(error):
                            raise Failed("%s: %s" % (key, error)) from error
                        failed[server] = error
                        skipped("%s of %s" % (key, server.title), error)
                    finally:
                        if pushes:
                            server.stop()
                            shutil.rmtree(server.storage, ignore_errors=True)
            measured[count] = {
                server: Sample(*(statistics.median_low(values) for values in list(zip(*taken))[:-1]), max(sample.rss for sample in taken))
                for server, taken in samples.items()
                if server not in failed
            }
        return Result(key, title, state, measured)


def served(bench):
    if bench.served is None:
        bench.served = Served(bench)
    return bench.served


def manifests(bench):
    return served(bench).row(
        "serve-manifests", "GET a manifest by its tag", WARM, ["get", servers.ACCEPT, "/v2/%s/manifests/v1" % servers.REPOSITORY]
    )


def blobs(name, key):
    def row(bench):
        rig = served(bench)
        path = "/v2/%s/blobs/%s" % (servers.REPOSITORY, rig.blobs[rig.sizes[name]])
        return rig.row(key, "GET a blob of " + name, WARM, ["get", "*/*", path])

    return row


def pushes(name, key, most):
    def row(bench):
        rig = served(bench)
        clients = CLIENTS
        if name == "100 MiB" and not bench.options.smoke:
            # What 256 clients bring at once is 25 GiB.
            clients = CLIENTS[:2]
        title = "push a blob of %s (%s)" % (name, disk_kind(rig.disk))
        result = rig.row(key, title, COLD, ["push", servers.REPOSITORY, str(rig.sizes[name])], True, most, clients)
        return result._replace(parts=limits.pushed(bench, rig.disk)) if name == "100 MiB" else result

    return row


def push_manifests(bench):
    rig = served(bench)
    path = os.path.join(bench.work, "manifest.json")
    with open(path, "wb") as f:
        f.write(rig.manifest)
    title = "push a manifest under a new tag (%s)" % disk_kind(rig.disk)
    return rig.row("serve-push-manifests", title, COLD, ["manifests", servers.REPOSITORY, path], True)


def mixed(bench):
    rig = served(bench)
    names = ["manifests/v1", *("blobs/" + rig.blobs[rig.sizes[size]] for size in ("1 KiB", "1 MiB"))]
    paths = ["/v2/%s/%s" % (servers.REPOSITORY, name) for name in names]
    pushed = [server for server in rig.all if server.pushes]
    everybody, rig.all = rig.all, pushed
    try:
        title = "mixed: 3 manifests, 3 blobs of 1 KiB, 3 of 1 MiB, a push of 64 KiB"
        return rig.row("serve-mix", title, "warm, but for what is pushed", ["mix", servers.REPOSITORY, "65536", servers.ACCEPT, *paths])
    finally:
        rig.all = everybody


def tags(bench):
    """A page of many tags."""
    rig = served(bench)
    count = 1000 if bench.options.smoke else 100_000
    path = "/v2/%s/tags/list?n=1000" % servers.REPOSITORY
    everybody, rig.all = rig.all, [server for server in rig.all if server.pushes]
    try:
        for server in rig.all:
            server.tag(rig.manifest, ["tag-%06d" % n for n in range(count)])
        return rig.row("serve-tags", "the first 1000 of {:,} tags".format(count), WARM, ["get", "*/*", path], clients=(1,))
    finally:
        rig.all = everybody


def start(bench):
    """From nothing to the first answer, with many blobs."""
    rig = served(bench)
    count = 1000 if bench.options.smoke else 1_000_000
    teu = servers.elsewhere(rig.all[0], os.path.join(bench.work, "many"))
    bench.servers.append(teu)
    teu.start()
    teu.push(b"the first")
    teu.stop()
    many_blobs(teu.storage, count)
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        teu.start()
        taken.append((time.perf_counter() - begin, teu.cpu(), teu.peak()))
        # The last of them is there.
        teu.ask("HEAD", "/v2/%s/blobs/%s" % (servers.REPOSITORY, digest(b"%d" % (count - 1))))
        teu.stop()
    shutil.rmtree(teu.storage)
    wall, cpu, rss = (statistics.median(values) for values in zip(*taken))
    return Result("serve-start", "started with {:,} blobs".format(count), "warm: the page cache has what it keeps", {1: {teu: Sample(cpu, 1 / wall, wall, wall, rss)}})


def many_blobs(storage, count):
    """What pushing so many would leave, without hours of it: crates/depot/src/metadata/schema.sql, and a file for each."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    for part in range(256):
        os.makedirs(os.path.join(storage, "blobs/%02x" % part), exist_ok=True)

    def rows():
        for number in range(count):
            of = b"%d" % number
            found = hashlib.sha256(of)
            ulid = (1 << 80) + number
            text = "".join(alphabet[ulid >> 5 * place & 31] for place in reversed(range(26)))
            hexadecimal = found.hexdigest()
            with open(os.path.join(storage, "blobs", hexadecimal[:2], "sha256-%s-%s" % (hexadecimal, text)), "wb") as f:
                f.write(of)
            yield b"\x01" + found.digest(), len(of), ulid.to_bytes(16, "big")

    with sqlite3.connect(os.path.join(storage, "metadata.sqlite")) as database:
        database.executemany("INSERT INTO blobs (digest, size, ulid) VALUES (?, ?, ?)", rows())
        database.execute(
            "INSERT INTO links (repository, digest, lease) SELECT r.id, b.digest, 1 << 60 FROM repositories r, blobs b WHERE true ON CONFLICT DO NOTHING"
        )
    database.close()


NOTES = """CPU is that of the server's processes for one operation, from /proc/PID/stat; clients are `bench/src/bin/load.rs`, on the same two cores. No server
writes an access log. A push is POST and PUT of the whole. What teu acknowledges lasts: it syncs the file, its directory and the database; none of the
peers syncs anything. nginx gives the same bytes as files, by sendfile. With 100 MiB there are no 256 clients that push: that would be 25 GiB."""

ROWS = {
    "serve-manifests": manifests,
    "serve-1k": blobs("1 KiB", "serve-1k"),
    "serve-1m": blobs("1 MiB", "serve-1m"),
    "serve-100m": blobs("100 MiB", "serve-100m"),
    "serve-push-manifests": push_manifests,
    "serve-push-1k": pushes("1 KiB", "serve-push-1k", 4000),
    "serve-push-1m": pushes("1 MiB", "serve-push-1m", 600),
    "serve-push-100m": pushes("100 MiB", "serve-push-100m", 16),
    "serve-mix": mixed,
    "serve-tags": tags,
    "serve-start": start,
}
NEEDS_REGISTRY = set()
