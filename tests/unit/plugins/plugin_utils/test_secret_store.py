# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import (
    declared_certificates,
    declared_policies,
    open_store,
    read_value,
)
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Policy, Secret, SecretsError


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
    assert declared["etcd"]["root"] == Policy()
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
