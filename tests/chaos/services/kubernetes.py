# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeadm cluster with stacked etcd: its client, etcd's leader, what in sync means, and its own faults."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos import faults
from tests.chaos.judge import Limits
from tests.chaos.services import Service
from tests.lab.machine import LabError

NAMESPACE = "holdfast-chaos"
KUBECTL = "timeout 10 kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=8s"
PKI = "/etc/kubernetes/pki/etcd"
#: What a lost zone may cost (requirements, row K2): an election of etcd, and a balancer that finds out.
ZONE = Limits(gap=5.0)
GROUND = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: writer, namespace: {NAMESPACE}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: writer, namespace: {NAMESPACE}}}
rules: [{{apiGroups: [""], resources: [configmaps], verbs: [create]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: writer, namespace: {NAMESPACE}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}}
subjects: [{{kind: ServiceAccount, name: writer, namespace: {NAMESPACE}}}]
"""


class Kubernetes(Service):
    """A control plane in each zone, with a member of etcd on it."""

    name = "kubernetes"
    client = Path(__file__).with_name("kubernetes_client.py")
    rate = 5.0

    @cached_property
    def members(self) -> Sequence[str]:
        return self.lab.group("kubernetes")

    @cached_property
    def clients(self) -> Sequence[str]:
        return self.lab.group("kubernetes_worker")

    def kubectl(self, command: str, stdin: str = "") -> str:
        """What the first control plane that answers says."""
        for host in self.members:
            answer = self.lab.run(host, f"{KUBECTL} {command} && echo .", stdin, check=False)
            if answer.endswith(".\n"):
                return answer[:-2]
        raise LabError(f"no control plane answers: kubectl {command}")

    def prepare(self, host: str, run: str) -> Mapping[str, Any]:  # noqa: ARG002 - every node has a balancer
        self.kubectl("apply -f - >/dev/null", GROUND)
        return {
            "run": run,
            "host": "127.0.0.1",
            "port": 7443,
            "ca": self.lab.run(self.members[0], "cat /etc/kubernetes/pki/ca.crt"),
            "token": self.kubectl(f"-n {NAMESPACE} create token writer --duration=2h").strip(),
            "namespace": NAMESPACE,
            "timeout": 2,
        }

    def etcd(self) -> dict[str, Mapping[str, Any]]:
        """The status of each member of etcd that answers, by host; empty when nobody can be asked."""
        urls = ",".join(f"https://{self.lab.address(host)}:2379" for host in self.members)
        tls = f"--cacert={PKI}/ca.crt --cert={PKI}/healthcheck-client.crt --key={PKI}/healthcheck-client.key"
        command = f"etcdctl --dial-timeout=2s --command-timeout=3s {tls} --endpoints={urls} endpoint status -w json"
        names = {self.lab.address(host): host for host in self.members}
        for host in self.members:
            shown = self.lab.run(host, f"{command} 2>/dev/null", check=False)
            if shown.startswith("["):
                found = json.loads(shown)
                return {names[one["Endpoint"].split("/")[2].split(":")[0]]: one["Status"] for one in found}
        return {}

    def leader(self) -> str:
        for host, status in self.etcd().items():
            if status.get("leader") == status["header"]["member_id"]:
                return host
        raise LabError("etcd has no leader")

    def trouble(self) -> str:
        answering = self.etcd()
        if missing := sorted(set(self.members) - set(answering)):
            return f"etcd does not answer on {', '.join(missing)}"
        for host in self.members:
            own = f"--server=https://{self.lab.address(host)}:6443"
            if self.lab.run(host, f"{KUBECTL} {own} get --raw /readyz 2>/dev/null", check=False) != "ok":
                return f"the API server of {host} is not ready"
        nodes = json.loads(self.kubectl("get nodes -o json"))["items"]
        if late := not_ready(nodes):
            return f"not ready: {', '.join(late)}"
        return ""

    def present(self, run: str) -> Mapping[str, Sequence[int]]:
        found = {}
        for host in self.members:
            own = f"--server=https://{self.lab.address(host)}:6443"
            command = f"{own} -n {NAMESPACE} get configmaps -l run={run} -o jsonpath='{{.items[*].data.number}}'"
            found[host] = [int(number) for number in self.lab.run(host, f"{KUBECTL} {command}").split()]
        return found


def not_ready(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of nodes that are not ready."""
    return sorted(
        node["metadata"]["name"]
        for node in nodes
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
    )


class ZoneKill(faults.ZoneKill):
    limits = ZONE


class ZoneCut(faults.ZoneCut):
    limits = ZONE


class ZoneCutIn(faults.ZoneCutIn):
    limits = ZONE


class ZoneCutOut(faults.ZoneCutOut):
    limits = ZONE


class KillEtcd(faults.Kill):
    what = "kill -9 of etcd's leader"
    limits = ZONE
    command = "pkill -KILL -x etcd"


class KillApiServer(faults.Kill):
    what = "kill -9 of the API server beside etcd's leader"
    limits = ZONE
    command = "pkill -KILL -x kube-apiserver"


SERVICE = Kubernetes
Kubernetes.faults = {
    "zone-kill": ZoneKill,
    "zone-cut": ZoneCut,
    "zone-cut-in": ZoneCutIn,
    "zone-cut-out": ZoneCutOut,
    "kill-etcd": KillEtcd,
    "kill-api-server": KillApiServer,
}
