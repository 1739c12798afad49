# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: what the house knows of every service, read from `roles/<service>/meta/service.yml`.

The structure of a descriptor is in `schemas/service.json`; docs/architecture.md explains its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.platform.plugins.plugin_utils._duration import parse_duration
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import (
    InvalidError,
    Problem,
    nearest,
    read,
    structure,
)

ROLES = Path(__file__).resolve().parents[2] / "roles"
TIERS = ("edge", "app", "data", "ops")
# Words that a flow's `from`, or Ansible, has taken.
RESERVED = frozenset({"admin", "backups", "pods", "site", "all", "ungrouped"})

# What a service that makes backups has by itself: the passphrase of its repositories, and its key for the stores.
BACKUP_SECRETS: Mapping[str, Mapping[str, Any]] = {
    "backup": {"length": 48, "rotation": "dual"},
    "backup_ssh": {"kind": "ssh_key", "rotation": "dual"},
}


class CatalogueError(InvalidError):
    """A descriptor is wrong, or a service was asked for that no descriptor knows."""


@dataclass(frozen=True)
class Port:
    """A port that a service listens on; `number` is the default, a site may override it."""

    name: str
    number: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class Flow:
    """Who may connect to a port: `sources` are services, `tier/<tier>`, `admin`, `site` or `backups`."""

    sources: tuple[str, ...]
    to: str


@dataclass(frozen=True)
class SecretPolicy:
    """How a secret is made and renewed. `owner` is the service, no lifetime: kept for ever.

    kind: text, or one for which length and alphabet mean nothing: ssh_key (an Ed25519 key pair), ec_key (a P-256 key)
    or ca (a P-256 key and the certificate that it signed for itself).
    length: in characters; for base64 in bytes, before they are encoded.
    alphabet: alnum, hex or base64.
    rotation: replace (one value at a time), dual (two at once), alternate (users a and b), none.
    """

    owner: str
    name: str
    length: int = 32
    alphabet: str = "alnum"
    lifetime: timedelta | None = None
    rotation: str = "replace"
    kind: str = "text"


@dataclass(frozen=True)
class Certificate:
    """A certificate of each member. `owner` and `group` are system names, `usage` is of server and client.

    `names` are further subject names, each `<name>.<site_domain>`. `ports`: names of those where it is served.
    """

    service: str
    name: str
    owner: str
    group: str
    usage: tuple[str, ...] = ("server", "client")
    names: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """Where to ask a member for something: a port's name and a path."""

    port: str
    path: str = "/"


@dataclass(frozen=True)
class Backup:
    """How a service is backed up, how often, and how much may be lost (its RPO; by default what `every` says)."""

    method: str
    every: timedelta
    rpo: timedelta


@dataclass(frozen=True)
class Use:
    """What a service needs of another one to be its client: a user with a secret of its own, and what it may touch.

    `prefixes` are key prefixes, for services that keep keys. Keys that match a pattern of `forget` are left out when
    that service is restored, because they are true for their own time alone.
    """

    service: str
    of: str
    secret: str
    prefixes: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """One descriptor."""

    name: str
    kind: str
    tier: str | None
    everywhere: bool
    after: tuple[str, ...]
    ports: Mapping[str, Port]
    flows: tuple[Flow, ...]
    secrets: tuple[SecretPolicy, ...]
    certificates: tuple[Certificate, ...]
    metrics: Endpoint | None
    probe: Endpoint | None
    login: Endpoint | None
    backup: Backup | None
    uses: tuple[Use, ...]
    packages: tuple[str, ...]
    verbs: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """All services, by name in alphabetical order. `files` tells where each was described."""

    services: Mapping[str, Service]
    files: Mapping[str, str]

    def service(self, name: str) -> Service:
        """Return a service.

        :raises CatalogueError: there is none of that name.
        """
        try:
            return self.services[name]
        except KeyError:
            raise CatalogueError(
                [Problem("catalogue", "service", name, "unknown service", nearest(name, self.services))]
            ) from None

    def order(self) -> list[str]:
        """Return the names so that each comes after those it needs; what is free to choose is alphabetical."""
        placed: dict[str, None] = {}
        while len(placed) < len(self.services):
            ready = next(
                name
                for name, service in self.services.items()
                if name not in placed and placed.keys() >= set(service.after)
            )
            placed[ready] = None
        return list(placed)

    def port(self, service: str, port: str, overrides: Mapping[str, Mapping[str, int]] | None = None) -> int:
        """Return a port's number at a site. `overrides` is the site's `ports`: {service: {port: number}}.

        :raises CatalogueError: unknown service or port.
        """
        ports = self.service(service).ports
        if port not in ports:
            raise CatalogueError([Problem(self.files[service], "ports", port, "unknown port", nearest(port, ports))])
        return (overrides or {}).get(service, {}).get(port, ports[port].number)

    def judge_ports(self, overrides: Mapping[str, Mapping[str, int]], file: str, key: str) -> list[Problem]:
        """Find what a site's overrides name that no descriptor has. `file` and `key` say where they stand."""
        problems = []
        for service, numbers in overrides.items():
            if service not in self.services:
                problems.append(
                    Problem(file, f"{key}.{service}", None, "unknown service", nearest(service, self.services))
                )
                continue
            ports = self.services[service].ports
            for port in numbers.keys() - ports.keys():
                problems.append(Problem(file, f"{key}.{service}.{port}", None, "unknown port", nearest(port, ports)))
        return problems

    def clashes(self, services: Iterable[Service], overrides: Mapping[str, Mapping[str, int]]) -> list[str]:
        """Tell which of these services, on one host together, would listen on one port."""
        taken: dict[tuple[int, str], str] = {}
        clashes = []
        for service in services:
            for port in service.ports.values():
                number = self.port(service.name, port.name, overrides)
                name = f"{service.name}.{port.name}"
                other = taken.setdefault((number, port.protocol), name)
                if other != name:
                    clashes.append(f"{other} and {name} both listen on {port.protocol} port {number}")
        return clashes

    def placed(self, groups: Iterable[str]) -> list[Service]:
        """Return the services of a host, or of an inventory, with these groups, those that are everywhere included."""
        named = set(groups)
        return [service for name, service in self.services.items() if service.everywhere or name in named]

    def secrets_of(self, services: Iterable[str]) -> list[SecretPolicy]:
        """Return the policies of all secrets that these services own, by owner and name.

        :raises CatalogueError: unknown service.
        """
        return [secret for name in sorted(set(services)) for secret in self.service(name).secrets]

    def backed_up(self, groups: Iterable[str]) -> list[Service]:
        """Return the services of an inventory with these groups that make backups."""
        return [service for service in self.placed(groups) if service.backup]

    def certificates_of(self, service: str) -> tuple[Certificate, ...]:
        """Return the certificates that every member of a service has.

        :raises CatalogueError: unknown service.
        """
        return self.service(service).certificates


def load(roots: Sequence[Path] | None = None, *, check: bool = True) -> Catalogue:
    """Read all descriptors below the roots, which are directories of roles; by default this collection's.

    Read once per process. Without `check` a descriptor is taken as it is: that is for the many short processes of
    a run, which would pay for the schema each time. The inventory plugin and the tests do check.

    :raises CatalogueError: with every problem of every descriptor.
    """
    given = (ROLES,) if roots is None else tuple(roots)
    if check:
        _check(given)
    return _built(given)


@cache
def _documents(roots: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the descriptors: what they hold, and in which file, by service."""
    documents: dict[str, Any] = {}
    files: dict[str, str] = {}
    problems: list[Problem] = []
    found = [path for root in roots for path in root.glob("*/meta/service.yml")]
    for path in sorted(found, key=lambda path: path.parts[-3]):
        name, file = path.parts[-3], "/".join(path.parts[-4:])
        if name in files:
            problems.append(Problem(file, "", name, f"the service is described in {files[name]} too", "keep one"))
            continue
        files[name] = file
        try:
            documents[name] = read(path, file)
        except InvalidError as error:
            problems += error.problems
    if problems:
        raise CatalogueError(problems)
    return documents, files


@cache
def _built(roots: tuple[Path, ...]) -> Catalogue:
    documents, files = _documents(roots)
    try:
        return Catalogue({name: _service(name, document) for name, document in documents.items()}, files)
    except (KeyError, TypeError, ValueError, AttributeError):  # not of the schema's form: let the schema say so
        _refuse([problem for name in documents for problem in structure(documents[name], "service", files[name])])
        raise


@cache
def _check(roots: tuple[Path, ...]) -> None:
    documents, files = _documents(roots)
    _refuse([problem for name in documents for problem in structure(documents[name], "service", files[name])])
    catalogue = _built(roots)
    _refuse([problem for service in catalogue.services.values() for problem in _judged(catalogue, service)])
    _refuse(list(_cycles(catalogue)))


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise CatalogueError(problems)


def _service(name: str, document: Mapping[str, Any]) -> Service:
    """Make a service of a descriptor whose structure is right."""

    def listed(value: str | list[str]) -> tuple[str, ...]:
        return (value,) if isinstance(value, str) else tuple(value)

    def secret(key: str, policy: Mapping[str, Any]) -> SecretPolicy:
        lifetime = parse_duration(policy["lifetime"]) if "lifetime" in policy else None
        return SecretPolicy(owner=name, name=key, **{**policy, "lifetime": lifetime})

    def backup(given: Mapping[str, Any]) -> Backup:
        every = parse_duration(given["every"])
        return Backup(given["method"], every, parse_duration(given["rpo"]) if "rpo" in given else every)

    def certificate(key: str, given: Mapping[str, Any]) -> Certificate:
        return Certificate(
            service=name,
            name=key,
            owner=given["owner"],
            group=given.get("group", given["owner"]),
            usage=tuple(given.get("usage", ("server", "client"))),
            names=tuple(given.get("names", ())),
            ports=tuple(given.get("ports", ())),
        )

    secrets = {**(BACKUP_SECRETS if "backup" in document else {}), **document.get("secrets", {})}
    return Service(
        name=name,
        kind=document["kind"],
        tier=document.get("tier"),
        everywhere=document.get("everywhere", False),
        after=tuple(document.get("after", ())),
        ports={key: Port(key, **port) for key, port in document.get("ports", {}).items()},
        flows=tuple(Flow(listed(flow["from"]), flow["to"]) for flow in document.get("flows", ())),
        secrets=tuple(secret(key, policy) for key, policy in sorted(secrets.items())),
        certificates=tuple(certificate(key, given) for key, given in sorted(document.get("certificates", {}).items())),
        metrics=Endpoint(**document["metrics"]) if "metrics" in document else None,
        probe=Endpoint(**document["probe"]) if "probe" in document else None,
        login=Endpoint(**document["login"]) if "login" in document else None,
        backup=backup(document["backup"]) if "backup" in document else None,
        uses=tuple(
            Use(name, other, given["secret"], tuple(given.get("prefixes", ())), tuple(given.get("forget", ())))
            for other, given in sorted(document.get("uses", {}).items())
        ),
        packages=tuple(document.get("packages", ())),
        verbs=tuple(document["verbs"]),
    )


def _judged(catalogue: Catalogue, service: Service) -> Iterator[Problem]:
    """Judge what a descriptor says about others, and about its own ports and secrets."""
    file, known = catalogue.files[service.name], catalogue.services
    if service.name in RESERVED:
        fix = f"rename it; taken: {', '.join(sorted(RESERVED))}"
        yield Problem(file, "", service.name, "a service can't have this name", fix)
    for number, name in enumerate(service.after):
        if name not in known:
            yield Problem(file, f"after[{number}]", name, "unknown service", nearest(name, known))
    secrets = {secret.name for secret in service.secrets}
    for use in service.uses:
        if use.of not in known:
            yield Problem(file, f"uses.{use.of}", None, "unknown service", nearest(use.of, known))
        if use.secret not in secrets:
            yield Problem(file, f"uses.{use.of}.secret", use.secret, "unknown secret", nearest(use.secret, secrets))
    yield from _judged_ports(catalogue, service)


def _judged_ports(catalogue: Catalogue, service: Service) -> Iterator[Problem]:
    file, ports = catalogue.files[service.name], service.ports
    peers = {*catalogue.services, *(f"tier/{tier}" for tier in TIERS), "admin", "backups", "pods", "site"}
    numbers: dict[tuple[int, str], str] = {}
    for port in ports.values():
        other = numbers.setdefault((port.number, port.protocol), port.name)
        if other != port.name:
            key, fix = f"ports.{port.name}.number", "give each port its own number"
            yield Problem(file, key, port.number, f"ports.{other} has it too", fix)
    for number, flow in enumerate(service.flows):
        for source in flow.sources:
            if source not in peers:
                key = f"flows[{number}].from"
                yield Problem(file, key, source, "unknown service, tier or network", nearest(source, peers))
        if flow.to not in ports:
            yield Problem(file, f"flows[{number}].to", flow.to, "unknown port", nearest(flow.to, ports))
    for key, endpoint in (("metrics", service.metrics), ("probe", service.probe), ("login", service.login)):
        if endpoint and endpoint.port not in ports:
            yield Problem(file, f"{key}.port", endpoint.port, "unknown port", nearest(endpoint.port, ports))
    for certificate in service.certificates:
        for name in certificate.ports:
            if name not in ports:
                key = f"certificates.{certificate.name}.ports"
                yield Problem(file, key, name, "unknown port", nearest(name, ports))


def _cycles(catalogue: Catalogue) -> Iterator[Problem]:
    """Find services that come after each other in a ring: each ring once, told at its alphabetically first member."""
    for name in catalogue.services:
        ring = _way_back(catalogue, name)
        if ring and min(ring) == name:
            way = " after ".join([*ring, name])
            after = list(catalogue.services[name].after)
            yield Problem(catalogue.files[name], "after", after, f"a ring: {way}", "take one of these out")


def _way_back(catalogue: Catalogue, start: str) -> list[str]:
    """Return the shortest way from a service over `after` back to itself, without its end; [] when there is none."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in catalogue.services[way[-1]].after:
            if name == start:
                return way
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
