"""What serves images? teu, its peers and nginx, each started for real on loopback, filled alike, and watched from outside."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess

from process import Failed, free_port, skipped, until_it_answers
from tools import built

ACCEPT = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "bench/app"
# The clock of /proc/PID/stat.
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A server and the directory of what it keeps."""

    pushes = True
    # What it listens to before it can be asked, of which it says no other name.
    key = title = version = None

    def __init__(self, bench, key, title, version, path, work=None):
        self.bench, self.key, self.title, self.version, self.path = bench, key, title, version, path
        self.work = os.path.join(work or bench.work, "serve-" + key)
        self.storage = os.path.join(self.work, "storage")
        self.process = None
        os.makedirs(self.work, exist_ok=True)

    def argv(self):
        raise NotImplementedError

    def start(self):
        self.host = "127.0.0.1:%d" % free_port()
        self.prepare()
        log_path = os.path.join(self.work, "log")
        with open(log_path, "w") as log:
            self.process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.bench.env, "OTEL_TRACES_EXPORTER": "none"}
            )
        until_it_answers(self.process, self.host, self.title, log_path)

    def prepare(self):
        """What must be there before it starts, at this address."""

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def empty(self):
        """The same with nothing in it."""
        self.stop()
        shutil.rmtree(self.storage, ignore_errors=True)
        self.start()

    # ------------------------------------------------------------ watching

    def processes(self):
        """It and what it started."""
        found, of = [], {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name) as f:
                        of.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
                except OSError:
                    pass  # It has ended meanwhile.
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += of.get(pid, [])
        return found

    def cpu(self):
        """Seconds of user and system time so far."""
        used = 0
        for pid in self.processes():
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICKS

    def forget_peak(self):
        for pid in self.processes():
            with open("/proc/%d/clear_refs" % pid, "w") as f:
                f.write("5")

    def peak(self):
        """Bytes of memory that its processes had at most since that was forgotten."""
        total = 0
        for pid in self.processes():
            with open("/proc/%d/status" % pid) as f:
                total += next((int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:")), 0)
        return total

    # ------------------------------------------------------------ filling

    def ask(self, method, target, content=b"", headers=None):
        connection = http.client.HTTPConnection(self.host, timeout=600)
        try:
            connection.request(method, target, content, headers or {})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 300:
                raise Failed("%s: %s %s: %d %s" % (self.title, method, target, answer.status, body[:200]))
            return answer, body
        finally:
            connection.close()

    def push(self, content):
        answer, _ = self.ask("POST", "/v2/%s/blobs/uploads/" % REPOSITORY)
        target = answer.headers["Location"]
        target = target.replace("http://" + self.host, "")
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.ask("PUT", "%s%sdigest=%s" % (target, "&" if "?" in target else "?", digest), content, {"Content-Type": "application/octet-stream"})

    def tag(self, manifest, tags):
        for tag in tags:
            self.ask("PUT", "/v2/%s/manifests/%s" % (REPOSITORY, tag), manifest, {"Content-Type": ACCEPT})


class Teu(Server):
    def argv(self):
        return [self.path, "serve", "--progress", "none", "--listen", self.host, "--data", self.storage]

    def tag(self, manifest, tags):
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        # It names each in a header of its own, of which http.client reads no more than 100.
        for begin in range(0, len(tags), 50):
            query = "&".join("tag=" + tag for tag in tags[begin : begin + 50])
            self.ask("PUT", "/v2/%s/manifests/%s?%s" % (REPOSITORY, digest, query), manifest, {"Content-Type": ACCEPT})


class Distribution(Server):
    """docker-registry and what became of it."""

    def argv(self):
        return [self.path, "serve", os.path.join(self.work, "config.yml")]

    def prepare(self):
        with open(os.path.join(self.work, "config.yml"), "w") as f:
            json.dump(
                {
                    "version": 0.1,
                    "log": {"level": "error", "accesslog": {"disabled": True}},
                    # It is what both ship with.
                    "storage": {"filesystem": {"rootdirectory": self.storage}, "cache": {"blobdescriptor": "inmemory"}},
                    "http": {"addr": self.host, "secret": "bench"},
                },
                f,
            )

    def tag(self, manifest, tags):
        """What pushing them one by one would write, without half an hour of it."""
        super().tag(manifest, tags[:1])
        digest = "sha256/" + hashlib.sha256(manifest).hexdigest()
        base = os.path.join(self.storage, "docker/registry/v2/repositories", REPOSITORY, "_manifests/tags")
        for tag in tags[1:]:
            for directory in ("current", "index/" + digest):
                path = os.path.join(base, tag, directory)
                os.makedirs(path)
                with open(os.path.join(path, "link"), "w") as f:
                    f.write(digest.replace("/", ":"))


class Zot(Server):
    def argv(self):
        return [self.path, "serve", os.path.join(self.work, "config.json")]

    def prepare(self):
        address, port = self.host.split(":")
        with open(os.path.join(self.work, "config.json"), "w") as f:
            json.dump(
                {
                    "distSpecVersion": "1.1.1",
                    "storage": {"rootDirectory": self.storage, "gc": False},
                    "http": {"address": address, "port": port},
                    "log": {"level": "error"},
                },
                f,
            )


class Nginx(Server):
    """Files at the same addresses: what is left to win where a registry only reads."""

    pushes = False

    def argv(self):
        return [self.path, "-p", self.work, "-c", os.path.join(self.work, "nginx.conf"), "-e", os.path.join(self.work, "errors")]

    def prepare(self):
        os.makedirs(os.path.join(self.storage, "v2", REPOSITORY, "blobs"), exist_ok=True)
        os.makedirs(os.path.join(self.storage, "v2", REPOSITORY, "manifests"), exist_ok=True)
        with open(os.path.join(self.storage, "v2/index.html"), "w") as f:
            f.write("{}")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(os.path.join(self.work, "nginx.conf"), "w") as f:
            f.write(
                """%s daemon off; worker_processes auto; pid %s/pid;
                events { worker_connections 1024; }
                http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;
                server { listen %s; root %s; } }"""
                % (user, self.work, self.host, self.storage)
            )

    def push(self, content):
        self.write("blobs/sha256:" + hashlib.sha256(content).hexdigest(), content)

    def tag(self, manifest, tags):
        for tag in tags:
            self.write("manifests/" + tag, manifest)

    def write(self, name, content):
        with open(os.path.join(self.storage, "v2", REPOSITORY, name), "wb") as f:
            f.write(content)


def elsewhere(server, work):
    """Another of the same kind, with a place of its own."""
    return type(server)(server.bench, server.key, server.title, server.version, server.path, work)


def find(bench):
    """Those that are to be had here, teu first."""
    teu = bench.teu
    servers = [Teu(bench, "teu", "teu", teu.version, teu.path)]
    registry = built(bench.peers, "registry", "github.com/distribution/distribution/v3", "registry:3")
    if registry:
        servers.append(Distribution(bench, "registry3", registry.title, registry.version, registry.path))
    zot = built(bench.peers, "zot", "zotregistry.dev/zot/v2")
    if zot:
        servers.append(Zot(bench, *zot[:2], zot.version, zot.path))
    debian = shutil.which("docker-registry")
    if debian:
        version = subprocess.run([debian, "--version"], capture_output=True, text=True, check=False).stdout.split()
        servers.append(Distribution(bench, "registry2", "registry:2 (Debian)", version[-1].split("+")[0] if version else "?", debian))
    else:
        skipped("registry:2", "docker-registry is not installed")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if os.access(nginx, os.X_OK):
        said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
        servers.append(Nginx(bench, "nginx", "limit: nginx", said.rsplit("/", 1)[-1].split()[0], nginx))
    else:
        skipped("nginx", "it is not installed")
    return servers
