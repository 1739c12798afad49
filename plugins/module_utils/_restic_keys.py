# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passphrases open restic repositories.

A repository has one master key, which is kept once for each passphrase, encrypted with it (restic's "Keys, Encryption
and MAC"). So a passphrase comes and goes without a byte of data being written again, and the master key stays.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.holdfast.platform.plugins.module_utils import _restic
from ansible_collections.holdfast.platform.plugins.module_utils._restic import BackupError, Settings

# How often a passphrase may be there: two runs at once can add it twice.
_MOST = 5


@dataclass(frozen=True)
class Wanted:
    """The passphrases that have to open a repository, and those that must not."""

    accepted: Sequence[str] = field(repr=False)
    refused: Sequence[str] = field(default=(), repr=False)


def opens(settings: Settings, repository: str, passphrase: str) -> bool | None:
    """Whether a passphrase opens a repository; None while that does not exist. Raises BackupError if unknown."""
    with _opened_with(settings, passphrase) as mine:
        done = _restic.restic(mine, repository, "--no-lock", "cat", "config", timeout=120)
    if done.returncode == _restic.NO_REPOSITORY:
        return None
    if done.returncode and "wrong password" not in done.stderr:
        raise BackupError(f"repository {repository}: {' '.join(done.stderr.split())[-300:]}")
    return not done.returncode


def ensure(settings: Settings, repository: str, wanted: Wanted, *, check: bool) -> bool:
    """Let a repository be opened by what is wanted. Returns whether anything was, or would be, changed."""
    found = {passphrase: opens(settings, repository, passphrase) for passphrase in wanted.accepted}
    if None in found.values():  # its first copy makes it, with the passphrase of that day
        return False
    way = next((passphrase for passphrase, good in found.items() if good), None)
    if way is None:
        raise BackupError(f"repository {repository}: no passphrase of the secret opens it")
    missing = [passphrase for passphrase, good in found.items() if not good]
    gone = [passphrase for passphrase in wanted.refused if opens(settings, repository, passphrase)]
    if check:
        return bool(missing or gone)
    for passphrase in missing:
        with _opened_with(settings, way) as mine, _file(passphrase) as new:
            _do(mine, repository, "key", "add", "--new-password-file", new)
    for passphrase in gone:
        for _ in range(_MOST):
            with _opened_with(settings, passphrase) as old, _opened_with(settings, way) as mine:
                _do(mine, repository, "key", "remove", current(_do(old, repository, "key", "list")))
            if not opens(settings, repository, passphrase):
                break
    return bool(missing or gone)


def problems(settings: Settings, repository: str, wanted: Wanted) -> Iterator[str]:
    """What is not as wanted."""
    if any(opens(settings, repository, passphrase) is False for passphrase in wanted.accepted):
        yield f"repository {repository}: the passphrase does not open it"
    if any(opens(settings, repository, passphrase) for passphrase in wanted.refused):
        yield f"repository {repository}: the old passphrase still opens it"


def current(listed: str) -> str:
    """Of `restic key list --json` the id of the key that was asked with. Raises BackupError."""
    for key in json.loads(listed):
        if key.get("current"):
            return str(key["id"])
    raise BackupError("restic does not say which key it has opened the repository with")


def _do(settings: Settings, repository: str, *arguments: str) -> str:
    done = _restic.restic(settings, repository, *arguments, timeout=300)
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise BackupError(f"repository {repository}: restic {' '.join(arguments[:2])}: {said}")
    return done.stdout


@contextmanager
def _opened_with(settings: Settings, passphrase: str) -> Iterator[Settings]:
    with _file(passphrase) as name:
        yield replace(settings, password_file=name)


@contextmanager
def _file(passphrase: str) -> Iterator[str]:
    """A file of root's alone that holds a passphrase."""
    with tempfile.TemporaryDirectory(prefix="holdfast-restic-") as directory:
        file = Path(directory, "passphrase")
        file.touch(mode=0o600)
        file.write_text(f"{passphrase}\n", encoding="utf-8")
        yield str(file)
