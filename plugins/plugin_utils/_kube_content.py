# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site declares of a Kubernetes cluster's content, in the API's own words: nodes, namespaces, classes, volumes.

Keys of problems are the names of the variables, since a person has to find them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import (
    InvalidError,
    Problem,
    nearest,
    structure,
)

Object = dict[str, Any]

_PREFIX = "kubernetes_content_"
_FILE = "inventory"
#: What a class is of whose volumes are declared one by one (kubernetes.io, Storage Classes, "Local").
LOCAL = "kubernetes.io/no-provisioner"
_ZONE, _REGION, _POOL = "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "platform.holdfast/pool"
#: kubeadm and kubelets expect the name server there: the tenth address of the services' network.
_DNS = 10
_SECURITY = {"enforce": "baseline", "audit": "restricted", "warn": "restricted"}


def content(declared: Mapping[str, Any], hosts: Sequence[Mapping[str, str]], pools: Mapping[str, str]) -> Object:
    """Shape what is declared.

    declared: variables of the role by their names; hosts: the nodes, as the lookup `hosts` gives them; pools: the pool
    of each host. Returns `nodes` (what to bring each one to), `identities` (names and addresses of each), `objects`
    (manifests) and `dns_address`.

    :raises InvalidError: names every key that is wrong, and what would be right.
    """
    problems = structure(declared, "kubernetes_content", _FILE)
    if not problems:
        problems = list(_meaning(declared, [host["name"] for host in hosts], pools))
    if problems:
        raise InvalidError(problems)
    return {
        "nodes": {host["name"]: _node(declared, host, pools[host["name"]]) for host in hosts},
        "identities": {host["name"]: sorted({host["name"], host["fqdn"], host["address"]}) for host in hosts},
        "objects": [
            *_priority_classes(_given(declared, "priority_classes")),
            *_storage_classes(_given(declared, "storage_classes")),
            *map(_volume, declared.get(f"{_PREFIX}local_volumes") or ()),
            *_namespaces(_given(declared, "namespaces")),
        ],
        "dns_address": str(ip_network(declared[f"{_PREFIX}service_network"])[_DNS]),
    }


def _given(declared: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return declared.get(f"{_PREFIX}{name}") or {}


def _meaning(declared: Mapping[str, Any], names: Sequence[str], pools: Mapping[str, str]) -> Iterator[Problem]:
    """What no schema can tell."""
    network = declared[f"{_PREFIX}service_network"]
    if not _large_enough(network):
        fix = "give one of at least 16 addresses, such as 10.96.0.0/16"
        yield Problem(_FILE, f"{_PREFIX}service_network", network, "no network that can be used", fix)
    for part, known in (("pools", sorted({pools[name] for name in names})), ("nodes", names)):
        for name, given in _given(declared, part).items():
            key = f"{_PREFIX}{part}.{name}"
            if name not in known:
                yield Problem(
                    _FILE, key, None, f"no node is {'it' if part == 'nodes' else 'in it'}", nearest(name, known)
                )
            for label in {_ZONE, _REGION, _POOL} & set(given.get("labels") or ()):
                yield Problem(_FILE, f"{key}.labels.{label}", None, "the site says this", "take it out")
    classes, paths = _given(declared, "storage_classes"), set()
    defaults = [name for name, given in classes.items() if given.get("default")]
    if len(defaults) > 1:
        yield Problem(_FILE, f"{_PREFIX}storage_classes", defaults, "several are the default one", "keep one of them")
    for number, volume in enumerate(declared.get(f"{_PREFIX}local_volumes") or ()):
        key, place = f"{_PREFIX}local_volumes[{number}]", (volume["node"], volume["path"])
        if volume["node"] not in names:
            yield Problem(_FILE, f"{key}.node", volume["node"], "no such node", nearest(volume["node"], names))
        local = [name for name, given in classes.items() if given.get("provisioner", LOCAL) == LOCAL]
        if volume["class"] not in local:
            fix = nearest(volume["class"], local, "of local volumes")
            yield Problem(_FILE, f"{key}.class", volume["class"], "no class of local volumes", fix)
        if _slug(*place) in paths:
            yield Problem(_FILE, f"{key}.path", volume["path"], "the node has this one already", "name each once")
        paths.add(_slug(*place))


def _large_enough(network: str) -> bool:
    try:
        return ip_network(network).num_addresses > _DNS
    except ValueError:
        return False


def _node(declared: Mapping[str, Any], host: Mapping[str, str], pool: str) -> Object:
    """Its pool's, then its own; of a taint the key and the effect tell which one it is."""
    both = [_given(declared, "pools").get(pool) or {}, _given(declared, "nodes").get(host["name"]) or {}]
    site = {_ZONE: host["zone"], _REGION: declared[f"{_PREFIX}region"], _POOL: pool}
    labels, annotations = (
        {k: v for one in both for k, v in (one.get(part) or {}).items()} for part in ("labels", "annotations")
    )
    taints = {(taint["key"], taint["effect"]): dict(taint) for one in both for taint in one.get("taints") or ()}
    return {"labels": {**labels, **site}, "annotations": annotations, "taints": list(taints.values())}


def _manifest(version: str, kind: str, name: str, namespace: str = "", **more: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _priority_classes(classes: Mapping[str, Any]) -> Iterator[Object]:
    for name, given in classes.items():
        policy = "PreemptLowerPriority" if given.get("preempts", True) else "Never"
        more = {"value": given["value"], "description": given.get("description", ""), "preemptionPolicy": policy}
        yield _manifest("scheduling.k8s.io/v1", "PriorityClass", name, **more)


def _storage_classes(classes: Mapping[str, Any]) -> Iterator[Object]:
    for name, given in classes.items():
        provisioner = given.get("provisioner", LOCAL)
        # A claim waits for its pod, so that the volume is where the pod can run.
        more: Object = {"provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
        more["reclaimPolicy"] = given.get("reclaim", "Retain" if provisioner == LOCAL else "Delete")
        more["allowVolumeExpansion"] = given.get("expandable", False)
        more["metadata"] = {
            "annotations": {"storageclass.kubernetes.io/is-default-class": str(given.get("default", False)).lower()}
        }
        if given.get("parameters"):
            more["parameters"] = dict(given["parameters"])
        if given.get("mount_options"):
            more["mountOptions"] = list(given["mount_options"])
        yield _manifest("storage.k8s.io/v1", "StorageClass", name, **more)


def _slug(node: str, path: str) -> str:
    return f"{node}-{re.sub('[^a-z0-9]+', '-', path.lower()).strip('-')}"


def _volume(given: Mapping[str, Any]) -> Object:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [given["node"]]}
    spec = {
        "capacity": {"storage": str(given["size"])},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": given["class"],
        "volumeMode": "Filesystem",
        "local": {"path": given["path"]},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    return _manifest("v1", "PersistentVolume", _slug(given["node"], given["path"]), spec=spec)


def _namespaces(namespaces: Mapping[str, Any]) -> Iterator[Object]:
    for name, declared in namespaces.items():
        given = declared or {}
        security = {**_SECURITY, **(given.get("pod_security") or {})}
        levels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in security.items()}
        yield _manifest("v1", "Namespace", name, metadata={"labels": {**(given.get("labels") or {}), **levels}})
        if given.get("quota"):
            hard = {resource: str(quantity) for resource, quantity in given["quota"].items()}
            yield _manifest("v1", "ResourceQuota", "quota", name, spec={"hard": hard})
        if given.get("limits"):
            limit = {"type": "Container", **given["limits"]}
            yield _manifest("v1", "LimitRange", "containers", name, spec={"limits": [limit]})
        yield from _policies(name, given)
        for budget, spec in (given.get("disruption_budgets") or {}).items():
            yield _manifest("policy/v1", "PodDisruptionBudget", budget, name, spec=dict(spec))


def _policies(namespace: str, given: Mapping[str, Any]) -> Iterator[Object]:
    """Nothing comes in and nothing goes out but questions for names, and what is allowed by its own policy."""
    specs = dict(given.get("allow") or {})
    if given.get("deny", True):
        every: Object = {}
        servers = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
        ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
        names = {"podSelector": every, "policyTypes": ["Egress"], "egress": [{"to": [servers], "ports": ports}]}
        specs = {"deny": {"podSelector": every, "policyTypes": ["Ingress", "Egress"]}, "names": names, **specs}
    for name, spec in specs.items():
        yield _manifest("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=dict(spec))
