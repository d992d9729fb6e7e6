"""The registry that images are copied to and from: registry:3 where it is built, Debian's docker-registry else, on loopback, with a line for each request."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from process import free_port, until_it_answers

MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


def program(peers):
    built = os.path.join(peers, "bin/registry")
    return built if os.access(built, os.X_OK) else shutil.which("docker-registry")


class Registry:
    def __init__(self, path, directory):
        self.path = path
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
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self.process = subprocess.Popen(
            [self.path, "serve", self.config], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=environment
        )
        until_it_answers(self.process, self.host, self.path, self.log_path)

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
            return sum(1 for line in f if re.match(rb'\S+ - .*" [2-5]\d\d ', line))

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
