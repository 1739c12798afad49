# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors: what is read from them, and every way in which they are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import (
    Backup,
    Catalogue,
    CatalogueError,
    Certificate,
    Endpoint,
    Flow,
    SecretPolicy,
    Use,
)

Describe = Callable[[dict[str, Any]], Path]

BASE: dict[str, Any] = {"kind": "stateless", "everywhere": True, "ports": {"ssh": {"number": 22}}, "verbs": ["main"]}
ETCD: dict[str, Any] = {
    "tier": "data",
    "kind": "quorum",
    "after": ["base"],
    "ports": {"client": {"number": 2379}, "peer": {"number": 2380}},
    "flows": [{"from": "etcd", "to": "peer"}, {"from": ["etcd", "tier/app", "admin", "site"], "to": "client"}],
    "secrets": {"root": {"length": 40, "lifetime": "90d", "rotation": "alternate"}, "join": {}},
    "certificates": {
        "etcd": {"owner": "etcd"},
        "client": {"owner": "root", "group": "etcd", "usage": ["client"], "names": ["kv"]},
    },
    "metrics": {"port": "client", "path": "/metrics"},
    "probe": {"port": "client"},
    "backup": {"method": "snapshot", "every": "1h"},
    "packages": ["etcd-.*"],
    "verbs": ["main", "verify"],
}
POSTGRESQL: dict[str, Any] = {
    "tier": "data",
    "kind": "replicated",
    "after": ["etcd"],
    "secrets": {"etcd": {}, "superuser": {}},
    "uses": {"etcd": {"secret": "etcd", "prefixes": ["/pg/", "/a/"]}, "base": {"secret": "superuser"}},
    "packages": ["postgresql-.*", "patroni"],
    "verbs": ["main"],
}


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Write descriptors, {service: descriptor or text}, and return their root."""

    def write(descriptors: dict[str, Any]) -> Path:
        for name, descriptor in descriptors.items():
            file = tmp_path / name / "meta" / "service.yml"
            file.parent.mkdir(parents=True)
            file.write_text(descriptor if isinstance(descriptor, str) else yaml.safe_dump(descriptor), encoding="utf-8")
        return tmp_path

    return write


def problems(root: Path) -> list[tuple[str, str, str]]:
    """Load the descriptors and return (key, reason, fix) of every problem."""
    with pytest.raises(CatalogueError) as caught:
        _catalogue.load([root])
    assert all(problem.file.endswith("/meta/service.yml") for problem in caught.value.problems)
    return [(problem.key, problem.reason, problem.fix) for problem in caught.value.problems]


def test_everything_is_read(describe: Describe) -> None:
    catalogue = _catalogue.load([describe({"base": BASE, "etcd": ETCD})])
    etcd = catalogue.service("etcd")
    assert (etcd.tier, etcd.kind, etcd.everywhere, etcd.after, etcd.verbs) == (
        "data",
        "quorum",
        False,
        ("base",),
        ("main", "verify"),
    )
    assert {name: (port.number, port.protocol) for name, port in etcd.ports.items()} == {
        "client": (2379, "tcp"),
        "peer": (2380, "tcp"),
    }
    assert etcd.flows == (Flow(("etcd",), "peer"), Flow(("etcd", "tier/app", "admin", "site"), "client"))
    assert catalogue.secrets_of(["etcd", "base", "etcd"]) == [
        SecretPolicy("etcd", "backup", 48, "alnum", None, "dual"),
        SecretPolicy("etcd", "backup_ssh", kind="ssh_key", rotation="dual"),
        SecretPolicy("etcd", "join", 32, "alnum", None, "replace"),
        SecretPolicy("etcd", "root", 40, "alnum", timedelta(days=90), "alternate"),
    ]
    assert catalogue.certificates_of("etcd") == (
        Certificate("etcd", "client", "root", "etcd", ("client",), ("kv",)),
        Certificate("etcd", "etcd", "etcd", "etcd", ("server", "client"), ()),
    )
    assert (etcd.metrics, etcd.probe) == (Endpoint("client", "/metrics"), Endpoint("client", "/"))
    assert etcd.backup is not None
    assert (etcd.backup.method, etcd.backup.every) == ("snapshot", timedelta(hours=1))
    assert etcd.backup.rpo == timedelta(hours=1)
    assert [service.name for service in catalogue.backed_up(["etcd", "postgresql"])] == ["etcd"]


@pytest.mark.parametrize(
    ("given", "backup"),
    [
        ({"method": "restic", "every": "1d"}, Backup("restic", timedelta(days=1), timedelta(days=1))),
        (
            {"method": "pgbackrest", "every": "6h", "rpo": "5m"},
            Backup("pgbackrest", timedelta(hours=6), timedelta(minutes=5)),
        ),
    ],
)
def test_how_a_service_is_backed_up(describe: Describe, given: dict[str, str], backup: Backup) -> None:
    catalogue = _catalogue.load([describe({"base": BASE, "etcd": changed(ETCD, "backup", given)})])
    assert catalogue.service("etcd").backup == backup


def test_a_secret_of_backups_can_be_declared_otherwise(describe: Describe) -> None:
    catalogue = _catalogue.load(
        [describe({"base": BASE, "etcd": changed(ETCD, "secrets", {"backup": {"length": 64}})})]
    )
    assert [(secret.name, secret.length) for secret in catalogue.service("etcd").secrets] == [
        ("backup", 64),
        ("backup_ssh", 32),
    ]


def test_what_a_service_uses_and_guards(describe: Describe) -> None:
    catalogue = _catalogue.load([describe({"base": BASE, "etcd": ETCD, "postgresql": POSTGRESQL})])
    assert catalogue.service("postgresql").uses == (
        Use("postgresql", "base", "superuser", ()),
        Use("postgresql", "etcd", "etcd", ("/pg/", "/a/")),
    )
    assert catalogue.service("etcd").uses == ()
    assert [service.packages for service in catalogue.services.values()] == [
        (),
        ("etcd-.*",),
        ("postgresql-.*", "patroni"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "key", "reason", "fix"),
    [
        ("uses", ["etcd"], "uses", "must be a mapping", "a mapping of services whose client this one is"),
        ("uses.etcd", "etcd", "uses.etcd", "must be a mapping", "{secret: etcd, prefixes: [/holdfast/x/]}"),
        ("uses.etcd.secret", None, "uses.etcd.secret", "missing", "the name of one of this service's own secrets"),
        ("uses.etcd.secret", "ectd", "uses.etcd.secret", "unknown secret", "did you mean 'etcd'?"),
        ("uses.etcd.secret", "root", "uses.etcd.secret", "unknown secret", "known: etcd, superuser"),
        ("uses.etcd.user", "pg", "uses.etcd.user", "unknown key", "known: forget, prefixes, secret"),
        ("uses.etcd.prefixes", "/pg/", "uses.etcd.prefixes", "must be a list", "a list of key prefixes"),
        ("uses.etcd.prefixes", [""], "uses.etcd.prefixes[0]", "not valid here", "a key prefix"),
        ("uses.etcd.prefixes", ["/a", "/a"], "uses.etcd.prefixes", "stands here twice", "name each once"),
        ("uses.etdc", {"secret": "etcd"}, "uses.etdc", "unknown service", "did you mean 'etcd'?"),
        ("packages", "patroni", "packages", "must be a list", "a list of regular expressions"),
        ("packages", [""], "packages[0]", "not valid here", "a regular expression"),
        ("packages", ["a", "a"], "packages", "stands here twice", "name each once"),
    ],
)
def test_a_wrong_client(describe: Describe, *, path: str, value: Any, key: str, reason: str, fix: str) -> None:
    root = describe({"base": BASE, "etcd": ETCD, "postgresql": changed(POSTGRESQL, path, value)})
    [(found, why, advice)] = problems(root)
    assert found == key
    assert reason in why
    assert fix in advice


@pytest.mark.parametrize("check", [True, False])
def test_the_collections_own_descriptors_are_right(check: bool) -> None:
    catalogue = _catalogue.load(check=check)
    order = catalogue.order()
    assert sorted(order) == list(catalogue.services)
    assert order[0] == "base"


@pytest.mark.parametrize(
    ("after", "order"),
    [
        ({"a": [], "b": [], "c": []}, ["a", "b", "c"]),
        ({"a": ["c"], "b": [], "c": []}, ["b", "c", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["d"], "d": []}, ["d", "c", "b", "a"]),
        ({"a": ["d"], "b": ["a", "c"], "c": ["d"], "d": []}, ["d", "a", "c", "b"]),
    ],
)
def test_order(describe: Describe, after: dict[str, list[str]], order: list[str]) -> None:
    root = describe({name: BASE | {"after": names} for name, names in after.items()})
    assert _catalogue.load([root]).order() == order


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a descriptor with another value at a path such as `ports.client.number`; None takes the key out."""
    head, _, rest = path.partition(".")
    if rest:
        return document | {head: changed(document.get(head, {}), rest, value)}
    return {key: item for key, item in (document | {head: value}).items() if item is not None}


@pytest.mark.parametrize(
    ("path", "value", "key", "reason", "fix"),
    [
        ("afer", ["base"], "afer", "unknown key", "did you mean 'after'?"),
        ("kind", None, "kind", "missing", "give quorum, replicated or stateless"),
        ("verbs", None, "verbs", "missing", "give a list of the task files"),
        ("tier", None, "tier", "missing", "or `everywhere: true`"),
        ("tier", "dta", "tier", "not one of the possible values", "did you mean 'data'?"),
        ("kind", "quorate", "kind", "not one of the possible values", "did you mean 'quorum'?"),
        ("everywhere", "yes", "everywhere", "must be true or false", "true for a service"),
        ("after", "base", "after", "must be a list", "a list of services"),
        ("after", ["bsae"], "after[0]", "unknown service", "did you mean 'base'?"),
        ("after", ["base", "base"], "after", "stands here twice", "name each once"),
        ("ports", [2379], "ports", "must be a mapping", "a mapping of port names"),
        ("ports.client", 2379, "ports.client", "must be a mapping", "{number: 2379}"),
        ("ports.client.number", "2379", "ports.client.number", "must be a whole number", "1 to 65535"),
        ("ports.client.number", 65536, "ports.client.number", "not valid here", "1 to 65535"),
        ("ports.client.number", 0, "ports.client.number", "not valid here", "1 to 65535"),
        ("ports.client.number", 2380, "ports.peer.number", "ports.client has it too", "its own number"),
        ("ports.client.protocol", "tpc", "ports.client.protocol", "not one of the possible values", "'tcp'"),
        ("ports.client.nmber", 1, "ports.client.nmber", "unknown key", "did you mean 'number'?"),
        ("ports.Client", {"number": 1}, "ports.Client", "not a valid name", "lower-case letters"),
        ("flows", {"from": "etcd"}, "flows", "must be a list", "a list of {from, to}"),
        ("flows", [{"from": "etcd"}], "flows[0].to", "missing", "the name of one of the service's ports"),
        ("flows", [{"from": "etdc", "to": "peer"}], "flows[0].from", "unknown service, tier or network", "'etcd'"),
        (
            "flows",
            [{"from": "tier/ap", "to": "peer"}],
            "flows[0].from",
            "unknown service, tier or network",
            "'tier/app'",
        ),
        (
            "flows",
            [{"from": ["etcd", "adm1n"], "to": "peer"}],
            "flows[0].from",
            "unknown service, tier or network",
            "'admin'",
        ),
        ("flows", [{"from": [], "to": "peer"}], "flows[0].from", "not valid here", "a service, tier/<tier>"),
        ("flows", [{"from": 7, "to": "peer"}], "flows[0].from", "must be a text or a list", "a service, tier/<tier>"),
        ("flows", [{"from": "etcd", "to": "pear"}], "flows[0].to", "unknown port", "did you mean 'peer'?"),
        ("secrets.root.length", 4, "secrets.root.length", "not valid here", "8 to 4096"),
        ("secrets.root.alphabet", "hexx", "secrets.root.alphabet", "not one of the possible values", "'hex'"),
        ("secrets.root.lifetime", "90 days", "secrets.root.lifetime", "not valid here", "such as 90d"),
        ("secrets.root.rotation", "replce", "secrets.root.rotation", "not one of the possible values", "'replace'"),
        ("secrets.root.lenght", 9, "secrets.root.lenght", "unknown key", "did you mean 'length'?"),
        ("certificates.etcd.owner", None, "certificates.etcd.owner", "missing", "the system user"),
        (
            "certificates.etcd.usage",
            ["sever"],
            "certificates.etcd.usage[0]",
            "not one of the possible values",
            "'server'",
        ),
        ("certificates.etcd.names", ["k_v"], "certificates.etcd.names[0]", "not valid here", "one DNS label"),
        ("metrics.port", "clint", "metrics.port", "unknown port", "did you mean 'client'?"),
        ("probe.port", "x", "probe.port", "unknown port", "known: client, peer"),
        ("probe.path", "health", "probe.path", "not valid here", "a path that starts with /"),
        ("backup.every", None, "backup.every", "missing", "the time between two copies"),
        ("backup.method", "tape", "backup.method", "not one of the possible values", "pgbackrest, restic, snapshot"),
        ("backup.rpo", "soon", "backup.rpo", "not valid here", "such as 5m"),
        ("backup.every", "hourly", "backup.every", "not valid here", "such as 1h"),
        ("verbs", ["main", "verfy"], "verbs[1]", "not one of the possible values", "did you mean 'verify'?"),
    ],
)
def test_a_wrong_descriptor(describe: Describe, *, path: str, value: Any, key: str, reason: str, fix: str) -> None:
    [(found, why, advice)] = problems(describe({"base": BASE, "etcd": changed(ETCD, path, value)}))
    assert found == key
    assert reason in why
    assert fix in advice


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("kind: [", "line 2", "no valid YAML"),
        ("kind: a\nkind: b\n", "line 1", "the key 'kind' stands here twice"),
        ("- kind\n", "", "must be a mapping"),
        ("", "", "must be a mapping"),
    ],
)
def test_a_file_that_is_none(describe: Describe, text: str, key: str, reason: str) -> None:
    [(found, why, _)] = problems(describe({"etcd": text}))
    assert found == key
    assert reason in why


@pytest.mark.parametrize(
    ("after", "rings"),
    [
        ({"a": ["a"]}, ["a ring: a after a"]),
        ({"a": ["b"], "b": ["a"], "c": ["a"]}, ["a ring: a after b after a"]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, ["a ring: a after b after c after a"]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, ["a ring: a after b after a", "a ring: c after d after c"]),
    ],
)
def test_services_after_each_other(describe: Describe, after: dict[str, list[str]], rings: list[str]) -> None:
    found = problems(describe({name: BASE | {"after": names} for name, names in after.items()}))
    assert [(key, why) for key, why, _ in found] == [("after", ring) for ring in rings]


def test_all_problems_of_all_files_at_once(describe: Describe) -> None:
    found = problems(describe({"a": BASE | {"knd": 1, "verbs": ["mian"]}, "b": {"kind": "quorum"}}))
    assert [key for key, _, _ in found] == ["knd", "verbs[0]", "tier", "verbs"]


@pytest.mark.parametrize("name", sorted(_catalogue.RESERVED))
def test_a_name_that_is_taken(describe: Describe, name: str) -> None:
    [(_, reason, fix)] = problems(describe({name: BASE}))
    assert reason == "a service can't have this name"
    assert "taken: admin, all, backups, pods, site, ungrouped" in fix


def test_a_service_in_two_roots(tmp_path: Path) -> None:
    for root in ("one", "two"):
        file = tmp_path / root / "etcd" / "meta" / "service.yml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(BASE), encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"described in one/etcd/meta/service\.yml too; keep one"):
        _catalogue.load([tmp_path / "one", tmp_path / "two"])


@pytest.mark.parametrize("descriptor", [{"verbs": ["main"]}, BASE | {"flows": "x"}, BASE | {"ports": {"a": {"nr": 1}}}])
def test_an_unchecked_descriptor_that_cannot_be_used_is_told_as_well(
    describe: Describe, descriptor: dict[str, Any]
) -> None:
    with pytest.raises(CatalogueError):
        _catalogue.load([describe({"a": descriptor})], check=False)


@pytest.fixture
def catalogue(describe: Describe) -> Catalogue:
    """Return a catalogue of base and etcd."""
    return _catalogue.load([describe({"base": BASE, "etcd": ETCD})])


@pytest.mark.parametrize(
    ("overrides", "number"),
    [
        (None, 2379),
        ({}, 2379),
        ({"etcd": {}}, 2379),
        ({"etcd": {"peer": 1}}, 2379),
        ({"etcd": {"client": 10001}}, 10001),
    ],
)
def test_port(catalogue: Catalogue, overrides: dict[str, dict[str, int]] | None, number: int) -> None:
    assert catalogue.port("etcd", "client", overrides) == number


@pytest.mark.parametrize(
    ("service", "port", "message"),
    [
        ("etdc", "client", "unknown service; did you mean 'etcd'? known: base, etcd"),
        ("etcd", "clint", "unknown port; did you mean 'client'? known: client, peer"),
    ],
)
def test_port_of_nothing(catalogue: Catalogue, service: str, port: str, message: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        catalogue.port(service, port)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        ({}, []),
        ({"etcd": {"client": 1, "peer": 2}}, []),
        ({"etdc": {"client": 1}}, ["ports.etdc"]),
        ({"etcd": {"clint": 1, "peer": 2}, "bsae": {}}, ["ports.etcd.clint", "ports.bsae"]),
    ],
)
def test_overrides(catalogue: Catalogue, overrides: dict[str, dict[str, int]], keys: list[str]) -> None:
    assert [problem.key for problem in catalogue.judge_ports(overrides, "site.yml", "ports")] == keys


@pytest.mark.parametrize(
    ("overrides", "clashes"),
    [
        ({}, []),
        ({"etcd": {"client": 22}}, ["base.ssh and etcd.client both listen on tcp port 22"]),
        ({"etcd": {"client": 22}, "base": {"ssh": 2222}}, []),
        ({"etcd": {"client": 2380}}, ["etcd.client and etcd.peer both listen on tcp port 2380"]),
    ],
)
def test_clashes(catalogue: Catalogue, overrides: dict[str, dict[str, int]], clashes: list[str]) -> None:
    assert catalogue.clashes(catalogue.services.values(), overrides) == clashes


def test_udp_and_tcp_may_share_a_number(describe: Describe) -> None:
    dns = BASE | {"ports": {"queries": {"number": 53, "protocol": "udp"}, "transfers": {"number": 53}}}
    catalogue = _catalogue.load([describe({"dns": dns})])
    assert catalogue.clashes(catalogue.services.values(), {}) == []


@pytest.mark.parametrize(
    ("groups", "names"),
    [([], ["base"]), (["etcd", "zone_a"], ["base", "etcd"]), (["base"], ["base"]), (["Etcd"], ["base"])],
)
def test_placed(catalogue: Catalogue, groups: list[str], names: list[str]) -> None:
    assert [service.name for service in catalogue.placed(groups)] == names
