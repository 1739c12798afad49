# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes are brought to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_nodes
from ansible_collections.holdfast.platform.plugins.module_utils._kube_nodes import Wanted
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

OURS = "platform.holdfast/taints"
DATA = {"key": "dedicated", "value": "data", "effect": "NoSchedule"}
EDGE = {"key": "dedicated", "value": "edge", "effect": "NoSchedule"}
DOWN = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


def node(*taints: dict[str, str], ours: list[list[str]] | None = None) -> dict[str, Any]:
    annotations = {OURS: json.dumps(ours)} if ours is not None else {}
    metadata = {"name": "n", "uid": "u", "resourceVersion": "7", "annotations": annotations}
    return {"metadata": metadata, "spec": {"taints": list(taints)} if taints else {}}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"label": {}}, r"nodes\.n\.label: is unknown; known: labels, annotations, taints"),
        ({"labels": {"ssd": True}}, r"nodes\.n\.labels\.ssd: is True, it has to be a text"),
        ({"annotations": {"a": 1}}, r"nodes\.n\.annotations\.a: is 1"),
        ({"taints": [{"effect": "NoSchedule"}]}, r"nodes\.n\.taints\[0\]\.key: is missing"),
        (
            {"taints": [{"key": "a", "effect": "Never"}]},
            r"nodes\.n\.taints\[0\]\.effect: is 'Never'; one of NoSchedule",
        ),
        ({"taints": [{"key": "a", "value": 1, "effect": "NoExecute"}]}, r"nodes\.n\.taints\[0\]\.value: is 1"),
        ({"taints": [DATA, EDGE]}, r"nodes\.n\.taints\[1\]: dedicated with NoSchedule is declared twice"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        _kube_nodes.parse({"n": given})


def test_an_empty_value_is_none() -> None:
    wanted = _kube_nodes.parse({"n": {"taints": [{"key": "a", "value": "", "effect": "NoExecute"}], "labels": None}})
    assert wanted["n"] == Wanted(taints=[{"key": "a", "effect": "NoExecute"}])


@pytest.mark.parametrize(
    ("live", "declared", "taints"),
    [
        pytest.param(node(), [], [], id="nothing"),
        pytest.param(node(), [DATA], [DATA], id="new"),
        pytest.param(node(DOWN), [DATA], [DOWN, DATA], id="beside that of a controller"),
        pytest.param(node(DOWN, DATA, ours=[["dedicated", "NoSchedule"]]), [], [DOWN], id="not declared any more"),
        pytest.param(node(DATA), [], [DATA], id="never declared: somebody's own"),
        pytest.param(node(DATA, ours=[["dedicated", "NoSchedule"]]), [EDGE], [EDGE], id="another value"),
        pytest.param(node({**DATA, "timeAdded": "t"}), [DATA], [{**DATA, "timeAdded": "t"}], id="there, with a time"),
    ],
)
def test_taints(live: dict[str, Any], declared: list[dict[str, str]], taints: list[dict[str, str]]) -> None:
    assert _kube_nodes.taints(live, Wanted(taints=declared)) == taints


def test_taints_and_whose_they_are_are_written_together() -> None:
    patch = _kube_nodes.taints_patch(node(DOWN), Wanted(taints=[DATA]))
    assert patch
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["spec"]["taints"] == [DOWN, DATA]
    after = node(DOWN, DATA, ours=json.loads(patch["metadata"]["annotations"][OURS]))
    assert _kube_nodes.taints_patch(after, Wanted(taints=[DATA])) is None
    back = _kube_nodes.taints_patch(after, Wanted())
    assert back
    assert back["metadata"]["annotations"] == {OURS: None}
    assert back["spec"]["taints"] == [DOWN]


def test_a_node_that_is_gone_is_not_made() -> None:
    applied = _kube_nodes.manifest(node(), Wanted(labels={"a": "b"}))
    assert applied["metadata"] == {"name": "n", "uid": "u", "labels": {"a": "b"}, "annotations": {}}


def test_what_others_write_at_the_same_moment_is_no_news() -> None:
    live = node(DATA, ours=[])
    live["metadata"]["labels"] = {"pool": "data", "disk": "ssd", "kubernetes.io/hostname": "n"}
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {"f:pool": {}, "f:disk": {}, ".": {}}}}
    live["metadata"]["managedFields"] = [
        {"manager": "holdfast-nodes", "operation": "Apply", "fieldsV1": fields},
        {"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:os": {}}}}},
    ]
    seen = _kube_nodes.shown(live, live, Wanted(labels={"pool": "data"}))
    # `disk` was declared here before, so that its end is told; the note of our taints is no annotation of the site's.
    assert seen == {"labels": {"pool": "data", "disk": "ssd"}, "annotations": {}, "taints": [DATA]}
