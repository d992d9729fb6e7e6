"""Who copies images: teu and its peers, as far as they are here, and the command by which each does it."""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

from process import skipped

Tool = namedtuple("Tool", "key title path version")

# Peers that are current: what teu is to be ahead of.
CURRENT = ("crane", "current", "library", "regctl", "oras")
# Those of them that check what they send to a registry against its digest. crane sends what a layout calls by it, oras what any source does.
CHECKING = ("current", "library", "regctl")


def module_version(binary, module):
    """The version of a module that a Go program was built with."""
    if not shutil.which("go"):
        return "?"
    out = subprocess.run(["go", "version", "-m", binary], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\t%s\t(\S+)" % re.escape(module), out)
    return found.group(1) if found else "?"


def built(peers, name, module, title=None):
    """A peer that scripts/peers.sh builds, or None, which is said."""
    path = os.path.join(peers, "bin", name)
    if os.access(path, os.X_OK):
        return Tool(name, title or name, path, module_version(path, module))
    log = os.path.join(peers, name + ".log")
    last = ""
    if os.path.exists(log):
        with open(log, errors="replace") as f:
            last = (f.read().strip().split("\n") or [""])[-1].strip()
    skipped(title or name, "it is not built by scripts/peers.sh" + (": " + last if last else ""))
    return None


def version(argv, env):
    out = subprocess.run(argv, env=env, capture_output=True, text=True, check=False).stdout.split()
    return out[-1] if len(out) <= 2 and out else (out[2] if out else "?")


def find(root, peers, env):
    machine = os.uname().machine
    teu = os.path.abspath(os.environ.get("TEU", os.path.join(root, "target/dist/teu-%s-linux" % machine)))
    if not os.access(teu, os.X_OK):
        sys.exit("bench: there is no %s: build it with `make dist`, or name another in TEU" % teu)
    tools = [Tool("teu", "teu", teu, version([teu, "--version"], env))]
    crane = built(peers, "crane", "github.com/google/go-containerregistry")
    # The library, which does all of skopeo's work, in its current version, where skopeo's own module is not to be had.
    current = built(peers, "skopeo", "github.com/containers/skopeo", "skopeo now")
    current = current._replace(key="current") if current else built(peers, "imagecopy", "go.podman.io/image/v5", "skopeo now (its library)")
    if current and current.key == "imagecopy":
        current = current._replace(key="library")
    regctl = built(peers, "regctl", "github.com/regclient/regclient")
    oras = built(peers, "oras", "oras.land/oras")
    debian = shutil.which("skopeo")
    if debian:
        debian = Tool("debian", "skopeo (Debian)", debian, version([debian, "--version"], env))
    else:
        skipped("Debian's skopeo", "it is not installed")
    return [tool for tool in (*tools, crane, current, regctl, oras, debian) if tool]


def copy(tool, source, destination, hosts, teu_flags=(), as_it_is=False):
    """The command by which a tool copies, or None where it has none. Places are ("oci", path), ("docker", name) and ("origin", name), of which the last two
    are in registries that `hosts` names. What comes is to be what was there: skopeo compresses what is not, on its way to a registry, unless told so."""

    def name(place):
        return "%s/%s" % (hosts[place[0]], place[1])

    layouts = [place[0] == "oci" for place in (source, destination)]
    if tool.key in ("teu", "library", "current", "debian"):
        places = ["oci:%s:latest" % place[1] if place[0] == "oci" else "docker://" + name(place) for place in (source, destination)]
        if tool.key == "teu":
            plain = [flag for flag, is_layout in zip(("--src-tls-verify=false", "--dest-tls-verify=false"), layouts) if not is_layout]
            return [tool.path, "copy", "--quiet", *plain, *teu_flags, *places]
        preserve = ["--preserve-digests"] * as_it_is
        if tool.key == "library":
            return [tool.path, *preserve, *places]
        return [tool.path, "--insecure-policy", "copy", "--quiet", *preserve, "--src-tls-verify=false", "--dest-tls-verify=false", *places]
    if tool.key == "regctl":
        places = ["ocidir://%s:latest" % place[1] if place[0] == "oci" else name(place) for place in (source, destination)]
        known = sorted({hosts[place[0]] for place in (source, destination) if place[0] != "oci"})
        flags = [flag for host in known for flag in ("--host", "reg=%s,tls=disabled" % host)]
        return [tool.path, "image", "copy", *flags, *places]
    if tool.key == "oras":
        places = ["%s:latest" % place[1] if place[0] == "oci" else name(place) for place in (source, destination)]
        flags = [
            "--%s-%s" % (side, "oci-layout" if is_layout else "plain-http") for side, is_layout in zip(("from", "to"), layouts)
        ]  # fmt: skip
        return [tool.path, "cp", "--no-tty", *flags, *places]
    # crane has no copy between layouts.
    return {
        (False, True): lambda: [tool.path, "pull", "--insecure", "--format=oci", name(source), destination[1]],
        (True, False): lambda: [tool.path, "push", "--insecure", source[1], name(destination)],
        (False, False): lambda: [tool.path, "copy", "--insecure", name(source), name(destination)],
    }.get(tuple(layouts), lambda: None)()
