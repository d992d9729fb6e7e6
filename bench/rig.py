"""What a row is measured with: places on a disk, a registry, and the tools that take turns."""

import collections
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import registry
import tools
from process import ROOT, Failed, Sample, measure, skipped

MEMORY = 64 << 20  # what teu may take, whatever the image

# A part of a job alone, by the fastest who does it (limits.py): its command, what is removed before, whether the job cannot be done without it, and
# whether it is done as often as the job.
Limit = collections.namedtuple("Limit", "key title argv removes counts repeats", defaults=[None, True, False])


def layout_digest(path):
    with open(os.path.join(path, "index.json")) as f:
        return json.load(f)["manifests"][0]["digest"]


class Bench:
    def __init__(self, options):
        self.options = options
        self.mounts, self.registry, self.origin = [], None, None
        self.work = tempfile.mkdtemp(prefix="teu-bench.", dir=options.disk)
        # What rows have started themselves (servers.py), what they share (serving.py), and what they keep for the next.
        self.servers, self.served, self.kept = [], None, {}
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    def open(self):
        options = self.options
        self.corpus, self.peers = os.path.abspath(options.corpus), os.path.abspath(options.peers)
        self.home = os.path.join(self.work, "home")
        os.makedirs(self.home)
        # No one's credentials, certificates or caches take part.
        self.env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.home,
            "XDG_CACHE_HOME": os.path.join(self.home, "cache"),
            "XDG_DATA_HOME": os.path.join(self.home, "data"),
            "TMPDIR": self.work,
        }
        self.image = os.path.join(self.corpus, "edge" if options.smoke else "bench")
        self.tools = tools.find(ROOT, self.peers, self.env)
        program = registry.program(self.peers)
        if program:
            self.registry = registry.Registry(program, os.path.join(self.work, "registry"))
        else:
            skipped("rows with a registry", "registry:3 is not built (scripts/peers.sh), and docker-registry not installed")

    def close(self):
        # What is cleared away is cleared away to the end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for server in [*self.servers, self.registry, self.origin]:
            if server:
                server.stop()
        for mount in reversed(self.mounts):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def once(self, key, make):
        """What several rows want, made for the first of them."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def forget(self):
        """skopeo keeps where it saw a blob, which turns the next push into mounts: each timed run begins without."""
        for base in ("/var/lib/containers/cache" if self.options.private else None, os.path.join(self.home, "data")):
            if base:
                shutil.rmtree(base, ignore_errors=True)

    # ------------------------------------------------------------ copying

    @property
    def teu(self):
        return self.tools[0]

    def copy(self, tool, source, destination, **more):
        """The command by which a tool copies, or None where it has none (tools.py)."""
        hosts = {"docker": self.registry and self.registry.host, "origin": self.origin and self.origin.host}
        return tools.copy(tool, source, destination, hosts, **more)

    def second_registry(self):
        """Another one, that images come from."""
        if not self.origin:
            self.origin = registry.Registry(self.registry.path, os.path.join(self.work, "origin"))
        return self.origin

    def fill_registry(self, image, name, kind="docker"):
        if not {"docker": self.registry, "origin": self.origin}[kind].digest(name):
            measure(self.copy(self.teu, ("oci", image), (kind, name)), self.env)

    def requests(self):
        return sum(one.requests() for one in (self.registry, self.origin) if one)

    # ------------------------------------------------------------ a row

    def row(self, key, title, state, command, prepare=None, check=None, repeat=1, turns=None, warm_up=True, tools=None, limit=MEMORY, status=0, limits=()):
        """Measures one row. command(tool) gives the argv or None; prepare(tool) is not timed; check(tool) gives what came out and what should
        have; tools are those of copying unless others are given, teu first; turns is how many at most; limit is what teu may take of memory; limits are
        what the machine itself takes for parts of the job, measured in the same turns."""
        commands = {tool: command(tool) for tool in tools or self.tools}
        running = [tool for tool in commands if commands[tool]]
        samples = collections.defaultdict(list)
        failed = {}
        turns = 1 if self.options.smoke else min(turns or self.options.turns, self.options.turns)
        for turn in range(-1 if warm_up and not self.options.smoke else 0, turns):
            for tool in running:
                if tool in failed:
                    continue
                try:
                    sample = self.turn(commands[tool], lambda: prepare and prepare(tool), repeat, status)
                    got, want = check(tool) if check else (None, None)
                    if got != want:
                        raise Failed("%s instead of %s came out" % (got, want))
                except Failed as error:
                    failed[tool] = str(error)
                    print("bench: %s of %s failed: %s" % (key, tool.title, error), file=sys.stderr)
                    continue
                if turn >= 0:
                    samples[tool].append(sample)
            for part in limits:
                if part.removes:
                    shutil.rmtree(part.removes, ignore_errors=True)
                self.settle()
                cpu, wall, rss = measure(part.argv, self.env, repeat if part.repeats else 1)
                if turn >= 0:
                    samples[part].append(Sample(cpu, wall, rss, 0))
        for part in limits:
            if part.removes:
                shutil.rmtree(part.removes, ignore_errors=True)
        if running[0] in failed:
            raise Failed("%s: teu failed: %s" % (key, failed[running[0]]))

        def medians(of):
            return {one: Sample(*(statistics.median_low(values) for values in zip(*samples[one]))) for one in of if samples[one]}

        by_tool = medians(tool for tool in running if tool not in failed)
        return Result(key, title, state, by_tool, turns, repeat, medians(limits), limit)

    def turn(self, argv, prepare, repeat, status):
        self.forget()
        prepare()
        self.settle()
        before = self.requests()
        taken = measure(argv, self.env, repeat, status)
        return Sample(*taken, self.requests() - before)

    def settle(self):
        """What others wrote to a file system and did not sync is on nobody's bill: neither of who syncs it, nor of whoever waits behind the kernel's writing."""
        for mount in self.mounts:
            subprocess.run(["sync", "-f", mount], check=True)

    # ------------------------------------------------------------ places

    def fresh(self, name, disk=None):
        path = os.path.join(disk or self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def need(self, size):
        free = shutil.disk_usage(self.work).free
        if free < size:
            raise Failed("it needs %d GiB on %s, where %.1f GiB are free" % (size >> 30, self.options.disk, free / 2**30))

    def touched(self, size):
        """Memory that the machine had not touched before costs several times as much as other: whoever came first would pay for it."""
        path = os.path.join(self.work, "touched")
        with open(path, "wb") as f:
            chunk = b"\1" * (1 << 20)
            for _ in range(size >> 20):
                f.write(chunk)
        os.unlink(path)

    def file_system(self, kind, size):
        """A file system of that kind in a file on the bench's disk, mounted for this process alone."""
        file, mount = os.path.join(self.work, kind + ".img"), os.path.join(self.work, kind)
        if mount in self.mounts:
            return mount
        if not self.options.private:
            raise Failed("mounting needs root and unshare")
        if not shutil.which("mkfs." + kind):
            raise Failed("mkfs.%s is missing" % kind)
        os.makedirs(mount)
        with open(file, "wb") as f:
            f.truncate(size)
        for argv in (["mkfs." + kind, "-q", file], ["mount", "-o", "loop,discard", file, mount]):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Failed("%s: %s" % (argv[0], done.stderr.strip()))
        self.mounts.append(mount)
        return mount


class Result(collections.namedtuple("Result", "key title state medians turns repeat limits most reached", defaults=[()])):
    """What came of a row; `limits` are parts of the job alone; `most` is what teu may take of memory; `reached` is what the row has to say beside times
    (aims.Aim)."""

    headings = ["job", "state", "tool", "CPU", "wall", "MiB", "requests", "CPU ÷ teu's", "wall ÷ teu's"]

    def lines(self):
        ours = next(iter(self.medians.values()))
        for tool, sample in self.medians.items():
            first = sample is ours
            yield [
                self.title if first else "",
                self.state if first else "",
                ("%s %s" % (tool.title, tool.version)).strip(),
                seconds(sample.cpu),
                seconds(sample.wall),
                mebibytes(sample.rss),
                "%d" % sample.requests,
                "" if first else ratio(sample.cpu, ours.cpu),
                "" if first else ratio(sample.wall, ours.wall),
            ]
        for part, sample in self.limits.items():
            times = ratio(sample.cpu, ours.cpu), ratio(sample.wall, ours.wall)
            yield ["", "", "limit: " + part.title, seconds(sample.cpu), seconds(sample.wall), mebibytes(sample.rss), "", *times]

    def kept(self):
        """All that it is judged by, as JSON has it."""
        return {
            "state": self.state,
            "medians": [[*named(tool), *sample] for tool, sample in self.medians.items()],
            "limits": [[part.key, part.title, part.counts, *sample] for part, sample in self.limits.items()],
            **{"turns": self.turns, "repeat": self.repeat, "most": self.most, "reached": [list(aim) for aim in self.reached]},
        }

    @classmethod
    def again(cls, key, title, kept):
        """What `kept` gave."""
        medians = {again(*one[:3]): Sample(*one[3:]) for one in kept["medians"]}
        parts = {Limit(part[0], part[1], (), counts=part[2]): Sample(*part[3:]) for part in kept["limits"]}
        return cls(key, title, kept["state"], medians, kept["turns"], kept["repeat"], parts, kept["most"], kept["reached"])


def named(tool):
    return [tool.key, tool.title, tool.version]


def again(key, title, version):
    """Whoever was named so."""
    return tools.Tool(key, title, None, version)


def seconds(value):
    return "%.2f s" % value if value >= 1 else "%.1f ms" % (value * 1000)


def mebibytes(value):
    return "%.0f" % (value / 2**20) if value >= 10 << 20 else "%.1f" % (value / 2**20)


def ratio(theirs, ours):
    return "%.2f" % (theirs / ours) if ours else "-"


def disk_kind(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    # What stat calls all of them by.
    return {"ext2/ext3": "ext4"}.get(done.stdout.strip(), done.stdout.strip() or "?")
