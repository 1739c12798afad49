# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as wrong with a Patroni cluster and with a client's way to it, and the words for it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._postgresql_health import (
    Seen,
    Wish,
    judge_client,
    judge_cluster,
)

NAMES = ("data-a1", "data-b1", "data-c1")
LEADER = {
    "name": "data-a1",
    "role": "leader",
    "state": "running",
    "api_url": "https://10.77.1.11:8008/patroni",
    "host": "10.77.1.11",
    "port": 5432,
    "timeline": 3,
}


def standby(name: str, **changes: Any) -> dict[str, Any]:
    """Return a healthy standby as Patroni 4.1 tells of it, with changes; None takes a key out."""
    member = LEADER | {
        "name": name,
        "role": "replica",
        "state": "streaming",
        "receive_lag": 0,
        "receive_lsn": "0/6000168",
        "replay_lag": 0,
        "replay_lsn": "0/6000168",
        "lag": 0,
        "lsn": "0/6000168",
    }
    return {key: value for key, value in (member | changes).items() if value is not None}


def cluster(*, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an answer to GET /cluster with changed members a and b."""
    members = [
        {**LEADER, **(a or {})},
        standby("data-b1", **({"role": "quorum_standby"} | (b or {}))),
        standby("data-c1"),
    ]
    return {"members": members, "scope": "holdfast"} | more


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        pytest.param(cluster(), [], id="healthy"),
        pytest.param(cluster(b={"role": "sync_standby"}), [], id="synchronous by name"),
        pytest.param(cluster(b={"lag": 16 * 1024 * 1024}), [], id="a little behind"),
        pytest.param(
            cluster(a={"role": "standby_leader", "state": "streaming"}), [], id="the leader of a standby cluster"
        ),
        pytest.param(
            cluster(a={"role": "standby_leader", "state": "in archive recovery"}),
            ["data-a1 is in archive recovery, not running"],
            id="the leader of a standby cluster without its source",
        ),
        pytest.param(
            cluster(a={"state": "starting"}), ["data-a1 is starting, not running"], id="a leader that is starting"
        ),
        pytest.param(
            cluster(a={"role": "replica", "state": "stopped", "timeline": None}),
            ["0 leaders: nobody", "data-a1 is stopped, not streaming"],
            id="no leader",
        ),
        pytest.param(
            cluster(b={"role": "leader", "state": "running", "timeline": 4}),
            ["2 leaders: data-a1, data-b1", "no synchronous standby: a commit is on one member only"],
            id="two leaders",
        ),
        pytest.param(
            cluster(b={"state": "stopped", "role": "replica", "lag": "unknown", "timeline": None}),
            [
                "data-b1 is stopped, not streaming",
                "the lag of data-b1 is unknown",
                "no synchronous standby: a commit is on one member only",
            ],
            id="a standby that is down",
        ),
        pytest.param(
            cluster(b={"state": "running"}), ["data-b1 is running, not streaming"], id="a standby that does not follow"
        ),
        pytest.param(
            cluster(b={"state": "in archive recovery"}),
            ["data-b1 is in archive recovery, not streaming"],
            id="a standby that reads the archive",
        ),
        pytest.param(
            cluster(b={"state": None, "lag": None}), ["data-b1 is in no known state, not streaming"], id="no state"
        ),
        pytest.param(
            cluster(b={"timeline": 2}), ["data-b1 is on timeline 2, the leader on 3"], id="on another timeline"
        ),
        pytest.param(cluster(b={"lag": 16 * 1024 * 1024 + 1}), ["data-b1 lags by 16777217 bytes"], id="too far behind"),
        pytest.param(
            cluster(
                b={
                    "pending_restart": True,
                    "pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "200"}},
                }
            ),
            ["data-b1 has to be restarted for parameters that were changed"],
            id="waits for a restart",
        ),
        pytest.param(
            cluster(members=[LEADER, standby("data-b1", role="sync_standby")]),
            ["data-c1 is not a member of the cluster (it is down, or never joined)"],
            id="one is missing",
        ),
        pytest.param(
            cluster(members=[*cluster()["members"], standby("data-d1")]),
            ["data-d1 is a member, and nobody declared it"],
            id="a stranger",
        ),
        pytest.param(
            cluster(b={"role": "replica"}),
            ["no synchronous standby: a commit is on one member only"],
            id="nobody is synchronous",
        ),
        pytest.param(cluster(pause=True), ["Patroni is paused: nobody takes over when the leader dies"], id="paused"),
        pytest.param(
            {},
            [
                "0 leaders: nobody",
                *(f"{name} is not a member of the cluster (it is down, or never joined)" for name in NAMES),
                "no synchronous standby: a commit is on one member only",
            ],
            id="an empty answer",
        ),
    ],
)
def test_judge_cluster(answer: dict[str, Any], problems: list[str]) -> None:
    assert judge_cluster(Wish(NAMES, synchronous=True), answer) == problems


@pytest.mark.parametrize(
    ("wish", "answer", "problems"),
    [
        pytest.param(Wish(NAMES, synchronous=False), cluster(b={"role": "replica"}), [], id="asynchronous on purpose"),
        pytest.param(Wish(("data-a1",), synchronous=True), {"members": [LEADER]}, [], id="one member only"),
        pytest.param(
            Wish(NAMES, synchronous=True, lag=10),
            cluster(b={"lag": 11}),
            ["data-b1 lags by 11 bytes"],
            id="a smaller lag",
        ),
    ],
)
def test_judge_cluster_by_what_was_declared(wish: Wish, answer: dict[str, Any], problems: list[str]) -> None:
    assert judge_cluster(wish, answer) == problems


@pytest.mark.parametrize(
    ("seen", "replica", "problems"),
    [
        (Seen(replica=False, settings={"max_connections": "200", "data_checksums": "on"}), False, []),
        (Seen(replica=True, settings={"max_connections": "200", "data_checksums": "on"}), True, []),
        (
            Seen(replica=True, settings={"max_connections": "200", "data_checksums": "on"}),
            False,
            ["pool leads to a replica, not to a leader"],
        ),
        (
            Seen(replica=False, settings={"max_connections": "100"}),
            True,
            [
                "pool leads to a leader, not to a replica",
                "pool: data_checksums is None, not 'on'",
                "pool: max_connections is '100', not '200'",
            ],
        ),
        ("connection to server at 10.77.1.11 refused", False, ["pool: connection to server at 10.77.1.11 refused"]),
    ],
)
def test_judge_client(seen: Seen | str, replica: bool, problems: list[str]) -> None:
    settings = {"data_checksums": "on", "max_connections": 200}
    assert judge_client("pool", seen, replica=replica, settings=settings) == problems
