# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and zones of a lab, from the same code that the inventory plugin runs: names and addresses have one source."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from . import machine

sys.path.insert(0, str(machine.CHECKOUT / "collections"))
from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _mirror, _site  # noqa: E402
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError, read  # noqa: E402

INVENTORIES = machine.CHECKOUT / "inventories"
MIRROR = _mirror.default()


@dataclass(frozen=True)
class Segment:
    """One network of the lab: a zone's, or one tier's of a zone."""

    zone: str
    tier: str
    subnet: IPv4Network

    @property
    def name(self) -> str:
        return f"{self.zone}-{self.tier}" if self.tier else self.zone


@dataclass(frozen=True)
class Host:
    """node: whether it runs containers of its own, for which a host needs more of the machine."""

    name: str
    zone: str
    address: IPv4Address
    segment: Segment
    node: bool = False


@dataclass(frozen=True)
class Site:
    """What the lab builds. Every host's address lies in its segment, every segment in the network."""

    name: str
    domain: str
    network: IPv4Network
    segments: tuple[Segment, ...]
    hosts: tuple[Host, ...]


def load(site: str, network: str | None = None) -> Site:
    """The lab's site from inventories/<site>/site.yml, its addresses moved to another network if one is given.

    Raises LabError for a site that is unknown, not a lab, or wrong.
    """
    file = INVENTORIES / site / "site.yml"
    try:
        if not file.is_file():
            raise machine.LabError(f"SITE={site} is unknown: there is no {file}; known labs: {_known()}")
        model = _site.build(read(file), _catalogue.load(), str(file))
        if not model.lab or model.network is None:
            raise machine.LabError(f"SITE={site} is no lab but has hosts of its own; known labs: {_known()}")
        return parse(_site.rebase(model, network) if network else model)
    except InvalidError as error:
        raise machine.LabError(f"the site model can't work:\n{error}") from error


def _known() -> str:
    names = [file.parent.name for file in sorted(INVENTORIES.glob("*/site.yml")) if read(file).get("lab") is True]
    return ", ".join(names) or "none"


def parse(model: _site.Site) -> Site:
    """The segments and hosts of a site model; its own checks say that every address lies in its zone."""
    segments = tuple(
        Segment(zone, tier, IPv4Network(cidr))
        for zone, networks in sorted(model.zones.items())
        for tier, cidr in sorted(_by_tier(networks).items())
    )
    hosts = []
    nodes = model.children.get("kubernetes_node", ())
    for host in model.hosts:
        address = IPv4Address(host.address)
        segment = next(segment for segment in segments if address in segment.subnet)
        hosts.append(Host(host.name, host.zone, address, segment, f"pool_{host.pool}" in nodes))
    return Site(model.name, model.domain, IPv4Network(model.network or ""), segments, tuple(hosts))


def _by_tier(networks: Any) -> dict[str, str]:
    return {"": networks} if isinstance(networks, str) else dict(networks)
