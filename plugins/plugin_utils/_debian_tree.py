# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root directory of an image, from Debian packages and what they need, without root and without installing them.

They come from the mirrors that the controller's apt uses, and apt holds them against the signed lists. Their maintainer
scripts don't run, so what those would set up (alternatives) an image declares as links.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.plugin_utils._image import opened

SUITE = "trixie"
"""The newest Debian that hosts have. An nft older than the host's crashes on sets that the host's has made, which
are in the network namespace of kube-proxy and flannel, too (https://github.com/kubernetes/kubernetes/issues/136786)."""
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""Directories that are links into /usr (https://wiki.debian.org/UsrMerge); packages may still name them."""
LEFT_OUT = re.compile(r"usr/share/(bash-completion|bug|doc|doc-base|info|lintian|locale|man)/")
_URI = re.compile(r"^'[^']+' (?P<file>\S+\.deb) \d+ ", re.MULTILINE)


def sources(uris: Sequence[str]) -> str:
    """The text of a sources.list, with those mirrors of Debian that a machine's own apt uses. Raises Failed."""
    found = {
        name: next((uri for uri in uris if uri.rstrip("/").endswith(name)), None)
        for name in ("/debian", "/debian-security")
    }
    main, security = found.values()
    if main is None:
        raise Failed(
            "images with Debian packages need a mirror of Debian (a URL that ends in /debian): add one to /etc/apt"
        )
    lines = [f"deb [signed-by={KEYS}] {main} {name} main" for name in (SUITE, f"{SUITE}-updates")]
    lines += [f"deb [signed-by={KEYS}] {security} {SUITE}-security main"] if security else []
    return "".join(f"{line}\n" for line in lines)


def files_of(text: str) -> dict[str, str]:
    """The files of packages that apt would fetch (`--print-uris`), with the package of each as name=version."""
    found = {}
    for file in sorted({match["file"] for match in _URI.finditer(text)}):
        name, version, _ = file.split("_")
        found[file] = f"{name}={unquote(version)}"
    return found


def make(packages: Sequence[str], architecture: str, work: Path, output: Path) -> dict[str, str]:
    """Write an archive of the packages' files, and return the versions by package. work: an empty directory.

    :raises Failed: a package can't be had.
    """
    own = run(["dpkg", "--print-architecture"]).out.strip()
    if own != architecture:
        raise Failed(f"an image for {architecture} with Debian packages is assembled on such a machine; this is {own}")
    lists, listed = work / "lists", work / "sources.list"
    (lists / "partial").mkdir(parents=True)
    listed.write_text(
        sources(run(["apt-get", "indextargets", "--format", "$(REPO_URI)"]).out.split()), encoding="utf-8"
    )
    settings = {
        "Dir::Etc::sourcelist": listed,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": lists,
        "Dir::Cache": work,
        # As if nothing were installed here: all that they need is listed.
        "Dir::State::status": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    run([*apt, "update"])
    text = run([*apt, "--print-uris", "-y", "install", *packages]).out
    files = files_of(text)
    run(["env", f"--chdir={work}", *apt, "download", *files.values()])
    merge([work / file for file in files], output)
    return dict(package.split("=", 1) for package in files.values())


def merge(packages: Sequence[Path], output: Path) -> None:
    """Write one archive of the files of packages, in /usr where they belong, without documentation."""
    entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for package in packages:
        with (
            subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as source,
        ):
            for entry in source:
                _take(entries, source, entry)
        if process.returncode:
            raise Failed(f"{package.name}: dpkg-deb can't read it")
    for name in MERGED:
        if f"usr/{name}" in entries:
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, f"usr/{name}", 0o777
            entries[name] = (link, b"")
    with opened(output) as target:
        for path in sorted(entries):
            entry, content = entries[path]
            target.addfile(entry, io.BytesIO(content))


def _take(entries: dict[str, tuple[tarfile.TarInfo, bytes]], source: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    path = _path(entry.name)
    if entry.issym() and path.removeprefix("usr/") in MERGED:
        return  # what a distribution whose directories are merged brings itself
    if not path or LEFT_OUT.match(f"{path}/") or not (entry.isreg() or entry.isdir() or _link(entry)):
        return
    file = source.extractfile(entry) if entry.isreg() else None
    kept = tarfile.TarInfo(path)
    kept.type, kept.mode, kept.size = entry.type, entry.mode, entry.size if entry.isreg() else 0
    kept.linkname = _path(entry.linkname) if entry.islnk() else entry.linkname
    entries[path] = (kept, file.read() if file else b"")


def _link(entry: tarfile.TarInfo) -> bool:
    return entry.issym() or entry.islnk()


def _path(name: str) -> str:
    path = name.removeprefix("./").strip("/")
    return f"usr/{path}" if path.partition("/")[0] in MERGED else path.removeprefix(".")
