# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other topology: six members form shards, lose a zone, take settings and let a primary go.

The hosts are those of the lab, with other services: the members that Sentinels watched are emptied first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from molecule.redis.conftest import CLI, good, unchanged
from tests.integration.conftest import PROGRAMS, ROOT, RunningLab
from tests.waiting import eventually

pytestmark = pytest.mark.full

MEMBERS = ("app-c1", "backup-a1", "backup-b1", "data-a1", "data-c1", "spare-b1")
GONE = "systemctl disable -q --now redis-sentinel redis-server; rm -rf /var/lib/redis/*"


@dataclass(frozen=True)
class Shards:
    """The members, and the inventory that makes shards of them."""

    lab: RunningLab
    place: Path

    def play(self, name: str, *options: str, tags: str = "redis") -> subprocess.CompletedProcess[str]:
        argv = [
            PROGRAMS / "ansible-playbook",
            "-i",
            self.place,
            ROOT / f"playbooks/{name}.yml",
            "--tags",
            tags,
            *options,
        ]
        return subprocess.run(
            argv, cwd=ROOT, env=self.lab.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=1800,
        )  # fmt: skip

    def cli(self, command: str, host: str = "data-a1", *, check: bool = True) -> str:
        return self.lab.run(host, f"{CLI} -c {command}", check=check).strip()

    def leading(self, host: str = "data-a1") -> dict[str, str]:
        """Primaries that nobody takes for failed, and the first of their slots, as a member sees them."""
        names = {self.lab.address(name): name for name in MEMBERS}
        lines = [line.split() for line in self.cli("cluster nodes", host).splitlines()]
        return {
            names[words[1].split(":")[0]]: words[8]
            for words in lines
            if len(words) > 8 and "master" in words[2] and "fail" not in words[2].split(",")
        }

    def zones(self, host: str = "data-a1") -> list[str]:
        """Zones of the primaries."""
        return sorted(name[-2] for name in self.leading(host))


@pytest.fixture(scope="module")
def shards(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    place = tmp_path_factory.mktemp("inventories") / "shards"
    shutil.copytree(lab.inventory, place)
    for name in ("postgresql", "backup_store", "tier_app"):
        (place / f"group_vars/{name}.yml").unlink()
    with (place / "group_vars/redis.yml").open("a", encoding="utf-8") as file:
        file.write("redis_topology: cluster\n")
    site = yaml.safe_load((place / "site.yml").read_text(encoding="utf-8"))
    network = site["network"].split(".")[:2]

    def pool(services: list[str], *hosts: str) -> dict[str, object]:
        found = [
            {"name": host, "zone": host[-2], "address": ".".join(network + lab.address(host).split(".")[2:])}
            for host in hosts
        ]
        return {"tier": "data", "services": services, "hosts": found}

    site["pools"] = {
        "both": pool(["etcd", "redis"], "data-a1", "data-c1"),
        "third": pool(["etcd"], "data-b1"),
        "more": pool(["redis"], *(host for host in MEMBERS if not host.startswith("data"))),
    }
    (place / "site.yml").write_text(f"---\n{yaml.safe_dump(site, sort_keys=False)}", encoding="utf-8")
    done = Shards(lab, place).play("site")
    assert done.returncode == 2
    assert "redis_topology: cluster is declared, and" in done.stdout, done.stdout[-3000:]
    for host in ("data-a1", "data-b1", "data-c1"):
        lab.run(host, GONE)
    yield Shards(lab, place)


def test_they_form_in_a_run_that_was_killed_before(shards: Shards) -> None:
    good(shards.play("site", tags="base"))
    moved = replace(shards.lab, site=str(shards.place))  # an absolute path stays what it is
    moved.killed(ROOT / "playbooks/site.yml", "--tags", "redis", when="Make the shards whole", after=1)
    good(shards.play("site"))
    good(shards.play("verify"))
    assert shards.zones() == ["a", "b", "c"]
    unchanged(shards.play("site"))
    unchanged(shards.play("site", "--check"))


def test_a_lost_zone_loses_no_slot_and_the_next_run_spreads_the_primaries(shards: Shards) -> None:
    for number in range(30):
        shards.cli(f"set test:{number} {number}")
    lost = [host for host in MEMBERS if host[-2] == "b"]
    for host in lost:
        shards.lab.stop(host)
    eventually(lambda: len(shards.leading()) == 3 and "b" not in shards.zones(), 120, "replicas lead", pause=1)
    assert [shards.cli(f"get test:{number}") for number in range(30)] == [str(number) for number in range(30)]
    said = shards.play("verify")
    assert said.returncode == 2
    assert f"{lost[0]} is down" in said.stdout
    for host in lost:
        shards.lab.start(host)
    good(shards.play("site"))
    assert shards.zones() == ["a", "b", "c"]
    good(shards.play("verify"))
    unchanged(shards.play("site"))


def test_a_restart_of_all_and_a_primary_that_leaves_lose_nothing(shards: Shards) -> None:
    shards.cli("set test:restart kept")
    good(shards.play("site", "-e", json.dumps({"redis_settings": {"io-threads": 2}})))
    assert {shards.cli("config get io-threads", host).split()[1] for host in MEMBERS} == {"2"}
    assert shards.cli("get test:restart") == "kept"
    leaver = next(host for host in shards.leading() if not host.startswith("data"))
    good(shards.play("remove", "-e", f"remove_host={leaver}"))
    assert shards.lab.address(leaver) not in shards.cli("cluster nodes")
    assert shards.cli("get test:restart") == "kept"
    shards.lab.run(leaver, "rm -rf /var/lib/redis/holdfast")
    good(shards.play("site"))
    good(shards.play("verify"))
    assert shards.zones() == ["a", "b", "c"]


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_what_is_not_there_yet_is_refused(shards: Shards, verb: str) -> None:
    done = shards.play(verb)
    assert done.returncode == 2
    assert f"redis_topology: cluster has no {verb} yet; nothing was done" in done.stdout
