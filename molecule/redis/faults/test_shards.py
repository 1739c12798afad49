# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other topology: six members form shards, lose a zone, take settings, let a primary go, and come back from a copy.

The hosts are those of the lab, with other services: the members that Sentinels watched are emptied first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from molecule.redis.conftest import CLI
from tests.chaos.services.redis import Redis as Service
from tests.chaos.services.redis_client import KEYS
from tests.chaos.unharmed import unharmed
from tests.integration import newer_packages
from tests.integration.conftest import PROGRAMS, ROOT, RunningLab
from tests.runs import good, unchanged
from tests.waiting import eventually

pytestmark = pytest.mark.full

MEMBERS = ("app-c1", "backup-a1", "backup-b1", "data-a1", "data-c1", "spare-b1")
#: Hosts that write, and for how long their connections live, in seconds.
WRITERS = {"app-c1": (0.5, 8.0), "data-c1": (5.0, 20.0)}
FILE = "/etc/app/cache.json"
GONE = "systemctl disable -q --now redis-sentinel redis-server; rm -rf /var/lib/redis/*"


@dataclass(frozen=True)
class Shards:
    """The members, and the inventory that makes shards of them."""

    lab: RunningLab
    place: Path

    def play(self, name: str, *options: str, tags: str = "redis") -> subprocess.CompletedProcess[str]:
        argv: list[str | Path] = [
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

    def started(self, host: str) -> int:
        """When a member's server began, in microseconds since the machine's start."""
        return int(self.lab.run(host, "systemctl show -P ExecMainStartTimestampMonotonic redis-server"))

    def killed(self, name: str, when: str) -> None:
        """Kill a run at a task, a moment after it began."""
        moved = replace(self.lab, site=str(self.place))  # an absolute path stays what it is
        moved.killed(ROOT / f"playbooks/{name}.yml", "--tags", "redis", when=when, after=1)

    def zones(self, host: str = "data-a1") -> list[str]:
        """Zones of the primaries."""
        return sorted(name[-2] for name in self.leading(host))


@pytest.fixture(scope="module")
def shards(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shards]:
    place = tmp_path_factory.mktemp("inventories") / "shards"
    shutil.copytree(lab.inventory, place)
    for name in ("postgresql", "tier_app"):
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
        "stores": pool(["redis", "backup_store"], "backup-a1", "backup-b1"),
        "more": pool(["redis"], "app-c1", "spare-b1"),
    }
    (place / "site.yml").write_text(f"---\n{yaml.safe_dump(site, sort_keys=False)}", encoding="utf-8")
    done = Shards(lab, place).play("site")
    assert done.returncode == 2
    assert "redis_topology: cluster is declared, and" in done.stdout, done.stdout[-3000:]
    for host in ("data-a1", "data-b1", "data-c1"):
        lab.run(host, GONE)
    yield Shards(lab, place)


def test_they_form_in_a_run_that_was_killed_before(shards: Shards) -> None:
    good(shards.play("site", tags="base,backup_store"))
    shards.killed("site", "Make the shards whole")
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


def piped(lab: RunningLab, commands: Sequence[str]) -> list[str]:
    """The lines that many commands print, without those that tell which member was asked."""
    said = lab.run(MEMBERS[0], f"{CLI} -c", "".join(f"{command}\n" for command in commands))
    return [line for line in said.splitlines() if line and not line.startswith("-> ")]


class Clients(Service):
    """What writes to shards, each client to all of them."""

    @cached_property
    def members(self) -> Sequence[str]:
        return MEMBERS

    def prepare(self, host: str, run: str) -> Mapping[str, Any]:
        told = dict(super().prepare(host, run))
        return {**told, "shards": [self.lab.address(member) for member in MEMBERS], "port": 6379}

    def present(self, run: str) -> Mapping[str, Sequence[int]]:
        """What all primaries have together."""
        found = piped(self.lab, [f"lrange app:chaos:{run}:{number} 0 -1" for number in range(KEYS)])
        return {"all": [int(number) for number in found]}


def test_a_new_password_while_applications_write(shards: Shards) -> None:
    entry = [{"secret": "redis/app_cache", "path": FILE}]
    files = f"{{{{ {entry} if inventory_hostname in {list(WRITERS)} else [] }}}}"
    options = ["--extra-vars", json.dumps({"rotate_secret": "redis/app_cache", "credentials_files": files})]
    good(shards.play("site", *options, tags="credentials"))
    before = shards.lab.run("app-c1", f"cat {FILE}")
    clients = {host: {"credentials": FILE, "lifetime": life, "timeout": 30} for host, life in WRITERS.items()}
    with unharmed(Clients(shards.lab), clients, "shards-rotation"):
        done = shards.play("rotate", *options, tags="all")
    good(done)
    assert shards.lab.run("app-c1", f"cat {FILE}") != before
    good(shards.play("verify"))


def test_newer_packages_and_the_primaries_are_the_last(shards: Shards) -> None:
    packages = ("redis-server", "redis-tools")
    newer_packages.offer(shards.lab, MEMBERS, packages, "1")
    try:
        shards.cli("set test:upgrade kept")
        former = set(shards.leading())
        good(shards.play("upgrade"))
        found = newer_packages.versions(shards.lab, MEMBERS, packages)
        assert all(version.endswith("+lab1") for has in found.values() for version in has.values()), found
        began = sorted(MEMBERS, key=shards.started)
        assert set(began[3:]) == former, began
        assert shards.cli("get test:upgrade") == "kept"
        good(shards.play("verify"))
        assert shards.zones() == ["a", "b", "c"]
        assert "nothing is newer: no member was touched" in good(shards.play("upgrade"))
    finally:
        newer_packages.withdraw(shards.lab, MEMBERS)


#: Commands that make a key of each kind, and those that read them.
FILLED = [
    *(f"set copied:{number} {number * 7}" for number in range(300)),
    "hset copied:hash a 1 b 2",
    "rpush copied:list x y z",
    "sadd copied:set one",
    "zadd copied:sorted 1 first 2 second",
    "xadd copied:stream 1-1 field value",
]
READ = [
    *(f"get copied:{number}" for number in range(300)),
    "hgetall copied:hash",
    "lrange copied:list 0 -1",
    "smembers copied:set",
    "zrange copied:sorted 0 -1 withscores",
    "xrange copied:stream - +",
]


def test_a_copy_brings_every_key_back_onto_members_that_lost_all(shards: Shards) -> None:
    """The restore is killed in its middle, and run again."""
    piped(shards.lab, FILLED)
    before = piped(shards.lab, READ)
    good(shards.play("backup"))
    first = next(host for host, slots in shards.leading().items() if slots.startswith("0-"))
    manifest = json.loads(shards.lab.run(first, "cat /var/lib/holdfast/backup/redis/copy/manifest.json"))
    copied = [pair for shard in manifest["figures"]["shards"] for pair in shard["slots"]]
    assert sum(last - begin + 1 for begin, last in copied) == 16384
    for host in MEMBERS:
        shards.lab.run(host, GONE)
    good(shards.play("site"))
    assert shards.cli("get copied:1") == ""
    piped(shards.lab, ["set copied:1 other", "set copied:later other"])
    refused = shards.play("restore", "-e", json.dumps({"redis_cluster_replicas": 2}))
    assert refused.returncode == 2
    assert "this copy has 3 shards, which want 9 members" in refused.stdout
    assert shards.cli("get copied:1") == "other"
    shards.killed("restore", "Swap the data of all members")
    good(shards.play("restore"))
    assert piped(shards.lab, READ) == before
    assert shards.cli("exists copied:later") == "0"
    assert shards.zones() == ["a", "b", "c"]
    good(shards.play("verify"))
    unchanged(shards.play("site"))


def test_without_a_shard_there_is_no_copy(shards: Shards) -> None:
    lines = [line.split() for line in shards.cli("cluster nodes").splitlines()]
    names = {shards.lab.address(name): name for name in MEMBERS}
    leader, slots = next(item for item in shards.leading().items() if item[0] != "data-a1" and item[1] != "0-5460")
    id_of = {names[words[1].split(":")[0]]: words[0] for words in lines}
    replicas = [names[words[1].split(":")[0]] for words in lines if words[3] == id_of[leader]]
    for host in (*replicas, leader):
        shards.lab.run(host, "systemctl stop redis-server")
    asked = next(host for host in MEMBERS if host not in (*replicas, leader))
    eventually(lambda: leader not in shards.leading(asked), 60, f"{leader} counts as failed")
    said = shards.play("backup")
    assert said.returncode == 2
    assert f"no primary that answers has the slots {slots}; a copy without them would be none" in said.stdout
    for host in (*replicas, leader):
        shards.lab.run(host, "systemctl start redis-server")
    good(shards.play("site"))
    good(shards.play("verify"))
