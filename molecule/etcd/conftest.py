# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster, as this scenario's tests use it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PROGRAMS, ROOT, RunningLab

MEMBERS = ("data-a1", "data-b1", "data-c1")


@dataclass(frozen=True)
class Etcd:
    """The cluster of a running lab."""

    lab: RunningLab

    def ctl(self, command: str, host: str = "data-a1", *, login: bool = True) -> str:
        """What etcdctl prints on a member, as its administrator; without login the command says who asks."""
        unset = "" if login else "unset ETCDCTL_USER; "
        return self.lab.run(host, f"set -a; . /etc/holdfast/etcd/etcdctl.env; {unset}etcdctl {command}")

    def password(self) -> str:
        """The administrator's, by the file that only root can read."""
        return self.lab.run("data-a1", ". /etc/holdfast/etcd/etcdctl.env; echo ${ETCDCTL_USER#root:}").strip()

    def leader(self) -> str:
        """The name of the member that leads."""
        shown = json.loads(self.ctl("endpoint status -w json"))
        named = {item["ID"]: item["name"] for item in json.loads(self.ctl("member list -w json"))["members"]}
        return str(named[shown[0]["Status"]["leader"]])

    def copies(self, host: str = "") -> dict[str, Any]:
        """The outcome of the last round that a member made, by default the leader."""
        return dict(json.loads(self.lab.run(host or self.leader(), "cat /var/lib/holdfast/backup/etcd/last.json")))

    def record(self, operation: str) -> dict[str, Any]:
        """The last record of an operation."""
        lines = (self.lab.lab.home / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
        return next(record for record in map(json.loads, reversed(lines)) if record["operation"] == operation)

    def argv(self, name: str, *options: str, inventory: Path | None = None) -> list[str]:
        """How one of the site's playbooks is called, for etcd alone."""
        program, playbook = PROGRAMS / "ansible-playbook", ROOT / "playbooks" / f"{name}.yml"
        return [str(program), "-i", str(inventory or self.lab.inventory), str(playbook), "--tags", "etcd", *options]

    def play(self, name: str, *options: str, inventory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of the site's playbooks, for etcd alone."""
        return subprocess.run(
            self.argv(name, *options, inventory=inventory), cwd=ROOT, env=self.lab.environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip

    def killed(self, name: str, task: str, *options: str) -> None:
        """Run a playbook and kill the controller, with all that it started, a second after task began."""
        self.lab.killed(ROOT / "playbooks" / f"{name}.yml", "--tags", "etcd", *options, when=task, after=1)


@pytest.fixture(scope="session")
def etcd(lab: RunningLab) -> Etcd:
    return Etcd(lab)
