# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a Kubernetes cluster as it should be? `read` asks over the network, as clients do, and `judge` decides."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.platform.plugins.module_utils import _kube, _kube_approve, _kube_serving
from ansible_collections.holdfast.platform.plugins.module_utils._kube import Client
from ansible_collections.holdfast.platform.plugins.module_utils._run import Failed
from ansible_collections.holdfast.platform.plugins.module_utils._wait import until

Object = dict[str, Any]

#: What a node says of itself when it can't take pods as it should (kubernetes.io, Node Status, "Conditions").
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
_METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"
#: Seconds for one answer of a name server, and how often it is asked: UDP may lose a question.
_ANSWER, _TRIES = 2.0, 3
#: Seconds until a node that has just joined has metrics: a few rounds of the metrics server's, of 15 s each.
_FIRST_METRICS = 60.0


@dataclass(frozen=True)
class Reading:
    """One look. Texts are why something does not answer, empty where it does; metrics: the nodes that have some."""

    nodes: Sequence[Object] = ()
    serving: _kube_serving.Look = field(default_factory=_kube_serving.Look)
    undecided: Mapping[str, str] = field(default_factory=dict)
    waiting: Sequence[str] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[str] | str = ()


def judge(declared: Iterable[str], reading: Reading, *, metrics: bool) -> list[str]:
    """What is wrong, in words; empty when nothing is.

    declared: the nodes' names; metrics: whether every node has to have some.
    """
    problems = [f"{url} is not ready: {reason}" for url, reason in reading.servers.items() if reason]
    nodes = {node["metadata"]["name"]: node for node in reading.nodes}
    problems += [f"{name} is not in the cluster" for name in declared if name not in nodes]
    problems += [f"{name} is in the cluster, and nobody declared it" for name in sorted(set(nodes) - set(declared))]
    for name, node in nodes.items():
        problems += [f"{name} {reason}" for reason in _node(node)]
    problems += [
        f"{name}: its kubelet has no certificate: {reason}" for name, reason in reading.serving.lacking.items()
    ]
    problems += [f"{name}: its kubelet does not answer: {reason}" for name, reason in reading.serving.silent.items()]
    problems += [f"{name} waits for its certificate's approval" for name in reading.waiting]
    problems += [f"the request {name} is undecided: {reason}" for name, reason in reading.undecided.items()]
    problems += [f"the name server at {at} does not answer: {reason}" for at, reason in reading.names.items() if reason]
    if metrics and isinstance(reading.metrics, str):
        problems.append(f"there are no metrics: {reading.metrics}")
    elif metrics:
        problems += [f"{name} has no metrics" for name in nodes if name not in reading.metrics]
    return problems


def _node(node: Mapping[str, Any]) -> list[str]:
    conditions = {one["type"]: one for one in (node.get("status") or {}).get("conditions", ())}
    reason = _kube.unready(node)
    problems = [f"is not ready: {reason}"] if reason else []
    pressed = [conditions[one] for one in _PRESSURES if conditions.get(one, {}).get("status") == "True"]
    problems += [f"has {one['type']}: {one.get('message', '')}" for one in pressed]
    return problems + (["takes no new pods: it is cordoned"] if (node.get("spec") or {}).get("unschedulable") else [])


def read(
    client: Client,
    identities: Mapping[str, Iterable[str]],
    servers: Sequence[str],
    dns: Mapping[str, str],
    *,
    metrics: bool,
) -> Reading:
    """Ask. identities: names and addresses by node; servers: URLs of API servers; dns: `address` of the name server
    and a `name` that it has to know; metrics: whether there have to be some. Raises Failed when the API can't be asked
    at all."""
    nodes = list(client.items("/api/v1/nodes"))
    waiting, undecided = _kube_approve.approve(_kube_serving.by_client(client), identities, check=True)
    slices = client.items(_SLICES, labelSelector="kubernetes.io/service-name=kube-dns")
    replicas = sorted({address for one in slices for address in _addresses(one)})
    return Reading(
        nodes,
        _kube_serving.look(nodes, client.access.ca),
        undecided,
        waiting,
        _each(servers, lambda url: readiness(client, url)),
        # Each replica by its own address, too: the way there is the pods' network, across nodes and zones.
        _each([dns["address"], *replicas], lambda address: resolve(address, dns["name"])),
        _measured(client, [node["metadata"]["name"] for node in nodes if not _node(node)]) if metrics else (),
    )


def _each(asked: Sequence[str], function: Callable[[str], str]) -> dict[str, str]:
    with ThreadPoolExecutor(max(1, min(32, len(asked)))) as pool:
        return dict(zip(asked, pool.map(function, asked)))


def _addresses(endpoints: Mapping[str, Any]) -> list[str]:
    ready = [one for one in endpoints.get("endpoints") or () if (one.get("conditions") or {}).get("ready", True)]
    return [address for one in ready for address in one["addresses"]]


def _measured(client: Client, expected: Sequence[str]) -> list[str] | str:
    """The nodes that have metrics, or why nobody has. A node that has just joined gets its first ones after a while."""
    found: list[str] | str = []

    def look() -> str:
        nonlocal found
        try:
            found = [one["metadata"]["name"] for one in client.items(_METRICS)]
        except Failed as failure:
            found = str(failure)
            return found
        return "" if set(expected) <= set(found) else "some are missing"

    until(look, _FIRST_METRICS, pause=2)
    return found


def readiness(client: Client, url: str) -> str:
    """Why an API server is not ready, asked at its own address."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPSConnection(
        place.hostname or "", place.port, timeout=5, context=_kube.context(client.access)
    )
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or "no answer"
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else said[:300] or f"HTTP {answer.status}"


def resolve(address: str, name: str) -> str:
    """Why a name server does not know a name (IPv4 address wanted); empty when it does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reason = ""
    for _ in range(_TRIES):
        number = random.randrange(1 << 16)  # noqa: S311 - tells answers apart, guards nothing
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.settimeout(_ANSWER)
                asking.connect((address, 53))
                asking.send(question(number, name))
                reason = verdict(asking.recv(4096), number)
        except OSError as error:
            reason = str(error)
        if not reason:
            return ""
    return reason


def question(number: int, name: str) -> bytes:
    """A question for an address (RFC 1035, 4.1): recursion desired, type A, class IN."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def verdict(answer: bytes, number: int) -> str:
    """What is wrong with an answer; empty when it is one and holds something."""
    if len(answer) < 12:
        return "its answer is cut off"
    (mine, flags, _, found, _, _) = struct.unpack(">6H", answer[:12])
    if mine != number or not flags & 0x8000:
        return "its answer is to something else"
    code = flags & 0x000F
    if code:
        return f"it says {'that there is no such name' if code == 3 else f'error {code}'}"
    return "" if found else "it knows no address"
