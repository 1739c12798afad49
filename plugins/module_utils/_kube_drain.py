# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking pods from a node before it is worked at, and letting it have some again.

`kubectl drain` evicts, so that budgets for disruption are respected; what is added here is whose drain it is, so that a
node that a person cordoned stays so, and the reason when pods don't leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils._kube import MERGE, Client, Object, unready
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

#: Says that the node was cordoned here, and why.
MARK = "platform.holdfast/drained"
_MIRROR = "kubernetes.io/config.mirror"


def ours(node: Mapping[str, Any]) -> bool:
    """Whether a node was drained here and not let go since."""
    return MARK in (node["metadata"].get("annotations") or {})


def leaves(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has to leave a node that is drained: not those of the node itself, nor what has ended."""
    about = pod["metadata"]
    owners = {one["kind"] for one in about.get("ownerReferences") or ()}
    return (
        "DaemonSet" not in owners
        and _MIRROR not in (about.get("annotations") or {})
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    )


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects (kubernetes.io, Labels and Selectors; an empty one of a budget selects all)."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], one.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(one["operator"], False):
            return False
    return True


def explain(pods: Iterable[Mapping[str, Any]], budgets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why pods are still there, one reason each."""
    known, reasons = list(budgets), []
    for pod in pods:
        about = pod["metadata"]
        name, labels = f"{about['namespace']}/{about['name']}", about.get("labels") or {}
        holds = [
            one
            for one in known
            if one["metadata"]["namespace"] == about["namespace"]
            and _selects(one["spec"].get("selector") or {}, labels)
        ]
        if len(holds) > 1:
            names = ", ".join(one["metadata"]["name"] for one in holds)
            reasons.append(f"{name} can't be evicted: {len(holds)} PodDisruptionBudgets select it ({names}), one may")
        elif about.get("deletionTimestamp"):
            finalizers = ", ".join(about.get("finalizers") or ())
            reasons.append(f"{name} was evicted and has not ended{f'; finalizers: {finalizers}' if finalizers else ''}")
        elif holds and not holds[0]["status"].get("disruptionsAllowed"):
            state = holds[0]["status"]
            reasons.append(
                f"{name} is held by PodDisruptionBudget {holds[0]['metadata']['name']}: "
                f"{state.get('currentHealthy', 0)} pods are healthy, {state.get('desiredHealthy', 0)} have to be"
            )
        elif not about.get("ownerReferences"):
            reasons.append(f"{name} belongs to no controller, so nobody would start it elsewhere; delete it by hand")
        else:
            reasons.append(f"{name} is still there")
    return reasons


class Node:
    """A node as one works at it, asked of the cluster."""

    def __init__(self, client: Client, name: str, kubeconfig: str) -> None:
        """Keep how to ask."""
        self.client, self.name, self.kubeconfig = client, name, kubeconfig
        self.path = f"/api/v1/nodes/{name}"

    def read(self) -> Object:
        """The node. Raises Failed when there is none."""
        found = self.client.get(self.path)
        if found is None:
            raise Failed(f"{self.name} is not a node of this cluster")
        return found

    def exists(self) -> bool:
        """Whether it is a node of the cluster."""
        return self.client.get(self.path) is not None

    def pods(self) -> list[Object]:
        """The pods that have to leave when it is drained."""
        listed = self.client.items("/api/v1/pods", fieldSelector=f"spec.nodeName={self.name}")
        return [pod for pod in listed if leaves(pod)]

    def cordon(self, why: str, *, check: bool) -> bool:
        """Let it have no new pods. Tells whether it could; one that a person has cordoned stays that person's."""
        node = self.read()
        if node["spec"].get("unschedulable"):
            return False
        if not check:
            self._patch({"metadata": {"annotations": {MARK: why}}, "spec": {"unschedulable": True}})
        return True

    def empty(self, seconds: float, *, check: bool) -> list[str]:
        """Evict the pods that can run elsewhere. Returns them. Raises Failed with what holds them up."""
        leaving = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in self.pods()]
        if leaving and not check:
            argv = ["kubectl", "--kubeconfig", self.kubeconfig, "drain", self.name, "--ignore-daemonsets"]
            argv += ["--delete-emptydir-data", f"--timeout={int(seconds)}s"]
            done = run(argv, timeout=seconds + 60, check=False)
            if done.status:
                budgets = self.client.items("/apis/policy/v1/poddisruptionbudgets")
                reasons = explain(self.pods(), budgets) or [done.err.strip()[-500:]]
                raise Failed(f"{self.name} is not empty after {seconds:g} s and stays cordoned: {'; '.join(reasons)}")
        return leaving

    def release(self, seconds: float, *, check: bool) -> bool:
        """Let it have pods again once it is ready, when it was drained here. Tells whether it was. Raises Failed."""
        if not ours(self.read()):
            return False
        if not check:
            trouble = until(lambda: unready(self.read()), seconds, 1)
            if trouble:
                raise Failed(f"{self.name} is not ready after {seconds:g} s and stays cordoned: {trouble}")
            self._patch({"metadata": {"annotations": {MARK: None}}, "spec": {"unschedulable": None}})
        return True

    def delete(self, *, check: bool) -> bool:
        """Take it out of the cluster. Tells whether it was there. Its pods are forgotten, wherever they are."""
        there = self.exists()
        if there and not check:
            self.client.request("DELETE", self.path)
        return there

    def _patch(self, change: Mapping[str, Any]) -> None:
        self.client.request("PATCH", self.path, change, MERGE)
