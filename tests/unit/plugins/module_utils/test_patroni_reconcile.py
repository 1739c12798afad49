# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases for reconciling: what is asked of which member, in which order. Answers are recorded from Patroni 4.0.7."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _patroni
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_reconcile import NotConvergedError, reconcile
from ansible_collections.holdfast.platform.plugins.module_utils._patroni_rest import (
    AbsentError,
    FailedError,
    UnavailableError,
)

A, B, C = "https://a:8008", "https://b:8008", "https://c:8008"
CURRENT = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"max_connections": 100}}}
RAISED = {"ttl": 30, "loop_wait": 10, "postgresql": {"parameters": {"max_connections": 200}}}


class Cluster:
    """Members of one cluster with one stored configuration; each shows it after a number of looks."""

    def __init__(self, urls: list[str], config: dict[str, Any] | None, *, down: tuple[str, ...] = ()) -> None:
        self.urls, self.down = urls, down
        self.config = config
        self.seen: dict[str, dict[str, Any] | None] = dict.fromkeys(urls, config)
        self.lag = dict.fromkeys(urls, 0)
        self.pending: dict[str, bool] = {}
        self.before_patch: list[Callable[[], None]] = []
        self.now = 0.0
        self.calls: list[tuple[str, str, str]] = []

    def first(self, path: str, *, patience: float = 0) -> tuple[str, Any]:  # noqa: ARG002 - the interface
        for url in self.urls:
            try:
                return url, self.request(url, path)
            except AbsentError:
                continue
        raise UnavailableError([f"{url}: refused" for url in self.urls], absent=True)

    def request(self, url: str, path: str, *, method: str = "GET", body: object = None) -> Any:
        self.calls.append((method, url, path))
        if url in self.down:
            raise AbsentError(f"{url}: refused")
        if method == "PATCH":
            if self.before_patch:
                self.before_patch.pop(0)()
            assert isinstance(body, dict)
            self.config = _patch(self.config or {}, body)
            return self.config
        if path == "/config":
            if self.lag[url] <= 0:
                self.seen[url] = self.config
            else:
                self.lag[url] -= 1
            return json.loads(json.dumps(self.seen[url]))
        if path == "/cluster":
            return {"members": [{"name": url[8], "pending_restart": True} for url in self.pending if self.pending[url]]}
        if path == "/patroni":
            waits = self.config == RAISED
            return {"pending_restart": waits, "patroni": {"name": url[8]}} if waits else {"patroni": {"name": url[8]}}
        raise AssertionError(path)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def reconcile(self, desired: dict[str, Any], *, check: bool = False) -> Any:
        return reconcile(self, desired, check=check, timeout=5, clock=self.clock, sleep=self.sleep)


def _patch(config: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    config = json.loads(json.dumps(config))
    for key, value in data.items():
        if value is None:
            config.pop(key, None)
        elif isinstance(value, dict):
            config[key] = _patch(config.get(key) or {}, value)
        else:
            config[key] = value
    return config


def test_nothing_to_do_takes_two_requests() -> None:
    cluster = Cluster([A, B], CURRENT)
    cluster.pending = {A: True}
    outcome = cluster.reconcile(CURRENT)
    assert not outcome.plan.changes
    assert outcome.restart_required == ("a",)
    assert cluster.calls == [("GET", A, "/config"), ("GET", A, "/cluster")]


def test_check_mode_writes_nothing() -> None:
    cluster = Cluster([A], CURRENT)
    outcome = cluster.reconcile(RAISED, check=True)
    assert outcome.plan.patch == {"postgresql": {"parameters": {"max_connections": 200}}}
    assert outcome.restart.order == "standbys_first"
    assert cluster.config == CURRENT
    assert all(method == "GET" for method, _, _ in cluster.calls)


def test_one_patch_and_every_live_member_confirms() -> None:
    cluster = Cluster([A, B, C], CURRENT, down=(A,))
    cluster.lag[C] = 6
    outcome = cluster.reconcile(RAISED)
    assert cluster.config == RAISED
    assert [call for call in cluster.calls if call[0] == "PATCH"] == [("PATCH", B, "/config")]
    assert outcome.url == B
    assert outcome.restart_required == ("b", "c")
    assert 3 <= cluster.now < 10, "waits for the slow member, not for the dead one"


def test_two_writers() -> None:
    cluster = Cluster([A], CURRENT)

    def other() -> None:
        cluster.config = {**CURRENT, "failsafe_mode": True}
        raise FailedError("HTTP 409", 409)

    cluster.before_patch = [other]
    outcome = cluster.reconcile(RAISED)
    assert cluster.config == RAISED, "the other's key is not declared, so it is gone"
    assert outcome.before == {**CURRENT, "failsafe_mode": True}


def test_a_writer_that_never_stops() -> None:
    cluster = Cluster([A], CURRENT)

    def other() -> None:
        raise FailedError("HTTP 409", 409)

    cluster.before_patch = [other] * 3
    with pytest.raises(FailedError, match="409"):
        cluster.reconcile(RAISED)


def test_wrong_password_fails_at_once() -> None:
    cluster = Cluster([A], CURRENT)

    def refuse() -> None:
        raise FailedError("HTTP 401", 401)

    cluster.before_patch = [refuse]
    with pytest.raises(FailedError, match="401"):
        cluster.reconcile(RAISED)
    assert cluster.config == CURRENT


def test_a_member_that_does_not_take_it_over() -> None:
    cluster = Cluster([A, B], CURRENT)
    cluster.lag[B] = 1000
    with pytest.raises(NotConvergedError, match="https://b:8008 did not show the new configuration within 20 s"):
        cluster.reconcile(RAISED)


def test_nothing_runs_yet() -> None:
    cluster = Cluster([A, B], CURRENT, down=(A, B))
    outcome = cluster.reconcile(RAISED, check=True)
    assert (outcome.url, outcome.before, outcome.plan.after) == (None, {}, RAISED)
    with pytest.raises(UnavailableError, match="a:8008: refused; https://b:8008: refused"):
        cluster.reconcile(RAISED)


def test_a_wrong_configuration_is_refused_before_anybody_is_asked() -> None:
    cluster = Cluster([A], CURRENT)
    with pytest.raises(_patroni.ConfigError):
        cluster.reconcile({"ttl": 5})
    assert cluster.calls == []
