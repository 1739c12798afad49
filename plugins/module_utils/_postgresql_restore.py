# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore of a Patroni cluster as an operation that can be cut off anywhere: its record, and the decisions.

One member, the restorer, is restored while the others keep what they have. Only when it stands at the target are the
others stopped, the cluster's key in etcd removed, and the restorer promoted. Until then there is a way back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _durable
from ansible_collections.holdfast.platform.plugins.module_utils import _pgbackrest_choice as choice
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: The phases of an operation, in their order. From `committed` on there is no way back.
FETCH, RECOVER, REACHED, COMMITTED, PROMOTED, STARTING, LEADING = PHASES = (
    "fetch",
    "recover",
    "reached",
    "committed",
    "promoted",
    "starting",
    "leading",
)


@dataclass(frozen=True)
class Operation:
    """The record of an operation, on the restorer. seconds holds what each part took so far."""

    host: str
    target: choice.Target
    backup: choice.Backup
    keep: bool
    phase: str = FETCH
    started: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    reached: Mapping[str, Any] = field(default_factory=dict)
    newest_wal: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether the way back is gone."""
        return PHASES.index(self.phase) >= PHASES.index(COMMITTED)

    def after(self, phase: str, **seconds: float) -> Operation:
        """The same operation, one phase on."""
        return replace(self, phase=phase, seconds={**self.seconds, **{k: round(v, 1) for k, v in seconds.items()}})


@dataclass(frozen=True)
class Look:
    """What one member finds on itself.

    data: `none`, `partial` (a restore was cut off), or `cluster`; system: its identifier; position: timeline and LSN
    of the last checkpoint, for comparison; free and used: bytes. operation: the record that lies there.
    """

    name: str
    data: str
    system: str = ""
    position: tuple[int, int] = (0, 0)
    free: int = 0
    used: int = 0
    masked: bool = False
    operation: Operation | None = None


def dump(operation: Operation) -> dict[str, Any]:
    """An operation as plain data."""
    return asdict(operation)


def load(data: Mapping[str, Any]) -> Operation:
    """An operation out of plain data. Raises Failed when it is none."""
    try:
        rest = {**data, "target": choice.Target(**data["target"]), "backup": choice.Backup(**data["backup"])}
        return Operation(**rest)
    except (KeyError, TypeError) as error:
        raise Failed(f"the record of the restore can't be read: {error}") from error


def read(path: Path) -> Operation | None:
    """The record on this host, if there is one."""
    try:
        return load(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Failed(f"{path}: {error}") from error


def write(path: Path, operation: Operation) -> None:
    """Keep the record, so that it survives a loss of power."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _durable.write(path, json.dumps(dump(operation)))


def look_from(data: Mapping[str, Any]) -> Look:
    """A look out of plain data."""
    operation = data.get("operation")
    return Look(**{**data, "position": tuple(data["position"]), "operation": load(operation) if operation else None})


def parse_lsn(text: str) -> int:
    """An LSN (`16/B374D848`) as a number; 0 for none."""
    high, slash, low = text.partition("/")
    return (int(high, 16) << 32 | int(low, 16)) if slash else 0


def pending(looks: Iterable[Look]) -> Operation | None:
    """The operation that was begun and not ended. Raises Failed when there is more than one."""
    found = [look.operation for look in looks if look.operation]
    if len(found) > 1:
        raise Failed(f"more than one restore was begun, on {' and '.join(one.host for one in found)}; abandon first")
    return found[0] if found else None


def resume(operation: Operation, target: choice.Target) -> Operation:
    """The operation that goes on. Raises Failed when something else is asked for now."""
    if operation.target != target:
        way = (
            "it has been promoted: end it with the same target"
            if operation.over
            else "end it with the same target, or give it up first (postgresql_restore_abandon=true)"
        )
        raise Failed(
            f"a restore to {operation.target} was begun on {operation.host} ({operation.phase}), not to {target}; {way}"
        )
    return operation


def place(looks: Sequence[Look], leader: str | None) -> tuple[str, bool]:
    """The member to restore on, and whether its data has to be kept aside.

    The keeper is who has the newest data: the leader, or without one the member with the newest checkpoint. Its data
    is the way back, so another member is taken, and its own data reused. Only a keeper that is alone is restored
    itself, beside its old data.
    """
    owners = [look for look in looks if look.data == "cluster"]
    keeper = leader or max(owners, key=lambda look: (look.position, look.name)).name if owners else leader
    others = sorted(look.name for look in looks if look.name != keeper)
    if others:
        return others[0], False
    return looks[0].name, bool(owners)


def room(look: Look, backup: choice.Backup, keep: bool) -> None:
    """Raises Failed when the backup does not fit."""
    need = int(backup.size * 1.05) - (0 if keep else look.used)
    if need > look.free:
        raise Failed(
            f"{look.name}: the backup needs {need / 1e9:.1f} GB more in the data directory, "
            f"and {look.free / 1e9:.1f} GB are free"
        )


def plan(
    looks: Sequence[Look],
    wanted_members: Sequence[str],
    leader: str | None,
    target: choice.Target,
    stock: choice.Stock,
    *,
    label: str | None = None,
) -> Operation:
    """The operation: the one that was begun, or a new one. Raises Failed with what stands against it."""
    here = {look.name for look in looks}
    absent = [name for name in wanted_members if name not in here]
    if absent:
        raise Failed(
            f"{', '.join(absent)} can't be reached: a member that comes back with its old data while the others are "
            "stopped would lead again; start it, or remove it from the cluster (make remove)"
        )
    begun = pending(looks)
    if begun:
        return resume(begun, target)
    backup = choice.choose(target, stock, label)
    host, keep = place(looks, leader)
    room(next(look for look in looks if look.name == host), backup, keep)
    newest = {str(one.key): one.newest_wal.get(backup.system, "") for one in stock.repositories if not one.problem}
    return Operation(host, target, backup, keep, started=time.time(), newest_wal=newest)


def foreign(look: Look, system: str) -> bool:
    """Whether a member's data belongs to another cluster than the restored one, or is of no use: it has to go."""
    return look.data == "partial" or (look.data == "cluster" and look.system != system)
