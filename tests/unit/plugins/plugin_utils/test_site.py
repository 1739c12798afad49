# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E501 -- a row of a table stays on one line
"""Site files: what is made of them, and every way in which they are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _site
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import structure
from ansible_collections.holdfast.platform.plugins.plugin_utils._site import SiteError

SERVICES = """
base: {kind: stateless, everywhere: true, ports: {ssh: {number: 22}}, verbs: [main]}
etcd: {tier: data, kind: quorum, ports: {client: {number: 2379}, peer: {number: 2380}}, verbs: [main]}
postgresql: {tier: data, kind: replicated, after: [etcd], ports: {client: {number: 5432}}, verbs: [main]}
web: {tier: app, kind: stateless, ports: {http: {number: 8000}}, verbs: [main]}
"""

SITE = """
plugin: holdfast.platform.site
name: north
domain: north.example.org
admin: [172.31.0.5, 172.31.0.0/28]
zones:
  a: {cidr: {data: 172.22.0.0/26, app: 172.21.0.0/26}}
  b: {cidr: {data: 172.22.0.64/26, app: 172.21.0.64/26}}
  c: {cidr: {data: 172.22.0.128/26, app: 172.21.0.128/26}}
pools:
  data:
    tier: data
    services: [etcd, postgresql]
    hosts:
      - {name: db1, zone: a, address: 172.22.0.11}
      - {name: db2, zone: b, address: 172.22.0.75, vars: {weight: 5}}
      - {name: db3, zone: c, address: 172.22.0.139}
    vars: {weight: 1, note: "{{ inventory_hostname }}"}
  front:
    tier: app
    services: [web]
    hosts: [{name: web1, zone: a, address: 172.21.0.11}]
  spare: {tier: data, hosts: []}
ports: {postgresql: {client: 10000}}
"""

LAB = """
plugin: holdfast.platform.site
name: lab
domain: lab.internal
lab: true
network: 10.77.0.0/16
admin: [10.77.1.1, 192.0.2.0/24]
zones:
  a: {cidr: 10.77.1.0/24}
  b: {cidr: {data: 10.77.2.0/25, app: 10.77.2.128/25}}
  c: {cidr: 10.77.3.0/24}
pools:
  data: {tier: data, services: [etcd], generate: {zones: [a, b, c], per_zone: 1, first: 11}}
  big_app: {tier: app, generate: {zones: [b, c], per_zone: 2, first: 101}}
"""

Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Return a small catalogue."""
    root: Path = tmp_path_factory.mktemp("roles")
    for name, descriptor in yaml.safe_load(SERVICES).items():
        file = root / name / "meta" / "service.yml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(descriptor), encoding="utf-8")
    return _catalogue.load([root])


def site(text: str = SITE) -> Any:
    """Return a site's document, to be changed."""
    return yaml.safe_load(text)


def problems(document: Any, catalogue: Catalogue) -> list[tuple[str, Any, str, str]]:
    """Return (key, value, reason, fix) of every problem of a document."""
    with pytest.raises(SiteError) as caught:
        _site.build(document, catalogue, "north/site.yml")
    assert {problem.file for problem in caught.value.problems} == {"north/site.yml"}
    assert len(str(caught.value).splitlines()) == len(caught.value.problems)
    return [(problem.key, problem.value, problem.reason, problem.fix) for problem in caught.value.problems]


def test_a_site(catalogue: Catalogue) -> None:
    made = _site.build(site(), catalogue)
    assert [
        (host.name, host.zone, host.tier, host.pool, host.address, dict(host.variables)) for host in made.hosts
    ] == [
        ("db1", "a", "data", "data", "172.22.0.11", {}),
        ("db2", "b", "data", "data", "172.22.0.75", {"weight": 5}),
        ("db3", "c", "data", "data", "172.22.0.139", {}),
        ("web1", "a", "app", "front", "172.21.0.11", {}),
    ]
    assert made.children == {
        "base": ["pool_data", "pool_front", "pool_spare"],
        "etcd": ["pool_data"],
        "postgresql": ["pool_data"],
        "web": ["pool_front"],
        "tier_data": ["pool_data", "pool_spare"],
        "tier_app": ["pool_front"],
    }
    assert made.variables == {
        "zone_a": {"zone": "a"},
        "zone_b": {"zone": "b"},
        "zone_c": {"zone": "c"},
        "tier_data": {"tier": "data"},
        "tier_app": {"tier": "app"},
        "pool_data": {"weight": 1, "note": "{{ inventory_hostname }}", "pool": "data"},
        "pool_front": {"pool": "front"},
        "pool_spare": {"pool": "spare"},
    }
    assert (made.name, made.domain, made.lab, made.network) == ("north", "north.example.org", False, None)
    assert made.admin == ("172.31.0.5", "172.31.0.0/28")
    assert made.zones["a"] == {"data": "172.22.0.0/26", "app": "172.21.0.0/26"}
    assert made.ports == {"postgresql": {"client": 10000}}


def test_a_lab(catalogue: Catalogue) -> None:
    made = _site.build(site(LAB), catalogue)
    assert [(host.name, host.address) for host in made.hosts] == [
        ("data-a1", "10.77.1.11"),
        ("data-b1", "10.77.2.11"),
        ("data-c1", "10.77.3.11"),
        ("big-app-b1", "10.77.2.229"),
        ("big-app-b2", "10.77.2.230"),
        ("big-app-c1", "10.77.3.101"),
        ("big-app-c2", "10.77.3.102"),
    ]
    assert made.lab


@pytest.mark.parametrize(
    ("network", "addresses", "zones", "admin"),
    [
        (
            "10.77.0.0/16",
            ["10.77.1.11", "10.77.2.229"],
            ["10.77.1.0/24", "10.77.2.0/25"],
            ("10.77.1.1", "192.0.2.0/24"),
        ),
        (
            "10.78.0.0/16",
            ["10.78.1.11", "10.78.2.229"],
            ["10.78.1.0/24", "10.78.2.0/25"],
            ("10.78.1.1", "192.0.2.0/24"),
        ),
        ("10.3.0.0/16", ["10.3.1.11", "10.3.2.229"], ["10.3.1.0/24", "10.3.2.0/25"], ("10.3.1.1", "192.0.2.0/24")),
        (
            "192.168.0.0/16",
            ["192.168.1.11", "192.168.2.229"],
            ["192.168.1.0/24", "192.168.2.0/25"],
            ("192.168.1.1", "192.0.2.0/24"),
        ),
    ],
)
def test_rebase(
    catalogue: Catalogue, *, network: str, addresses: list[str], zones: list[str], admin: tuple[str, ...]
) -> None:
    before = _site.build(site(LAB), catalogue)
    after = _site.rebase(before, network)
    assert [after.hosts[0].address, after.hosts[3].address] == addresses
    assert [after.zones["a"], after.zones["b"]["data"]] == zones
    assert after.admin == admin
    assert after.network == network
    assert _site.rebase(after, "10.77.0.0/16") == before
    assert after.children == before.children


@pytest.mark.parametrize("network", ["10.78.0.0/24", "10.78.1.0/16", "lab", ""])
def test_rebase_to_what_is_no_network_of_the_same_size(catalogue: Catalogue, network: str) -> None:
    with pytest.raises(SiteError, match=r"lab\.json: network"):
        _site.rebase(_site.build(site(LAB), catalogue), network)


def test_a_site_without_network_stays_where_it_is(catalogue: Catalogue) -> None:
    made = _site.build(site(), catalogue)
    assert _site.rebase(made, "10.78.0.0/16") is made


def at(path: str, value: Any) -> Change:
    """Return a change that puts a value at a path such as `pools.data.hosts.1.zone`; the value `None` takes it out."""

    def change(document: Any) -> None:
        *heads, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for head in heads:
            document = document[head]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


def host(number: int, **values: Any) -> Change:
    """Return a change of a database host's entry."""
    return lambda document: document["pools"]["data"]["hosts"][number].update(values)


def more(*hosts: tuple[str, str, str]) -> Change:
    """Return a change that adds database hosts (name, zone, address)."""
    entries = [dict(zip(("name", "zone", "address"), entry, strict=True)) for entry in hosts]
    return lambda document: document["pools"]["data"]["hosts"].extend(entries)


H = "pools.data.hosts"


@pytest.mark.parametrize(
    ("change", "key", "value", "reason", "fix"),
    [
        # structure
        (at("plugn", 1), "plugn", 1, "unknown key", "did you mean 'plugin'?"),
        (at("plugin", "site"), "plugin", "site", "not valid here", "plugin: holdfast.platform.site"),
        (at("name", None), "name", None, "missing", "give the site's name"),
        (at("name", "North"), "name", "North", "not valid here", "lower-case letters"),
        (at("domain", "north_example"), "domain", "north_example", "not valid here", "the DNS domain"),
        (at("domain", None), "domain", None, "missing", "such as lab.internal"),
        (at("zones", None), "zones", None, "missing", "a mapping of zone names"),
        (at("zones", {}), "zones", {}, "not valid here", "a mapping of zone names"),
        (at("zones", ["a"]), "zones", ["a"], "must be a mapping", "a mapping of zone names"),
        (at("zones.a", "172.22.0.0/26"), "zones.a", "172.22.0.0/26", "must be a mapping", "{cidr: 10.77.1.0/24}"),
        (at("zones.a", {"cdir": "x", "cidr": "10.0.0.0/8"}), "zones.a.cdir", "x", "unknown key", "did you mean 'cidr'?"),
        (at("zones.a.cidr", 7), "zones.a.cidr", 7, "must be a text or a mapping", "one network, or one for each tier"),
        (at("zones.a.cidr.dta", "10.0.0.0/8"), "zones.a.cidr.dta", "10.0.0.0/8", "unknown key", "did you mean 'data'?"),
        (at("zones.A1", {"cidr": "10.0.0.0/8"}), "zones.A1", None, "not a valid name", "lower-case letters"),
        (at("pools", None), "pools", None, "missing", "a mapping of pool names"),
        (at("pools", [1]), "pools", [1], "must be a mapping", "a mapping of pool names"),
        (at("pools.front", []), "pools.front", [], "must be a mapping", "{tier, services, hosts, vars}"),
        (at("pools.front.tier", None), "pools.front.tier", None, "missing", "edge, app, data or ops"),
        (at("pools.front.tier", "web"), "pools.front.tier", "web", "not one of the possible values", "possible: app, data, edge, ops"),
        (at("pools.front.servces", []), "pools.front.servces", [], "unknown key", "did you mean 'services'?"),
        (at("pools.front.services", "web"), "pools.front.services", "web", "must be a list", "a list of the services"),
        (at("pools.front.services", ["web", "web"]), "pools.front.services", ["web", "web"], "stands here twice", "each once"),
        (at("pools.front.hosts", {}), "pools.front.hosts", {}, "must be a list", "a list of {name, zone, address}"),
        (at("pools.front.vars", {"a-b": 1}), "pools.front.vars.a-b", None, "not a valid name", "a variable's name"),
        (host(1, adress="x"), f"{H}[1].adress", "x", "unknown key", "did you mean 'address'?"),
        (host(1, name=7), f"{H}[1].name", 7, "must be a text", "a short host name"),
        (host(1, name="db_2"), f"{H}[1].name", "db_2", "not valid here", "a short host name"),
        (host(1, name="db2.example.org"), f"{H}[1].name", "db2.example.org", "not valid here", "a short host name"),
        (host(1, name="x" * 64), f"{H}[1].name", "x" * 64, "not valid here", "at most 63"),
        (host(1, vars=[1]), f"{H}[1].vars", [1], "must be a mapping", "a mapping of variables"),
        (host(1, vars={"1a": 1}), f"{H}[1].vars.1a", None, "not a valid name", "a variable's name"),
        (at(f"{H}.1", "db2"), f"{H}[1]", "db2", "must be a mapping", "{name: db1, zone: a"),
        (at(f"{H}.1.zone", None), f"{H}[1].zone", None, "missing", "one of the site's zones"),
        (at(f"{H}.1.address", None), f"{H}[1].address", None, "missing", "IPv4 address"),
        (at("ports.postgresql.client", "10000"), "ports.postgresql.client", "10000", "must be a whole number", "1 to 65535"),
        (at("ports.postgresql.client", 70000), "ports.postgresql.client", 70000, "not valid here", "1 to 65535"),
        (at("admin", "172.31.0.5"), "admin", "172.31.0.5", "must be a list", "a list of addresses"),
        (at("lab", "yes"), "lab", "yes", "must be true or false", "true for a lab"),
        # names
        (at("pools.front.services", ["wbe"]), "pools.front.services[0]", "wbe", "unknown service", "did you mean 'web'?"),
        (host(2, zone="d"), f"{H}[2].zone", "d", "unknown zone", "known: a, b, c"),
        (host(2, name="db1"), f"{H}[2].name", "db1", f"{H}[0] has it too", "its own name"),
        (at("pools.front.hosts.0.name", "db2"), "pools.front.hosts[0].name", "db2", f"{H}[1] has it too", "its own name"),
        (host(2, name="etcd"), f"{H}[2].name", "etcd", "a group has this name", "rename"),
        (host(2, vars={"zone": "a"}), f"{H}[2].vars.zone", "a", "the site file says this itself", "take the variable out"),
        (at("pools.front.vars", {"tier": "x"}), "pools.front.vars.tier", "x", "the site file says this itself", "take"),
        # networks and addresses
        (at("zones.a.cidr.data", "172.22.0.0"), "zones.a.cidr.data", "172.22.0.0", "without its length", "172.22.0.0/24"),
        (at("zones.a.cidr.data", "172.22.0.5/26"), "zones.a.cidr.data", "172.22.0.5/26", "not the network", "write 172.22.0.0/26"),
        (at("zones.a.cidr.data", "172.22.0/26"), "zones.a.cidr.data", "172.22.0/26", "not an IPv4 network", "10.77.1.0/24"),
        (at("zones.a.cidr.data", "fd00::/64"), "zones.a.cidr.data", "fd00::/64", "not an IPv4 network", "10.77.1.0/24"),
        (at("zones.b.cidr.app", "172.21.0.0/25"), "zones.a.cidr.app", "172.21.0.0/26", "overlaps zones.b.cidr.app (172.21.0.0/25)", "its own network"),
        (at("zones.c.cidr.ops", "172.22.0.160/27"),
         "zones.c.cidr.ops", "172.22.0.160/27", "overlaps zones.c.cidr.data (172.22.0.128/26)", "its own network"),
        (at("admin", ["172.31.0"]), "admin[0]", "172.31.0", "neither an IPv4 address nor a network", "10.0.0.5 or"),
        (at("admin", ["172.31.0.5/24"]), "admin[0]", "172.31.0.5/24", "not the network", "write 172.31.0.0/24"),
        (host(0, address="172.22.0.76"), f"{H}[0].address", "172.22.0.76", "outside of zone a, tier data (172.22.0.0/26)", "another zone"),
        (at("pools.spare.hosts", [{"name": "s1", "zone": "a", "address": "172.22.0.11"}]), "pools.spare.hosts[0].address", "172.22.0.11", f"{H}[0] has it too", "its own"),
        (host(0, address="172.21.0.12"), f"{H}[0].address", "172.21.0.12", "outside of zone a, tier data", "of 172.22.0.0/26"),
        (host(0, address="172.22.0.0"), f"{H}[0].address", "172.22.0.0", "own or broadcast address", "between"),
        (host(0, address="172.22.0.63"), f"{H}[0].address", "172.22.0.63", "own or broadcast address", "between"),
        (host(0, address="172.22.0.011"), f"{H}[0].address", "172.22.0.011", "not an IPv4 address", "10.77.1.11"),
        (host(0, address="db1"), f"{H}[0].address", "db1", "not an IPv4 address", "10.77.1.11"),
        (at("pools.front.tier", "ops"), "pools.front.hosts[0].zone", "a", "no network for tier ops", "zones.a.cidr"),
        # ports
        (at("ports", {"postgersql": {"client": 1}}), "ports.postgersql", None, "unknown service", "did you mean 'postgresql'?"),
        (at("ports", {"postgresql": {"clint": 1}}), "ports.postgresql.clint", None, "unknown port", "did you mean 'client'?"),
        (at("ports.postgresql.client", 2379), "pools.data.services", None,
         "etcd.client and postgresql.client both listen on tcp port 2379", "move one in `ports`"),
        (at("ports", {"web": {"http": 22}}), "pools.front.services", None, "base.ssh and web.http both listen on tcp port 22", "move"),
        # pools
        (at("pools.spare.hosts", None), "pools.spare", None, "needs either `hosts` or `generate`", "list the hosts"),
        (at("pools.spare", {"tier": "data", "generate": {"zones": ["a"], "per_zone": 1, "first": 2}}),
         "pools.spare.generate", None, "in labs only", "under `hosts`"),
        # quorum
        (at(f"{H}.2", None), "pools", "etcd", "2 voters (a: 1, b: 1) outlive no more losses than 1", "1 or 3 hosts"),
        (more(("db4", "a", "172.22.0.12")), "pools", "etcd", "4 voters (a: 2, b: 1, c: 1) outlive no more losses than 3", "3 or 5"),
        (host(2, zone="a", address="172.22.0.13"), "pools", "etcd", "zone a holds 2 of 3 voters (a: 2, b: 1)", "at most 1 in one zone"),
        (more(("db4", "a", "172.22.0.12"), ("db5", "a", "172.22.0.13")), "pools", "etcd", "zone a holds 3 of 5 voters", "at most 2"),
    ],
)  # fmt: skip
def test_a_wrong_site(catalogue: Catalogue, *, change: Change, key: str, value: Any, reason: str, fix: str) -> None:
    document = site()
    change(document)
    [(found, given, why, advice)] = problems(document, catalogue)
    assert (found, given) == (key, value)
    assert reason in why
    assert fix in advice


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (at("network", None), "network", "a lab needs a network of 65,536 addresses"),
        (at("network", "10.77.0.0/20"), "network", "a lab needs a network of 65,536 addresses"),
        (at("network", "10.77.0.0"), "network", "a network without its length"),
        (at("zones.a.cidr", "10.78.1.0/24"), "zones.a.cidr", "outside of the site's network"),
        (at("pools.data.generate.zones", ["a", "b", "d"]), "pools.data.generate.zones", "unknown zone"),
        (at("pools.data.generate.per_zone", -1), "pools.data.generate.per_zone", "not valid here"),
        (at("pools.data.generate.frist", 1), "pools.data.generate.frist", "unknown key"),
        (at("pools.data.generate.first", None), "pools.data.generate.first", "missing"),
        (at("pools.data.generate.first", 1), "pools.data.generate.address", "the gateway of 10.77.1.0/24 in a lab"),
        (at("pools.data.generate.first", 255), "pools.data.generate.address", "broadcast address"),
        (at("pools.data.generate.first", 300), "pools.data.generate.address", "outside of zone a, tier data"),
        (at("pools.big_app.generate.first", 10), "pools.big_app.generate.address", "pools.data.generate has it too"),
        (at("pools.data.generate.per_zone", 2), "pools", "6 voters"),
        (at("pools.data.hosts", []), "pools.data", "needs either `hosts` or `generate`"),
    ],
)
def test_a_wrong_lab(catalogue: Catalogue, change: Change, key: str, reason: str) -> None:
    document = site(LAB)
    change(document)
    found = problems(document, catalogue)
    assert any(name == key and reason in why for name, _, why, _ in found), found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda document: document["pools"]["data"]["hosts"].__delitem__(slice(1, None)), id="one voter"),
        pytest.param(lambda document: document["pools"]["data"]["hosts"].clear(), id="no voter"),
        pytest.param(more(("db4", "a", "172.22.0.12"), ("db5", "b", "172.22.0.76")), id="five voters, two in a zone"),
        pytest.param(at("network", "172.16.0.0/12"), id="zones within the site's network"),
        pytest.param(at("ports", {"web": {"http": 2379}}), id="one port on different hosts"),
        pytest.param(
            at("ports", {"etcd": {"client": 10000}, "postgresql": {"client": 2379}}), id="two services swap ports"
        ),
        pytest.param(host(0, vars={"ansible_host": "192.0.2.7"}), id="reached by another address"),
        pytest.param(at("zones.a.cidr.ops", "172.31.0.0/26"), id="a network for a tier without hosts"),
    ],
)
def test_what_may_be(catalogue: Catalogue, change: Change) -> None:
    document = site()
    change(document)
    _site.build(document, catalogue)


@pytest.mark.parametrize(
    "document", [None, [], "x", {}, {"pools": None}, {"pools": {"a": None}}, {"pools": {"a": {"hosts": None}}}]
)
def test_what_is_no_site_at_all(catalogue: Catalogue, document: Any) -> None:
    assert problems(document, catalogue)


def test_a_network_that_is_none_is_told_once_and_not_for_every_host(catalogue: Catalogue) -> None:
    document = site()
    document["zones"]["a"]["cidr"]["data"] = "nonsense"
    assert [key for key, *_ in problems(document, catalogue)] == ["zones.a.cidr.data"]


def test_all_problems_at_once(catalogue: Catalogue) -> None:
    document = site()
    host(0, address="172.22.0.75")(document)
    host(2, zone="b", address="172.22.0.77")(document)
    at("pools.front.services", ["wbe", "web"])(document)
    at("admin", ["nobody"])(document)
    at("ports.web", {"http": 22})(document)
    assert [(key, reason.split(":")[0]) for key, _, reason, _ in problems(document, catalogue)] == [
        ("admin[0]", "neither an IPv4 address nor a network"),
        ("pools.front.services[0]", "unknown service"),
        (f"{H}[0].address", "outside of zone a, tier data (172.22.0.0/26)"),
        (f"{H}[1].address", f"{H}[0] has it too"),
        ("pools.front.services", "base.ssh and web.http both listen on tcp port 22"),
        ("pools", "zone b holds 2 of 3 voters (a"),
    ]


def test_the_message(catalogue: Catalogue) -> None:
    document = site()
    host(0, zone="d")(document)
    with pytest.raises(SiteError) as caught:
        _site.build(document, catalogue, "north/site.yml")
    assert str(caught.value) == 'north/site.yml: pools.data.hosts[0].zone ("d"): unknown zone; known: a, b, c'


ENTRY: dict[str, Any] = {"name": "db1", "zone": "a", "address": "172.22.0.11"}


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ENTRY | {"vars": {}},
        ENTRY | {"vars": {"a_1": 1}},
        ENTRY | {"vars": {"a-1": 1}},
        ENTRY | {"vars": {"é": 1}},
        ENTRY | {"vars": {1: 1}},
        ENTRY | {"vars": None},
        ENTRY | {"nme": "x"},
        ENTRY | {"name": 1},
        ENTRY | {"name": "-a"},
        ENTRY | {"name": "a" * 63},
        ENTRY | {"name": "a" * 64},
        ENTRY | {"name": "a\n"},
        ENTRY | {"zone": None},
        ENTRY | {"address": 1.5},
        {"name": "db1", "zone": "a"},
        [],
        "db1",
        None,
    ],
)
def test_the_short_way_passes_nothing_that_the_schema_refuses(entry: Any) -> None:
    document = site()
    document["pools"] = {"data": {"tier": "data", "hosts": [copy.deepcopy(entry)]}}
    refused = bool(structure(document, "site", "site.yml"))
    assert refused is not _site._plain(entry)
