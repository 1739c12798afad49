# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of objects is, what changed in it, and when it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils import _kube_set
from ansible_collections.holdfast.platform.plugins.module_utils._kube_set import Extent, Key
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

Object = dict[str, Any]


def manifest(kind: str = "ConfigMap", name: str = "a", version: str = "v1", **more: Any) -> Object:
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def test_lists_are_taken_apart_and_empty_documents_left_out() -> None:
    given = [None, {"apiVersion": "v1", "kind": "List", "items": [manifest(name="a"), manifest(name="b")]}]
    assert [one["metadata"]["name"] for one in _kube_set.parse(given)] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param("text", r"objects\[0\]: is str", id="no mapping"),
        pytest.param({"kind": "ConfigMap"}, r"objects\[0\]\.apiVersion: is missing", id="no version"),
        pytest.param({"apiVersion": "v1"}, r"objects\[0\]\.kind: is missing", id="no kind"),
        pytest.param(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}},
            r"objects\[0\]\.metadata\.name: is missing.*generateName",
            id="no name of its own",
        ),
        pytest.param(
            manifest(metadata={"labels": {"ready": True}}),
            r"objects\[0\]\.metadata\.labels\.ready: is True, it has to be a text",
            id="a label that YAML took for something else",
        ),
        pytest.param(
            manifest(metadata={"annotations": {"port": 80}}),
            r"metadata\.annotations\.port: is 80",
            id="an annotation that YAML took for a number",
        ),
    ],
)
def test_what_is_no_manifest_is_named(given: Any, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        _kube_set.parse([given])


def test_all_that_is_wrong_is_told_at_once() -> None:
    twice = manifest(metadata={"namespace": "n"})
    with pytest.raises(Failed, match=r"objects\[1\]: ConfigMap n/a is declared twice.*objects\[2\]\.kind"):
        _kube_set.parse([twice, twice, {"apiVersion": "v1"}])


def test_one_object_in_two_versions_is_declared_twice() -> None:
    with pytest.raises(Failed, match=r"Ingress\.networking\.k8s\.io a is declared twice"):
        _kube_set.parse(
            [
                manifest("Ingress", version="networking.k8s.io/v1"),
                manifest("Ingress", version="networking.k8s.io/v1beta1"),
            ]
        )


def test_what_others_live_in_goes_first_and_what_could_refuse_them_last() -> None:
    given = [
        manifest("ValidatingWebhookConfiguration", version="admissionregistration.k8s.io/v1"),
        manifest("Deployment", version="apps/v1"),
        manifest("Namespace"),
        manifest("CustomResourceDefinition", version="apiextensions.k8s.io/v1"),
    ]
    kinds = [[one["kind"] for one in wave] for wave in _kube_set.waves(given)]
    assert kinds == [["Namespace", "CustomResourceDefinition"], ["Deployment"], ["ValidatingWebhookConfiguration"]]


def test_the_identifier_is_that_of_the_specification() -> None:
    """The example of kubernetes.io, Well-Known Labels, "applyset.kubernetes.io/id"."""
    known = "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
    assert _kube_set.identity("my-set", "test", "Secret") == known
    assert _kube_set.identity("my-set", "test") != known


def test_a_parent_says_where_members_are() -> None:
    keys = [Key("apps", "Deployment", "n", "a"), Key("", "Namespace", "", "n"), Key("", "ConfigMap", "home", "b")]
    parent = _kube_set.parent("set", "home", _kube_set.extent(keys))
    assert parent["metadata"]["annotations"] == {
        "applyset.kubernetes.io/tooling": "holdfast/v1",
        "applyset.kubernetes.io/contains-group-kinds": "ConfigMap,Deployment.apps,Namespace",
        "applyset.kubernetes.io/additional-namespaces": "n",
    }
    known = _kube_set.known_extent(parent)
    assert known == Extent(frozenset({"ConfigMap", "Deployment.apps", "Namespace"}), frozenset({"n"}))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "is not the parent of a set"),
        (
            {
                "labels": {"applyset.kubernetes.io/id": "x"},
                "annotations": {"applyset.kubernetes.io/tooling": "kubectl/v1.36"},
            },
            "is the parent of a set of kubectl/v1.36",
        ),
    ],
)
def test_the_parent_of_others_is_left_alone(metadata: Object, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        _kube_set.known_extent(manifest(metadata={"namespace": "n", **metadata}))


def test_labels_are_added_to_those_that_are_there() -> None:
    labelled = _kube_set.labelled(manifest(metadata={"labels": {"app": "web"}}), "me")
    assert labelled["metadata"]["labels"] == {"app": "web", _kube_set.PART_OF: "me"}
    assert _kube_set.labelled(manifest(metadata={"labels": None}), "me")["metadata"]["labels"] == {
        _kube_set.PART_OF: "me"
    }


@pytest.mark.parametrize(
    ("labels", "another"), [(None, False), ({_kube_set.PART_OF: "me"}, False), ({_kube_set.PART_OF: "you"}, True)]
)
def test_whose_an_object_is(labels: Object | None, another: bool) -> None:
    assert _kube_set.owned_by_another(manifest(metadata={"labels": labels}), "me") is another


def test_what_the_server_writes_is_no_difference() -> None:
    before = manifest(
        metadata={"resourceVersion": "1", "managedFields": [1], "uid": "x"}, data={"a": "1"}, status={"x": 1}
    )
    after = manifest(metadata={"resourceVersion": "2", "generation": 3}, data={"a": "1"})
    assert _kube_set.comparable(before) == _kube_set.comparable(after)
    assert _kube_set.comparable(before) != _kube_set.comparable({**after, "data": {"a": "2"}})


def test_values_of_secrets_are_in_no_diff() -> None:
    before = manifest("Secret", data={"same": "c2FtZQ==", "other": "b2xk", "gone": "eA=="})
    after = manifest("Secret", data={"same": "c2FtZQ==", "other": "bmV3"}, stringData={"plain": "text"})
    sides = _kube_set.difference(before, after)
    assert sides[0]["data"] == {"same": "(hidden)", "other": "(hidden), old", "gone": "(hidden), old"}
    assert sides[1]["data"] == {"same": "(hidden)", "other": "(hidden), new"}
    assert sides[1]["stringData"] == {"plain": "(hidden), new"}
    annotated = manifest("Secret", metadata={"annotations": {_kube_set._LAST_APPLIED: "all of it"}})
    assert "all of it" not in str(_kube_set.difference(annotated, None))


def test_left_over_is_what_nobody_declares_or_deletes() -> None:
    members = {
        _kube_set.key(one): one
        for one in (
            manifest("Namespace", "old"),
            manifest(name="kept"),
            manifest(name="gone"),
            manifest(name="going", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        )
    }
    left = _kube_set.left_over(members, [Key("", "ConfigMap", "", "kept")])
    assert [one["metadata"]["name"] for one in left] == ["gone", "old"]


LOOKED = {"observedGeneration": 2}
ROLLED = {**LOOKED, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
SCHEDULED = {**LOOKED, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
CANARY = {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}


def condition(kind: str, status: str = "True", message: str = "") -> Object:
    return {"conditions": [{"type": kind, "status": status, "message": message}]}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "reason"),
    [
        ("ConfigMap", {}, {}, ""),
        ("Deployment", {"replicas": 2}, {}, "its controller has not looked"),
        ("Deployment", {"replicas": 2}, {**ROLLED, "updatedReplicas": 1}, "1 of 2 replicas are new"),
        ("Deployment", {"replicas": 2}, {**ROLLED, "replicas": 3}, "1 old replicas"),
        ("Deployment", {"replicas": 2}, {**ROLLED, "availableReplicas": 1}, "1 of 2 replicas are available"),
        ("Deployment", {"replicas": 2}, ROLLED, ""),
        ("Deployment", {"replicas": 0}, LOOKED, ""),
        ("DaemonSet", {}, {**SCHEDULED, "updatedNumberScheduled": 1}, "1 of 3 nodes have the new pod"),
        ("DaemonSet", {}, {**SCHEDULED, "numberAvailable": 2}, "2 of 3 pods are available"),
        ("DaemonSet", {}, SCHEDULED, ""),
        ("DaemonSet", {}, LOOKED, ""),
        ("StatefulSet", {"replicas": 3}, {**LOOKED, "readyReplicas": 2}, "2 of 3 pods are ready"),
        ("StatefulSet", {"replicas": 3}, {**LOOKED, "readyReplicas": 3, "updatedReplicas": 2}, "2 of 3 pods are new"),
        ("StatefulSet", CANARY, {**LOOKED, "readyReplicas": 3, "updatedReplicas": 2}, ""),
        ("Job", {}, {}, "it runs"),
        ("Job", {}, condition("Complete"), ""),
        ("Job", {}, condition("Failed", message="too often"), "Failed: too often"),
        ("APIService", {}, condition("Available", "False", "no endpoints"), "not Available: no endpoints"),
        ("CustomResourceDefinition", {}, condition("Established"), ""),
    ],
)
def test_what_is_waited_for(kind: str, spec: Object, status: Object, reason: str) -> None:
    found = _kube_set.waiting(manifest(kind, metadata={"generation": 2}, spec=spec, status=status))
    assert found.startswith(reason) if reason else not found


@pytest.mark.parametrize(
    ("available", "away", "reason"),
    [(2, 1, ""), (1, 1, "1 of 2 pods are available"), (3, 1, ""), (0, 3, "")],
)
def test_nobody_waits_for_a_daemon_of_a_node_that_is_down(available: int, away: int, reason: str) -> None:
    live = {"kind": "DaemonSet", "metadata": {"name": "x"}, "status": {**SCHEDULED, "numberAvailable": available}}
    assert _kube_set.waiting(live, away) == reason


def test_which_nodes_are_down() -> None:
    said = [{"type": "Ready", "status": status} for status in ("True", "False", "Unknown")]
    assert _kube_set.down([{"status": {"conditions": [one]}} for one in said] + [{}]) == 3


def test_pods_tell_why_they_do_not_run() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pulling = {"name": "web", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no image"}}}
    creating = {"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}
    pods = [
        {"metadata": {"name": "a"}, "status": {"conditions": [unscheduled]}},
        {"metadata": {"name": "b"}, "status": {"containerStatuses": [pulling]}},
        {"metadata": {"name": "c"}, "status": {"containerStatuses": [creating]}},
    ]
    assert _kube_set.pods_say(pods) == "pod a: Unschedulable: 0/3 nodes; pod b: web ErrImageNeverPull: no image"
