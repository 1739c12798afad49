# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site model: from one short file to hosts, groups, addresses and ports, or to all that is wrong with the file.

Pure: it neither reads nor writes; the inventory plugin does. Work and memory grow linearly with the hosts, so
addresses are whole numbers here and a plain host entry is not taken through the JSON schema.
docs/site.md is the reference of the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue, Service
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import (
    InvalidError,
    Problem,
    nearest,
    structure,
)

# What the model itself says of a host: these can't be given as a host's or pool's variables.
OWN = frozenset({"address", "zone", "tier", "pool"})

_HOST_KEYS = ({"name", "zone", "address"}, {"name", "zone", "address", "vars"})
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class SiteError(InvalidError):
    """The site file can't work."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `variables` are those of its own entry; `where` is its key in the file."""

    name: str
    zone: str
    tier: str
    pool: str
    address: str
    variables: Mapping[str, Any]
    where: str


@dataclass(frozen=True)
class Site:
    """A site that works.

    `zones` is {zone: network or {tier: network}}. Every zone and pool is a group of hosts; `children` is
    {group of a service or tier: groups of its pools}. `variables` is {group: {variable: value}}: zone, tier and pool
    are said once for a group, not once for each host.
    """

    name: str
    domain: str
    lab: bool
    network: str | None
    admin: tuple[str, ...]
    zones: Mapping[str, Any]
    ports: Mapping[str, Mapping[str, int]]
    hosts: tuple[Host, ...]
    children: Mapping[str, Sequence[str]]
    variables: Mapping[str, Mapping[str, Any]]


@dataclass
class _Draft:
    """A site in the making: what has been understood of the document, and the problems so far."""

    file: str
    document: Mapping[str, Any]
    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    # (zone, tier or None for all tiers) -> network; None where what is given is no network
    networks: dict[tuple[str, str | None], IPv4Network | None] = field(default_factory=dict)
    hosts: list[Host] = field(default_factory=list)

    def refuse(self, key: str, value: Any, reason: str, fix: str) -> None:
        self.problems.append(Problem(self.file, key, value, reason, fix))


def build(document: Any, catalogue: Catalogue, file: str = "site.yml") -> Site:
    """Make a site of its file's content.

    :raises SiteError: with every problem that was found.
    """
    if problems := _structure(document, file):
        raise SiteError(problems)
    draft = _Draft(file, document, catalogue)
    _read_networks(draft)
    _read_admin(draft)
    _read_pools(draft)
    _judge_hosts(draft)
    _judge_ports(draft)
    _judge_quorum(draft)
    if draft.problems:
        raise SiteError(draft.problems)
    return Site(
        name=document["name"],
        domain=document["domain"],
        lab=document.get("lab", False),
        network=document.get("network"),
        admin=tuple(document.get("admin", ())),
        zones={name: zone["cidr"] for name, zone in document["zones"].items()},
        ports=document.get("ports", {}),
        hosts=tuple(draft.hosts),
        children=_children(draft),
        variables=_group_variables(document),
    )


def rebase(site: Site, network: str) -> Site:
    """Move a site to another network of the same size: every address in `site.network` keeps its place within it.

    This is how several labs of one file run side by side. Addresses outside of the site's network stay.

    :raises SiteError: `network` is none, or of another size.
    """
    if site.network is None or network == site.network:
        return site
    old = IPv4Network(site.network)
    try:
        new = IPv4Network(network)
    except ValueError:
        new = None
    if new is None or new.prefixlen != old.prefixlen:
        reason = f"not a network of the size of the site's ({site.network})"
        raise SiteError([Problem("lab.json", "network", network, reason, "start the lab again")])
    shift = int(new.network_address) - int(old.network_address)

    def moved(text: str) -> str:
        address, slash, length = text.partition("/")
        number = IPv4Address(address)
        return f"{number + shift}{slash}{length}" if number in old else text

    def moved_zone(cidr: str | Mapping[str, str]) -> Any:
        return moved(cidr) if isinstance(cidr, str) else {tier: moved(value) for tier, value in cidr.items()}

    return replace(
        site,
        network=network,
        admin=tuple(map(moved, site.admin)),
        zones={name: moved_zone(cidr) for name, cidr in site.zones.items()},
        hosts=tuple(replace(host, address=moved(host.address)) for host in site.hosts),
    )


def _structure(document: Any, file: str) -> list[Problem]:
    """Judge the document by the schema, without hosts that are plainly right: it takes long over each."""
    pools = document.get("pools") if isinstance(document, dict) else None
    if not isinstance(pools, dict):
        return structure(document, "site", file)
    odd = {
        name: pool | {"hosts": [entry for entry in pool["hosts"] if not _plain(entry)]}
        for name, pool in pools.items()
        if isinstance(pool, dict) and isinstance(pool.get("hosts"), list) and all(map(_plain, pool["hosts"]))
    }
    return structure(document | {"pools": pools | odd}, "site", file)


def _plain(entry: Any) -> bool:
    """Tell whether a host entry is certainly right for the schema."""
    return (
        type(entry) is dict
        and entry.keys() in _HOST_KEYS
        and type(entry["name"]) is str
        and type(entry["zone"]) is str
        and type(entry["address"]) is str
        and _LABEL.fullmatch(entry["name"]) is not None
        and ("vars" not in entry or (type(entry["vars"]) is dict and all(map(_variable, entry["vars"]))))
    )


def _variable(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and name.isascii()


def _network(draft: _Draft, key: str, text: str) -> IPv4Network | None:
    """Read a network; one with host bits, or none at all, is refused."""
    address, _, length = text.partition("/")
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        draft.refuse(key, text, "not an IPv4 network", "write it as 10.77.1.0/24")
        return None
    if not length:
        draft.refuse(key, text, "a network without its length", f"write {text}/24, or the length that it has")
        return None
    if str(network.network_address) != address:
        draft.refuse(key, text, "an address within a network, not the network", f"write {network}")
        return None
    return network


def _read_networks(draft: _Draft) -> None:
    """Read the site's and the zones' networks: all inside the site's, none overlapping another."""
    document = draft.document
    whole = _network(draft, "network", document["network"]) if "network" in document else None
    if document.get("lab") and not draft.problems and (whole is None or whole.prefixlen != 16):
        reason = "a lab needs a network of 65,536 addresses"
        draft.refuse("network", document.get("network"), reason, "give a /16 such as 10.77.0.0/16")
    found: list[tuple[IPv4Network, str]] = []
    for zone, given in document["zones"].items():
        cidr = given["cidr"]
        for tier, text in [(None, cidr)] if isinstance(cidr, str) else cidr.items():
            key = f"zones.{zone}.cidr" + (f".{tier}" if tier else "")
            network = draft.networks[zone, tier] = _network(draft, key, text)
            if network is None:
                continue
            found.append((network, key))
            if whole and not network.subnet_of(whole):
                reason = f"outside of the site's network {whole}"
                draft.refuse(key, text, reason, "move the zone into it, or widen `network`")
    _judge_overlaps(draft, found)


def _judge_overlaps(draft: _Draft, found: list[tuple[IPv4Network, str]]) -> None:
    """In order of addresses, a network can only overlap the one before it that reaches furthest."""
    furthest: tuple[IPv4Network, str] | None = None
    for network, key in sorted(found):
        if furthest and network.overlaps(furthest[0]):
            reason = f"overlaps {furthest[1]} ({furthest[0]})"
            draft.refuse(key, str(network), reason, "give every zone and tier its own network")
        if furthest is None or network.broadcast_address > furthest[0].broadcast_address:
            furthest = network, key


def _read_admin(draft: _Draft) -> None:
    for number, text in enumerate(draft.document.get("admin", ())):
        key = f"admin[{number}]"
        if "/" in text:
            _network(draft, key, text)
        elif _number(text) is None:
            draft.refuse(key, text, "neither an IPv4 address nor a network", "write 10.0.0.5 or 10.0.0.0/24")


def _number(text: str) -> int | None:
    """Return an IPv4 address as a number, None when it is none."""
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        return None


def _read_pools(draft: _Draft) -> None:
    """Judge the pools and make their hosts, listed or generated."""
    services = draft.catalogue.services
    for name, pool in draft.document["pools"].items():
        key = f"pools.{name}"
        for number, service in enumerate(pool.get("services", ())):
            if service not in services:
                draft.refuse(f"{key}.services[{number}]", service, "unknown service", nearest(service, services))
        _judge_variables(draft, f"{key}.vars", pool.get("vars", {}))
        if ("hosts" in pool) == ("generate" in pool):
            draft.refuse(key, None, "needs either `hosts` or `generate`", "list the hosts, or let a lab generate them")
        elif "hosts" in pool:
            draft.hosts += _listed(draft, name, pool)
        elif not draft.document.get("lab"):
            fix = "list the hosts with their addresses under `hosts`"
            draft.refuse(f"{key}.generate", None, "hosts are generated in labs only", fix)
        else:
            draft.hosts += _generated(draft, name, pool)


def _listed(draft: _Draft, name: str, pool: Mapping[str, Any]) -> Iterator[Host]:
    tier = pool["tier"]
    for number, entry in enumerate(pool["hosts"]):
        where = f"pools.{name}.hosts[{number}]"
        own = entry.get("vars", {})
        if own:
            _judge_variables(draft, f"{where}.vars", own)
        yield Host(entry["name"], entry["zone"], tier, name, entry["address"], own, where)


def _generated(draft: _Draft, name: str, pool: Mapping[str, Any]) -> Iterator[Host]:
    """Make a lab's hosts: `<pool>-<zone><n>`, from the `first` address of the zone's network on."""
    generate, where = pool["generate"], f"pools.{name}.generate"
    for zone in generate["zones"]:
        network = _home(draft, zone, pool["tier"])
        if isinstance(network, str):
            draft.refuse(f"{where}.zones", zone, network, _zones_known(draft, zone))
        if not isinstance(network, IPv4Network):
            continue
        for number in range(generate["per_zone"]):
            address = str(network.network_address + generate["first"] + number)
            short = f"{name}-{zone}{number + 1}".replace("_", "-")
            yield Host(short, zone, pool["tier"], name, address, {}, where)


def _judge_variables(draft: _Draft, key: str, variables: Mapping[str, Any]) -> None:
    for name in sorted(OWN & variables.keys()):
        draft.refuse(f"{key}.{name}", variables[name], "the site file says this itself", "take the variable out")


def _home(draft: _Draft, zone: str, tier: str) -> IPv4Network | str | None:
    """Return the network of a tier in a zone, why there is none, or None when what is given has been refused."""
    for key in ((zone, tier), (zone, None)):
        if key in draft.networks:
            return draft.networks[key]
    if zone not in draft.document["zones"]:
        return "unknown zone"
    return f"zone {zone} has no network for tier {tier}"


def _zones_known(draft: _Draft, zone: str) -> str:
    zones = draft.document["zones"]
    return f"give the network in zones.{zone}.cidr" if zone in zones else nearest(zone, zones)


def _judge_hosts(draft: _Draft) -> None:
    """Names and addresses are there once, and an address is one that a host of its zone and tier can have."""
    names: dict[str, str] = {}
    numbers: dict[int, str] = {}
    homes: dict[tuple[str, str], IPv4Network | str | None] = {}
    groups = draft.catalogue.services.keys() | {"all", "ungrouped", "site"}
    for host in draft.hosts:
        if host.name in names:
            draft.refuse(
                f"{host.where}.name", host.name, f"{names[host.name]} has it too", "give each host its own name"
            )
        names[host.name] = host.where
        if host.name in groups:
            draft.refuse(f"{host.where}.name", host.name, "a group has this name", "rename the host")
        place = host.zone, host.tier
        if place not in homes:
            homes[place] = _home(draft, *place)
        home = homes[place]
        if isinstance(home, str):
            draft.refuse(f"{host.where}.zone", host.zone, home, _zones_known(draft, host.zone))
        number = _number(host.address)
        if number is None:
            draft.refuse(f"{host.where}.address", host.address, "not an IPv4 address", "write it as 10.77.1.11")
            continue
        if number in numbers:
            draft.refuse(
                f"{host.where}.address", host.address, f"{numbers[number]} has it too", "give each host its own"
            )
        numbers[number] = host.where
        if isinstance(home, IPv4Network):
            _judge_address(draft, host, number, home)


def _judge_address(draft: _Draft, host: Host, number: int, home: IPv4Network) -> None:
    first, last = int(home.network_address), int(home.broadcast_address)
    key = f"{host.where}.address"
    if not first <= number <= last:
        fix = f"give an address of {home}, or another zone"
        draft.refuse(key, host.address, f"outside of zone {host.zone}, tier {host.tier} ({home})", fix)
    elif number in (first, last):
        draft.refuse(key, host.address, f"the network's own or broadcast address in {home}", "give one between them")
    elif number == first + 1 and draft.document.get("lab"):
        draft.refuse(key, host.address, f"the gateway of {home} in a lab", "begin at 2 or later")


def _services(draft: _Draft, pool: Mapping[str, Any]) -> list[Service]:
    """Return what a pool's hosts carry, those services included that are everywhere."""
    return draft.catalogue.placed(pool.get("services", ()))


def _judge_ports(draft: _Draft) -> None:
    """The overrides name ports that there are, and no two services of a host listen on one port."""
    overrides = draft.document.get("ports", {})
    draft.problems += draft.catalogue.judge_ports(overrides, draft.file, "ports")
    for name, pool in draft.document["pools"].items():
        for clash in draft.catalogue.clashes(_services(draft, pool), overrides):
            draft.refuse(f"pools.{name}.services", None, clash, "move one in `ports`, or to another pool")


def _judge_quorum(draft: _Draft) -> None:
    """A quorum service outlives the loss of any zone: an odd number of voters, no majority of them in one zone.

    One voter alone is a site without redundancy, which is the site's choice.
    """
    pools = draft.document["pools"]
    sizes = Counter((host.pool, host.zone) for host in draft.hosts)
    for service in draft.catalogue.services.values():
        if service.kind != "quorum":
            continue
        voters: Counter[str] = Counter()
        for (pool, zone), hosts in sizes.items():
            if service in _services(draft, pools[pool]):
                voters[zone] += hosts
        count = voters.total()
        majority = count // 2 + 1
        where = ", ".join(f"{zone}: {hosts}" for zone, hosts in sorted(voters.items()))
        if count and count % 2 == 0:
            reason = f"{count} voters ({where}) outlive no more losses than {count - 1}"
            draft.refuse("pools", service.name, reason, f"place it on {count - 1} or {count + 1} hosts")
        for zone, hosts in voters.items():
            if count > 1 and hosts >= majority:
                reason = f"zone {zone} holds {hosts} of {count} voters ({where}): without it there is no quorum"
                draft.refuse("pools", service.name, reason, f"place at most {count - majority} in one zone")


def _children(draft: _Draft) -> dict[str, list[str]]:
    """Return which pools a service or a tier consists of; a service that is everywhere may have none."""
    children: dict[str, list[str]] = {service.name: [] for service in draft.catalogue.placed(())}
    for name, pool in draft.document["pools"].items():
        parents = [*(service.name for service in _services(draft, pool)), f"tier_{pool['tier']}"]
        for parent in parents:
            children.setdefault(parent, []).append(f"pool_{name}")
    return children


def _group_variables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    pools = document["pools"]
    variables: dict[str, dict[str, Any]] = {f"zone_{zone}": {"zone": zone} for zone in document["zones"]}
    variables |= {f"tier_{pool['tier']}": {"tier": pool["tier"]} for pool in pools.values()}
    return variables | {f"pool_{name}": {**pool.get("vars", {}), "pool": name} for name, pool in pools.items()}
