# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.template import Templar, trust_as_template

from ansible_collections.holdfast.platform.plugins.plugin_utils import _vault_files
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    declared_certificates,
    declared_policies,
    open_store,
    preload,
    read_value,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Policy, Secret, SecretsError
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles
from tests.kv import DATA, store
from tests.kv.fake import FakeKV

CHECKOUT = Path(__file__).parents[4]


@dataclass
class Memory:
    """A second backend: the interface is all that the surface above it needs."""

    held: dict[str, dict[str, Secret]] = field(default_factory=dict)

    def read(self, owner: str) -> Mapping[str, Secret]:
        return self.held.get(owner, {})

    def transaction(self, owner: str) -> AbstractContextManager[MutableMapping[str, Secret]]:
        raise NotImplementedError

    def describe(self, owner: str) -> str:
        return f"memory of {owner}"


STORE = Memory({"etcd": {"root": Secret(current="now", previous="before", created="x")}})


@pytest.mark.parametrize(
    ("path", "options", "value"),
    [
        ("etcd/root", {}, "now"),
        ("etcd/root", {"check": True}, "now"),
        ("etcd/root", {"version": "previous"}, "before"),
    ],
)
def test_read_value(path: str, options: dict[str, Any], value: str) -> None:
    assert read_value(STORE, path, **options) == value


@pytest.mark.parametrize("path", ["etcd/root", "shop/undeclared", "pki/root_certificate"])
def test_check_mode_of_a_site_without_secrets(path: str) -> None:
    value = read_value(Memory(), path, check=True)
    assert len(value) == 32
    assert value == read_value(Memory(), path, check=True)


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("etcd/root", {}, "etcd/root: is not in memory of etcd; the task holdfast.platform.secrets, the first of"),
        ("pki/root_key", {}, "makes the site's CA"),
        ("etcd/rot", {}, "nothing declares it: add secrets.rot to roles/etcd/meta/service.yml, or etcd.rot to"),
        ("shop/key", {}, "nothing declares it: add secrets.key to roles/shop/meta/service.yml, or shop.key to"),
        ("etcd", {}, "'etcd' is no secret; write <owner>/<name>"),
        ("etcd/root", {"version": "next"}, "is not in memory"),
    ],
)
def test_what_is_missing(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SecretsError) as error:
        read_value(Memory(), path, **options)
    assert said in str(error.value)


def test_a_version_that_is_not_there() -> None:
    with pytest.raises(SecretsError, match="etcd/root: has no next value in memory of etcd"):
        read_value(STORE, "etcd/root", version="next", check=True)


def test_declared_policies() -> None:
    declared = declared_policies({"etcd": ["a"], "postgresql": [], "other": ["a"]}, {"shop": {"key": {"length": 64}}})
    assert declared["etcd"]["root"] == Policy(rotation="alternate")
    assert declared["shop"] == {"key": Policy(length=64)}
    assert "postgresql" not in declared


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"etcd": {"root": {}}}, "extra.etcd.root: roles/etcd/meta/service.yml declares it already"),
        ({"etcd": {"Root": {}}}, "'Root' can't name a secret"),
        ({"../x": {"a": {}}}, "'../x' can't name an owner of secrets"),
        ({"shop": {"a": {"length": 1}}}, "extra.shop.a: length is 1"),
        ({"shop": ["a"]}, "extra.shop: has to be a mapping"),
        ({"shop": {"a": "b"}}, "extra.shop.a: has to be a mapping"),
    ],
)
def test_mistakes_in_extra(extra: Any, said: str) -> None:
    with pytest.raises(SecretsError) as error:
        declared_policies({"etcd": ["a"]}, extra)
    assert said in str(error.value)


def test_declared_certificates() -> None:
    assert declared_certificates("etcd")["etcd"]["owner"] == "etcd"
    with pytest.raises(SecretsError, match="unknown service"):
        declared_certificates("ectd")


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"inventory_dir": "/sites/north"}, "/sites/north/secrets/etcd.yml"),
        ({"inventory_dir": "/sites/north", "secrets_dir": "/elsewhere"}, "/elsewhere/etcd.yml"),
        ({"secrets_dir": "~/secrets"}, f"{Path.home()}/secrets/etcd.yml"),
    ],
)
def test_where_the_store_is(variables: dict[str, Any], path: str) -> None:
    loader = DataLoader()
    assert open_store(variables, Templar(loader, variables=variables), loader).describe("etcd") == path


def test_an_inventory_without_a_directory() -> None:
    loader = DataLoader()
    with pytest.raises(SecretsError, match="secrets_dir: is not set"):
        open_store({}, Templar(loader), loader)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"secrets_backend": "vault"}, "secrets_backend: is 'vault', it has to be one of files, kv"),
        ({"secrets_backend": "kv"}, "secrets_kv: has to be a mapping with url"),
        ({"secrets_backend": "kv", "secrets_kv": {"url": "x"}}, "secrets_kv.url: has to be https://"),
    ],
)
def test_mistakes_in_the_backend(variables: dict[str, Any], said: str) -> None:
    loader = DataLoader()
    with pytest.raises(SecretsError, match=said):
        open_store(variables, Templar(loader, variables=variables), loader)


def test_the_other_backend() -> None:
    loader = DataLoader()
    variables = {
        "secrets_backend": "kv",
        "secrets_kv": {"url": trust_as_template("https://v:{{ port }}")},
        "port": 1,
        "site_name": "north",
    }
    where = open_store(variables, Templar(loader, variables=variables), loader).describe("etcd")
    assert where == "secret/holdfast/north/etcd at https://v:1"


def test_preload_is_quiet_and_fills_the_cache(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    loader = DataLoader()
    preload(tmp_path, {}, loader)
    loader.set_vault_secrets([("default", VaultSecret(b"sesame"))])
    with VaultFiles(directory, Passwords(loader)).transaction("etcd") as held:
        held["root"] = STORE.held["etcd"]["root"]
    (directory / "broken.yml").write_text("not a vault")
    (tmp_path / "group_vars").mkdir()
    settings = tmp_path / "group_vars/all.yml"
    for text in ("secrets_vault_password_file: /no/such/file", "secrets_backend: kv", "secrets_dir: [", ""):
        settings.write_text(text)
        preload(tmp_path, {}, DataLoader())
        assert not any(key[0].startswith(str(tmp_path)) for key in _vault_files._cache)
    preload(tmp_path, {}, loader)
    assert any(key[0] == str(directory / "etcd.yml") for key in _vault_files._cache)


SITE = """
plugin: holdfast.platform.site
name: lab
domain: lab.internal
zones: {a: {cidr: 10.77.1.0/24}, b: {cidr: 10.77.2.0/24}, c: {cidr: 10.77.3.0/24}}
pools:
  data:
    tier: data
    services: [etcd]
    hosts:
      - {name: data-a1, zone: a, address: 10.77.1.11}
      - {name: data-b1, zone: b, address: 10.77.2.11}
      - {name: data-c1, zone: c, address: 10.77.3.11}
"""
PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - holdfast.platform.secrets:
    - &read
      ansible.builtin.assert:
        that: lookup('holdfast.platform.secret', item) | length > 0
        quiet: true
      loop: [etcd/root, pki/root_certificate]
      no_log: true
    - *read
    - *read
"""


def test_a_run_asks_the_server_once_for_each_owner(tmp_path: Path) -> None:
    """Eight workers and tasks, and a token whose login counts as well: none of that costs a question more."""
    server = FakeKV(tmp_path)
    site = tmp_path / "site"
    (site / "group_vars").mkdir(parents=True)
    (site / "site.yml").write_text(SITE)
    where = {"url": server.url, "ca_file": str(server.ca_file)}
    (site / "group_vars/all.yml").write_text(json.dumps({"secrets_backend": "kv", "secrets_kv": where}))
    (tmp_path / "play.yml").write_text(PLAY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HOLDFAST_"))}
    environment |= {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"VAULT_ROLE_ID": server.role()["role_id"], "VAULT_SECRET_ID": server.role()["secret_id"]}
    program = [
        str(part) for part in (Path(sys.executable).with_name("ansible-playbook"), "-i", site, tmp_path / "play.yml")
    ]

    def run(*options: str) -> list[str]:
        server.requests.clear()
        done = subprocess.run(
            [*program, *options], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [request.removeprefix("secret/") for request in server.requests]

    try:
        assert not [request for request in run("--check") if request.startswith("POST secret")]
        assert server.entries == {}
        first = run()
        assert [line for line in first if line.startswith("POST secret")] == [
            "POST secret/data/holdfast/lab/base",
            "POST secret/data/holdfast/lab/etcd",
            "POST secret/data/holdfast/lab/pki",
        ]
        login, listing = "POST auth/approle/login", "LIST secret/metadata/holdfast/lab"
        reads = [f"GET secret/data/holdfast/lab/{owner}" for owner in ("base", "etcd", "pki")]
        assert run() == [login, listing, *reads]
        assert run("--check") == [login, listing, *reads]
        assert store(server, server.token(DATA)).owners() == ["base", "etcd", "pki"]
    finally:
        server.stop()
