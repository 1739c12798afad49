# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site declares of a cluster's content, and what is said of what can't be."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.kubernetes_content import FilterModule

HOSTS = [
    {"name": "app-a1", "address": "10.0.1.21", "zone": "a", "fqdn": "app-a1.example.org"},
    {"name": "db-b1", "address": "10.0.2.11", "zone": "b", "fqdn": "db-b1.example.org"},
]
POOLS = {"app-a1": "application", "db-b1": "data"}
TAINT = {"key": "dedicated", "value": "data", "effect": "NoSchedule"}


def content(**declared: Any) -> dict[str, Any]:
    """What the filter makes of some of the role's variables."""
    given = {"region": "north", "service_network": "10.96.0.0/16", "storage_classes": {"fast": {}}, **declared}
    variables = {f"kubernetes_content_{name}": value for name, value in given.items()}
    found: dict[str, Any] = FilterModule().filters()["kubernetes_content"](variables, HOSTS, POOLS)
    return found


def objects(**declared: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in content(**declared)["objects"]}


def test_nodes_are_where_the_site_says() -> None:
    found = content()
    assert found["nodes"]["db-b1"]["labels"] == {
        "topology.kubernetes.io/zone": "b",
        "topology.kubernetes.io/region": "north",
        "platform.holdfast/pool": "data",
    }
    assert found["identities"]["app-a1"] == ["10.0.1.21", "app-a1", "app-a1.example.org"]
    assert found["dns_address"] == "10.96.0.10"


def test_a_node_goes_over_its_pool() -> None:
    pools = {"data": {"labels": {"disk": "ssd", "cpu": "8"}, "annotations": {"a": "1"}, "taints": [TAINT]}}
    nodes = {"db-b1": {"labels": {"disk": "nvme"}, "taints": [{**TAINT, "value": "this"}]}}
    found = content(pools=pools, nodes=nodes)["nodes"]
    assert {found["db-b1"]["labels"][name] for name in ("disk", "cpu")} == {"nvme", "8"}
    assert found["db-b1"]["annotations"] == {"a": "1"}
    assert found["db-b1"]["taints"] == [{**TAINT, "value": "this"}]
    assert found["app-a1"]["taints"] == []


def test_a_namespace_is_closed_and_baseline() -> None:
    found = objects(namespaces={"shop": {}})
    assert found["Namespace", "shop"]["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    assert found["NetworkPolicy", "deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert found["NetworkPolicy", "names"]["spec"]["policyTypes"] == ["Egress"]


def test_what_a_namespace_declares() -> None:
    shop = {
        "pod_security": {"enforce": "restricted"},
        "deny": False,
        "quota": {"pods": 5},
        "limits": {"default": {"memory": "1Gi"}},
        "allow": {"web": {"podSelector": {}, "ingress": [{}]}},
        "disruption_budgets": {"web": {"selector": {}, "maxUnavailable": 1}},
    }
    found = objects(namespaces={"shop": shop})
    assert found["Namespace", "shop"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert found["ResourceQuota", "quota"]["spec"] == {"hard": {"pods": "5"}}
    assert found["LimitRange", "containers"]["spec"]["limits"] == [{"type": "Container", "default": {"memory": "1Gi"}}]
    assert {name for kind, name in found if kind == "NetworkPolicy"} == {"web"}
    assert found["PodDisruptionBudget", "web"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"service_network": "10.96.0.0/29"}, 'service_network ("10.96.0.0/29"): no network that can be used'),
        ({"service_network": "x"}, 'service_network ("x"): no network'),
        ({"pools": {"dtaa": {}}}, "pools.dtaa: no node is in it; did you mean 'data'?"),
        ({"nodes": {"db-b2": {}}}, "nodes.db-b2: no node is it; did you mean 'db-b1'?"),
        ({"pools": {"data": {"label": {}}}}, "pools.data.label ({}): unknown key; did you mean 'labels'?"),
        ({"pools": {"data": {"labels": {"ssd": True}}}}, "labels.ssd (true): must be a text; put it into quotes"),
        (
            {"pools": {"data": {"labels": {"topology.kubernetes.io/zone": "x"}}}},
            "labels.topology.kubernetes.io/zone: the site says this",
        ),
        ({"nodes": {"db-b1": {"taints": [{"key": "a"}]}}}, "taints[0].effect: missing; give NoSchedule, Prefer"),
        ({"nodes": {"db-b1": {"taints": [{"key": "a", "effect": "x"}]}}}, "not one of the possible values"),
        ({"namespaces": {"Shop": {}}}, "namespaces.Shop: not a valid name; a DNS label"),
        ({"namespaces": {"shop": {"qota": {}}}}, "namespaces.shop.qota ({}): unknown key; did you mean 'quota'?"),
        ({"namespaces": {"shop": {"pod_security": {"enforce": "strict"}}}}, "not one of the possible values"),
        ({"namespaces": {"shop": {"allow": {"web": {}}}}}, "allow.web.podSelector: missing; give the pods"),
        ({"priority_classes": {"x": {}}}, "priority_classes.x.value: missing"),
        ({"priority_classes": {"x": {"value": 2000000000}}}, "a whole number up to 1000000000"),
        (
            {"storage_classes": {"a": {"default": True}, "b": {"default": True}}},
            'storage_classes (["a", "b"]): several are the default one',
        ),
        (
            {"local_volumes": [{"node": "app-a2", "path": "/srv/1", "size": "1Gi", "class": "fast"}]},
            "local_volumes[0].node (\"app-a2\"): no such node; did you mean 'app-a1'?",
        ),
        (
            {"local_volumes": [{"node": "app-a1", "path": "/srv/1", "size": "1Gi", "class": "slow"}]},
            'local_volumes[0].class ("slow"): no class of local volumes; of local volumes: fast',
        ),
        (
            {"local_volumes": [{"node": "app-a1", "path": "/srv/1", "size": "1Gi", "class": "fast"}] * 2},
            'local_volumes[1].path ("/srv/1"): the node has this one already',
        ),
        (
            {"local_volumes": [{"node": "app-a1", "path": "srv/", "size": 1, "class": "fast"}]},
            'path ("srv/"): not valid',
        ),
    ],
)
def test_what_is_wrong_is_named(declared: dict[str, Any], problem: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        content(**declared)
    assert problem in str(raised.value)
    assert "kubernetes_content_" in str(raised.value)


def test_volumes_are_on_their_nodes() -> None:
    volume = {"node": "db-b1", "path": "/srv/Volumes/1", "size": "10Gi", "class": "fast"}
    spec = objects(local_volumes=[volume])["PersistentVolume", "db-b1-srv-volumes-1"]["spec"]
    assert spec["local"] == {"path": "/srv/Volumes/1"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["db-b1"]


def test_a_class_of_a_driver() -> None:
    given = {"provisioner": "nfs.example.org", "parameters": {"server": "x"}, "expandable": True}
    found = objects(storage_classes={"shared": given, "fast": {}})
    assert found["StorageClass", "shared"]["reclaimPolicy"] == "Delete"
    assert found["StorageClass", "shared"]["parameters"] == {"server": "x"}
    assert found["StorageClass", "fast"]["provisioner"] == "kubernetes.io/no-provisioner"
    assert found["StorageClass", "fast"]["reclaimPolicy"] == "Retain"
