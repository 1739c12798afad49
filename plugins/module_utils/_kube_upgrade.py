# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one version of Kubernetes to the next: what a cluster has, and the steps of one node.

API servers of all control planes come first, then what kubeadm keeps in the cluster, then kubelets: none of them is
ever newer than an API server that it may ask (kubernetes.io, Version Skew Policy).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ansible_collections.holdfast.platform.plugins.module_utils import (
    _artifact,
    _guard,
    _kube_drain,
    _kube_member,
    _kube_static,
    _kube_version,
    _kubeadm,
    _member,
)
from ansible_collections.holdfast.platform.plugins.module_utils._guard_lock import Lock
from ansible_collections.holdfast.platform.plugins.module_utils._kube import (
    Client,
    Object,
    Unreachable,
    read_kubeconfig,
    unready,
)
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed, run
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

Guarded = Optional[tuple[_guard.Adapter, Lock]]

#: Seconds until an API server that has just been started answers, on a slow machine.
PATIENCE = 120

_HEALTHZ = "http://127.0.0.1:10248/healthz"


def look(client: Client, servers: Sequence[str]) -> _kube_version.Look:
    """Ask, until all API servers answer or a while is over: what was cut off may go on at one of them.

    servers: URLs of all API servers. Raises Failed when the API can't be asked at all.
    """
    end = time.monotonic() + PATIENCE
    while True:
        found = _look(client, servers)
        if all(found.servers.values()) or time.monotonic() >= end:
            return found
        time.sleep(2)


def _look(client: Client, servers: Sequence[str]) -> _kube_version.Look:
    nodes = list(client.items("/api/v1/nodes"))
    versions, removed = {}, {}
    for url in servers:
        one = Client(replace(client.access, server=url), timeout=10, patience=5)
        try:
            versions[url] = str(one.request("GET", "/version")["gitVersion"])
            removed.update(_kube_version.removed_apis(one.text("/metrics")))
        except Unreachable:
            versions[url] = ""
    return _kube_version.Look(
        versions,
        {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes},
        _kubeadm.cluster_version(client),
        [node["metadata"]["name"] for node in nodes if _kube_drain.ours(node)],
        removed,
    )


def program(version: str) -> str:
    """The kubeadm of a version that was fetched and is not in use yet. Raises Failed when there is none."""
    found = sorted((_artifact.ROOT / "kubernetes").glob(f"{version.lstrip('v')}-*/kubeadm"))
    if not found:
        raise Failed(
            f"kubeadm {version} is not below {_artifact.ROOT}: it is fetched before a control plane is upgraded"
        )
    return str(found[-1])


def cluster(kubeadm: _kubeadm.Kubeadm) -> None:
    """Bring what kubeadm keeps in the cluster to its version, once all API servers have it. Raises Failed.

    The version in the configuration comes last, so that it tells that all of it is done.
    """
    skipped = "--skip-phases=preflight,control-plane,upload-config"
    run([kubeadm.program, "upgrade", "apply", kubeadm.version, "--yes", skipped], timeout=300)
    kubeadm("init", "phase", "upload-config", "kubeadm")


def node(name: str, target: str, timeout: float, guarded: Guarded, *, check: bool) -> bool:
    """Let this node's kubelet be of the version that is linked now. Tells whether that was due. Raises Failed.

    On a control plane the guard is asked, as a kubelet of another minor version starts static pods anew.
    """
    client = Client(read_kubeconfig(str(_kubeadm.KUBELET)))
    if not lacking(client.get(f"/api/v1/nodes/{name}"), target):
        return False

    def act() -> None:
        # What preflight asks was asked before, and the static pods are done.
        run(["kubeadm", "upgrade", "node", "--skip-phases=preflight,control-plane"], timeout=300)
        run(["systemctl", "restart", "kubelet.service"])
        trouble = until(
            lambda: _member.ask(_member.Ready(_HEALTHZ)) or lacking(client.get(f"/api/v1/nodes/{name}"), target),
            timeout,
            1,
        )
        if trouble:
            raise Failed(f"{name}: {trouble}, {timeout:g} s after its kubelet was started anew")
        if guarded:
            # As administrator: a kubelet may not read a pod that is just being made anew.
            _kube_static.Pods(_kube_member.api(), name).settle(timeout)

    if not check and guarded:
        _guard.stop(*guarded, _guard.Stop(name, timeout=timeout), act)
    elif not check:
        act()
    return True


def lacking(node: Object | None, target: str) -> str:
    """Why a node is not at a version and ready; empty when it is."""
    if node is None:
        return "the cluster doesn't know it"
    version = node["status"]["nodeInfo"]["kubeletVersion"]
    if version != target:
        return f"its kubelet says that it has {version}"
    return unready(node)
