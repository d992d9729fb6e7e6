"""What is said of the results: tables for a terminal, and bench/RESULTS.md."""

import itertools
import os
import platform
import re
import statistics
import sys
import time

from rig import MEMORY, ROOT, disk_kind, measure, ratio, seconds



def print_rows(rows, texts):
    """Columns as wide as they must be; the first `texts` of them begin at the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) if i < texts else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    sys.stdout.flush()


def print_table(results):
    for headings, alike in itertools.groupby(results, lambda result: result.headings):
        print_rows([headings] + [line for result in alike for line in result.lines()], 3)


def print_aims(results):
    reached = list(aims(results))
    if reached:
        print_rows([AIM_HEADINGS] + reached, 1)


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
    image = "; an image of %.0f MB" % (size / 1e6) if size else ""
    cpu, wall, rss = floor(bench)
    binary = os.path.relpath(bench.tools[0].path, ROOT)
    # Where else it lies is nobody's business.
    binary = os.path.basename(binary) if binary.startswith("..") else binary
    return [
        "%s, %d cores, Linux %s; files on %s; %s%s."
        % (model, os.cpu_count(), platform.release(), disk_kind(bench.work), time.strftime("%Y-%m-%d", time.gmtime()), image),
        "When it was written, %.1f processes wanted to run on average: beside a busy machine the wall times and much of the CPU are its own."
        % os.getloadavg()[0],
        "teu is %s; %d turns, or as many as a row says (3 to unpack and to serve, 5 to look, 1 for the memory)." % (binary, bench.options.turns),
        "Measuring itself costs %s CPU, %s wall; memory below %.0f MiB cannot be told." % (seconds(cpu), seconds(wall), rss / 2**20),
    ]


PATH = os.path.join(ROOT, "bench/RESULTS.md")
# Between what several runs measured of a group.
BETWEEN = "\n\n---\n\n"
HEAD = """# teu beside its peers

Written by `make bench` (`scripts/bench.py --write`), row by row: what is said of a run is of the rows below it; [docs/performance.md](../docs/performance.md) tells where the time goes.

Medians of the turns that are told, after a warm-up. CPU is user and system time of the whole process tree. A ratio above 1 means that teu took less.
*Cold*: nothing is at the destination; *warm*: all of it is. The page cache is warm in every row. A *limit* is what a part of the job takes alone, by the
fastest program that Debian has for it, in the same turns.
"""


class Run:
    """What one run of the bench measured: what is said of it, its rows by job and state, and what they reach."""

    def __init__(self, described, heading, rows, aims):
        self.described, self.heading, self.rows, self.aims = described, heading, rows, aims

    @classmethod
    def of(cls, bench, results):
        heading = [row(results[0].headings), "|" + "---|" * 3 + "---:|" * 6]
        rows = {}
        for result in results:
            for lines in blocks([row(line) for line in result.lines()]):
                rows[job(lines)] = lines
        return cls(describe(bench), heading, rows, [row(line) for line in aims(results)])

    @classmethod
    def read(cls, text):
        """As it was written by `lines`."""
        paragraphs = text.strip("\n").split("\n\n")
        tables = [paragraph.split("\n") for paragraph in paragraphs if paragraph.startswith("|")]
        if not tables:
            return None
        described = paragraphs[: next(at for at, paragraph in enumerate(paragraphs) if paragraph.startswith("|"))]
        rows = {job(lines): lines for lines in blocks(tables[0][2:])}
        return cls(described, tables[0][:2], rows, tables[1][2:] if len(tables) > 1 else [])

    def without(self, newer):
        """What it says that a newer one does not, or none."""
        rows = {key: lines for key, lines in self.rows.items() if key not in newer.rows}
        said = {cells(line)[0] for line in newer.aims}
        titles = tuple(title for title, _ in rows)
        reached = [line for line in self.aims if cells(line)[0].startswith(titles) and cells(line)[0] not in said]
        return Run(self.described, self.heading, rows, reached) if rows else None

    def lines(self):
        for line in self.described:
            yield line + "\n"
        yield from self.heading
        for lines in self.rows.values():
            yield from lines
        if self.aims:
            yield "\nWhat teu is to reach, CPU against the best of the current peers (crane, skopeo now) unless another is named:\n"
            yield "| " + " | ".join(AIM_HEADINGS) + " |\n|---|---:|---:|"
            yield from self.aims


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def blocks(lines):
    """The lines of each row: its first names the job, the others say nothing there."""
    found = []
    for line in lines:
        if cells(line)[0]:
            found.append([])
        found[-1].append(line)
    return found


def job(lines):
    return tuple(cells(lines[0])[:2])


def write(bench, groups):
    """Writes what was measured: (title, results, what is to be said). What was measured before, and not again, stays as it was."""
    kept = {}
    if os.path.exists(PATH):
        with open(PATH) as f:
            kept = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", f.read(), re.MULTILINE | re.DOTALL))
    for title, results, notes in groups:
        if results:
            newest = Run.of(bench, results)
            older = (Run.read(text) for text in kept.get(title, "").split(BETWEEN))
            older = (run.without(newest) for run in older if run)
            texts = ["\n".join(run.lines()) for run in (newest, *older) if run]
            kept[title] = "\n%s\n" % BETWEEN.join(texts) + ("\n%s\n" % notes if notes else "")
    # Whole, however it ends.
    with open(PATH + ".new", "w") as f:
        f.write(HEAD)
        for title, _, _ in groups:
            if title in kept:
                f.write("\n## %s\n%s\n" % (title, kept[title].rstrip("\n")))
    os.replace(PATH + ".new", PATH)
    print("bench: written to bench/RESULTS.md")


def row(cells):
    """A row of a table in Markdown, in which a command may have a pipe."""
    return "| %s |" % " | ".join(cell.replace("|", "\\|") for cell in cells)


AIM_HEADINGS = ["job", "aim", "reached"]
# Peers that are current: what teu is to be ahead of.
COPYING = ("crane", "current", "library")
# What teu is to reach: how many times less CPU, or wall time, than the best of these peers.
AIMS = {
    "pull": [(COPYING, "CPU", 1.35)],
    "push": [(COPYING, "CPU", 1.35)],
    "local": [(COPYING, "CPU", 1.5)],
    "local-ext4": [(COPYING, "CPU", 1.5)],
    "local-reflink": [(COPYING, "CPU", 2.5)],
    "up-to-date": [(COPYING, "CPU", 10)],
    "up-to-date-push": [(COPYING, "CPU", 10)],
    "sync": [(("crane", "current", "debian"), "CPU", 10)],
    **{"unpack" + what: [(["umoci"], "CPU", 3.3), (["umoci"], "wall", 5)] for what in ("", "-zstd", "-many", "-ext4", "-many-ext4")},
    **{"unpack-files" + what: [(["tar"], "CPU", 1.8)] for what in ("", "-zstd", "-many", "-ext4")},
    "append": [(["umoci"], "CPU", 1), (["umoci"], "wall", 1)],
    "repack": [(["umoci"], "CPU", 5), (["umoci"], "wall", 5)],
    "files": [(["tar"], "CPU", 2.8)],
    "verify": [(["zcat"], "CPU", 2.8)],
    "verify-remote": [(["crane"], "CPU", 4.5)],
}
# How many times the CPU of the parts that nobody can leave out.
BESIDE_PARTS = {
    **{key: 1.2 for key in ("pull", "push", "local", "local-ext4", "local-reflink")},
    **{key: 1.3 for key in AIMS if key.startswith(("unpack", "verify", "files"))},
}


def aims(results):
    for result in results:
        if hasattr(result, "aims"):
            yield from result.aims()
            continue
        teu = next(iter(result.medians.values()))
        by_key = {tool.key: (tool, sample) for tool, sample in result.medians.items()}
        for keys, unit, factor in AIMS.get(result.key, []):
            against = [by_key[key] for key in keys if key in by_key]
            if not against:
                continue
            field = {"CPU": "cpu", "wall": "wall"}[unit]
            best = min(getattr(sample, field) for _, sample in against)
            nearest = next(tool for tool, sample in against if getattr(sample, field) == best)
            of = "" if keys is COPYING else ", %s against %s" % (unit, nearest.title)
            yield [result.title + of, "%.2f" % factor, ratio(best, getattr(teu, field))]
        if result.key == "push" and {"crane", "library"} <= by_key.keys():
            checked = [sample.cpu for key, (_, sample) in by_key.items() if key in ("current", "library")]
            yield [result.title + ", against who checks what is sent", "1.35", ratio(min(checked), teu.cpu)]
        if result.key.startswith("up-to-date"):
            fewest = [by_key[key][1].requests for key in COPYING if key in by_key]
            if fewest and result.key in AIMS:
                yield [result.title + ", requests", "fewer than %d" % min(fewest), "%d" % teu.requests]
        if result.key.startswith("start-"):
            limit = {"start-version": 5, "start-inspect": 10}[result.key]
            yield [result.title + ", wall of each", "≤ %d ms" % limit, "%.1f ms" % (teu.wall / result.repeat * 1000)]
        if result.key.startswith("memory"):
            yield [result.title + ", memory", "≤ %d MiB" % (MEMORY >> 20), "%.0f MiB" % (teu.rss / 2**20)]
        if result.key.endswith("-again"):
            yield [result.title + ", wall of each", "milliseconds", "%.1f ms" % (teu.wall / result.repeat * 1000)]
        parts = [sample.cpu for part, sample in result.limits.items() if part.counts]
        if parts and result.key in BESIDE_PARTS:
            yield [result.title + ", CPU beside its parts alone", "≤ %.2f" % BESIDE_PARTS[result.key], ratio(teu.cpu, sum(parts))]
        for what, aim, reached in result.reached:
            yield ["%s, %s" % (result.title, what), aim, reached]
