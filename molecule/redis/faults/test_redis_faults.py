# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster lives through: its primary dies, settings change, a configuration is bad."""

from __future__ import annotations

import json

import pytest

from molecule.redis.conftest import MEMBERS, Redis
from tests.runs import good, unchanged
from tests.waiting import eventually


def test_a_killed_primary_is_replaced_and_a_run_keeps_the_new_one(redis: Redis) -> None:
    """What was written before is there; the next run changes nothing, so the failover stays."""
    before = redis.primary()
    eventually(redis.settled, 120, "all follow one primary", pause=0.5)
    redis.cli("set test:failover kept", before)
    redis.cli("wait 2 5000", before)
    redis.lab.run(before, "systemctl mask --runtime -q redis-server; systemctl kill -s KILL redis-server")
    other = next(name for name in MEMBERS if name != before)
    eventually(lambda: redis.primary(other) != before, 120, "another one leads", pause=0.5)
    after = redis.primary(other)
    assert redis.cli("get test:failover", after) == "kept"
    redis.lab.run(before, "systemctl unmask --runtime -q redis-server; systemctl start redis-server")
    eventually(redis.settled, 120, "the former primary follows", pause=0.5)
    unchanged(redis.play("site"))
    assert redis.primary() == after
    good(redis.play("verify"))


@pytest.mark.full
def test_settings_change_without_a_restart_or_with_one_the_primary_last(redis: Redis) -> None:
    """A write that was acknowledged before the primary handed over is there."""
    began = {host: redis.started(host) for host in MEMBERS}
    leader = redis.primary()
    small = {"redis_maxmemory": "128mb", "redis_down_after": 6000}
    good(redis.play("site", "-e", json.dumps(small)))
    assert {redis.cli("config get maxmemory", host).split()[1] for host in MEMBERS} == {str(128 << 20)}
    assert all("6000" in redis.sentinel("master lab", host).split() for host in MEMBERS)
    assert {host: redis.started(host) for host in MEMBERS} == began
    assert redis.primary() == leader

    redis.cli("set test:restart kept", leader)
    done = good(redis.play("site", "-e", json.dumps({"redis_settings": {"databases": 8}})))
    assert {redis.cli("config get databases", host).split()[1] for host in MEMBERS} == {"8"}, done[-3000:]
    assert {redis.cli("config get maxmemory", host).split()[1] for host in MEMBERS} == {str(512 << 20)}
    assert all(redis.started(host) != began[host] for host in MEMBERS)
    assert redis.primary() != leader
    assert redis.cli("get test:restart", redis.primary()) == "kept"
    good(redis.play("site"))
    unchanged(redis.play("site", "--check"))


def test_a_bad_configuration_is_refused_before_anything_changed(redis: Redis) -> None:
    began = {host: redis.started(host) for host in MEMBERS}
    for wrong in ({"databases": "many"}, {"maxmemori": "1gb"}):
        done = redis.play("site", "-e", json.dumps({"redis_settings": wrong}))
        assert done.returncode == 2
        assert f"{next(iter(wrong))}:" in done.stdout, done.stdout[-3000:]
    assert {host: redis.started(host) for host in MEMBERS} == began
    unchanged(redis.play("site", "--check"))


def test_the_guard_spares_nobody_while_a_replica_is_down(redis: Redis) -> None:
    """And the member that is down comes back by the same run."""
    down, up = redis.replicas()
    redis.lab.run(down, "systemctl mask --runtime -q redis-server; systemctl kill -s KILL redis-server")
    try:
        changed = ("-e", json.dumps({"redis_settings": {"databases": 9}}), "--limit", up)
        done = redis.play("site", *changed)
        assert done.returncode == 2
        assert f"{up} may not stop now: {down} is down" in done.stdout, done.stdout[-3000:]
    finally:
        redis.lab.run(down, "systemctl unmask --runtime -q redis-server; systemctl start redis-server")
    eventually(redis.settled, 120, "all follow one primary", pause=0.5)
    good(redis.play("site"))
