"""Commands, run and measured from outside, and what the parts of the bench say to one another when they fail."""

import functools
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Seconds, bytes, and how many requests registries saw.
Sample = namedtuple("Sample", "cpu wall rss requests")


class Failed(Exception):
    pass


SAID = set()


def skipped(what, why):
    """One line for what this machine cannot do, once."""
    line = "SKIPPED bench %s: %s" % (what, why)
    if line not in SAID:
        SAID.add(line)
        print(line, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What the programs are built of, beside what Cargo.lock names.
SOURCES = {"measure": ["bench/src/bin/measure.rs"], "load": ["bench/src/bin/load.rs", "crates/spec/src/**/*.rs"]}


@functools.lru_cache
def helper(name):
    """One of the programs of bench/src/bin: as a release, or, where no speed is told, as the tests built it too. One that is older than what it is made of
    measures something else, and is not taken."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    profiles = ("release", "quick", "debug") if "--smoke" in sys.argv else ("release", "quick")
    paths = [os.path.join(target, profile, name) for profile in profiles]
    there = [path for path in paths if os.access(path, os.X_OK)]
    sources = [file for pattern in SOURCES[name] for file in glob.glob(os.path.join(ROOT, pattern), recursive=True)]
    newest = max(os.path.getmtime(source) for source in sources)
    for path in there:
        if os.path.getmtime(path) >= newest:
            return path
    what = "%s is older than its source" % there[0] if there else "there is no %s" % paths[0]
    raise SystemExit("bench: %s: cargo build --release --package bench --features load" % what)


def until_it_answers(process, host, title, log_path):
    """Waits for a registry that was just started, at most half a minute."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            urllib.request.urlopen("http://%s/v2/" % host, timeout=60).close()
            return
        except OSError:
            if process.poll() is not None:
                with open(log_path) as log:
                    raise Failed("%s ended at once: %s" % (title, log.read()[-500:]))
            time.sleep(0.001)
    raise Failed("%s does not answer at %s" % (title, host))


def measure(argv, env, repeat=1, status=0):
    """Runs a command `repeat` times, which is to end with this status: CPU and wall time of all runs, and the peak of memory (bench/src/bin/measure.rs)."""
    with tempfile.TemporaryFile() as errors:
        # A group of its own, so that whoever ends the bench ends it with all that it started.
        command = [helper("measure"), str(repeat), str(status), *argv]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, process_group=0)
        try:
            out, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        said = json.loads(out) if process.returncode == 0 else None
        if said is None or said["status"] != status:
            errors.seek(0)
            ended = "" if said is None else "it ended with %d: " % said["status"]
            raise Failed("%s\n%s%s" % (" ".join(argv), ended, errors.read().decode(errors="replace").strip()[-2000:]))
    return said["cpu"], said["wall"], said["rss"]
