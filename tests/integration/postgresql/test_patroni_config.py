# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's dynamic configuration on a live cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Cluster

BASE: dict[str, Any] = {
    "ttl": 20,
    "loop_wait": 3,
    "retry_timeout": 5,
    "synchronous_mode": True,
    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 50, "shared_buffers": "32MB"}},
}


def _with(**parameters: Any) -> dict[str, Any]:
    postgresql = BASE["postgresql"]
    return {**BASE, "postgresql": {**postgresql, "parameters": {**postgresql["parameters"], **parameters}}}


@pytest.fixture
def put_back(cluster: Cluster) -> Iterator[None]:
    """Bring the configuration back after a test that changes it."""
    yield
    cluster.leader()
    cluster.reconcile(config=BASE)


def test_nothing_to_do(cluster: Cluster) -> None:
    cluster.unchanged(config=BASE)
    spelled = _with(shared_buffers="32768kB", max_connections="50")
    cluster.unchanged(config={**spelled, "synchronous_mode": "on"})


@pytest.mark.usefixtures("put_back")
def test_check_mode_tells_what_a_run_does(cluster: Cluster) -> None:
    wanted = {**_with(work_mem="8MB", log_min_duration_statement="1s"), "failsafe_mode": True}
    predicted = cluster.reconcile("--check", "--diff", config=wanted)
    assert cluster.request("/config") == BASE
    done = cluster.reconcile("--diff", config=wanted)
    assert predicted["diff"] == done["diff"]
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        assert cluster.request("/config", address) == wanted, "every member shows it when the module returns"
    assert cluster.sql("SHOW work_mem") == "8MB"
    cluster.unchanged(config=wanted)
    removed = cluster.reconcile("--diff", config=BASE)
    assert (removed["diff"]["before"], removed["diff"]["after"]) == (done["diff"]["after"], done["diff"]["before"])
    assert cluster.request("/config") == BASE
    assert cluster.sql("SHOW work_mem") == "4MB"


@pytest.mark.usefixtures("put_back")
def test_what_others_own_stays(cluster: Cluster) -> None:
    slots = {"theirs": {"type": "physical"}, "ours": {"type": "physical"}}
    cluster.reconcile(config={**BASE, "slots": slots, "pause": True})
    cluster.unchanged(config=BASE)
    assert cluster.request("/config") == {**BASE, "slots": slots, "pause": True}
    cluster.reconcile(config={**BASE, "slots": {"ours": None}, "pause": None})
    assert cluster.request("/config") == {**BASE, "slots": {"theirs": {"type": "physical"}}}
    cluster.reconcile(config={**BASE, "slots": {"theirs": None}})
    assert not cluster.request("/config")["slots"]


@pytest.mark.usefixtures("put_back")
def test_restarts_that_it_asks_for(cluster: Cluster) -> None:
    raised = cluster.reconcile(config=_with(max_connections=60))
    assert raised["restart"] == {"order": "standbys_first", "raised": ["max_connections"], "lowered": [], "other": []}
    assert raised["restart_required"] == ["m1", "m2", "m3"]
    lowered = cluster.reconcile("--check", config=_with(max_connections=40))
    assert lowered["restart"]["order"] == "primary_first"


@pytest.mark.usefixtures("put_back")
def test_a_member_is_down(cluster: Cluster) -> None:
    cluster.script("member 1 stop")
    try:
        wanted = _with(work_mem="5MB")
        done = cluster.reconcile(config=wanted)
        assert done["url"] == "https://127.0.0.2:18008"
        cluster.unchanged(config=wanted)
    finally:
        cluster.script("member 1 start")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"rest_password": "wrong"}, ["https://127.0.0.1:18008: HTTP 401"]),
        ({"ca": "/var/lib/holdfast-test-postgresql/tls/other.crt"}, ["TLS:", "https://127.0.0.3:18008"]),
        ({"urls": ["https://127.0.0.9:18008", "https://127.0.0.1:1"]}, ["https://127.0.0.9:18008", "127.0.0.1:1:"]),
        ({"config": {**BASE, "postgresql": {"parameters": {"max_connections": 5}}}}, ["max_connections", "25 or more"]),
    ],
)
def test_refusals_change_nothing(cluster: Cluster, variables: dict[str, Any], words: list[str]) -> None:
    result = cluster.reconcile(fails=True, **{"config": _with(work_mem="9MB"), **variables})
    for word in words:
        assert word in result["msg"]
    assert cluster.request("/config")["postgresql"] == BASE["postgresql"]


def test_nothing_runs_yet(cluster: Cluster) -> None:
    fresh = {"urls": ["https://127.0.0.9:18008"], "ca": "/nowhere/ca.crt", "config": BASE}
    result = cluster.reconcile("--check", "--diff", **fresh)
    assert result["changed"]
    assert result["diff"]["before"] == ""
    assert "max_connections: 50" in result["diff"]["after"]
