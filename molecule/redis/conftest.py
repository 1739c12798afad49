# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster, as this scenario's tests use it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest

from tests.integration.conftest import ROOT, RunningLab

MEMBERS = ("data-a1", "data-b1", "data-c1")
CLI = "/usr/local/lib/holdfast/redis/cli"


@dataclass(frozen=True)
class Redis:
    """The cluster of a running lab."""

    lab: RunningLab

    def cli(self, command: str, host: str = MEMBERS[0], *, check: bool = True) -> str:
        """What redis-cli prints on a member, as its administrator."""
        return self.lab.run(host, f"{CLI} {command}", check=check).strip()

    def sentinel(self, command: str, host: str = MEMBERS[0]) -> str:
        """What the Sentinel of a member says."""
        return self.cli(f"-s sentinel {command}", host)

    def info(self, host: str, section: str = "replication") -> dict[str, str]:
        """What a member says of itself."""
        lines = self.cli(f"info {section}", host).splitlines()
        return dict(line.strip().split(":", 1) for line in lines if ":" in line)

    def primary(self, host: str = MEMBERS[0]) -> str:
        """The name of the one that a member's Sentinel calls the primary."""
        address = self.sentinel("get-master-addr-by-name lab", host).split()[0]
        return next(name for name in MEMBERS if self.lab.address(name) == address)

    def replicas(self) -> list[str]:
        """The others."""
        leader = self.primary()
        return [name for name in MEMBERS if name != leader]

    def started(self, host: str, unit: str = "redis-server") -> str:
        """When a unit's program began."""
        return self.lab.run(host, f"systemctl show -P ExecMainStartTimestampMonotonic {unit}").strip()

    def settled(self) -> bool:
        """Whether one leads, and the others follow it."""
        leaders = {self.primary(host) for host in MEMBERS}
        if len(leaders) != 1:
            return False
        facts = self.info(leaders.pop())
        online = [value for key, value in facts.items() if key.startswith("slave") and "state=online" in value]
        return facts["role"] == "master" and len(online) == len(MEMBERS) - 1

    def play(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run one of the site's playbooks, for Redis alone."""
        return self.lab.play(ROOT / "playbooks" / f"{name}.yml", "--tags", "redis", *options)


@pytest.fixture(scope="session")
def redis(lab: RunningLab) -> Redis:
    return Redis(lab)
