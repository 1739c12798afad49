# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis with Sentinels: its client, its primary, what in sync means, and what its replication may lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos import faults
from tests.chaos.judge import Limits
from tests.chaos.services import Service
from tests.lab.machine import LabError

CLI = "/usr/local/lib/holdfast/redis/cli"
CLUSTER = "lab"
#: Seconds after which a primary that was cut off takes no writes: min-replicas-max-lag, in whole seconds that must be
#: exceeded, and it looks once a second (redis/src/replication.c, refreshGoodSlavesCount and replicationCron).
LAG = 5.0 + 1.0 + 1.0
#: A zone that fails costs down-after (5 s) and an election; what was acknowledged meanwhile is lost.
ZONE = Limits(gap=10.0, loss=LAG)


class Redis(Service):
    """One cluster, a server and a Sentinel in each zone."""

    name = "redis"
    client = Path(__file__).with_name("redis_client.py")

    @cached_property
    def members(self) -> Sequence[str]:
        return self.lab.group("redis")

    @cached_property
    def clients(self) -> Sequence[str]:
        return [*self.lab.group("tier_app"), *self.members]

    @cached_property
    def _credential(self) -> tuple[str, str]:
        return self.lab.credential("redis/app_cache")

    def prepare(self, host: str, run: str) -> Mapping[str, Any]:  # noqa: ARG002 - Python is all that it needs
        user, password = self._credential
        return {
            "run": run,
            "sentinels": [self.lab.address(member) for member in self.members],
            "sentinel_port": 26379,
            "cluster": CLUSTER,
            "name": "redis.lab.internal",
            "ca": "/etc/holdfast/ca.crt",
            "timeout": 2,
            "credentials": {"user": user, "password": password},
        }

    def cli(self, host: str, command: str) -> str:
        """What a member answers its administrator; empty when it does not."""
        return self.lab.run(host, f"timeout 5 {CLI} {command} 2>/dev/null", check=False).strip()

    def told(self, host: str) -> str:
        """Whom a member's Sentinel calls the primary; empty when it does not answer."""
        address = self.cli(host, f"-s sentinel get-master-addr-by-name {CLUSTER}").split()
        named = [member for member in self.members if address and self.lab.address(member) == address[0]]
        return named[0] if named else ""

    def info(self, host: str) -> dict[str, str]:
        lines = self.cli(host, "info replication").splitlines()
        return dict(line.strip().split(":", 1) for line in lines if ":" in line)

    def leader(self) -> str:
        for host in self.members:
            told = self.told(host)
            if told and self.info(told).get("role") == "master":
                return told
        raise LabError("no Sentinel names a primary that says so itself")

    def trouble(self) -> str:
        told = {host: self.told(host) for host in self.members}
        facts = {host: self.info(host) for host in self.members}
        return judge_members(told, facts, {host: self.lab.address(host) for host in self.members})

    def present(self, run: str) -> Mapping[str, Sequence[int]]:
        self.cli(self.leader(), f"wait {len(self.members) - 1} 10000")
        return {
            host: [int(number) for number in self.cli(host, f"lrange app:chaos:{run} 0 -1").split()]
            for host in self.members
        }


def judge_members(told: Mapping[str, str], facts: Mapping[str, Mapping[str, str]], addresses: Mapping[str, str]) -> str:
    """Why the cluster is not in sync; empty when it is. told: whom each Sentinel calls the primary; facts: of INFO."""
    if silent := sorted(host for host, name in told.items() if not name):
        return f"the Sentinels of {', '.join(silent)} do not answer"
    if len(set(told.values())) > 1:
        return f"the Sentinels disagree: {dict(told)}"
    leader = next(iter(told.values()))
    for host, said in facts.items():
        if host == leader:
            if said.get("role") != "master":
                return f"{host} is to lead and does not"
        elif said.get("master_host") != addresses[leader] or said.get("master_link_status") != "up":
            return f"{host} does not follow {leader}"
    return ""


class ZoneKill(faults.ZoneKill):
    limits = ZONE


class ZoneCut(faults.ZoneCut):
    limits = ZONE


class KillServer(faults.Kill):
    """systemd starts it again before the Sentinels take it for lost, with all that it had acknowledged."""

    what = "kill -9 of the primary's server"
    limits = Limits(gap=10.0, loss=LAG)
    command = "kill -9 $(systemctl show -P MainPID redis-server)"


SERVICE = Redis
Redis.faults = {"zone-kill": ZoneKill, "zone-cut": ZoneCut, "kill-server": KillServer}
