# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster, as this scenario's tests use it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.conftest import ROOT, RunningLab

CONTROL = ("control-a1", "control-b1", "control-c1")
WORKERS = ("application-a1", "application-b1")
NODES = (*CONTROL, *WORKERS)
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=30s"


@dataclass(frozen=True)
class Cluster:
    """The cluster of a running lab."""

    lab: RunningLab

    def kubectl(self, words: str, stdin: str = "", *, host: str = CONTROL[0], check: bool = True) -> str:
        """What kubectl prints on a control plane."""
        return self.lab.run(host, f"{KUBECTL} {words}", stdin, check=check, timeout=300)

    def live(self, words: str) -> Any:
        """An object, or a list of some."""
        return json.loads(self.kubectl(f"get -o json {words}"))

    def in_pod(self, node: str, uid: str, program: str, given: Any) -> Any:
        """What a Python program of the node's prints in the network of a pod there: images have no tools to do so."""
        find = f"grep -l {uid.replace('-', '_')} /proc/[0-9]*/cgroup | head -1 | cut -d/ -f3"
        command = f"nsenter -t $({find}) -n python3 -c '{program}'"
        return json.loads(self.lab.run(node, command, json.dumps(given), timeout=120))

    def play(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run one of the site's playbooks, for the cluster's content alone."""
        return self.lab.play(ROOT / "playbooks" / f"{name}.yml", "--tags", "kubernetes_content", *options)


@pytest.fixture(scope="session")
def cluster(lab: RunningLab) -> Cluster:
    return Cluster(lab)
