"""What teu is to reach in each row, and whether it did: beside the best of its peers, beside the parts of the job alone, and what the row itself asks for."""

from collections import namedtuple

from rig import ratio
from tools import CHECKING, CURRENT


class Aim(namedtuple("Aim", "of aim reached holds")):
    """`of` is a column of the table: CPU, wall, parts, memory, or what is neither, by its own name before a colon."""


def at_least(of, aim, value, against=""):
    return Aim(of, "≥ %.2f" % aim, ("%.2f" % value) + (" × %s" % against if against else ""), round(value, 2) >= aim)


def at_most(of, aim, value, form="%.2f"):
    return Aim(of, "≤ " + form % aim, form % value, float(form.split(" ")[0] % value) <= aim)


COPIED = [(CURRENT, "CPU", 1.35), (CURRENT, "wall", 1)]
# Where it is to a registry, the CPU of those counts who check what they send; of wall time, that of all.
PUSHED = [(CHECKING, "CPU", 1.35), (CURRENT, "wall", 1)]
BETWEEN = [(("crane", *CHECKING), "CPU", 1.35), (CURRENT, "wall", 1)]
UNPACKED = [(("umoci",), "CPU", 3.3), (("umoci",), "wall", 5)]
HOW = ("gzip", "zstd", "plain")
# How many times less CPU, or wall time, than the best of these peers.
AIMS = {
    "pull": COPIED,
    "push": PUSHED,
    "copy": BETWEEN,
    "mount": COPIED,
    "local": [(CURRENT, "CPU", 1.5), (CURRENT, "wall", 1)],
    "local-ext4": [(CURRENT, "CPU", 1.5), (CURRENT, "wall", 1)],
    "local-reflink": [(CURRENT, "CPU", 2.5), (CURRENT, "wall", 1)],
    "local-trust": [(CURRENT, "CPU", 100)],
    **{"large-pull-" + how: COPIED for how in HOW},
    **{"large-push-" + how: PUSHED for how in HOW},
    **{"large-copy-" + how: BETWEEN for how in HOW},
    **{"large-local-" + how: [(CURRENT, "CPU", 1.5), (CURRENT, "wall", 1)] for how in HOW},
    "up-to-date": [(CURRENT, "CPU", 10)],
    "up-to-date-100": [(CURRENT, "CPU", 10)],
    "up-to-date-push": [(CURRENT, "CPU", 10)],
    "sync": [((*CURRENT, "regsync", "debian"), "CPU", 10)],
    "start-version": [((*CURRENT, "debian"), "wall", 1)],
    "start-inspect": [((*CURRENT, "debian"), "wall", 1)],
    **{"unpack" + what: UNPACKED for what in ("", "-zstd", "-many", "-many-zstd", "-ext4", "-many-ext4")},
    **{"unpack-files" + what: [(("tar",), "CPU", 1.8)] for what in ("", "-zstd", "-many", "-ext4")},
    # The wall time is asked for where both make as much.
    **{"append" + what: [(("umoci",), "CPU", 1), (("umoci",), "wall", 1.5)] for what in ("", "-ext4")},
    "append-1g": [(("umoci",), "CPU", 1), (("umoci",), "wall", 1)],
    "append-1g-equal": [(("umoci",), "CPU", 1), (("umoci",), "wall", 1.5)],
    **{"repack" + what: [(("umoci",), "CPU", 5), (("umoci",), "wall", 5)] for what in ("", "-ext4")},
    "files": [(("tar",), "CPU", 2.8)],
    "cat": [(("tar",), "CPU", 2.8)],
    "diff": [(("tar",), "CPU", 2.8)],
    "verify": [(("zcat",), "CPU", 2.8)],
    "verify-remote": [(("crane",), "CPU", 4.5)],
}
# How many times the CPU of the parts that nobody can leave out.
BESIDE_PARTS = {
    **{key: 1.2 for key in AIMS if key in ("pull", "push", "copy", "local", "local-ext4", "local-reflink") or key.startswith("large-")},
    **{key: 1.3 for key in AIMS if key.startswith(("unpack", "verify", "files"))},
}
# What a registry is to reach: how many times teu's CPU its peers are to take, and how many times nginx's teu may.
SERVED = {
    **dict.fromkeys(("serve-manifests", "serve-1k", "serve-1m"), 3),
    **{"serve-" + what: 2 for what in ("push-manifests", "push-1k", "push-1m", "push-100m", "mix")},
}
BESIDE_NGINX = dict.fromkeys(("serve-1m", "serve-100m"), 1.5)
# Wall time of each run, in milliseconds.
MILLISECONDS = {"start-version": 5, "start-inspect": 10}
# What "milliseconds when seen before" is taken to be.
AGAIN = 100


def of(result):
    """The aims of a row and what it reached."""
    if hasattr(result, "aims"):
        return list(result.aims())
    (_, ours), *others = result.medians.items()
    by_key = {tool.key: (tool, sample) for tool, sample in others}
    found = []
    for keys, unit, factor in AIMS.get(result.key, []):
        field = unit.lower()
        against = [(getattr(sample, field), tool) for key, (tool, sample) in by_key.items() if key in keys]
        if against:
            best, nearest = min(against, key=lambda pair: pair[0])
            found.append(at_least(unit, factor, best / getattr(ours, field), nearest.title))
    parts = [sample.cpu for part, sample in result.limits.items() if part.counts]
    if parts and result.key in BESIDE_PARTS:
        found.append(at_most("parts", BESIDE_PARTS[result.key], ours.cpu / sum(parts)))
    found += memory(ours.rss, [(sample.rss, tool) for tool, sample in others], result.most)
    requests = [sample.requests for _, sample in others]
    # Of many images the row says itself how many it may be.
    if ours.requests and requests and result.key != "sync":
        found.append(Aim("requests", "≤ %d" % min(requests), "%d" % ours.requests, ours.requests <= min(requests)))
    each = ours.wall / result.repeat * 1000
    if result.key in MILLISECONDS:
        found.append(at_most("wall of each", MILLISECONDS[result.key], each, "%.1f ms"))
    if result.key.endswith("-again"):
        found.append(at_most("wall of each", AGAIN, each, "%.1f ms"))
    return found + [Aim(*aim) for aim in result.reached]


def memory(ours, others, most):
    """Bounded, and no more than any peer's."""
    found = [at_most("memory", most >> 20, ours / 2**20, "%.0f MiB")]
    if others:
        least, who = min(others, key=lambda pair: pair[0])
        found.append(Aim("memory", "≤ %.0f MiB, %s" % (least / 2**20, who.title), "%.0f MiB" % (ours / 2**20), ours <= least))
    return found


def beside(of, theirs, ours, who):
    """A ratio that is to be at most 1: how much larger than a peer's it is, what teu made."""
    return Aim(of, "≤ 1.00", "%s × %s" % (ratio(ours, theirs), who), round(ours / theirs, 2) <= 1)
