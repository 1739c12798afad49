# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods leave a node, and why some don't."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_drain


def pod(name: str = "web-1", owner: str = "ReplicaSet", **metadata: Any) -> dict[str, Any]:
    about = {"name": name, "namespace": "shop", "labels": {"app": "web", "tier": "front"}, **metadata}
    if owner:
        about["ownerReferences"] = [{"kind": owner}]
    return {"metadata": about, "status": {"phase": "Running"}}


def budget(name: str, selector: dict[str, Any], allowed: int = 0, namespace: str = "shop") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2},
    }


@pytest.mark.parametrize(
    ("given", "leaves"),
    [
        (pod(), True),
        (pod(owner=""), True),
        (pod(owner="DaemonSet"), False),
        (pod(annotations={"kubernetes.io/config.mirror": "x"}), False),
        ({**pod(owner="Job"), "status": {"phase": "Succeeded"}}, False),
    ],
)
def test_leaves(given: dict[str, Any], leaves: bool) -> None:
    assert _kube_drain.leaves(given) is leaves


@pytest.mark.parametrize(
    ("given", "budgets", "reason"),
    [
        (
            pod(),
            [budget("keep", {"matchLabels": {"app": "web"}})],
            "shop/web-1 is held by PodDisruptionBudget keep: 2 pods are healthy, 2 have to be",
        ),
        (pod(), [budget("keep", {"matchLabels": {"app": "web"}}, allowed=1)], "shop/web-1 is still there"),
        (pod(), [budget("keep", {"matchLabels": {"app": "web"}}, namespace="bank")], "shop/web-1 is still there"),
        (
            pod(),
            [budget("one", {}), budget("two", {"matchExpressions": [{"key": "app", "operator": "Exists"}]})],
            "shop/web-1 can't be evicted: 2 PodDisruptionBudgets select it (one, two), one may",
        ),
        (
            pod(),
            [budget("not", {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]})],
            "shop/web-1 is still there",
        ),
        (
            pod(deletionTimestamp="2026-11-22T08:00:00Z", finalizers=["example.org/wait"]),
            [],
            "shop/web-1 was evicted and has not ended; finalizers: example.org/wait",
        ),
        (
            pod(owner=""),
            [],
            "shop/web-1 belongs to no controller, so nobody would start it elsewhere; delete it by hand",
        ),
    ],
)
def test_explain(given: dict[str, Any], budgets: list[dict[str, Any]], reason: str) -> None:
    assert _kube_drain.explain([given], budgets) == [reason]
