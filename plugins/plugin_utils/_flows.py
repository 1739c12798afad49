# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect to whom: the catalogue's flows, laid over an inventory.

Pure: what an inventory says comes through the small interface `Peers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Protocol

from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue, CatalogueError, Service
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import Problem

Overrides = Mapping[str, Mapping[str, int]]


class Peers(Protocol):
    """What flows ask of an inventory. Addresses are texts."""

    def everyone(self) -> Iterable[str]:
        """Return the addresses of all hosts."""

    def members(self, service: str) -> Iterable[str]:
        """Return the addresses of the hosts in a service's group."""

    def tier(self, tier: str) -> Iterable[str]:
        """Return the addresses of the hosts in a tier."""

    def admin(self) -> Iterable[str]:
        """Return the addresses and networks that administrators come from."""

    def pods(self) -> Iterable[str]:
        """Return the networks of the pods of a Kubernetes cluster."""


@dataclass(frozen=True)
class Inbound:
    """What a host accepts at one port. `sources` are addresses and networks in order, none inside another."""

    service: str
    port_name: str
    port: int
    protocol: str
    sources: tuple[str, ...]


def sources(catalogue: Catalogue, peers: Peers, service: str, port: str) -> tuple[str, ...]:
    """Return who may connect to a port of a service's members; nobody when no flow leads there.

    :raises CatalogueError: unknown service or port.
    """
    catalogue.port(service, port)
    return _merged(_addresses(catalogue, peers, _named(catalogue.service(service), port)))


def inbound(catalogue: Catalogue, peers: Peers, services: Iterable[Service], overrides: Overrides) -> list[Inbound]:
    """Return all that a host with these services accepts, in the order of start and then of the ports' names.

    :raises CatalogueError: two of the services listen on one port, or an override names what there is not.
    """
    given = list(services)
    problems = catalogue.judge_ports(overrides, "inventory", "site_ports")
    for clash in catalogue.clashes(given, overrides):
        problems.append(Problem("inventory", "site_ports", None, clash, "move one of them"))
    if problems:
        raise CatalogueError(problems)
    order = catalogue.order()
    found = []
    merged: dict[tuple[str, ...], tuple[str, ...]] = {}  # many ports have the same peers
    for service in sorted(given, key=lambda service: order.index(service.name)):
        for name, port in sorted(service.ports.items()):
            named = _named(service, name)
            if named not in merged:
                merged[named] = _merged(_addresses(catalogue, peers, named))
            if merged[named]:
                number = catalogue.port(service.name, name, overrides)
                found.append(Inbound(service.name, name, number, port.protocol, merged[named]))
    return found


def _named(service: Service, port: str) -> tuple[str, ...]:
    """Return what a service's flows name as sources of a port."""
    return tuple(sorted({source for flow in service.flows if flow.to == port for source in flow.sources}))


def _addresses(catalogue: Catalogue, peers: Peers, named: Iterable[str]) -> Iterable[str]:
    for source in named:
        if source == "admin":
            yield from peers.admin()
        elif source == "pods":
            yield from peers.pods()
        elif source == "site":
            yield from peers.everyone()
        elif source == "backups":
            for service in catalogue.services.values():
                if service.backup:
                    yield from peers.everyone() if service.everywhere else peers.members(service.name)
        elif source.startswith("tier/"):
            yield from peers.tier(source.removeprefix("tier/"))
        elif catalogue.service(source).everywhere:
            yield from peers.everyone()
        else:
            yield from peers.members(source)


def _merged(texts: Iterable[str]) -> tuple[str, ...]:
    """Sort by number and drop what lies inside another, which an nftables set refuses as a conflicting interval."""
    kept: list[tuple[IPv4Network | IPv6Network, str]] = []
    networks = {ip_network(text): text for text in texts}
    for network in sorted(
        networks, key=lambda network: (network.version, int(network.network_address), network.prefixlen)
    ):
        if not kept or kept[-1][0].version != network.version or network.network_address not in kept[-1][0]:
            kept.append((network, networks[network]))
    return tuple(text for _, text in kept)
