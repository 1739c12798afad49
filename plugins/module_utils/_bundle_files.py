# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of a transaction on the files themselves: look, stage, swap, undo.

New contents are staged in a hidden directory (0700) inside the directory they go to, or inside its nearest ancestor
that exists: on the same file system, so that a full disk or a read-only mount shows before anything is visible, and
the swap is a rename. What a rename replaces stays in the same hidden directory as a hard link until the transaction is
over. So undoing needs neither space nor copies, and gives back the very same file: bytes, times, attributes, links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from . import _bundle_store
from . import _bundle_wire as wire
from ._bundle_plan import State, Step

STAGE = ".holdfast-"
SELINUX = "security.selinux"


class Observer:
    """States of paths, each looked at once. `assumed` holds what check mode takes for granted instead of looking."""

    def __init__(self, assumed: Mapping[str, State]):
        self._seen: dict[str, State] = dict(assumed)

    def state(self, path: str) -> State:
        if path not in self._seen:
            self._seen[path] = observe(path)
        return self._seen[path]

    def entries(self, path: str) -> list[str]:
        return [entry.name for entry in Path(path).iterdir() if not entry.name.startswith(STAGE)]


def observe(path: str) -> State:
    """The state of a path; a symlink is not followed unless the path ends in a slash. Raises OSError."""
    try:
        found = Path(path).stat() if path.endswith("/") else Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return {"type": "absent"}
    owner = {"uid": found.st_uid, "gid": found.st_gid}
    if stat.S_ISLNK(found.st_mode):
        return {"type": "link", "target": str(Path(path).readlink()), **owner}
    owner["mode"] = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return {"type": "dir", **owner}
    if stat.S_ISREG(found.st_mode):
        digest, size = wire.hash_file(Path(path))
        return {"type": "file", "sha256": digest, "size": size, **owner}
    return {"type": "other", **owner}


def stage_directory(path: str, txid: str) -> Path:
    """Where a path is staged: in the nearest directory above it that exists."""
    parent = Path(path).parent
    while not parent.is_dir():
        parent = parent.parent
    return parent / f"{STAGE}{txid}"


def locate(steps: list[Step], txid: str) -> list[str]:
    """The staging directories that the steps need, each once."""
    return sorted({str(stage_directory(step.path, txid)) for step in steps if step.action in ("write", "remove")})


def stage(
    steps: list[Step], txid: str, content_of: Callable[[str], wire.Content], *, keep_old: bool = True
) -> list[dict[str, Any]]:
    """Prepare all steps beside their targets; nothing is visible yet.

    content_of(sha256) gives the bytes. Returns the steps as the journal keeps them, with `new` and `old` (paths in the
    staging directory) and `inode` of the new file. Raises OSError with the target's name, Damaged.
    """
    entries = []
    for number, step in enumerate(steps):
        entry: dict[str, Any] = {
            "action": step.action, "path": step.path, "before": step.before, "after": step.after
        }  # fmt: skip
        entries.append(entry)
        if step.action not in ("write", "remove"):
            continue
        _bundle_store._step(f"stage {step.path}")
        place = stage_directory(step.path, txid)
        with _bundle_store.naming(step.path):
            place.mkdir(mode=0o700, exist_ok=True)
            entry["old"] = str(place / f"old-{number}")
            if step.action == "write":
                entry["new"] = str(place / f"new-{number}")
                entry["inode"] = _write_new(entry, content_of(step.after["sha256"]))
                if keep_old and step.before["type"] != "absent":
                    _keep(step.path, entry["old"])
    for directory in locate(steps, txid):
        _bundle_store.sync_directory(Path(directory))
        _bundle_store.sync_directory(Path(directory).parent)
    return entries


def _write_new(entry: Mapping[str, Any], content: wire.Content) -> int:
    after = entry["after"]
    descriptor = os.open(entry["new"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        content.copy_to(stream)
        stream.flush()
        _set_attributes(descriptor, after)
        if entry["before"]["type"] == "file":
            with contextlib.suppress(OSError):  # no SELinux, or a file system without it
                os.setxattr(descriptor, SELINUX, os.getxattr(entry["path"], SELINUX, follow_symlinks=False))
        os.fsync(descriptor)
        return os.fstat(descriptor).st_ino


def _keep(path: str, old: str) -> None:
    try:
        os.link(path, old, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        shutil.copy2(path, old, follow_symlinks=False)  # a file system without hard links, as vfat
        found = os.lstat(path)
        os.chown(old, found.st_uid, found.st_gid, follow_symlinks=False)


def _set_attributes(descriptor: int, state: State) -> None:
    """Owner, group and mode of an open file. An account that does not exist yet is left out: check mode only."""
    found = os.fstat(descriptor)
    # never more open than both, not even between the two calls; chown comes before chmod, since it clears setuid
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & state["mode"])
    os.fchown(descriptor, _or_same(state["uid"]), _or_same(state["gid"]))
    os.fchmod(descriptor, state["mode"])


def _or_same(number: int | None) -> int:
    return -1 if number is None else number


def _change_attributes(path: str, state: State) -> None:
    kind = os.O_DIRECTORY if state["type"] == "dir" else 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | kind)
    try:
        _set_attributes(descriptor, state)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap(entries: list[dict[str, Any]]) -> None:
    """Make all staged steps visible, in order. Raises OSError with the target's name."""
    for entry in entries:
        path, action = entry["path"], entry["action"]
        _bundle_store._step(f"{action} {path}")
        with _bundle_store.naming(path):
            if action == "mkdir":
                Path(path).mkdir(mode=0o700)
                _change_attributes(path, entry["after"])
            elif action == "attributes":
                _change_attributes(path, entry["after"])
            elif action == "write":
                Path(entry["new"]).rename(path)
            elif action == "remove":
                Path(path).rename(entry["old"])
    _sync_parents(entries)


def undo(entries: list[dict[str, Any]]) -> None:
    """Bring back what was there, last step first. Does no harm when a step was never done or is already undone."""
    for entry in reversed(entries):
        _bundle_store._step(f"undo {entry['action']} {entry['path']}")
        _undo_one(entry)
    _sync_parents(entries)


def _undo_one(entry: Mapping[str, Any]) -> None:
    path, action, before = entry["path"], entry["action"], entry["before"]
    if action == "mkdir":
        with contextlib.suppress(FileNotFoundError):
            try:
                Path(path).rmdir()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:  # someone has put something of his own there
                    raise
    elif action == "attributes":
        with contextlib.suppress(FileNotFoundError):
            _change_attributes(path, before)
    elif os.path.lexists(entry["old"]):
        if os.path.lexists(path) and os.path.samestat(os.lstat(path), os.lstat(entry["old"])):
            Path(entry["old"]).unlink()  # never swapped; rename would do nothing with two names of one file
        else:
            Path(entry["old"]).replace(path)
    elif action == "write" and before["type"] == "absent":
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.lstat(path).st_ino == entry["inode"]:
                Path(path).unlink()


def sweep(stages: list[str], emptied: list[str]) -> None:
    """Remove the staging directories, then directories of ours that have become empty."""
    for directory in stages:
        _bundle_store._step(f"sweep {directory}")
        shutil.rmtree(directory, ignore_errors=True)
    for directory in emptied:
        _bundle_store._step(f"rmdir {directory}")
        with contextlib.suppress(OSError):  # gone already, or not empty any more
            Path(directory).rmdir()


def _sync_parents(entries: list[dict[str, Any]]) -> None:
    for parent in sorted({str(Path(entry["path"]).parent) for entry in entries}):
        with contextlib.suppress(FileNotFoundError):  # a directory that undo has removed
            _bundle_store.sync_directory(Path(parent))
