# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host remembers of its bundles.

    /var/lib/holdfast/bundles/          0700 root
        lock                            one for all bundles of the host, so that no two can claim one path at once
        <name>/objects/<sha256>         contents, each once
        <name>/generations/<n>.json     what generation n consists of
        <name>/current                  which generation is in force, by which transaction, and the directories it made
        <name>/journal.json             there while a transaction is under way (see `_bundle`)
        <name>/pending.json             {unit: reload|restart} that was caused and not carried out yet
        <name>/outcome.json             how the last transaction that had to be confirmed ended

Every file is replaced by a rename of a synced sibling: a reader sees the old one or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import _bundle_wire as wire
from ._bundle_plan import Refused

ROOT = Path("/var/lib/holdfast/bundles")
LOCK_WAIT = 10.0


def _step(name: str) -> None:
    """Announce a step of a transaction. Does nothing; tests put in its place what kills the process there."""


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Errors of what is done within it name the path: those of writing, as on a full disk, name none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_durably(path: Path, text: str) -> None:
    """Replace a file of root's (0600) so that it survives a power cut, whole. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with naming(path), os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    new.replace(path)
    sync_directory(path.parent)


def read_json(path: Path) -> Any:
    """A JSON file, or None when it is not there. Raises OSError, ValueError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def host_lock(root: Path, owner: str, wait: float | None = None) -> Iterator[None]:
    """Hold the lock of all bundles; `wait` is in seconds (LOCK_WAIT). Raises Refused when someone else keeps it."""
    wait = LOCK_WAIT if wait is None else wait
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another run"
                    raise Refused(
                        f"{holder} is applying a bundle on this host and did not finish within {wait:.0f} s; "
                        "wait for it, then run again."
                    ) from None
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"bundle {owner}, process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


class Store:
    """The state of one bundle. `create` is not called in check mode: a reader of what is not there gets nothing."""

    def __init__(self, name: str, root: Path = ROOT):
        self.name = name
        self.root = root
        self.directory = root / name
        self.objects = self.directory / "objects"
        self.generations = self.directory / "generations"
        self.watch = self.directory / "watch"

    def create(self) -> None:
        """Make the directories, readable for root only. Raises OSError."""
        if not self.root.exists():
            self.root.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
        for directory in (self.directory, self.objects, self.generations):
            directory.mkdir(mode=0o700, exist_ok=True)

    # -- generations -------------------------------------------------------------------------------------------------
    def standing(self) -> dict[str, Any]:
        """{"generation": number, "txid": of the transaction that put it in force, "made": directories it owns}."""
        return read_json(self.directory / "current") or {"generation": 0, "txid": "", "made": []}

    def current(self) -> int:
        """The number of the generation in force; 0 when there is none."""
        return int(self.standing()["generation"])

    def put_in_force(self, standing: dict[str, Any]) -> None:
        write_durably(self.directory / "current", json.dumps(standing))

    def numbers(self) -> list[int]:
        """Generations that are kept, oldest first."""
        try:
            return sorted(int(path.stem) for path in self.generations.glob("[0-9]*.json"))
        except FileNotFoundError:
            return []

    def generation(self, number: int) -> dict[str, Any] | None:
        """The record of a generation, None for 0 or one that is not kept."""
        record: dict[str, Any] | None = read_json(self.generations / f"{number}.json") if number else None
        return record

    def write_generation(self, number: int, record: dict[str, Any]) -> None:
        write_durably(self.generations / f"{number}.json", json.dumps(record, sort_keys=True))

    # -- journal, pending effects and outcome ------------------------------------------------------------------------
    def journal(self) -> dict[str, Any] | None:
        journal: dict[str, Any] | None = read_json(self.directory / "journal.json")
        return journal

    def write_journal(self, journal: dict[str, Any]) -> None:
        write_durably(self.directory / "journal.json", json.dumps(journal))

    def close_journal(self) -> None:
        (self.directory / "journal.json").unlink(missing_ok=True)
        sync_directory(self.directory)

    def pending(self) -> dict[str, str]:
        return read_json(self.directory / "pending.json") or {}

    def write_pending(self, effects: dict[str, str]) -> None:
        if effects:
            write_durably(self.directory / "pending.json", json.dumps(effects, sort_keys=True))
        else:
            (self.directory / "pending.json").unlink(missing_ok=True)

    def outcome(self) -> dict[str, Any]:
        return read_json(self.directory / "outcome.json") or {}

    def write_outcome(self, **outcome: Any) -> None:
        """Keep how a transaction ended: txid, confirmed, and reason or result."""
        write_durably(self.directory / "outcome.json", json.dumps(outcome))

    # -- objects -----------------------------------------------------------------------------------------------------
    def has(self, sha256: str) -> bool:
        return (self.objects / sha256).is_file()

    def is_intact(self, sha256: str) -> bool:
        return self.has(sha256) and wire.hash_file(self.objects / sha256)[0] == sha256

    def forget(self, sha256: str) -> None:
        """Drop a damaged content: the next run sends it anew."""
        (self.objects / sha256).unlink(missing_ok=True)

    def content(self, sha256: str) -> wire.Content | None:
        path = self.objects / sha256
        try:
            return wire.Content(sha256, path.stat().st_size, path=path)
        except FileNotFoundError:
            return None

    def add(self, content: wire.Content) -> None:
        """Keep a content durably. Raises OSError, Damaged."""
        if self.has(content.sha256):
            return
        new = self.objects / f".{content.sha256}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with naming(self.objects), os.fdopen(descriptor, "wb") as stream:
                content.copy_to(stream)
                stream.flush()
                os.fsync(descriptor)
            new.replace(self.objects / content.sha256)
        finally:
            new.unlink(missing_ok=True)

    def collect_garbage(self, keep: int) -> None:
        """Forget all but the newest `keep` generations and the current one, then contents that none of them has."""
        current = self.current()
        for number in self.numbers()[:-keep]:
            if number != current:
                (self.generations / f"{number}.json").unlink()
        records = [self.generation(number) or {} for number in self.numbers()]
        used = {state["sha256"] for record in records for state in record.get("files", {}).values()}
        for path in self.objects.iterdir():
            if path.name not in used:
                path.unlink()


def owned_by_others(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """{path: {"bundle", "state"}} of all files and directories that other bundles of the host own or are about to."""
    owned: dict[str, dict[str, Any]] = {}
    if not root.is_dir():
        return owned
    for directory in sorted(root.iterdir()):
        if directory.name == name or not directory.is_dir():
            continue
        other = Store(directory.name, root)
        journal = other.journal() or {}
        for number in {other.current(), journal.get("generation", 0)}:
            record = other.generation(number) or {}
            for path, state in {**record.get("files", {}), **record.get("directories", {})}.items():
                owned[path] = {"bundle": other.name, "state": state}
    return owned


def read_pending(name: str, root: Path = ROOT) -> dict[str, str]:
    """{unit: reload|restart} that bundle `name` has caused and nobody has carried out yet."""
    return Store(name, root).pending()


def carried_out(names: Iterable[str], units: Iterable[str]) -> None:
    """Note that units have been acted upon, which bundles asked for. Raises Refused as clear_pending does."""
    for name, unit in itertools.product(names, list(units)):
        clear_pending(name, unit)


def clear_pending(name: str, unit: str, done: str = "restart", root: Path = ROOT) -> bool:
    """Note that a unit has been acted upon; a mere reload leaves a pending restart. Tells whether anything was cleared.

    Raises Refused when the host's lock is kept by a transaction.
    """
    if not (root / name / "pending.json").exists():
        return False
    with host_lock(root, name):
        store = Store(name, root)
        pending = store.pending()
        if unit not in pending or (pending[unit] == "restart" and done != "restart"):
            return False
        del pending[unit]
        store.write_pending(pending)
        return True
