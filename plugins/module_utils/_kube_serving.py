# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do kubelets serve with a certificate of the cluster's CA? Asked of the kubelets; and waiting until they do."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_approve
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client, Refused
from ansible_collections.holdfast.platform.plugins.module_utils._kube_approve import Ask, Object
from ansible_collections.holdfast.platform.plugins.module_utils._wait import REAL, Clock

#: Seconds that a kubelet has for a handshake, and how many are asked at once.
_PATIENCE, _AT_ONCE = 3.0, 32


@dataclass(frozen=True)
class Look:
    """What kubelets answered, by node: what they lack, such as a trusted certificate, or why they are silent."""

    lacking: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """Nodes whose requests were approved, why others are undecided by request, and what the last look showed."""

    approved: list[str]
    left: dict[str, str]
    look: Look


def settle(
    ask: Ask,
    look: Callable[[], Look],
    identities: Mapping[str, Iterable[str]],
    seconds: float,
    *,
    check: bool = False,
    clock: Clock = REAL,
) -> Settled:
    """Approve what fits until no node that answers lacks anything, or seconds are over.

    Kubelets ask for a certificate within seconds of their start. One that is silent is not waited for.
    """
    approved: set[str] = set()
    end = clock.now() + seconds
    while True:
        new, left = _kube_approve.approve(ask, identities, check=check)
        approved.update(new)
        seen = look()
        if check or not seen.lacking or clock.now() >= end:
            return Settled(sorted(approved), left, seen)
        clock.sleep(1)


def by_client(client: Client) -> Ask:
    """Requests by a client of ours."""

    def ask(method: str, path: str, body: Any) -> Object | None:
        try:
            return client.request(method, path, body)
        except Refused as refusal:
            if refusal.status in (http.client.CONFLICT, http.client.NOT_FOUND):
                return None
            raise

    return ask


def endpoint(node: Mapping[str, Any]) -> tuple[str, int] | None:
    """Where a node's kubelet serves, as the API server and others find it; None when it has not said so yet."""
    status = node.get("status") or {}
    addresses = [one["address"] for one in status.get("addresses", ()) if one["type"] == "InternalIP"]
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 10250)
    return (addresses[0], port) if addresses else None


def look(nodes: Iterable[Mapping[str, Any]], ca: str) -> Look:
    """Ask the kubelets of nodes of the API; ca in PEM."""
    context = ssl.create_default_context(cadata=ca)
    found = list(nodes)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda node: _answer(endpoint(node), context), found))
    names = [node["metadata"]["name"] for node in found]
    lacking = {name: reason for name, (there, reason) in zip(names, answers) if there and reason}
    silent = {name: reason for name, (there, reason) in zip(names, answers) if not there}
    return Look(lacking, silent)


def with_readiness(seen: Look, nodes: Iterable[Mapping[str, Any]]) -> Look:
    """A look at nodes whose kubelets may have their certificates, and are not ready for pods.

    Pods that are spread go where nodes are ready, and stay there: to begin too early is to have them all in one place.
    """
    unready = {}
    for node in nodes:
        name, reason = node["metadata"]["name"], _kube.unready(node)
        if reason and name not in seen.silent:
            unready[name] = f"it is not ready: {reason}"
    return Look({**unready, **seen.lacking}, seen.silent)


def _answer(place: tuple[str, int] | None, context: ssl.SSLContext) -> tuple[bool, str]:
    """Whether a kubelet is there, and why it can't be trusted."""
    if place is None:
        return False, "it has not told its address yet"
    try:
        with socket.create_connection(place, timeout=_PATIENCE) as connection:
            try:
                with context.wrap_socket(connection, server_hostname=place[0]):
                    return True, ""
            except ssl.SSLCertVerificationError as error:
                return True, error.verify_message
            except OSError:  # without a certificate a kubelet ends the handshake
                return True, "it has none yet"
    except OSError as error:
        return False, str(error)
