# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of Kubernetes may come after which: decisions, without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed

Version = tuple[int, int, int]

#: Minor versions by which a kubelet may be older than an API server (kubernetes.io, Version Skew Policy, "kubelet").
KUBELET_SKEW = 3
#: The patch from which a member of etcd may go to the next minor version: older ones may come up with members of an
#: older membership (etcd #19557, #20793).
ETCD_SAFE: Mapping[tuple[int, int], int] = {(3, 5): 26}

#: What an API server counts of requests for versions of the API that a later release no longer serves.
_REMOVED = re.compile(r"(?m)^apiserver_requested_deprecated_apis\{([^}]*)\} 1$")


def parse(version: str) -> Version:
    """The numbers of a version such as v1.36.3 or 3.6.8-0. Raises Failed."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        raise Failed(f"version '{version}' is none; such as v1.36.3 would be")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


@dataclass(frozen=True)
class Look:
    """The versions of a cluster: `servers` by URL (empty where one does not answer), `kubelets` by node, nodes that an
    upgrade has `drained`, what kubeadm keeps of the whole `cluster`, and APIs in use that are `removed` later."""

    servers: Mapping[str, str]
    kubelets: Mapping[str, str]
    cluster: str = ""
    drained: Sequence[str] = ()
    removed: Mapping[str, str] = field(default_factory=dict)

    def nodes_due(self, target: str) -> list[str]:
        """Nodes that have to be brought to a version, or were left in the middle of it."""
        return sorted(name for name, version in self.kubelets.items() if version != target or name in self.drained)

    def servers_due(self, target: str) -> list[str]:
        """API servers that have to be brought to a version."""
        return sorted(url for url, version in self.servers.items() if version != target)


def judge(target: str, look: Look) -> list[str]:
    """Why the cluster may not go to a version; empty when it may."""
    wanted = parse(target)
    reasons = [f"{url} does not answer" for url, version in look.servers.items() if not version]
    for url, version in look.servers.items():
        if version and parse(version) > wanted:
            reasons.append(f"{url} has {version}, and Kubernetes never goes back: the lock file has {target}")
        elif version and parse(version)[:2] < (wanted[0], wanted[1] - 1):
            step = f"v{wanted[0]}.{parse(version)[1] + 1}"
            reasons.append(
                f"{url} has {version}, one minor version is the most at a time: {step} comes before {target}"
            )
    for name, version in look.kubelets.items():
        if parse(version) > wanted:
            reasons.append(f"the kubelet of {name} has {version}, and must not be newer than an API server")
        elif parse(version)[1] < wanted[1] - KUBELET_SKEW:
            reasons.append(
                f"the kubelet of {name} has {version}, more than {KUBELET_SKEW} minor versions before {target}: "
                "upgrade that node first"
            )
    return reasons


def gone(look: Look, target: str) -> list[str]:
    """APIs that somebody used and that the target no longer serves."""
    wanted = parse(target)[:2]
    return sorted(api for api, release in look.removed.items() if parse(f"{release}.0")[:2] <= wanted)


def etcd_refusal(before: str, after: str) -> str:
    """Why a member of etcd may not go from one version (a tag of its image) to another; empty when it may."""
    old, new = parse(before), parse(after)
    if new < old:
        return f"etcd has {before}, and never goes back to {after}"
    if new[:2] == old[:2]:
        return ""
    if new[0] != old[0] or new[1] != old[1] + 1:
        return f"etcd goes one minor version at a time, not from {before} to {after}"
    least = ETCD_SAFE.get(old[:2], 0)
    if old[2] < least:
        return f"etcd {before} can't safely become {after}: bring it to {old[0]}.{old[1]}.{least} first"
    return ""


def removed_apis(metrics: str) -> dict[str, str]:
    """The release that no longer serves it, such as 1.37, by API in use, from the metrics of an API server."""
    found = {}
    for labels in _REMOVED.findall(metrics):
        one = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if one.get("removed_release"):
            name = "/".join(part for part in (one.get("group"), one.get("version"), one.get("resource")) if part)
            found[name] = one["removed_release"]
    return found
