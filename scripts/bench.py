#!/usr/bin/env python3
"""Measures teu beside its peers: the same image, registry and disk, in turns, in one run.

usage: scripts/bench.py [--turns N] [--write] [--smoke] [--corpus DIR] [--peers DIR] [--disk DIR] [ROW…]

Each row is a job that teu, crane, skopeo as it is now and Debian's skopeo do in turns (A B C D, A B C D, …) after a warm-up that does not
count. Reported are medians of CPU (user and system, of the whole process tree), wall time and peak memory, the requests that the registry
saw, and how many times as much CPU and time a peer took. CPU is the figure that survives a noisy machine.

ROW is any of those that --list names; all of them when none is named. --write puts the tables into bench/RESULTS.md. --smoke runs every row
once on a tiny image and checks outcomes, not speeds. TEU in the environment names the binary (target/release/teu).

The standard library alone.
"""

import argparse
import collections
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

MEMORY = 64 << 20  # what teu may take, whatever the image

Sample = collections.namedtuple("Sample", "cpu wall rss requests")
Tool = collections.namedtuple("Tool", "key title path version")


def skipped(what, why):
    print("SKIPPED bench %s: %s" % (what, why), flush=True)


class Failed(Exception):
    pass


# ---------------------------------------------------------------- measuring


def measure(argv, env, repeat=1):
    """Runs a command `repeat` times; CPU and wall summed. wait4 tells the use of the child and of all children that it waited for."""
    cpu = wall = rss = 0
    with tempfile.TemporaryFile() as errors:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        for _ in range(repeat):
            begin = time.perf_counter()
            pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
            _, status, usage = os.wait4(pid, 0)
            wall += time.perf_counter() - begin
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss * 1024)
            if status != 0:
                errors.seek(0)
                raise Failed("%s\n%s" % (" ".join(argv), errors.read().decode(errors="replace").strip()))
    return cpu, wall, rss


class Registry:
    """Debian's docker-registry on loopback, with a configuration of its own, that writes a line for each request."""

    def __init__(self, directory):
        self.directory = directory
        self.log_path = os.path.join(directory, "registry.log")
        self.storage = os.path.join(directory, "storage")
        self.process = None
        os.makedirs(directory, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = "127.0.0.1:%d" % probe.getsockname()[1]
        self.config = os.path.join(directory, "registry.yml")
        with open(self.config, "w") as f:
            json.dump(
                {
                    "version": 0.1,
                    "log": {"level": "error", "accesslog": {"disabled": False}},
                    "storage": {"filesystem": {"rootdirectory": self.storage}, "delete": {"enabled": True}},
                    "http": {"addr": self.host, "secret": "bench"},
                },
                f,
            )
        self.start()

    def start(self):
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", self.config], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        for _ in range(500):
            try:
                urllib.request.urlopen("http://%s/v2/" % self.host, timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise Failed("docker-registry ended at once: see %s" % self.log_path)
                time.sleep(0.01)
        raise Failed("docker-registry does not answer at %s" % self.host)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.log.close()
            self.process = None

    def empty(self):
        """The same registry with nothing in it, and nothing in its caches."""
        self.stop()
        shutil.rmtree(self.storage, ignore_errors=True)
        self.start()

    def requests(self):
        with open(self.log_path, "rb") as f:
            return sum(1 for line in f if b'" 20' in line or b'" 30' in line or b'" 40' in line)

    def digest(self, name):
        repository, tag = name.rsplit(":", 1)
        request = urllib.request.Request(
            "http://%s/v2/%s/manifests/%s" % (self.host, repository, tag), headers={"Accept": MANIFEST_TYPES}, method="HEAD"
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError:
            return None


def layout_digest(path):
    with open(os.path.join(path, "index.json")) as f:
        return json.load(f)["manifests"][0]["digest"]


# ---------------------------------------------------------------- the bench


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = tempfile.mkdtemp(prefix="teu-bench.", dir=options.disk)
        self.mounts = []
        self.corpus = os.path.abspath(options.corpus)
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
        self.tools = self.find_tools()
        self.registry = Registry(os.path.join(self.work, "registry")) if shutil.which("docker-registry") else None
        if not self.registry:
            skipped("rows with a registry", "docker-registry is missing")

    def close(self):
        if self.registry:
            self.registry.stop()
        for mount in reversed(self.mounts):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def find_tools(self):
        def version(argv):
            out = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False).stdout.split()
            return out[-1] if len(out) <= 2 and out else (out[2] if out else "?")

        tools = []
        teu = os.path.abspath(os.environ.get("TEU", os.path.join(ROOT, "target/release/teu")))
        if not os.access(teu, os.X_OK):
            sys.exit("bench: there is no %s: build it with `cargo build --release`, or name another in TEU" % teu)
        tools.append(Tool("teu", "teu", teu, version([teu, "--version"])))
        built = os.path.join(os.path.abspath(self.options.peers), "bin")
        crane, current, library = (os.path.join(built, name) for name in ("crane", "skopeo", "imagecopy"))
        if os.access(crane, os.X_OK):
            tools.append(Tool("crane", "crane", crane, module_version(crane, "github.com/google/go-containerregistry")))
        else:
            skipped("crane", "it is not built (scripts/peers.sh)")
        if os.access(current, os.X_OK):
            tools.append(Tool("current", "skopeo now", current, module_version(current, "github.com/containers/skopeo")))
        elif os.access(library, os.X_OK):
            # The library, which does all of skopeo's work, in its current version.
            release = module_version(library, "go.podman.io/image/v5")
            tools.append(Tool("library", "skopeo now (its library)", library, release))
        else:
            skipped("current skopeo", "neither it nor its library is built (scripts/peers.sh)")
        if shutil.which("skopeo"):
            debian = shutil.which("skopeo")
            tools.append(Tool("debian", "skopeo (Debian)", debian, version([debian, "--version"])))
        else:
            skipped("Debian's skopeo", "it is not installed")
        return tools

    def forget(self):
        """skopeo keeps where it saw a blob, which turns the next push into mounts: each timed run begins without."""
        for base in ("/var/lib/containers/cache" if self.options.private else None, os.path.join(self.home, "data")):
            if base:
                shutil.rmtree(base, ignore_errors=True)

    def copy(self, tool, source, destination, **more):
        """The command by which a tool copies, or None where it has none. Places are ("oci", path) or ("docker", name)."""
        reference = {"oci": lambda at: "oci:%s:latest" % at, "docker": lambda at: "docker://%s/%s" % (self.registry.host, at)}
        from_, to = reference[source[0]](source[1]), reference[destination[0]](destination[1])
        if tool.key == "teu":
            flags = ["--src-tls-verify=false"] * (source[0] == "docker") + ["--dest-tls-verify=false"] * (destination[0] == "docker")
            return [tool.path, "copy", "--quiet", *flags, *more.get("teu_flags", []), from_, to]
        if tool.key == "library":
            return [tool.path, from_, to]
        if tool.key in ("current", "debian"):
            return [
                tool.path, "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", from_, to
            ]  # fmt: skip
        if (source[0], destination[0]) == ("docker", "oci"):
            return [tool.path, "pull", "--insecure", "--format=oci", "%s/%s" % (self.registry.host, source[1]), destination[1]]
        if (source[0], destination[0]) == ("oci", "docker"):
            return [tool.path, "push", "--insecure", source[1], "%s/%s" % (self.registry.host, destination[1])]
        if (source[0], destination[0]) == ("docker", "docker"):
            names = ["%s/%s" % (self.registry.host, place[1]) for place in (source, destination)]
            return [tool.path, "copy", "--insecure", *names]
        return None  # crane has no copy between layouts

    def row(self, key, title, state, command, prepare=None, check=None, repeat=1, turns=None, warm_up=True):
        """Measures one row. command(tool) gives the argv or None; prepare(tool) is not timed; check() gives the digest that came out."""
        commands = {tool: command(tool) for tool in self.tools}
        running = [tool for tool in self.tools if commands[tool]]
        samples = collections.defaultdict(list)
        failed = {}
        turns = 1 if self.options.smoke else turns or self.options.turns
        for turn in range(-1 if warm_up and not self.options.smoke else 0, turns):
            for tool in running:
                if tool in failed:
                    continue
                self.forget()
                if prepare:
                    prepare(tool)
                before = self.registry.requests() if self.registry else 0
                try:
                    cpu, wall, rss = measure(commands[tool], self.env, repeat)
                except Failed as error:
                    failed[tool] = str(error)
                    print("bench: %s of %s failed: %s" % (key, tool.title, error), file=sys.stderr)
                    continue
                requests = self.registry.requests() - before if self.registry else 0
                if check:
                    got, want = check(tool)
                    if got != want:
                        failed[tool] = "%s instead of %s came out" % (got, want)
                        print("bench: %s of %s is wrong: %s" % (key, tool.title, failed[tool]), file=sys.stderr)
                if turn >= 0:
                    samples[tool].append(Sample(cpu, wall, rss, requests))
        if failed.get(self.tools[0]):
            raise Failed("%s: teu failed: %s" % (key, failed[self.tools[0]]))
        medians = {
            tool: Sample(*(statistics.median(values) for values in zip(*samples[tool])))
            for tool in running
            if samples[tool] and tool not in failed
        }
        result = Result(key, title, state, medians, turns, repeat)
        ours = medians[self.tools[0]]
        if ours.rss > MEMORY:
            raise Failed("%s: teu failed: it took %.0f MiB, more than %d" % (key, ours.rss / 2**20, MEMORY >> 20))
        return result

    # ------------------------------------------------------------ places

    def fresh(self, name, disk=None):
        path = os.path.join(disk or self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def fill_registry(self, image, name):
        if not self.registry.digest(name):
            source = self.copy(self.tools[0], ("oci", image), ("docker", name))
            measure(source, self.env)

    def file_system(self, kind, size):
        """A new file system of that kind in a file on the bench's disk, mounted for this process alone."""
        if not self.options.private:
            raise Failed("mounting needs root and unshare")
        if not shutil.which("mkfs." + kind):
            raise Failed("mkfs.%s is missing" % kind)
        file, mount = os.path.join(self.work, kind + ".img"), os.path.join(self.work, kind)
        os.makedirs(mount)
        with open(file, "wb") as f:
            f.truncate(size)
        for argv in (["mkfs." + kind, "-q", file], ["mount", "-o", "loop", file, mount]):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Failed("%s: %s" % (argv[0], done.stderr.strip()))
        self.mounts.append(mount)
        return mount


class Result(collections.namedtuple("Result", "key title state medians turns repeat")):
    def lines(self):
        teu = next(iter(self.medians.values()))
        for tool, sample in self.medians.items():
            ours = tool.key == "teu"
            yield [
                self.title if ours else "",
                self.state if ours else "",
                "%s %s" % (tool.title, tool.version),
                seconds(sample.cpu),
                seconds(sample.wall),
                "%.0f" % (sample.rss / 2**20),
                "%d" % sample.requests,
                "" if ours else ratio(sample.cpu, teu.cpu),
                "" if ours else ratio(sample.wall, teu.wall),
            ]


HEADINGS = ["job", "state", "tool", "CPU", "wall", "MiB", "requests", "CPU ÷ teu's", "wall ÷ teu's"]


def seconds(value):
    return "%.2f s" % value if value >= 1 else "%.1f ms" % (value * 1000)


def ratio(theirs, ours):
    return "%.2f" % (theirs / ours) if ours else "-"


def module_version(binary, module):
    """The version of a module that a Go program was built with."""
    if not shutil.which("go"):
        return "?"
    out = subprocess.run(["go", "version", "-m", binary], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\t%s\t(\S+)" % re.escape(module), out)
    return found.group(1) if found else "?"


# ---------------------------------------------------------------- the rows


def pull(bench):
    bench.fill_registry(bench.image, "bench:1")
    out = os.path.join(bench.work, "out")
    return bench.row(
        "pull", "registry → oci", "cold: the layout is empty",
        lambda tool: bench.copy(tool, ("docker", "bench:1"), ("oci", out)),
        prepare=lambda tool: bench.fresh("out"),
        check=lambda tool: (layout_digest(out), layout_digest(bench.image)),
    )  # fmt: skip


def push(bench):
    return bench.row(
        "push", "oci → registry", "cold: the registry is empty",
        lambda tool: bench.copy(tool, ("oci", bench.image), ("docker", "pushed:1")),
        prepare=lambda tool: bench.registry.empty(),
        check=lambda tool: (bench.registry.digest("pushed:1"), layout_digest(bench.image)),
    )  # fmt: skip


def local_row(bench, key, title, disk=None, **more):
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
    )  # fmt: skip


def local(bench):
    return local_row(bench, "local", "oci → oci, bytes copied (%s)" % disk_kind(bench.work))


def local_ext4(bench):
    return local_row(bench, "local-ext4", "oci → oci, bytes copied (ext4)", bench.file_system("ext4", 2 << 30))


def local_reflink(bench):
    return local_row(bench, "local-reflink", "oci → oci, reflinks (xfs)", bench.file_system("xfs", 2 << 30))


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
        repeat=repeat, turns=3 if repeat > 1 else None,
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
    )  # fmt: skip


def start_version(bench):
    return bench.row(
        "start-version", "--version, 50 times", "warm",
        lambda tool: {"crane": [tool.path, "version"], "library": None}.get(tool.key, [tool.path, "--version"]),
        repeat=2 if bench.options.smoke else 50,
    )  # fmt: skip


def start_inspect(bench):
    commands = {"teu": "inspect", "debian": "inspect", "current": "inspect"}
    return bench.row(
        "start-inspect", "inspect oci:, 50 times", "warm",
        lambda tool: [tool.path, commands[tool.key], "oci:%s:latest" % bench.image] if tool.key in commands else None,
        repeat=2 if bench.options.smoke else 50,
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
    "start-version": start_version,
    "start-inspect": start_inspect,
    "memory": memory,
    "memory-pull": memory_pull,
    "memory-push": memory_push,
}
NEEDS_REGISTRY = {"pull", "push", "up-to-date", "up-to-date-100", "up-to-date-push", "memory-pull", "memory-push"}


# ---------------------------------------------------------------- telling


def disk_kind(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def print_table(results):
    rows = [HEADINGS] + [line for result in results for line in result.lines()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    sys.stdout.flush()


def floor(bench):
    """What measuring itself costs: no process can be seen to take less."""
    samples = [measure(["/bin/true"], bench.env) for _ in range(21)]
    return [statistics.median(values) for values in zip(*samples)]


def describe(bench):
    model = "?"
    with open("/proc/cpuinfo") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.MULTILINE)
        model = found.group(1) if found else model
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(bench.image) for f in files)
    cpu, wall, rss = floor(bench)
    return [
        "%s, %d cores, Linux %s; files on %s; %s; an image of %.0f MB."
        % (model, os.cpu_count(), platform.release(), disk_kind(bench.work), time.strftime("%Y-%m-%d", time.gmtime()), size / 1e6),
        "When it was written, %.1f processes wanted to run on average: beside a busy machine the wall times and much of the CPU are its own."
        % os.getloadavg()[0],
        "Measuring itself costs %s CPU, %s wall; memory below %.0f MiB cannot be told." % (seconds(cpu), seconds(wall), rss / 2**20),
    ]


def write(bench, results):
    path = os.path.join(ROOT, "bench/RESULTS.md")
    with open(path, "w") as f:
        f.write("# teu beside its peers\n\nWritten by `make bench` (`scripts/bench.py --write`); [docs/performance.md](../docs/performance.md) tells where the time goes.\n")
        f.write("\n".join("\n" + line for line in describe(bench)) + "\n\n")
        f.write(
            "Medians of %d turns (one of the memory rows) after a warm-up. CPU is user and system time of the whole process tree. A ratio above 1\n"
            "means that teu took less. *Cold*: nothing is at the destination; *warm*: all of it is. The page cache is warm in every row.\n\n"
            % bench.options.turns
        )
        f.write("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * 3 + "---:|" * 6 + "\n")
        for result in results:
            for line in result.lines():
                f.write("| " + " | ".join(line) + " |\n")
        f.write("\n## Aims\n\nCPU against the best of the current peers (crane, skopeo now), unless another unit is named.\n\n")
        f.write("| job | aim | reached |\n|---|---:|---:|\n")
        for line in aims(results):
            f.write("| " + " | ".join(line) + " |\n")
        f.write(
            "\ncrane hashes nothing when it pushes a layout: it sends what the layout calls by a digest, and leaves it to the registry to find out. teu and\n"
            "skopeo read and check what they send. The row `push` is therefore also given against those that do the same work.\n"
        )
    print("bench: written to bench/RESULTS.md")


# What teu is to reach: how many times less CPU than the best current peer, or a limit.
AIMS = {
    "pull": 1.35,
    "push": 1.35,
    "local": 1.5,
    "local-ext4": 1.5,
    "local-reflink": 2.5,
    "up-to-date": 10,
    "up-to-date-push": 10,
}


def aims(results):
    for result in results:
        teu = next(iter(result.medians.values()))
        current = {tool.key: sample for tool, sample in result.medians.items() if tool.key in ("crane", "current", "library")}
        if result.key in AIMS and current:
            best = min(sample.cpu for sample in current.values())
            yield [result.title, "%.2f" % AIMS[result.key], ratio(best, teu.cpu)]
            if result.key == "push" and len(current) > 1:
                checked = [sample.cpu for key, sample in current.items() if key != "crane"]
                yield [result.title + ", against who checks what is sent", "%.2f" % AIMS[result.key], ratio(min(checked), teu.cpu)]
            if result.key.startswith("up-to-date"):
                fewest = min(sample.requests for sample in current.values())
                yield [result.title + ", requests", "fewer than %d" % fewest, "%d" % teu.requests]
        if result.key.startswith("start-"):
            limit = {"start-version": 5, "start-inspect": 10}[result.key]
            yield [result.title + ", wall of each", "≤ %d ms" % limit, "%.1f ms" % (teu.wall / result.repeat * 1000)]
        if result.key.startswith("memory"):
            yield [result.title + ", memory", "≤ %d MiB" % (MEMORY >> 20), "%.0f MiB" % (teu.rss / 2**20)]


# ---------------------------------------------------------------- starting


def own_mounts():
    """Goes on in a mount namespace of this process's own, where skopeo's cache is empty and file systems can come and go. True when there."""
    if os.environ.get("TEU_BENCH_PRIVATE") == "1":
        if os.path.isdir("/var/lib/containers"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/containers"], check=True)
        return True
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    probe = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*probe, "true"], capture_output=True, check=False).returncode != 0:
        return False
    os.environ["TEU_BENCH_PRIVATE"] = "1"
    os.execvp("unshare", [*probe, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def default_disk():
    """tmpfs where there is room: what a disk does to a measurement is not what is measured."""
    shm = "/dev/shm"
    if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 8 << 30:
        return shm
    return tempfile.gettempdir()


def main():
    parser = argparse.ArgumentParser(description="teu beside its peers", add_help=True)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--smoke", action="store_true", help="every row once, on a tiny image")
    parser.add_argument("--list", action="store_true", help="the rows")
    parser.add_argument("--corpus", default=os.environ.get("TEU_CORPUS", os.path.join(ROOT, "target/corpus")))
    parser.add_argument("--peers", default=os.environ.get("TEU_PEERS", os.path.join(ROOT, "target/peers")))
    parser.add_argument("--disk", default=default_disk())
    options = parser.parse_args()
    if options.list:
        print("\n".join(ROWS))
        return
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        sys.exit("bench: no such row: %s (%s)" % (", ".join(unknown), " ".join(ROWS)))
    options.private = own_mounts()
    # Whoever ends the bench finds no registry and no files of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run([os.path.join(ROOT, "scripts/corpus.sh"), options.corpus, "small" if options.smoke else "bench"], check=True)
    bench = Bench(options)
    results, broken = [], []
    try:
        for key in options.rows or ROWS:
            if key in NEEDS_REGISTRY and not bench.registry:
                continue
            try:
                results.append(ROWS[key](bench))
            except Failed as error:
                # A row that teu itself fails is a failure of the bench; one that this machine cannot run is not.
                if "teu failed" in str(error):
                    broken.append(str(error))
                    print("bench: %s" % error, file=sys.stderr)
                else:
                    skipped(key, error)
                continue
            if not options.smoke:
                print_table(results[-1:])
                print()
        if not options.smoke:
            print_table(results)
            print()
            print("\n".join(describe(bench)))
        if options.write:
            write(bench, results)
    finally:
        bench.close()
    if broken:
        sys.exit(1)
    if options.smoke:
        print("bench: %d rows ran, and what they made has the digest of its source" % len(results))


if __name__ == "__main__":
    main()
