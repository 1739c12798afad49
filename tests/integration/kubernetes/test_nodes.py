# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, annotations and taints on a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_nodes
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from tests.integration.kubernetes.conftest import Cluster

DATA = {"key": "dedicated", "value": "data", "effect": "NoSchedule"}


def brought(client: _kube.Client, given: dict[str, Any], *, check: bool = False) -> bool:
    (wanted,) = _kube_nodes.parse({"n1": given}).values()
    before, after = _kube_nodes.reconcile(client, "n1", wanted, check=check)
    return before != after


def test_a_node_becomes_what_is_declared_and_keeps_what_others_set(cluster: Cluster, client: _kube.Client) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(node))
    declared = {"labels": {"pool": "data", "disk": "ssd"}, "annotations": {"rack": "7"}, "taints": [DATA]}
    for check, changed in ((True, True), (False, True), (False, False), (True, False)):
        assert brought(client, declared, check=check) is changed
    cluster.kubectl("label", "node", "n1", "theirs=1")
    cluster.kubectl("taint", "node", "n1", "theirs=1:NoExecute")
    cluster.kubectl("label", "node", "n1", "pool=edge", "--overwrite")
    assert brought(client, declared)
    live: Any = cluster.live("node", "n1")
    assert live["metadata"]["labels"] == {"kubernetes.io/os": "linux", "pool": "data", "disk": "ssd", "theirs": "1"}
    keys = {taint["key"] for taint in live["spec"]["taints"]}
    assert {"dedicated", "theirs"} <= keys
    assert brought(client, {"labels": {"pool": "data"}})
    live = cluster.live("node", "n1")
    assert live["metadata"]["labels"] == {"kubernetes.io/os": "linux", "pool": "data", "theirs": "1"}
    assert "rack" not in live["metadata"].get("annotations", {})
    assert {taint["key"] for taint in live["spec"]["taints"]} == keys - {"dedicated"}
    assert not brought(client, {"labels": {"pool": "data"}})


def test_a_node_that_is_not_there_is_not_made(cluster: Cluster, client: _kube.Client) -> None:
    with pytest.raises(Failed, match="n0: the cluster has no node of this name"):
        _kube_nodes.reconcile(client, "n0", _kube_nodes.Wanted(), check=False)
    assert cluster.kubectl("get", "node", "n0", check=False).returncode != 0
