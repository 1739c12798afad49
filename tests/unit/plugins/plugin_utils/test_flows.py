# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows laid over an inventory: who may connect to what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _flows
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue, CatalogueError
from ansible_collections.holdfast.platform.plugins.plugin_utils._flows import Inbound

SERVICES = """
base:
  {kind: stateless, everywhere: true, ports: {ssh: {number: 22}}, flows: [{from: admin, to: ssh}], verbs: [main]}
etcd:
  tier: data
  kind: quorum
  after: [base]
  ports: {client: {number: 2379}, peer: {number: 2380}, debug: {number: 2381}}
  flows: [{from: etcd, to: peer}, {from: [etcd, postgresql], to: client}]
  verbs: [main]
alerts:
  tier: ops
  kind: stateless
  after: [etcd]
  ports: {web: {number: 9093}, gossip: {number: 9094, protocol: udp}}
  flows: [{from: [admin, tier/ops], to: web}, {from: tier/edge, to: web}, {from: alerts, to: gossip}]
  verbs: [main]
time:
  tier: ops
  kind: stateless
  ports: {ntp: {number: 123, protocol: udp}}
  flows: [{from: site, to: ntp}]
  verbs: [main]
everyone:
  {tier: ops, kind: stateless, ports: {log: {number: 514}}, flows: [{from: base, to: log}], verbs: [main]}
postgresql:
  {tier: data, kind: replicated, after: [etcd], backup: {method: pgbackrest, every: 6h}, verbs: [main]}
store:
  tier: ops
  kind: replicated
  ports: {sftp: {number: 2222}}
  flows: [{from: [backups, alerts], to: sftp}]
  verbs: [main]
"""


@dataclass
class Peers:
    """An inventory of constants."""

    groups: dict[str, list[str]] = field(default_factory=dict)
    tiers: dict[str, list[str]] = field(default_factory=dict)
    admins: list[str] = field(default_factory=list)

    def everyone(self) -> Iterable[str]:
        return sorted({address for group in self.groups.values() for address in group})

    def members(self, service: str) -> Iterable[str]:
        return self.groups.get(service, [])

    def tier(self, tier: str) -> Iterable[str]:
        return self.tiers.get(tier, [])

    def admin(self) -> Iterable[str]:
        return self.admins

    def pods(self) -> Iterable[str]:
        return ["10.244.0.0/16"]


PEERS = Peers(
    groups={
        "etcd": ["10.0.2.11", "10.0.10.11", "10.0.1.11"],
        "postgresql": ["10.0.1.11", "10.0.1.12"],
        "alerts": ["10.0.9.5"],
    },
    tiers={"ops": ["10.0.9.5", "10.0.9.6"]},
    admins=["192.0.2.0/24", "10.0.9.6"],
)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Return a small catalogue."""
    root: Path = tmp_path_factory.mktemp("roles")
    for name, descriptor in yaml.safe_load(SERVICES).items():
        file = root / name / "meta" / "service.yml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(descriptor), encoding="utf-8")
    return _catalogue.load([root])


@pytest.mark.parametrize(
    ("service", "port", "sources"),
    [
        ("base", "ssh", ("10.0.9.6", "192.0.2.0/24")),
        ("etcd", "peer", ("10.0.1.11", "10.0.2.11", "10.0.10.11")),
        ("etcd", "client", ("10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.10.11")),
        ("etcd", "debug", ()),
        ("alerts", "web", ("10.0.9.5", "10.0.9.6", "192.0.2.0/24")),
        ("alerts", "gossip", ("10.0.9.5",)),
        ("time", "ntp", ("10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.9.5", "10.0.10.11")),
        ("store", "sftp", ("10.0.1.11", "10.0.1.12", "10.0.9.5")),
        ("everyone", "log", ("10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.9.5", "10.0.10.11")),
    ],
)
def test_sources(catalogue: Catalogue, service: str, port: str, sources: tuple[str, ...]) -> None:
    assert _flows.sources(catalogue, PEERS, service, port) == sources


@pytest.mark.parametrize(
    ("service", "port", "message"),
    [
        ("etdc", "client", "unknown service; did you mean 'etcd'?"),
        ("etcd", "peers", "unknown port; did you mean 'peer'?"),
    ],
)
def test_sources_of_nothing(catalogue: Catalogue, service: str, port: str, message: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        _flows.sources(catalogue, PEERS, service, port)
    assert message in str(caught.value)


SSH = Inbound("base", "ssh", 22, "tcp", ("10.0.9.6", "192.0.2.0/24"))


@pytest.mark.parametrize(
    ("groups", "overrides", "flows"),
    [
        ([], {}, [SSH]),
        (["zone_a", "postgresql"], {}, [SSH]),
        (
            ["etcd"],
            {"etcd": {"client": 10000}},
            [
                SSH,
                Inbound("etcd", "client", 10000, "tcp", ("10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.10.11")),
                Inbound("etcd", "peer", 2380, "tcp", ("10.0.1.11", "10.0.2.11", "10.0.10.11")),
            ],
        ),
        (
            ["alerts"],
            {"base": {"ssh": 2222}},
            [
                Inbound("base", "ssh", 2222, "tcp", SSH.sources),
                Inbound("alerts", "gossip", 9094, "udp", ("10.0.9.5",)),
                Inbound("alerts", "web", 9093, "tcp", ("10.0.9.5", "10.0.9.6", "192.0.2.0/24")),
            ],
        ),
    ],
)
def test_inbound(
    catalogue: Catalogue, groups: list[str], overrides: dict[str, dict[str, int]], flows: list[Inbound]
) -> None:
    assert _flows.inbound(catalogue, PEERS, catalogue.placed(groups), overrides) == flows


def test_services_come_in_the_order_of_their_start(catalogue: Catalogue) -> None:
    found = _flows.inbound(catalogue, PEERS, catalogue.placed(["alerts", "etcd", "time"]), {})
    assert list(dict.fromkeys(flow.service for flow in found)) == ["base", "etcd", "alerts", "time"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"etcd": {"client": 2380}}, "etcd.client and etcd.peer both listen on tcp port 2380"),
        ({"etcd": {"clint": 1}}, "site_ports.etcd.clint: unknown port; did you mean 'client'?"),
        ({"etc": {"client": 1}}, "site_ports.etc: unknown service; did you mean 'etcd'?"),
    ],
)
def test_inbound_refuses(catalogue: Catalogue, overrides: dict[str, dict[str, int]], message: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        _flows.inbound(catalogue, PEERS, catalogue.placed(["etcd"]), overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ([], ()),
        (["10.0.0.10", "10.0.0.9", "10.0.0.10"], ("10.0.0.9", "10.0.0.10")),
        (["10.0.0.9", "10.0.0.0/24", "10.0.1.0"], ("10.0.0.0/24", "10.0.1.0")),
        (["10.0.0.0", "10.0.0.0/24"], ("10.0.0.0/24",)),
        (["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "11.0.0.1"], ("10.0.0.0/8", "11.0.0.1")),
        (["10.0.0.5/32", "10.0.0.5"], ("10.0.0.5",)),
        (["fd00::2", "fd00::/64", "10.0.0.1", "fd01::1"], ("10.0.0.1", "fd00::/64", "fd01::1")),
    ],
)
def test_merged(given: list[str], merged: tuple[str, ...]) -> None:
    assert _flows._merged(given) == merged
