"""What a row is measured with: processes, a registry, places on a disk, and the tools that take turns."""

import collections
import json
import os
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
# A part of a job alone, by the fastest who does it (limits.py): its command, what is removed before, whether the job cannot be done without it, and
# whether it is done as often as the job.
Limit = collections.namedtuple("Limit", "key title argv removes counts repeats", defaults=[None, True, False])


def skipped(what, why):
    print("SKIPPED bench %s: %s" % (what, why), flush=True)


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(argv, env, repeat=1, statuses=(0,)):
    """Runs a command `repeat` times, which is to end with one of these statuses; CPU and wall summed. wait4 tells the use of the child and of all
    children that it waited for."""
    cpu = wall = rss = 0
    with tempfile.TemporaryFile() as errors:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        for _ in range(repeat):
            begin = time.perf_counter()
            # A group of its own, so that whoever ends the bench ends it with all that it started.
            pid = os.posix_spawn(argv[0], argv, env, file_actions=actions, setpgroup=0)
            try:
                _, status, usage = os.wait4(pid, 0)
            except BaseException:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
            wall += time.perf_counter() - begin
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss * 1024)
            if os.waitstatus_to_exitcode(status) not in statuses:
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
        self.host = "127.0.0.1:%d" % free_port()
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

    def sent(self):
        """Bytes of content that were sent so far, by the access log."""
        with open(self.log_path, errors="replace") as f:
            return sum(int(size) for size in re.findall(r'"GET [^"]*" 20[06] (\d+)', f.read()))

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
        self.mounts, self.registry, self.work = [], None, tempfile.mkdtemp(prefix="teu-bench.", dir=options.disk)
        # What rows have started themselves (servers.py), and what they share (serving.py).
        self.servers, self.served = [], None
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    def open(self):
        options = self.options
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
        if shutil.which("docker-registry"):
            self.registry = Registry(os.path.join(self.work, "registry"))
        else:
            skipped("rows with a registry", "docker-registry is missing")

    def close(self):
        # What is cleared away is cleared away to the end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for server in [*self.servers, self.registry]:
            if server:
                server.stop()
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

    def row(self, key, title, state, command, prepare=None, check=None, repeat=1, turns=None, warm_up=True, tools=None, limit=MEMORY, statuses=(0,), limits=()):
        """Measures one row. command(tool) gives the argv or None; prepare(tool) is not timed; check(tool) gives what came out and what should
        have; tools are those of copying unless others are given, teu first; limit is what teu may take of memory; limits are what the
        machine itself takes for parts of the job, measured in the same turns."""
        tools = tools or self.tools
        commands = {tool: command(tool) for tool in tools}
        running = [tool for tool in tools if commands[tool]]
        samples = collections.defaultdict(list)
        failed = {}
        turns = 1 if self.options.smoke else min(turns or self.options.turns, self.options.turns)
        for turn in range(-1 if warm_up and not self.options.smoke else 0, turns):
            for tool in running:
                if tool in failed:
                    continue
                self.forget()
                if prepare:
                    prepare(tool)
                before = self.registry.requests() if self.registry else 0
                try:
                    cpu, wall, rss = measure(commands[tool], self.env, repeat, statuses)
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
            for part in limits:
                if part.removes:
                    shutil.rmtree(part.removes, ignore_errors=True)
                cpu, wall, rss = measure(part.argv, self.env, repeat if part.repeats else 1)
                if turn >= 0:
                    samples[part].append(Sample(cpu, wall, rss, 0))
        if failed.get(tools[0]):
            raise Failed("%s: teu failed: %s" % (key, failed[tools[0]]))
        medians = {
            tool: Sample(*(statistics.median(values) for values in zip(*samples[tool])))
            for tool in running
            if samples[tool] and tool not in failed
        }
        alone = {part: Sample(*(statistics.median(values) for values in zip(*samples[part]))) for part in limits}
        for part in limits:
            if part.removes:
                shutil.rmtree(part.removes, ignore_errors=True)
        result = Result(key, title, state, medians, turns, repeat, alone)
        ours = medians[tools[0]]
        if ours.rss > limit:
            raise Failed("%s: teu failed: it took %.0f MiB, more than %d" % (key, ours.rss / 2**20, limit >> 20))
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


class Result(collections.namedtuple("Result", "key title state medians turns repeat limits reached", defaults=[{}, ()])):
    """What came of a row; `limits` are parts of the job alone; `reached` is what it has to say beside times: (what, aim, how far it was reached)."""

    headings = ["job", "state", "tool", "CPU", "wall", "MiB", "requests", "CPU ÷ teu's", "wall ÷ teu's"]

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
        for part, sample in self.limits.items():
            yield ["", "", "limit: " + part.title, seconds(sample.cpu), seconds(sample.wall), "", "", ratio(sample.cpu, teu.cpu), ""]


def seconds(value):
    return "%.2f s" % value if value >= 1 else "%.1f ms" % (value * 1000)


def ratio(theirs, ours):
    return "%.2f" % (theirs / ours) if ours else "-"


def disk_kind(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def module_version(binary, module):
    """The version of a module that a Go program was built with."""
    if not shutil.which("go"):
        return "?"
    out = subprocess.run(["go", "version", "-m", binary], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\t%s\t(\S+)" % re.escape(module), out)
    return found.group(1) if found else "?"
