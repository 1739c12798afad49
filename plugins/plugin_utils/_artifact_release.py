# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching an artifact's programs from its vendor's release, held against the sum that the vendor publishes."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.plugin_utils._artifact_lock import Artifact

TIMEOUT = 60
"""Seconds without a byte."""
_OPENER = urllib.request.build_opener()


@dataclass(frozen=True)
class Download:
    """One file of a release: the programs in it by name, with where they are in it (empty: it is the program)."""

    url: str
    checksum: str
    sha256: str
    programs: dict[str, str]


def downloads(artifact: Artifact, architecture: str) -> list[Download]:
    """What hosts' programs need to be fetched. `sha256` is what the lock file pins, or empty."""
    release = artifact.release
    if release is None:
        raise LookupError(f"{artifact.name} has no release")
    found: dict[str, Download] = {}
    for program in artifact.install:
        url, checksum, member = (
            artifact.fill(text, architecture, program) for text in (release.url, release.checksum, release.member)
        )
        pinned = release.sha256.get(_name(url), "")
        found.setdefault(url, Download(url, checksum, pinned, {})).programs[program] = member
    return list(found.values())


def sum_of(text: str, name: str) -> str:
    """The SHA-256 of a file in a vendor's list: lines of `<sum>  <name>`, or one sum alone.

    :raises Failed: the list has none for it, or two.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) == 1:
        found = [lines[0][0]]
    else:
        found = [line[0] for line in lines if len(line) == 2 and line[1].lstrip("*").rpartition("/")[2] == name]
    if len(found) != 1 or not re.fullmatch(r"[0-9a-fA-F]{64}", found[0]):
        raise Failed(f"the vendor's list of sums has {'no SHA-256' if len(found) < 2 else 'several sums'} for {name}")
    return found[0].lower()


def fetch(artifact: Artifact, architecture: str, work: Path, output: Path) -> None:
    """Fetch an artifact's programs into a directory.

    :raises Failed: a download failed, is not what its sum says, or lacks a program.
    """
    for download in downloads(artifact, architecture):
        expected = download.sha256 or sum_of(_text(download.checksum), _name(download.url))
        file = work / _name(download.url)
        actual = _save(download.url, file)
        if actual != expected:
            origin = "the lock file" if download.sha256 else download.checksum
            raise Failed(f"{artifact.name}: {download.url} has the sum {actual}, {origin} says {expected}")
        for program, member in download.programs.items():
            if member:
                _extract(file, member, output / program)
            else:
                shutil.copyfile(file, output / program)
            (output / program).chmod(0o755)


def _name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as files:
            source = files.extractfile(member)
            if source is None:
                raise Failed(f"{archive.name}: {member} is no file")
            with source, target.open("wb") as output:
                shutil.copyfileobj(source, output, 1 << 20)
    except (KeyError, tarfile.TarError) as error:
        raise Failed(f"{archive.name}: {member}: {error}") from None


def _text(url: str) -> str:
    with _opened(url) as answer:
        return str(answer.read(1 << 20).decode("utf-8", "replace"))


def _save(url: str, target: Path) -> str:
    digest = hashlib.sha256()
    with _opened(url) as answer, target.open("wb") as output:
        while block := answer.read(1 << 20):
            digest.update(block)
            output.write(block)
    return digest.hexdigest()


def _opened(url: str) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = _OPENER.open(url, timeout=TIMEOUT)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise Failed(f"{url}: {reason}; where this can't be reached, build it (FROM=build)") from None
    return answer
