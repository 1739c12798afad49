# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of certificates: keys are made here and stay here; requests go out, chains come in.

Every file is written beside its place and renamed, under a lock on the directory. A temporary file has a fixed name,
so that what a killed call left is overwritten by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_store
from ansible_collections.holdfast.platform.plugins.module_utils._bundle_plan import Refused, merge_effects
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run

# All that `openssl req` needs: the controller takes only the key from a request.
_REQUEST = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = holdfast\n"


@dataclass(frozen=True)
class Slot:
    """One certificate's place: `<name>.key` for its owner alone, `<name>.crt` for everybody."""

    name: str
    owner: str
    group: str


@dataclass(frozen=True)
class Task:
    """What one call shall do.

    authority: PEM of the trusted roots for `ca.crt`, or None when the site has none yet (check mode only).
    chains: PEM to install by name; empty in the first call of a run.
    bundle, effects: what has to happen to units ({unit: reload|restart}) that hold the old files, and the bundle with
    which it waits. trust_effects: what has to happen besides when `ca.crt` changes.
    """

    directory: Path
    slots: tuple[Slot, ...]
    authority: str | None
    chains: Mapping[str, str]
    bundle: str = ""
    effects: Mapping[str, str] = field(default_factory=dict)
    trust_effects: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, directory: str, payload: Mapping[str, Any]) -> Task:
        """Read what the controller sent."""
        slots = tuple(
            Slot(name, slot["owner"], slot["group"]) for name, slot in sorted(payload["certificates"].items())
        )
        return cls(
            Path(directory),
            slots,
            payload.get("authority"),
            payload.get("chains") or {},
            payload.get("bundle", ""),
            payload.get("effects") or {},
            payload.get("trust_effects") or {},
        )

    @property
    def due(self) -> Mapping[str, str]:
        """The effects of this call: of a chain, and of other trusted roots. A new key is always followed by a chain."""
        trust = self.authority is not None and _read(self.directory / "ca.crt") != self.authority
        effects = self.effects if self.chains or trust else {}
        return merge_effects(effects, self.trust_effects) if trust else effects


def converge(task: Task, *, check: bool) -> dict[str, Any]:
    """Bring directory, keys, owners, modes and `ca.crt` into order, install chains, and report what is there.

    Returns changed, paths (what was or would be changed) and for every certificate `request` (PEM, None when check
    mode has no key to sign it with) and `chain` (PEM or None). Raises Failed before anything was changed when an
    owner is unknown.
    """
    owners = {slot.name: _identity(slot, check) for slot in task.slots}
    paths: list[str] = []
    if not task.directory.is_dir():
        paths.append(str(task.directory))
        if not check:
            _make_directory(task.directory)
    report: dict[str, Any] = {}
    with _alone(task.directory, check):
        if task.due and not check:
            _note_effects(task)
        if task.authority is not None:
            paths += _put(task.directory / "ca.crt", task.authority, check)
        for slot in task.slots:
            key, certificate = task.directory / f"{slot.name}.key", task.directory / f"{slot.name}.crt"
            request = _request(key)
            if request is None and slot.name in task.chains:
                # The chain was made for the key of a moment ago: a new key beside it would fit nothing.
                raise Failed(
                    f"{key}: is gone or can't be used any more, since its certificate was asked for; run again"
                )
            if request is None:
                paths.append(str(key))
                if not check:
                    # Its certificate goes first: a run that dies here leaves none, and never one of another key.
                    certificate.unlink(missing_ok=True)
                    _make_key(key, owners[slot.name])
                    request = _request(key)
                    if request is None:
                        raise Failed(f"{key}: openssl can't use the key that it has just made")
            elif _set_access(key, owners[slot.name], 0o600, check):
                paths.append(str(key))
            if slot.name in task.chains:
                paths += _put(certificate, task.chains[slot.name], check)
            elif _is_file(certificate) and _set_access(certificate, (0, 0), 0o644, check):
                paths.append(str(certificate))
            report[slot.name] = {"request": request, "chain": _read(certificate)}
    return {"changed": bool(paths), "paths": paths, "certificates": report}


def _note_effects(task: Task) -> None:
    """Leave the effects with the bundle, before a file changes: a run that dies afterwards loses none.

    A bundle that was never applied has no unit running with the old files.
    """
    root = _bundle_store.ROOT
    store = _bundle_store.Store(task.bundle, root)
    if store.current():
        try:
            with _bundle_store.host_lock(root, task.bundle):
                store.write_pending(merge_effects(store.pending(), task.due))
        except Refused as error:
            raise Failed(str(error)) from error


def _identity(slot: Slot, check: bool) -> tuple[int, int] | None:
    """User and group number of the key's owner; None in check mode when they are not there yet."""
    try:
        return pwd.getpwnam(slot.owner).pw_uid, grp.getgrnam(slot.group).gr_gid
    except KeyError as error:
        if check:
            return None
        raise Failed(
            f"certificate {slot.name}: the key belongs to {slot.owner}:{slot.group}, and this host has no such user or "
            "group; install the package that makes them first, or correct owner and group in the descriptor"
        ) from error


def _make_directory(path: Path) -> None:
    """Make the directory and its parents: root's, readable by all, for the keys in it are closed by themselves."""
    for directory in [*reversed(path.parents), path]:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o755)
            directory.chmod(0o755)


@contextlib.contextmanager
def _alone(directory: Path, check: bool) -> Iterator[None]:
    """Keep a second call out of the directory; the lock goes with the process."""
    if check and not directory.is_dir():
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _request(key: Path) -> str | None:
    """A request signed with the key; None when there is no key or openssl can't use it."""
    if not _is_file(key):
        return None
    done = run(
        ["openssl", "req", "-new", "-sha256", "-key", str(key), "-passin", "pass:", "-config", "/dev/stdin"],
        check=False,
        stdin=_REQUEST,
        timeout=60,
    )
    return done.out if done.status == 0 else None


def _make_key(key: Path, owner: tuple[int, int] | None) -> None:
    """Make a P-256 key. openssl writes it into a file that is closed to others from the start."""
    temporary = _temporary(key)
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(temporary)],
        timeout=60,
    )
    _set_access(temporary, owner, 0o600, check=False)
    _settle(temporary, key)


def _put(path: Path, text: str, check: bool) -> list[str]:
    """Have the text at path, root's and readable by all. Returns the path when that was or would be a change."""
    if _is_file(path) and _read(path) == text:
        return [str(path)] if _set_access(path, (0, 0), 0o644, check) else []
    if not check:
        temporary = _temporary(path)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        _set_access(temporary, (0, 0), 0o644, check=False)
        _settle(temporary, path)
    return [str(path)]


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _settle(temporary: Path, path: Path) -> None:
    """Rename a complete file to its place: on disk before it can be seen, and the name on disk before we go on."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_access(path: Path, owner: tuple[int, int] | None, mode: int, check: bool) -> bool:
    """Give a file its owner and mode; whether that was or would be a change. An owner of None is not there yet."""
    status = path.lstat()
    same_owner = owner == (status.st_uid, status.st_gid)
    same_mode = stat.S_IMODE(status.st_mode) == mode
    if not check:
        if not same_owner and owner is not None:
            os.chown(path, *owner, follow_symlinks=False)
        if not same_mode:
            path.chmod(mode)
    return not (same_owner and same_mode)


def _is_file(path: Path) -> bool:
    """Whether a regular file is there. What else is in its place is replaced, a symbolic link too; not a directory."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _read(path: Path) -> str | None:
    """The text of a file, None when it is missing. Bytes that are no text come as something that is no certificate."""
    return path.read_text(errors="replace") if _is_file(path) else None
