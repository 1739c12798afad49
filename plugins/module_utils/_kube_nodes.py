# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, annotations and taints of nodes: what is declared is there, what was declared goes, that of others stays."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _kube
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

Object = dict[str, Any]
Taint = dict[str, str]

#: The owner of the fields that are declared; one of its own, so that sets of objects and nodes don't mix.
MANAGER = "holdfast-nodes"
#: Which taints are ours. The API takes their list as one field (`listType=atomic`), so its owners can't tell.
_OURS = "platform.holdfast/taints"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
#: How often a node is tried again that somebody else writes at the same moment.
_TRIES = 5


class Absent(Failed):
    """The cluster has no such node."""


@dataclass(frozen=True)
class Wanted:
    """What is declared of a node."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Taint] = ()


def parse(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Wanted]:
    """What is declared by node. Raises Failed that names node, key and what would be right, all problems at once."""
    problems = [problem for name, node in given.items() for problem in _problems(f"nodes.{name}", node)]
    if problems:
        raise Failed("; ".join(problems))
    return {
        name: Wanted(
            node.get("labels") or {},
            node.get("annotations") or {},
            [_taint(taint) for taint in node.get("taints") or []],
        )
        for name, node in given.items()
    }


def _problems(where: str, node: Mapping[str, Any]) -> list[str]:
    found = [f"{where}.{key}: is unknown; known: labels, annotations, taints" for key in node if key not in _PARTS]
    for part in ("labels", "annotations"):
        for key, value in (node.get(part) or {}).items():
            if not isinstance(value, str):
                found.append(f"{where}.{part}.{key}: is {value!r}, it has to be a text; put it into quotes")
    seen = set()
    for number, taint in enumerate(node.get("taints") or []):
        here = f"{where}.taints[{number}]"
        if not taint.get("key"):
            found.append(f"{here}.key: is missing, such as dedicated")
        if taint.get("effect") not in EFFECTS:
            found.append(f"{here}.effect: is {taint.get('effect')!r}; one of {', '.join(EFFECTS)}")
        if not isinstance(taint.get("value", ""), str):
            found.append(f"{here}.value: is {taint['value']!r}, it has to be a text; put it into quotes")
        pair = (taint.get("key"), taint.get("effect"))
        if pair in seen:
            found.append(f"{here}: {pair[0]} with {pair[1]} is declared twice; keep one of them")
        seen.add(pair)
    return found


_PARTS = ("labels", "annotations", "taints")


def _taint(given: Mapping[str, Any]) -> Taint:
    """In the API's own spelling: no empty value."""
    return {key: given[key] for key in ("key", "value", "effect") if given.get(key)}


def _pair(taint: Mapping[str, str]) -> tuple[str, str]:
    """What tells one taint from another: the API allows each effect once for a key."""
    return taint["key"], taint["effect"]


def taints(live: Mapping[str, Any], wanted: Wanted) -> list[Taint]:
    """The node's taints as they should be: those of others, in their order, then ours."""
    declared = {_pair(taint): taint for taint in wanted.taints}
    ours = {tuple(pair) for pair in json.loads((live["metadata"].get("annotations") or {}).get(_OURS, "[]"))}
    found = (live.get("spec") or {}).get("taints") or []
    here = {_pair(taint): taint for taint in found}
    kept = [taint for taint in found if _pair(taint) not in declared and _pair(taint) not in ours]
    # One that somebody else has set in the meantime with the same key, effect and value keeps its time.
    mine = [
        here[pair] if pair in here and here[pair].get("value", "") == taint.get("value", "") else taint
        for pair, taint in declared.items()
    ]
    return [*kept, *mine]


def taints_patch(live: Mapping[str, Any], wanted: Wanted) -> Object | None:
    """What makes the taints so, and remembers which are ours, in one request; None when all is as it should be.

    It names the version of the node, so that the API refuses it when somebody else has written meanwhile.
    """
    metadata = live["metadata"]
    ours = json.dumps(sorted(_pair(taint) for taint in wanted.taints)) if wanted.taints else None
    should = taints(live, wanted)
    if should == ((live.get("spec") or {}).get("taints") or []) and ours == (metadata.get("annotations") or {}).get(
        _OURS
    ):
        return None
    noted = {"resourceVersion": metadata["resourceVersion"], "annotations": {_OURS: ours}}
    return {"metadata": noted, "spec": {"taints": should or None}}


def manifest(live: Mapping[str, Any], wanted: Wanted) -> Object:
    """What is applied of labels and annotations. The UID keeps the API from making a node that is not there."""
    metadata = {name: live["metadata"][name] for name in ("name", "uid")}
    declared = {"labels": dict(wanted.labels), "annotations": dict(wanted.annotations)}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {**metadata, **declared}}


def owned(live: Mapping[str, Any], part: str) -> set[str]:
    """The labels or annotations that were declared here before: the API keeps whose each one is.

    Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
    """
    found: set[str] = set()
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply":
            fields = (entry.get("fieldsV1") or {}).get("f:metadata", {}).get(f"f:{part}", {})
            found |= {name.removeprefix("f:") for name in fields if name.startswith("f:")}
    return found


def shown(node: Mapping[str, Any], live: Mapping[str, Any], wanted: Wanted) -> Object:
    """What this module is about, of a node: what others write at the same moment is none of it."""

    def part(name: str, declared: Mapping[str, str]) -> dict[str, str]:
        ours = owned(live, name) | set(declared)
        return {key: value for key, value in (node["metadata"].get(name) or {}).items() if key in ours}

    return {
        "labels": part("labels", wanted.labels),
        "annotations": part("annotations", wanted.annotations),
        "taints": (node.get("spec") or {}).get("taints") or [],
    }


def reconcile(client: Client, name: str, wanted: Wanted, *, check: bool) -> tuple[Object, Object]:
    """Bring one node to what is declared; what it showed before and shows afterwards. Raises Absent and Failed."""
    tries = _TRIES
    while True:
        live = client.get(f"/api/v1/nodes/{name}")
        if live is None:
            raise Absent(f"{name}: the cluster has no node of this name")
        try:
            return shown(live, live, wanted), _written(client, live, wanted, check=check)
        except Refused as refusal:
            tries -= 1
            if refusal.status != http.client.CONFLICT or not tries:
                raise Failed(f"{name}: {refusal}") from refusal


def _written(client: Client, live: Mapping[str, Any], wanted: Wanted, *, check: bool) -> Object:
    path = f"/api/v1/nodes/{live['metadata']['name']}"
    query = {"fieldManager": MANAGER, **({"dryRun": "All"} if check else {})}
    patch = taints_patch(live, wanted)
    if patch:
        client.request("PATCH", path, patch, _kube.MERGE, **query)
    after = client.request("PATCH", path, manifest(live, wanted), _kube.APPLY, force="true", **query)
    return {**shown(after, live, wanted), "taints": taints(live, wanted)}
