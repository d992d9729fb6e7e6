"""What is said of the results: tables for a terminal, bench/results.json, which keeps them, and bench/RESULTS.md, which is made of it."""

import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

import aims
import rig
import serving
from process import ROOT, measure
from rig import disk_kind, mebibytes, seconds

KEPT = os.path.join(ROOT, "bench/results.json")
PATH = os.path.join(ROOT, "bench/RESULTS.md")

HEAD = """# teu beside its peers

Made by `make bench`, or `cargo run -p bench -- --only ROW --write` for some of the rows, of [results.json](results.json), where each row stays as it was measured last;
[docs/performance.md](../docs/performance.md) tells where the time goes, and what stands in the way of what was not reached.

A row is a job that teu and those of its peers that can do it do in turns, A B C A B C, on the same disk and beside the same registry, after a warm-up that does not count.
What is told is the median of whole processes (of an even number of turns the lower of the two in the middle): CPU, user and system, of all that a command started; wall time; the peak of memory of its largest process; and the requests
that registries saw. *Cold*: nothing is at the destination, or was seen before; *warm*: all of it is, or was. The page cache is warm in every row. A *limit* is what a
part of the job takes alone, by the fastest program that Debian has for it, in the same turns. Ratios above 1 mean that teu took less.
"""

AIMS_HEAD = """
## Aims

*CPU* and *wall* are those of the best peer (the best that is current; for pushes, of the best that checks what it sends) divided by teu's. *Parts* is teu's CPU divided by that of the limits
that nobody can leave out. What was seen before is to take milliseconds, which is taken to be at most %d. What is not reached is **bold**.

""" % aims.AGAIN
COLUMNS = ("CPU", "wall", "parts", "memory")


# ---------------------------------------------------------------- for a terminal


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
    rows = [[result.title, aim.of, aim.aim, aim.reached, "" if aim.holds else "NOT REACHED"] for result in results for aim in aims.of(result)]
    if rows:
        print_rows([["job", "of", "aim", "is", ""], *rows], 5)


def over(result):
    """What it took of memory, where that is more than it may."""
    if hasattr(result, "aims"):
        return None
    ours = next(iter(result.medians.values())).rss
    return None if ours <= result.most else "it took %.0f MiB, more than %d" % (ours / 2**20, result.most >> 20)


# ---------------------------------------------------------------- what is kept


def describe(bench):
    with open("/proc/cpuinfo") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.MULTILINE)
    model = found.group(1) if found else platform.machine()
    samples = [measure(["/bin/true"], bench.env) for _ in range(21)]
    cpu, wall, rss = (statistics.median(values) for values in zip(*samples))
    binary = os.path.relpath(bench.teu.path, ROOT)
    if binary.startswith(".."):
        # Where else it lies is nobody's business, and of what it was made is not known.
        binary = os.path.basename(binary)
    else:
        said = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
        binary += (", of commit " + said.stdout.strip()) if said.returncode == 0 else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        "%s: %s, %d cores, %.0f GiB, Linux %s; files on %s unless a row says otherwise; at most %d turns, or fewer where a row takes long."
        % (today(), model, os.cpu_count(), memory / 2**30, platform.release(), disk_kind(bench.work), bench.options.turns),
        "teu is %s. When it was written, %.1f processes wanted to run on average: beside a busy machine wall times and much of the CPU are its own. To measure costs %s of CPU and"
        " %s of wall time, and memory below %s MiB cannot be told: that is `true`."
        % (binary, os.getloadavg()[0], seconds(cpu), seconds(wall), mebibytes(rss)),
    ]


def today():
    return time.strftime("%Y-%m-%d", time.gmtime())


def load():
    if not os.path.exists(KEPT):
        return {"runs": [], "rows": {}}
    with open(KEPT) as f:
        return json.load(f)


def write(bench, groups, results):
    """Puts what this run measured so far in the place of what was there, and writes both files. groups: (title, rows by key, what is to be said)."""
    kept = load()
    bench.run = bench.run if hasattr(bench, "run") else {"id": max((run["id"] for run in kept["runs"]), default=0) + 1}
    bench.run.update(date=today(), described=describe(bench))
    for result in results:
        kept["rows"][result.key] = {
            "run": bench.run["id"],
            "title": result.title,
            "headings": result.headings,
            "lines": list(result.lines()),
            "kept": result.kept(),
        }
    known = {key for _, rows, _ in groups for key in rows}
    kept["rows"] = {key: row for key, row in kept["rows"].items() if key in known}
    used = {row["run"] for row in kept["rows"].values()}
    kept["runs"] = [run for run in [bench.run, *(run for run in kept["runs"] if run["id"] != bench.run["id"])] if run["id"] in used]
    lines = ['{"runs": [', ",\n".join(json.dumps(run, ensure_ascii=False) for run in kept["runs"]), '],\n"rows": {']
    lines.append(",\n".join("%s: %s" % (json.dumps(key), json.dumps(row, ensure_ascii=False)) for key, row in sorted(kept["rows"].items())))
    whole(KEPT, "\n".join([*lines, "}}\n"]))
    write_page(groups)


def write_page(groups):
    """Makes bench/RESULTS.md of what is kept."""
    whole(PATH, "".join(page(load(), groups)))
    print("bench: written to bench/RESULTS.md")


def whole(path, text):
    """Written, however it ends."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


# ---------------------------------------------------------------- the page


def judged(key, row):
    """The aims of a row, and whether they are those of today; of rows that were measured before it was kept what they are judged by, those of then."""
    if "kept" not in row:
        return [aims.Aim(*aim) for aim in row["aims"]], False
    kind = serving.Result if row["headings"] == serving.HEADINGS else rig.Result
    return aims.of(kind.again(key, row["title"], row["kept"])), True


def page(kept, groups):
    dates = {run["id"]: run["date"] for run in kept["runs"]}
    newest = kept["runs"][0]["id"] if kept["runs"] else None
    yield HEAD
    yield AIMS_HEAD
    listed = [(key, kept["rows"][key]) for _, rows, _ in groups for key in rows if key in kept["rows"]]
    rows_of = [(key, row, *judged(key, row)) for key, row in listed]
    today_s = [of for _, _, of, is_today_s in rows_of if of and is_today_s]
    every = [aim for of in today_s for aim in of]
    yield "Of %d rows that are judged by the aims of today %d reach all that they aim at; of their %d aims, %d are reached.\n" % (
        len(today_s), sum(all(aim.holds for aim in of) for of in today_s), len(every), sum(aim.holds for aim in every)
    )  # fmt: skip
    older = sum(not is_today_s for *_, is_today_s in rows_of)
    if older:
        yield "%d rows were measured before, and are told by *older aims*: what they were to reach then, and did, as too little was kept of them.\n" % older
    absent = [key for _, rows, _ in groups for key in rows if key not in kept["rows"]]
    if absent:
        yield "Not measured yet: %s.\n" % ", ".join(absent)
    yield "\n"
    yield table_row(["row", "job", *COLUMNS, "and", "reached", "measured"]) + "|---|---|---:|---:|---:|---:|---|---|---|\n"
    for key, row, of, is_today_s in rows_of:
        if of:
            yield aims_row(key, row["title"], of, is_today_s, dates[row["run"]] if row["run"] != newest else "")
    yield "\nMeasured %s, unless a row says otherwise.\n" % dates.get(newest, "")
    for title, rows, notes in groups:
        there = [key for key in rows if key in kept["rows"]]
        if not there:
            continue
        yield "\n## %s\n" % title
        for run in kept["runs"]:
            of_run = [kept["rows"][key] for key in there if kept["rows"][key]["run"] == run["id"]]
            if of_run:
                yield "\n" + "\n\n".join(run["described"]) + "\n\n"
                headings = of_run[0]["headings"]
                yield table_row(headings) + "|" + "---|" * 3 + "---:|" * (len(headings) - 3) + "\n"
                for row in of_run:
                    yield "".join(table_row(line) for line in row["lines"])
        if notes:
            yield "\n%s\n" % notes


def aims_row(key, title, of_row, is_today_s, date):
    """One line: what was reached and, in brackets, what was asked for."""

    def cell(aim):
        named = "" if aim.of in COLUMNS else aim.of + ": "
        return "%s%s (%s)" % (named, aim.reached if aim.holds else "**%s**" % aim.reached, aim.aim)

    columns = ["; ".join(cell(aim) for aim in of_row if aim.of == column) for column in COLUMNS]
    more = "; ".join(cell(aim) for aim in of_row if aim.of not in COLUMNS)
    missed = list(dict.fromkeys(aim.of for aim in of_row if not aim.holds))
    reached = "**not**: " + ", ".join(missed) if missed else "yes"
    return table_row([key, title, *columns, more, reached if is_today_s else "*older aims*: " + reached, date])


def table_row(cells):
    """A row of a table in Markdown, in which a command may have a pipe."""
    return "| %s |\n" % " | ".join(cell.replace("|", "\\|") for cell in cells)
