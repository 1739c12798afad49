# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of Kubernetes objects: what it holds, in which order it goes, what changed, what is left over. Nothing talks.

A set is an ApplySet: its members bear a label, and a parent object lists the kinds and namespaces where members are, so
that what is not declared any more is found again (github.com/kubernetes/enhancements, KEP-3659, "Design Details:
ApplySet Specification"). kubectl can list and delete it as one of its own.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _kube
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

Object = dict[str, Any]

PART_OF = "applyset.kubernetes.io/part-of"
_ID = "applyset.kubernetes.io/id"
_TOOLING = "applyset.kubernetes.io/tooling"
_KINDS = "applyset.kubernetes.io/contains-group-kinds"
_NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
#: Fields that the server writes, and that say nothing of what was declared.
_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
#: What others live in, or are instances of; then all the rest; then what could refuse the rest.
_FIRST, _LAST = ("Namespace", "CustomResourceDefinition"), ("Validating", "Mutating")
HIDDEN = "(hidden)"
#: Where `kubectl apply` without --server-side keeps a copy of all.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, order=True)
class Key:
    """Which object it is, whatever the version that it is written in."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def key(manifest: Mapping[str, Any]) -> Key:
    """The key of an object, declared or live."""
    metadata = manifest["metadata"]
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    return Key(group, manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def parse(given: Sequence[Any]) -> list[Object]:
    """The manifests of a set, lists taken apart and empty documents left out. Raises Failed with all that is wrong."""
    manifests: list[Object] = []
    problems: list[str] = []
    seen: set[Key] = set()
    for number, one in enumerate(_flat(given)):
        where = f"objects[{number}]"
        problem = _problem(one)
        if problem:
            problems.append(f"{where}{problem}")
            continue
        found = key(one)
        if found in seen:
            problems.append(f"{where}: {found} is declared twice; keep one of them")
        seen.add(found)
        manifests.append(copy.deepcopy(one))
    if problems:
        raise Failed("; ".join(problems))
    return manifests


def _flat(given: Iterable[Any]) -> Iterable[Any]:
    for one in given:
        if isinstance(one, Mapping) and str(one.get("kind", "")).endswith("List") and "items" in one:
            yield from one["items"] or []
        elif one is not None:
            yield one


def _problem(one: Any) -> str:
    if not isinstance(one, Mapping):
        return f": is {type(one).__name__}, a Kubernetes object is a mapping with apiVersion, kind and metadata"
    for name in ("apiVersion", "kind"):
        if not isinstance(one.get(name), str) or not one[name]:
            return f".{name}: is missing, such as {'apps/v1' if name == 'apiVersion' else 'Deployment'}"
    metadata = one.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f".metadata.name: is missing; a {one['kind']} of a set needs a name; generateName makes a new one"
    for name in ("labels", "annotations"):
        texts = metadata.get(name) or {}
        wrong = [label for label, value in texts.items() if not isinstance(value, str)]
        if wrong:
            return f".metadata.{name}.{wrong[0]}: is {texts[wrong[0]]!r}, it has to be a text; put it into quotes"
    return ""


def waves(manifests: Sequence[Object]) -> list[list[Object]]:
    """The same manifests, in the order in which they can be applied; those of a wave in any order."""
    first = [one for one in manifests if one["kind"] in _FIRST]
    last = [one for one in manifests if one["kind"].startswith(_LAST)]
    rest = [one for one in manifests if one not in first and one not in last]
    return [wave for wave in (first, rest, last) if wave]


def identity(name: str, namespace: str, kind: str = "ConfigMap") -> str:
    """The identifier of the set with this parent, an object of the core API."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def labelled(manifest: Object, part_of: str) -> Object:
    """The manifest as a member of the set."""
    metadata = manifest["metadata"]
    labels = {**(metadata.get("labels") or {}), PART_OF: part_of}
    return {**manifest, "metadata": {**metadata, "labels": labels}}


@dataclass(frozen=True)
class Extent:
    """Where members of a set may be: kinds as `Deployment.apps`, and namespaces."""

    kinds: frozenset[str]
    namespaces: frozenset[str]

    def __or__(self, other: Extent) -> Extent:
        return Extent(self.kinds | other.kinds, self.namespaces | other.namespaces)


def extent(keys: Iterable[Key]) -> Extent:
    """Where these objects are."""
    found = list(keys)
    kinds = frozenset(f"{one.kind}.{one.group}" if one.group else one.kind for one in found)
    return Extent(kinds, frozenset(one.namespace for one in found if one.namespace))


def parent(name: str, namespace: str, where: Extent) -> Object:
    """The set's parent object."""
    annotations = {_TOOLING: "holdfast/v1", _KINDS: ",".join(sorted(where.kinds))}
    others = sorted(where.namespaces - {namespace})
    if others:
        annotations[_NAMESPACES] = ",".join(others)
    metadata = {"name": name, "namespace": namespace, "labels": {_ID: identity(name, namespace)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "annotations": annotations}}


def known_extent(found: Mapping[str, Any]) -> Extent:
    """What a parent object says. Raises Failed when it is none, or another tool's."""
    metadata = found["metadata"]
    annotations, where = metadata.get("annotations") or {}, f"ConfigMap {metadata['namespace']}/{metadata['name']}"
    if _ID not in (metadata.get("labels") or {}):
        raise Failed(f"{where}: is there, and is not the parent of a set; give the set another name")
    if not str(annotations.get(_TOOLING, "")).startswith("holdfast/"):
        raise Failed(f"{where}: is the parent of a set of {annotations.get(_TOOLING)}; give the set another name")
    kinds, namespaces = (annotations.get(one, "") for one in (_KINDS, _NAMESPACES))
    return Extent(frozenset(filter(None, kinds.split(","))), frozenset(filter(None, namespaces.split(","))))


def owned_by_another(live: Mapping[str, Any], part_of: str) -> bool:
    """Whether a live object is a member of another set."""
    label = (live["metadata"].get("labels") or {}).get(PART_OF)
    return label is not None and label != part_of


def comparable(found: Mapping[str, Any]) -> Object:
    """What an object says without what the server writes into it."""
    shown = copy.deepcopy({name: value for name, value in found.items() if name != "status"})
    for name in _SERVERS:
        shown["metadata"].pop(name, None)
    return shown


def difference(before: Object | None, after: Object | None) -> tuple[Object, Object]:
    """Both sides for a diff, empty where there is no object. Values of Secrets are never part of it."""
    sides = tuple(comparable(side) if side else {} for side in (before, after))
    if "Secret" in [side.get("kind") for side in sides]:
        for part in ("data", "stringData"):
            values = [side.get(part) or {} for side in sides]
            for side, mine, other, word in zip(sides, values, reversed(values), ("old", "new")):
                side[part] = {
                    name: HIDDEN if other.get(name) == value else f"{HIDDEN}, {word}" for name, value in mine.items()
                }
        for side in sides:
            (side.get("metadata") or {}).get("annotations", {}).pop(_LAST_APPLIED, None)
    return sides[0], sides[1]


def told(key: str, before: Object, after: Object) -> dict[str, str]:
    """Both sides as Ansible shows them; an empty one is no object."""
    sides = {
        name: json.dumps(side, indent=2, sort_keys=True) + "\n" if side else ""
        for name, side in (("before", before), ("after", after))
    }
    return {"before_header": key, "after_header": key, **sides}


def left_over(members: Mapping[Key, Object], declared: Iterable[Key]) -> list[Object]:
    """Members that are not declared any more and that nobody deletes yet. Namespaces come last: what is in them goes
    with them, and should have gone by itself before."""
    gone = set(declared)
    found = [live for one, live in members.items() if one not in gone and "deletionTimestamp" not in live["metadata"]]
    return sorted(found, key=lambda live: (live["kind"] in _FIRST, str(key(live))))


def waiting(live: Mapping[str, Any], away: int = 0) -> str:
    """Why an object is not ready; empty when it is, or when its kind knows no such thing.

    The rules are those of `kubectl rollout status`, and of the conditions of the kinds that have them. away: nodes that
    are down; nobody waits for a daemon there.
    """
    judge = _JUDGES.get(live["kind"])
    if judge is None:
        return ""
    status = live.get("status") or {}
    if live["kind"] in _ROLLED_OUT and status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "its controller has not looked at it yet"
    if live["kind"] == "DaemonSet":
        status = {**status, "desiredNumberScheduled": status.get("desiredNumberScheduled", 0) - away}
    return judge(live.get("spec") or {}, status)


def down(nodes: Iterable[Mapping[str, Any]]) -> int:
    """How many nodes are not ready."""
    return sum(1 for node in nodes if _kube.unready(node))


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    wanted = spec.get("replicas", 1)
    updated, available, there = (status.get(f"{name}eplicas", 0) for name in ("updatedR", "availableR", "r"))
    if updated < wanted:
        return f"{updated} of {wanted} replicas are new ones"
    if there > updated:
        return f"{there - updated} old replicas are still there"
    return "" if available >= updated else f"{available} of {updated} replicas are available"


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    wanted = status.get("desiredNumberScheduled", 0)
    if (spec.get("updateStrategy") or {}).get("type") != "OnDelete" and status.get(
        "updatedNumberScheduled", 0
    ) < wanted:
        return f"{status.get('updatedNumberScheduled', 0)} of {wanted} nodes have the new pod"
    available = status.get("numberAvailable", 0)
    return "" if available >= wanted else f"{available} of {wanted} pods are available"


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    wanted = spec.get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready"
    partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0)
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete" or updated >= wanted - partition:
        return ""
    return f"{updated} of {wanted} pods are new ones"


def _job(_spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if failed := _condition(status, "Failed"):
        return failed
    return (
        "" if any(one["type"] == "Complete" and one["status"] == "True" for one in _conditions(status)) else "it runs"
    )


def _established(_spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    return _missing(status, "Established")


def _available(_spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    return _missing(status, "Available")


def _missing(status: Mapping[str, Any], kind: str) -> str:
    for one in _conditions(status):
        if one["type"] == kind:
            return "" if one["status"] == "True" else f"not {kind}: {one.get('message') or one.get('reason') or '?'}"
    return f"not {kind} yet"


def _condition(status: Mapping[str, Any], kind: str) -> str:
    found = [one for one in _conditions(status) if one["type"] == kind and one["status"] == "True"]
    return f"{kind}: {found[0].get('message') or found[0].get('reason') or '?'}" if found else ""


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return status.get("conditions") or []


def can_wait(manifest: Mapping[str, Any]) -> bool:
    """Whether readiness is known of this kind."""
    return manifest["kind"] in _JUDGES


_ROLLED_OUT = ("Deployment", "DaemonSet", "StatefulSet")
_JUDGES = {
    "Deployment": _deployment,
    "DaemonSet": _daemon_set,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "CustomResourceDefinition": _established,
    "APIService": _available,
}


def pods_say(pods: Iterable[Mapping[str, Any]]) -> str:
    """What keeps pods from running, in the words of the scheduler or of the kubelet; empty when nothing does."""
    found = {}
    for pod in pods:
        status = pod.get("status") or {}
        for one in _conditions(status):
            if one["type"] == "PodScheduled" and one["status"] == "False":
                found[f"{one.get('reason', '')}: {one.get('message', '')}"] = pod["metadata"]["name"]
        for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            state = (one.get("state") or {}).get("waiting") or {}
            if state.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                said = f": {state['message']}" if state.get("message") else ""
                found[f"{one['name']} {state['reason']}{said}"] = pod["metadata"]["name"]
    return "; ".join(f"pod {name}: {text}" for text, name in found.items())
