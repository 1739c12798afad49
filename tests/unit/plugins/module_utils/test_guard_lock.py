# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of an operation of many steps, in an etcd that is made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._etcd import text
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import LEASE, Lock
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

LOCK = text("/guard/lock")


class Etcd:
    """One key bound to a lease, and seconds that pass when somebody waits. A lease in `renewed` never runs out."""

    def __init__(self) -> None:
        self.value: dict[str, str] | None = None
        self.leases: dict[str, int] = {}
        self.renewed: set[str] = set()

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        lease = str(body.get("ID", ""))
        if path == "lease/grant":
            lease = str(len(self.leases) + 1)
            self.leases[lease] = LEASE
            return {"ID": lease}
        if path == "lease/keepalive":
            self.leases[lease] = LEASE if self.leases.get(lease, 0) > 0 else 0
            return {"result": {"TTL": self.leases[lease]} if self.leases[lease] else {}}
        if path == "lease/timetolive":
            return {"TTL": self.leases[lease]}
        if path == "lease/revoke":
            self.end(lease)
            return {}
        found = {"kvs": [self.value]} if self.value else {}
        if path == "kv/range":
            return found
        put = body["success"][0]["request_put"]
        if self.value is None:
            self.value = {"value": put["value"], "lease": put["lease"]}
            return {"succeeded": True}
        return {"responses": [{"response_range": found}]}

    def end(self, lease: str) -> None:
        self.leases[lease] = 0
        if self.value and self.value["lease"] == lease:
            self.value = None

    def sleep(self, seconds: float) -> None:
        for lease, left in self.leases.items():
            self.leases[lease] = LEASE if lease in self.renewed else max(0, left - int(seconds))
            if not self.leases[lease]:
                self.end(lease)


@pytest.fixture
def etcd() -> Etcd:
    return Etcd()


def lock(etcd: Any, controller: str = "alice", host: str = "a") -> Lock:
    return Lock(etcd, etcd, "/guard/", controller, host)


def test_the_steps_of_a_run_share_one_lease_until_it_is_released(etcd: Etcd) -> None:
    first, second = lock(etcd), lock(etcd, host="b")
    first.join()
    second.join()  # on another host, at the same time
    first.leave()
    second.leave()
    assert etcd.value is not None
    assert etcd.value["lease"] == "1"
    lock(etcd, host="c").release()
    assert etcd.value is None


def test_a_live_run_is_refused_as_soon_as_it_renews(etcd: Etcd) -> None:
    holder = lock(etcd, "bob")
    holder.join()
    etcd.leases["1"] = 28
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            etcd.renewed.add("1")
        etcd.sleep(seconds)

    with pytest.raises(Failed, match=r"another controller is at work: bob holds the lock for a \(process \d+ there\)"):
        lock(etcd).join(sleep)
    assert len(waited) == 3
    lock(etcd).release()
    assert etcd.value is not None, "another run's lock stays"
    holder.leave()


def test_a_dead_run_lets_go_when_its_lease_runs_out(etcd: Etcd) -> None:
    dead = lock(etcd, "bob")
    dead.join()
    dead.leave()
    mine = lock(etcd)
    mine.join(etcd.sleep)
    assert etcd.value is not None
    assert etcd.value["lease"] == "2"
    mine.leave()


def test_a_run_that_ends_while_one_waits_may_have_changed_everything(etcd: Etcd) -> None:
    other = lock(etcd, "bob")
    other.join()
    other.leave()

    def sleep(seconds: float) -> None:
        etcd.sleep(seconds)
        other.release()

    with pytest.raises(Failed, match="was at work until now"):
        lock(etcd).join(sleep)
