# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of known hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): lines that a host's keys need, and those that are over.

A line is found by the key in it and never by a name: names may be hashed, be aliases or stand for several hosts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _durable


@dataclass(frozen=True)
class Line:
    """A line with a key: whose it is (`names`, as it stands there), its type and the key."""

    names: str
    kind: str
    key: str

    @classmethod
    def of(cls, text: str) -> Line | None:
        """Read a line; None for one with a marker, a comment, or nothing."""
        parts = text.split()
        return None if len(parts) < 3 or parts[0][0] in "#@" else cls(*parts[:3])

    @property
    def public(self) -> str:
        return f"{self.kind} {self.key}"


def lines(text: str) -> list[Line]:
    """The lines with keys."""
    return [line for line in map(Line.of, text.splitlines()) if line]


def learned(text: str, keys: Collection[str]) -> str:
    """The lines to add so that who knows one of a host's keys by a name knows all of that type. keys: `type base64`."""
    there = lines(text)
    known = {(line.names, line.public) for line in there}
    wanted = (
        (line.names, key)
        for line in there
        if line.public in keys
        for key in keys
        if key.split()[0] == line.kind and (line.names, key) not in known
    )
    return "".join(f"{names} {key}\n" for names, key in dict.fromkeys(wanted))


def forgotten(text: str, keys: Collection[str]) -> str:
    """The text without other keys of a type under the very names that one of these keys has."""
    mine = {(line.names, line.kind) for line in lines(text) if line.public in keys}
    kept = []
    for whole in text.splitlines(keepends=True):
        line = Line.of(whole)
        if line is None or (line.names, line.kind) not in mine or line.public in keys:
            kept.append(whole)
    return "".join(kept)


def learn(file: Path, keys: Collection[str], *, check: bool) -> bool:
    """Add to a file what it needs. Returns whether it did, or in check mode would; raises OSError."""
    with _locked(file, lambda: learned(file.read_text(), keys), check=check) as more:
        if more and not check:
            with file.open("a+b") as stream:
                stream.seek(max(0, stream.tell() - 1))
                start = b"" if stream.read(1) in (b"", b"\n") else b"\n"
                stream.write(start + more.encode())
                stream.flush()
                os.fsync(stream.fileno())
        return bool(more)


def forget(file: Path, keys: Collection[str], *, check: bool) -> bool:
    """Take out of a file what is of no use any more. Returns as `learn` does; raises OSError."""
    with _locked(file, lambda: forgotten(file.read_text(), keys), check=check) as text:
        if text == file.read_text():
            return False
        if not check:
            _durable.write(file, text, file.stat().st_mode & 0o7777)
        return True


@contextmanager
def _locked(file: Path, look: Callable[[], str], *, check: bool) -> Iterator[str]:
    """What `look` finds. The workers of a run come one after the other: each has a host of its own to tell of."""
    if check:
        yield look()
        return
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield look()
    finally:
        os.close(directory)
