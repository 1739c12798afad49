# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members leave, come back empty and get newer packages, and runs are killed in the middle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from molecule.redis.conftest import MEMBERS, Redis
from tests.integration import newer_packages
from tests.integration.conftest import ROOT
from tests.runs import good, unchanged
from tests.waiting import eventually

pytestmark = pytest.mark.full

PACKAGES = ("redis-server", "redis-sentinel", "redis-tools")
UNITS = "redis-sentinel redis-server"
#: What a host has that never had the service, packages aside.
EMPTY = f"systemctl disable -q --now {UNITS}; rm -rf /var/lib/redis/* /etc/redis/holdfast* /etc/holdfast/redis"


@pytest.fixture(autouse=True, scope="module")
def _no_leftovers(redis: Redis) -> Iterator[None]:
    yield
    newer_packages.withdraw(redis.lab, MEMBERS)


def whole(redis: Redis) -> None:
    """One leads, the others follow, and every Sentinel knows all of that and nobody else."""
    eventually(redis.settled, 180, "all follow one primary", pause=1)
    good(redis.play("verify"))


def test_a_killed_upgrade_goes_on_and_the_primary_is_the_last(redis: Redis) -> None:
    newer_packages.offer(redis.lab, MEMBERS, PACKAGES, "1")
    leader = redis.primary()
    redis.cli("set test:upgrade kept", leader)
    redis.lab.killed(
        ROOT / "playbooks/upgrade.yml", "--tags", "redis",
        when=lambda _: any(
            has["redis-server"].endswith("+lab1")
            for has in newer_packages.versions(redis.lab, MEMBERS, PACKAGES).values()
        ),
    )  # fmt: skip
    assert redis.primary() == leader, "the primary is not upgraded before the others"
    good(redis.play("upgrade"))
    found = newer_packages.versions(redis.lab, MEMBERS, PACKAGES)
    assert all(version.endswith("+lab1") for has in found.values() for version in has.values()), found
    began = {host: int(redis.started(host)) for host in MEMBERS}
    assert max(began, key=lambda host: began[host]) == leader, began
    assert redis.primary() != leader
    assert redis.cli("get test:upgrade", redis.primary()) == "kept"
    assert "nothing is newer: no member was touched" in good(redis.play("upgrade"))
    whole(redis)


def test_the_primary_leaves_and_an_empty_host_takes_its_place(redis: Redis) -> None:
    leader = redis.primary()
    redis.cli("set test:replaced kept", leader)
    good(redis.play("remove", "-e", f"remove_host={leader}"))
    others = [host for host in MEMBERS if host != leader]
    assert all(redis.primary(host) != leader for host in others)
    assert all("num-other-sentinels 1 " in " ".join(redis.sentinel("master lab", host).split()) for host in others)
    redis.lab.run(leader, EMPTY)
    good(redis.play("site"))
    whole(redis)
    assert redis.cli("get test:replaced", leader) == "kept"
    unchanged(redis.play("site"))


@pytest.mark.parametrize("when", ["Form the cluster", "Run the member", "Reconcile users"])
def test_a_killed_forming_ends_in_one_cluster(redis: Redis, when: str) -> None:
    for host in MEMBERS:
        redis.lab.run(host, EMPTY)
    redis.lab.killed(ROOT / "playbooks/site.yml", "--tags", "redis", when=when, after=1)
    good(redis.play("site"))
    whole(redis)


def test_a_killed_restore_is_run_again(redis: Redis) -> None:
    redis.cli("set test:restored before", redis.primary())
    good(redis.play("backup"))
    redis.cli("set test:restored after", redis.primary())
    redis.lab.killed(ROOT / "playbooks/restore.yml", "--tags", "redis", when="Swap the data of all members", after=1)
    good(redis.play("restore"))
    whole(redis)
    assert redis.cli("get test:restored", redis.primary()) == "before"
