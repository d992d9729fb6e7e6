#!/usr/bin/env python3
"""Measures teu beside its peers: the same image, registry and disk, in turns, in one run. `cargo run -p bench` builds all that it takes, and starts it.

usage: scripts/bench.py [--only ROW,ROW] [--turns N] [--write] [--smoke] [--list] [--page] [--corpus DIR] [--peers DIR] [--disk DIR] [ROW…]

Each row is a job that teu and those of its peers that can do it do in turns (A B C D, A B C D, …) after a warm-up that does not count. Reported are medians of CPU (user
and system, of the whole process tree), wall time and peak memory, the requests that registries saw, and how many times as much CPU and time a peer took. CPU is the figure
that survives a noisy machine.

ROW is any of those that --list names; all of them when none is named. --write puts each row into bench/results.json and bench/RESULTS.md when it was measured; the others stay
there as they were, and are judged anew; --page does that alone. --smoke runs every row once on a tiny image and checks outcomes, not speeds. TEU in the environment names the binary (target/dist/teu-MACHINE-linux).

The standard library alone, and what bench/src builds.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
sys.dont_write_bytecode = True

import copying  # noqa: E402
import inside  # noqa: E402
import large  # noqa: E402
import looking  # noqa: E402
import report  # noqa: E402
import serving  # noqa: E402
from process import Failed, skipped  # noqa: E402
from rig import Bench  # noqa: E402

# The groups of bench/RESULTS.md.
GROUPS = [
    ("From place to place", copying),
    ("A file of 2 GiB and five small layers", large),
    ("Inside an image", inside),
    ("What is in an image", looking),
    ("What a registry serves", serving),
]
ROWS = {key: row for _, module in GROUPS for key, row in module.ROWS.items()}
NEEDS_REGISTRY = set().union(*(module.NEEDS_REGISTRY for _, module in GROUPS))


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
    parser.add_argument("--only", action="append", default=[], metavar="ROW,ROW", help="the same, by commas")
    parser.add_argument("--turns", type=int, default=5, help="how many at most; rows that take long have fewer (default: 5)")
    parser.add_argument("--write", action="store_true", help="put the rows into bench/results.json and bench/RESULTS.md")
    parser.add_argument("--smoke", action="store_true", help="every row once, on a tiny image")
    parser.add_argument("--list", action="store_true", help="the rows")
    parser.add_argument("--page", action="store_true", help="make bench/RESULTS.md of bench/results.json once more, by the aims of today, and measure nothing")
    parser.add_argument("--corpus", default=os.environ.get("TEU_CORPUS", os.path.join(ROOT, "target/corpus")))
    parser.add_argument("--peers", default=os.environ.get("TEU_PEERS", os.path.join(ROOT, "target/peers")))
    parser.add_argument("--disk", default=default_disk())
    options = parser.parse_args()
    if options.list:
        print("\n".join(ROWS))
        return
    if options.page:
        report.write_page(said())
        return
    named = [*options.rows, *(row for rows in options.only for row in rows.replace(",", " ").split())]
    unknown = [row for row in named if row not in ROWS]
    if unknown:
        sys.exit("bench: no such row: %s (%s)" % (", ".join(unknown), " ".join(ROWS)))
    options.private = own_mounts()
    # Whoever ends the bench finds no registry and no files of it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    # What registries are asked for is made up, and no image.
    if any(row not in serving.ROWS for row in named or ROWS):
        subprocess.run([os.path.join(ROOT, "scripts/corpus.sh"), options.corpus, "small" if options.smoke else "bench"], check=True)
    bench = Bench(options)
    try:
        broken = run(bench, options, named or ROWS)
    finally:
        bench.close()
    if broken:
        sys.exit(1)


def said():
    """The groups of rows, and what is to be said of each."""
    return [(title, module.ROWS, getattr(module, "NOTES", "")) for title, module in GROUPS]


def run(bench, options, named):
    """Measures the rows; what of them teu itself failed."""
    begin, results, broken = time.monotonic(), [], []
    groups = said()
    for key in named:
        if key in NEEDS_REGISTRY and not bench.registry:
            continue
        since = time.monotonic()
        try:
            result = ROWS[key](bench)
        except Failed as error:
            # A row that teu itself fails is a failure of the bench; one that this machine cannot run is not.
            if "teu failed" in str(error):
                broken.append(str(error))
                print("bench: %s" % error, file=sys.stderr)
            else:
                skipped(key, error)
            continue
        results.append(result)
        if not options.smoke:
            report.print_table([result])
            print("%s took %.0f s\n" % (key, time.monotonic() - since))
        if options.write:
            # What is measured is not lost where the next row ends the run.
            report.write(bench, groups, [result])
        over = report.over(result)
        if over:
            broken.append("%s: teu failed: %s" % (key, over))
            print("bench: %s" % broken[-1], file=sys.stderr)
    if options.smoke:
        print("bench: %d rows ran, and what they made has the digest of its source" % len(results))
    else:
        report.print_aims(results)
        print("\n%s\n\nbench: %d rows in %.0f min" % ("\n".join(report.describe(bench)), len(results), (time.monotonic() - begin) / 60))
    return broken


if __name__ == "__main__":
    main()
