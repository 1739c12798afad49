# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a set of objects to a cluster by server-side apply, take away what is left over, and wait until it is ready."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_set
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused, Resource
from ansible_collections.holdfast.platform.plugins.module_utils._kube_set import Extent, Key, Object
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

Result = TypeVar("Result")

MANAGER = "holdfast"
#: Requests at a time. An API server takes 400 reads and 200 writes at once before it lets others wait
#: (kube-apiserver, --max-requests-inflight and --max-mutating-requests-inflight).
_AT_ONCE = 8


@dataclass
class Outcome:
    """What was done, or would be: objects by what happened to them, and both sides of each change."""

    created: list[str] = field(default_factory=list)
    configured: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    diff: list[tuple[str, Object, Object]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the cluster is another one."""
        return bool(self.created or self.configured or self.pruned)


@dataclass(frozen=True)
class _Change:
    """An object that is to be applied. resource None: its kind is not served yet, its definition is in the set."""

    manifest: Object
    resource: Resource | None
    before: Object | None
    after: Object | None

    @property
    def needed(self) -> bool:
        if self.before is None or self.after is None:
            return True
        return _kube_set.comparable(self.before) != _kube_set.comparable(self.after)


class Apply:
    """One set, of this name, with its parent in this namespace."""

    def __init__(self, client: Client, name: str, namespace: str) -> None:
        """Nothing is asked yet."""
        self.client, self.name, self.namespace = client, name, namespace
        self.part_of = _kube_set.identity(name, namespace)

    def run(self, given: Sequence[object], *, check: bool) -> Outcome:
        """Bring the set to the cluster. Raises Failed; what the API would refuse is found before a change."""
        manifests = [_kube_set.labelled(one, self.part_of) for one in _kube_set.parse(given)]
        declared = [_kube_set.key(one) for one in manifests]
        self._judge_kinds(manifests)
        extent, known = _kube_set.extent(declared), self._known()
        members = self._members(extent | known)
        changes = self._tried(manifests, members)
        left_over = _kube_set.left_over(members, declared)
        outcome = _outcome(changes, left_over)
        if check:
            return outcome
        if outcome.changed or known != extent:
            self._write_parent(extent | known)
            self._carry_out(changes)
            self._prune(left_over)
            self._write_parent(extent)
        return outcome

    def _known(self) -> Extent:
        found = self.client.get(self._parent_path())
        return _kube_set.known_extent(found) if found else Extent(frozenset(), frozenset())

    def _parent_path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"

    def _write_parent(self, where: Extent) -> None:
        manifest = _kube_set.parent(self.name, self.namespace, where)
        self.client.request("PATCH", self._parent_path(), manifest, _kube.APPLY, fieldManager=MANAGER, force="true")

    def _judge_kinds(self, manifests: Sequence[Object]) -> None:
        """Every kind is served, or defined by the set; what lives in a namespace says in which."""
        defined = {
            (one["spec"]["group"], one["spec"]["names"]["kind"])
            for one in manifests
            if one["kind"] == "CustomResourceDefinition"
        }
        problems = []
        for one in manifests:
            key, resource = _kube_set.key(one), self.client.resource(one["apiVersion"], one["kind"])
            if resource is None:
                if (key.group, key.kind) not in defined:
                    problems.append(
                        f"{key}: the cluster serves no {one['kind']} of {one['apiVersion']}; its definition has to be "
                        "part of this set, or there before"
                    )
            elif resource.namespaced and not key.namespace:
                problems.append(f"{key}: metadata.namespace is missing; a {key.kind} lives in a namespace")
            elif not resource.namespaced and key.namespace:
                problems.append(f"{key}: metadata.namespace has to go; a {key.kind} lives in none")
        if problems:
            raise Failed("; ".join(problems))

    def _members(self, where: Extent) -> dict[Key, Object]:
        """The live members, by one list for each kind."""
        found = {}
        for group_kind in sorted(where.kinds):
            resource = self._preferred(group_kind)
            if resource is None:  # its definition is gone, and so are its objects
                continue
            selector = f"{_kube_set.PART_OF}={self.part_of}"
            for item in self.client.items(resource.path(), labelSelector=selector):
                live = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
                found[_kube_set.key(live)] = live
        return found

    def _preferred(self, group_kind: str) -> Resource | None:
        """How the cluster serves a kind, in the version that it prefers."""
        kind, _, group = group_kind.partition(".")
        if not group:
            return self.client.resource("v1", kind)
        served = self.client.get(f"/apis/{group}")
        versions = [one["groupVersion"] for one in served["versions"]] if served else []
        preferred = [served["preferredVersion"]["groupVersion"]] if served else []
        for version in [*preferred, *versions]:
            resource = self.client.resource(version, kind)
            if resource:
                return resource
        return None

    def _tried(self, manifests: Sequence[Object], members: Mapping[Key, Object]) -> list[_Change]:
        """What applying each would do. Raises Failed with all that the API refuses, or that another set owns."""
        new = {_kube_set.key(one) for one in manifests if one["kind"] == "Namespace"}
        problems: list[str] = []

        def attempt(manifest: Object) -> _Change | None:
            key, resource = _kube_set.key(manifest), self.client.resource(manifest["apiVersion"], manifest["kind"])
            if resource is None:
                return _Change(manifest, None, None, None)
            path = resource.path(key.namespace, key.name)
            # Before and after in the version that is declared: others may spell the same otherwise.
            live = (
                self.client.get(path) if key not in members or _other_version(members[key], manifest) else members[key]
            )
            if live and _kube_set.owned_by_another(live, self.part_of):
                problems.append(f"{key}: belongs to another set, {live['metadata']['labels'][_kube_set.PART_OF]}")
                return None
            try:
                after = self._apply(path, manifest, dry_run=True)
            except Refused as refusal:
                home = Key("", "Namespace", "", key.namespace)
                if refusal.status == http.client.NOT_FOUND and key.namespace and home in new:
                    return _Change(manifest, resource, None, None)
                problems.append(f"{key}: {refusal}")
                return None
            return _Change(manifest, resource, live, after)

        changes = _all(attempt, manifests)
        if problems:
            raise Failed("nothing was changed: " + "; ".join(sorted(problems)))
        return [change for change in changes if change]

    def _apply(self, path: str, manifest: Object, *, dry_run: bool = False) -> Object:
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return self.client.request("PATCH", path, manifest, _kube.APPLY, **query)

    def _carry_out(self, changes: Sequence[_Change]) -> None:
        needed = {_kube_set.key(change.manifest): change for change in changes if change.needed}

        def carry_out(manifest: Object) -> str:
            key = _kube_set.key(manifest)
            resource = needed[key].resource or self.client.resource(manifest["apiVersion"], key.kind, fresh=True)
            if resource is None:
                return f"{key}: the cluster does not serve {manifest['apiVersion']} yet; run again"
            try:
                self._apply(resource.path(key.namespace, key.name), manifest)
            except Failed as failure:
                return f"{key}: {failure}"
            return ""

        for wave in _kube_set.waves([change.manifest for change in needed.values()]):
            if problems := sorted(filter(None, _all(carry_out, wave))):
                raise Failed("; ".join(problems))
            definitions = [one for one in wave if one["kind"] == "CustomResourceDefinition"]
            if reasons := self.wait(definitions, 60):
                raise Failed("; ".join(reasons))

    def _prune(self, left_over: Iterable[Object]) -> None:
        for live in left_over:
            key, resource = _kube_set.key(live), self.client.resource(live["apiVersion"], live["kind"])
            if resource is None:
                continue
            same = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
            try:
                self.client.request(
                    "DELETE",
                    resource.path(key.namespace, key.name),
                    {**same, "preconditions": {"uid": live["metadata"]["uid"]}},
                )
            except Refused as refusal:
                if refusal.status not in (http.client.NOT_FOUND, http.client.CONFLICT):  # gone, or another one by now
                    raise Failed(f"{key}: can't be taken away: {refusal}") from refusal

    def wait(self, manifests: Sequence[object], seconds: float) -> list[str]:
        """Wait until objects are ready; why they are not, one reason for each, when the seconds are over."""
        waited_for = [one for one in _kube_set.parse(manifests) if _kube_set.can_wait(one)]

        def look() -> list[str]:
            reasons = _all(self._waiting, waited_for)
            return [reason for reason in reasons if reason]

        return until(look, seconds, pause=1) if waited_for else []

    def _waiting(self, manifest: Object) -> str:
        key, resource = _kube_set.key(manifest), self.client.resource(manifest["apiVersion"], manifest["kind"])
        live = self.client.get(resource.path(key.namespace, key.name)) if resource else None
        if live is None:
            return f"{key}: is not there"
        reason = _kube_set.waiting(live)
        if reason and key.kind == "DaemonSet":
            reason = _kube_set.waiting(live, _kube_set.down(self.client.items("/api/v1/nodes")))
        if not reason:
            return ""
        labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") if key.namespace else None
        said = ""
        if labels:
            selector = ",".join(f"{name}={value}" for name, value in labels.items())
            said = _kube_set.pods_say(
                self.client.items(f"/api/v1/namespaces/{key.namespace}/pods", labelSelector=selector)
            )
        return f"{key}: {reason}" + (f" ({said})" if said else "")


def _all(function: Callable[[Object], Result], given: Iterable[Object]) -> list[Result]:
    """What a function returns for each, several at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, given))


def _other_version(live: Mapping[str, object], manifest: Mapping[str, object]) -> bool:
    return live["apiVersion"] != manifest["apiVersion"]


def _outcome(changes: Iterable[_Change], left_over: Iterable[Object]) -> Outcome:
    outcome = Outcome()
    for change in changes:
        if change.needed:
            key = str(_kube_set.key(change.manifest))
            (outcome.configured if change.before else outcome.created).append(key)
            outcome.diff.append((key, *_kube_set.difference(change.before, change.after or change.manifest)))
    for live in left_over:
        key = str(_kube_set.key(live))
        outcome.pruned.append(key)
        outcome.diff.append((key, *_kube_set.difference(live, None)))
    return outcome
