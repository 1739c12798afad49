# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the restarts of PostgreSQL that changed parameters wait for: one member at a time, in the right order.

What Patroni reports decides (`pending_restart`, with old and new values since Patroni 4.0), not what a run has changed:
a run that was cut off is finished by the next. Order: PostgreSQL manual, "Hot Standby / Administrator's Overview".
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from ansible_collections.holdfast.platform.plugins.module_utils import _guard, _guc, _wait
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Lock
from ansible_collections.holdfast.platform.plugins.module_utils._guard_postgresql import LEADERS, Member, State
from ansible_collections.holdfast.platform.plugins.module_utils._patroni import ORDERED, Restart
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

#: A standby needs two restarts when one limit is raised and another lowered, and a third when it had not replayed the
#: primary's new limit yet.
ATTEMPTS = 3


class Adapter(_guard.Adapter, Protocol):
    """What this needs of `_guard_postgresql.Adapter`."""

    def load(self) -> State:
        """Look at the cluster."""

    def restart(self, name: str) -> None:
        """Restart PostgreSQL of a member and wait for its end."""


def _moves(member: Member) -> set[str]:
    """Tell whether limits that the order depends on are `raised` or `lowered` by a restart; both when unknown."""
    if not member.pending:
        return {"raised", "lowered"} if member.pending_restart else set()
    found = set()
    for name, values in member.pending.items():
        old, new = _guc.number(values.get("old_value")), _guc.number(values.get("new_value"))
        if name in ORDERED and old is not None and new is not None and old != new:
            found.add("raised" if new > old else "lowered")
    return found


def in_place(member: Member) -> bool:
    """Tell whether a leader has to restart as the leader: standbys can't have less than it has."""
    return _moves(member) == {"lowered"}


def due(state: State) -> str:
    """Name the member that is to restart next; empty when none waits.

    Standbys before the leader, except for a limit that is lowered: a standby can't start with less than its primary.
    """
    pending = [member for _, member in sorted(state.members.items()) if member.pending_restart]
    leader = next((member for member in pending if member.role in LEADERS), None)
    standbys = [member for member in pending if member is not leader]
    if leader and "raised" in _moves(leader):
        standbys = [member for member in standbys if "raised" in _moves(member)]
    elif leader and in_place(leader):
        return leader.name
    return standbys[0].name if standbys else leader.name if leader else ""


def first(state: State, restart: Restart) -> str:
    """Name the member that restarts first after a change that is not written yet; empty when nobody leads.

    A standby, except for a limit that is only lowered.
    """
    leader = next((name for name, member in sorted(state.members.items()) if member.role in LEADERS), "")
    standbys = [name for name in sorted(state.members) if name != leader]
    return leader if restart.order == "primary_first" or not standbys else standbys[0]


def carry_out(
    adapter: Adapter, lock: Callable[[str], Lock], timeout: float, clock: _wait.Clock = _wait.REAL
) -> list[str]:
    """Restart every member that waits for it, each under guard. lock makes the lock for a member.

    Returns what was done, in words. Raises _guard.Refused or Failed; the rest then waits for the next run.
    """
    done: list[str] = []
    attempts: Counter[str] = Counter()
    while True:
        state = adapter.load()
        name = due(state)
        if not name:
            return done
        attempts[name] += 1
        if attempts[name] > ATTEMPTS:
            raise Failed(f"{name} still waits for a restart after {ATTEMPTS} of them")
        wish = _guard.Stop(name, leader=not in_place(state.members[name]), timeout=timeout)
        successor = _guard.stop(adapter, lock(name), wish, functools.partial(_restart, adapter, name), clock)
        done.extend([f"switch over from {name} to {successor}"] if successor else [])
        done.append(f"restart {name}")


def _restart(adapter: Adapter, name: str) -> None:
    """Restart a member, unless the switchover has done so: a former leader starts anew as a standby."""
    if adapter.load().members[name].pending_restart:
        adapter.restart(name)
