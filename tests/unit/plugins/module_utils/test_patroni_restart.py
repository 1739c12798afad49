# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which member restarts next, and the whole of it on a cluster that is made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _guard, _patroni_restart, _wait
from ansible_collections.holdfast.platform.plugins.module_utils._guard_postgresql import Member, State
from ansible_collections.holdfast.platform.plugins.module_utils._patroni import Restart
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

A = Member("a", "leader", "running", timeline=1, position=1)
B = Member("b", "quorum_standby", "running", streaming=True, timeline=1, position=1)
C = replace(B, name="c")


def waits(member: Member, **changes: tuple[str, str]) -> Member:
    """A member that waits for a restart for changes of parameters, each (old, new)."""
    reasons = {name: {"old_value": old, "new_value": new} for name, (old, new) in changes.items()}
    return replace(member, pending_restart=True, pending=reasons)


UP, LESS, SIZE = {"max_connections": ("100", "200")}, {"max_wal_senders": ("10", "5")}, {"shared_buffers": ("1", "2")}


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ([A, B, C], ""),
        ([A, B, waits(C, **UP)], "c"),
        ([waits(A, **UP), waits(B, **UP), waits(C, **UP)], "b"),
        ([waits(A, **UP), B, waits(C, **UP)], "c"),
        ([waits(A, **UP), B, C], "a"),
        ([waits(A, **LESS), waits(B, **LESS), waits(C, **LESS)], "a"),
        ([A, waits(B, **LESS), waits(C, **LESS)], "b"),
        ([waits(A, **SIZE), waits(B, **SIZE), C], "b"),
        ([waits(A, **SIZE), B, C], "a"),
        ([waits(A, **SIZE, **LESS), waits(B, **SIZE, **LESS), C], "a"),
        ([waits(A, **UP, **LESS), waits(B, **UP, **LESS), C], "b"),
        pytest.param([waits(A, **UP, **LESS), waits(B, **LESS), C], "a", id="the raised half is on all standbys"),
        pytest.param([waits(A), waits(B), C], "b", id="an older Patroni tells no reasons"),
        pytest.param([waits(A), B, C], "a", id="an older Patroni, standbys are done"),
        pytest.param([waits(A, max_connections=("?", "200")), waits(B), C], "b", id="a value that is no number"),
    ],
)
def test_who_is_next(members: list[Member], name: str) -> None:
    assert _patroni_restart.due(State({member.name: member for member in members})) == name


@pytest.mark.parametrize(
    ("changes", "in_place"), [(UP, False), (LESS, True), (SIZE, False), ({**UP, **LESS}, False), ({}, False)]
)
def test_whether_a_leader_restarts_in_its_place(changes: dict[str, tuple[str, str]], in_place: bool) -> None:
    assert _patroni_restart.in_place(waits(A, **changes)) is in_place


class Cluster:
    """Members whose restart makes changes true, but for a standby's lowered limit as long as the leader has more."""

    units: frozenset[str] = frozenset()
    leaders: bool = False

    def __init__(self, *members: Member, stubborn: bool = False) -> None:
        self.members = {member.name: member for member in members}
        self.stubborn = stubborn
        self.now = 0.0

    def load(self) -> State:
        return State(dict(self.members))

    def restart(self, name: str) -> None:
        member = self.members[name]
        leader = next(other for other in self.members.values() if other.role == "leader")
        kept = {key: value for key, value in member.pending.items() if key in LESS and key in leader.pending}
        if name != leader.name and (kept or self.stubborn):
            self.members[name] = replace(member, pending=kept)
        else:
            self.members[name] = replace(member, pending={}, pending_restart=False)

    def hand_over(self, name: str, successor: str) -> None:
        self.members[name] = replace(B, name=name)  # demoted, started anew
        self.members[successor] = replace(self.members[successor], role="leader", streaming=False)

    def carry_out(self) -> list[str]:
        clock = _wait.Clock(lambda: self.now, lambda seconds: setattr(self, "now", self.now + seconds))
        return _patroni_restart.carry_out(self, lambda _: Lock(), 10, clock)  # type: ignore[return-value]


class Lock:
    """A lock that nobody else wants."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        (UP, ["restart b", "restart c", "switch over from a to b", "restart a"]),
        (SIZE, ["restart b", "restart c", "switch over from a to b", "restart a"]),
        (LESS, ["restart a", "restart b", "restart c"]),
    ],
)
def test_the_order(changes: dict[str, tuple[str, str]], done: list[str]) -> None:
    cluster = Cluster(*(waits(member, **changes) for member in (A, B, C)))
    assert cluster.carry_out() == done
    assert not any(member.pending_restart for member in cluster.members.values())
    assert cluster.carry_out() == []


def test_a_member_that_waits_for_ever() -> None:
    with pytest.raises(Failed, match="b still waits for a restart after 3 of them"):
        Cluster(A, waits(B, **SIZE), C, stubborn=True).carry_out()


def test_a_refusal_leaves_the_rest_for_the_next_run() -> None:
    cluster = Cluster(A, waits(B, **UP), replace(C, state="stopped"))
    with pytest.raises(_guard.Refused, match="c is stopped"):
        cluster.carry_out()
    assert cluster.members["b"].pending_restart


@pytest.mark.parametrize(
    ("restart", "members", "name"),
    [
        (Restart(raised=("max_connections",)), (A, B, C), "b"),
        (Restart(lowered=("max_connections",)), (A, B, C), "a"),
        (Restart(raised=("max_connections",), lowered=("max_wal_senders",)), (A, B, C), "b"),
        (Restart(other=("shared_buffers",)), (A,), "a"),
    ],
)
def test_who_would_be_first_after_a_change(restart: Restart, members: tuple[Member, ...], name: str) -> None:
    assert _patroni_restart.first(Cluster(*members).load(), restart) == name
