# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of PostgreSQL: cases of a cluster, and what follows from each (Patroni 4.0.7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._guard_postgresql import Member, State, merge

MB = 1024 * 1024
A = Member("a", "leader", "running", timeline=3, position=100 * MB)
B = Member("b", "quorum_standby", "running", streaming=True, timeline=3, position=100 * MB)
C = replace(B, name="c")
FINE = State({"a": A, "b": B, "c": C})


def with_(*members: Member, **changes: Any) -> State:
    return replace(FINE, members={**FINE.members, **{member.name: member for member in members}}, **changes)


PLAIN = [replace(B, role="replica"), replace(C, role="replica")]


@pytest.mark.parametrize(
    ("state", "name", "reasons"),
    [
        (FINE, "a", []),
        (FINE, "b", []),
        (with_(replace(C, error="refused")), "b", ["c is down: refused"]),
        pytest.param(with_(replace(C, error="refused")), "c", [], id="itself is down"),
        pytest.param(with_(replace(C, state="stopped")), "c", [], id="its PostgreSQL is down"),
        pytest.param(with_(replace(A, state="starting")), "a", [], id="a leader that does not run"),
        (with_(replace(C, state="starting")), "b", ["c is starting, not running"]),
        (with_(replace(C, streaming=False)), "b", ["c does not stream"]),
        (with_(replace(C, timeline=2)), "b", ["c is on timeline 2, the leader on 3"]),
        (
            with_(replace(C, position=80 * MB)),
            "b",
            [f"c lags by {20 * MB} bytes, and {16 * MB} is the limit"],
        ),
        (with_(replace(C, position=None)), "b", ["the lag of c is unknown"]),
        (with_(replace(C, paused=True)), "b", ["replay is paused on c"]),
        (
            with_(Member("d", error="its address does not answer")),
            "b",
            ["d is down: its address does not answer"],
        ),
        (with_(Member("d", state="running")), "b", ["d is not in the cluster (it is down, or never joined)"]),
        (with_(pause=True), "b", ["Patroni is paused: nobody takes over when the leader dies"]),
        (with_(error="HTTP 502"), "b", ["the cluster can't be read: HTTP 502"]),
        (with_(*PLAIN), "b", ["there is no synchronous standby: a commit is on one member only"]),
        (with_(*PLAIN, synchronous=False), "b", []),
        (with_(*PLAIN, synchronous=False), "a", []),
        (
            with_(*PLAIN),
            "a",
            [
                "there is no synchronous standby: a commit is on one member only",
                "a leads, and no standby could take over",
            ],
        ),
        pytest.param(
            with_(replace(B, failover=False), replace(C, failover=False)),
            "a",
            ["a leads, and no standby could take over"],
            id="standbys that may not lead",
        ),
        pytest.param(
            with_(replace(A, role="replica", streaming=True)),
            "b",
            ["no member is the one leader", "the lag of a is unknown", "the lag of c is unknown"],
            id="no leader",
        ),
        (State({"a": A}), "a", []),
        pytest.param(State({"a": A, "b": B}), "b", [], id="the standby of two"),
        pytest.param(State({"a": A, "b": B}), "a", [], id="the leader of two"),
        pytest.param(
            State({"a": A, "b": replace(B, error="refused")}),
            "a",
            [
                "b is down: refused",
                "there is no synchronous standby: a commit is on one member only",
                "a leads, and no standby could take over",
            ],
            id="all reasons are told",
        ),
    ],
)
def test_reasons(state: State, name: str, reasons: list[str]) -> None:
    assert state.reasons(name) == reasons


@pytest.mark.parametrize(
    ("state", "successor"),
    [
        (FINE, "b"),
        (with_(replace(B, position=99 * MB)), "c"),
        (with_(replace(B, pending_restart=True)), "c"),
        (with_(replace(B, failover=False)), "c"),
        (with_(replace(B, role="replica")), "c"),
        (with_(replace(B, role="replica"), synchronous=False), "b"),
        (with_(replace(B, error="refused"), replace(C, streaming=False)), ""),
    ],
)
def test_who_takes_over(state: State, successor: str) -> None:
    assert state.leads("a")
    assert state.successor("a") == successor


@pytest.mark.parametrize(
    ("state", "lacks"),
    [
        (FINE, []),
        (with_(replace(B, error="refused")), ["b is down: refused", "1 of 2 synchronous standbys are back"]),
        (with_(replace(B, role="replica")), ["1 of 2 synchronous standbys are back"]),
        (with_(replace(B, role="replica"), synchronous=False), []),
        (with_(error="HTTP 503"), ["HTTP 503"]),
    ],
)
def test_what_a_member_lacks(state: State, lacks: list[str]) -> None:
    assert state.missing("b", FINE) == lacks


CLUSTER = {
    "members": [
        {"name": "a", "role": "leader", "state": "running", "timeline": 3, "tags": {"zone": "a"}},
        {"name": "b", "role": "quorum_standby", "state": "streaming", "tags": {"nofailover": True}, "lag": 0},
        {"name": "c", "role": "replica", "state": "streaming"},
    ]
}
OWN = {
    "a": {"state": "running", "role": "primary", "timeline": 3, "xlog": {"location": 900}},
    "b": {
        "state": "running",
        "timeline": 3,
        "replication_state": "streaming",
        "xlog": {"received_location": 900, "replayed_location": 800, "paused": True},
        "pending_restart": True,
        "pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "200"}},
    },
    "c": "https://c:8008: refused",
    "d": "https://d:8008: refused",
}


def test_two_views_become_one() -> None:
    assert merge(CLUSTER, OWN) == {
        "a": Member("a", "leader", "running", timeline=3, position=900),
        "b": Member(
            "b",
            "quorum_standby",
            "running",
            streaming=True,
            timeline=3,
            position=800,
            paused=True,
            failover=False,
            pending={"max_connections": {"old_value": "100", "new_value": "200"}},
            pending_restart=True,
        ),
        "c": Member("c", "replica", error="https://c:8008: refused"),
        "d": Member("d", error="https://d:8008: refused"),
    }


def test_an_older_patroni_tells_streaming_in_the_clusters_view_only() -> None:
    assert merge(CLUSTER, {"c": {"state": "running"}})["c"].streaming
