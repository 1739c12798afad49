# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lookups read of an inventory, in Ansible's own inventory and variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.holdfast.platform.plugins.inventory.site import InventoryModule
from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._catalogue import Catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory, InventoryError

Open = Callable[..., Inventory]

BY_HAND = """
all:
  vars: {site_domain: north.example.org, site_admin: 192.0.2.7}
  hosts:
    db1: {ansible_host: 10.0.1.11, zone: a, tier: data}
    db2: {ansible_host: db2.example.org, address: "{{ '10.0.2.' ~ 11 }}", tier: data}
    10.0.3.9: {zone: "{{ 'c' }}", tier: app}
  children:
    etcd: {hosts: {db2: {}, db1: {}}}
    racks: {children: {b: {hosts: {db2: {}}, vars: {zone: b}}}}
"""

PLANNED = """
plugin: holdfast.platform.site
name: north
domain: north.example.org
admin: [192.0.2.0/24]
zones: {a: {cidr: 10.0.1.0/24}, b: {cidr: 10.0.2.0/24}, c: {cidr: 10.0.3.0/24}}
pools:
  data:
    tier: data
    services: [etcd]
    hosts:
      - {name: db1, zone: a, address: 10.0.1.11, vars: {ansible_host: 192.0.2.11}}
      - {name: db2, zone: b, address: 10.0.2.11}
      - {name: db3, zone: c, address: 10.0.3.11}
  app: {tier: app, hosts: [{name: app1, zone: c, address: 10.0.3.101}]}
ports: {etcd: {client: 10001}}
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Return the collection's own catalogue."""
    return _catalogue.load()


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Write an inventory, read it, and see it as one of its hosts does."""

    def read(text: str, host: str, file: str = "hosts.yml") -> Inventory:
        path, loader = tmp_path / file, DataLoader()
        path.write_text(text, encoding="utf-8")
        manager = InventoryManager(loader=loader, sources=[str(path)], parse=False)
        reader = InventoryModule() if file == "site.yml" else inventory_loader.get("yaml")
        reader.parse(manager._inventory, loader, str(path))
        manager._inventory.reconcile_inventory()
        variables = VariableManager(loader=loader, inventory=manager)
        HostVars(inventory=manager, variable_manager=variables, loader=loader)
        seen: dict[str, Any] = variables.get_vars(host=manager.get_host(host))
        return Inventory(seen, Templar(loader=loader, variables=seen))

    return read


def test_by_hand(opened: Open, catalogue: Catalogue) -> None:
    inventory = opened(BY_HAND, "db1")
    db1 = {"name": "db1", "address": "10.0.1.11", "zone": "a", "fqdn": "db1.north.example.org"}
    db2 = {"name": "db2", "address": "10.0.2.11", "zone": "b", "fqdn": "db2.north.example.org"}
    other = {"name": "10.0.3.9", "address": "10.0.3.9", "zone": "c", "fqdn": "10.0.3.9.north.example.org"}
    assert inventory.hosts("etcd", catalogue) == [db1, db2]
    assert inventory.hosts("racks", catalogue) == [db2]
    assert inventory.hosts("site", catalogue) == [other, db1, db2]
    assert inventory.hosts("base", catalogue) == [other, db1, db2]
    assert inventory.hosts("postgresql", catalogue) == []
    assert sorted(inventory.everyone()) == ["10.0.1.11", "10.0.2.11", "10.0.3.9"]
    assert list(inventory.members("etcd")) == ["10.0.2.11", "10.0.1.11"]
    assert list(inventory.members("postgresql")) == []
    assert sorted(inventory.tier("data")) == ["10.0.1.11", "10.0.2.11"]
    assert list(inventory.tier("edge")) == []
    assert inventory.admin() == ["192.0.2.7"]
    assert inventory.overrides() == {}
    assert inventory.groups_of_host() == ["etcd"]


def test_planned(opened: Open, catalogue: Catalogue) -> None:
    inventory = opened(PLANNED, "db1", "site.yml")
    assert inventory.hosts("etcd", catalogue) == [
        {"name": "db1", "address": "10.0.1.11", "zone": "a", "fqdn": "db1.north.example.org"},
        {"name": "db2", "address": "10.0.2.11", "zone": "b", "fqdn": "db2.north.example.org"},
        {"name": "db3", "address": "10.0.3.11", "zone": "c", "fqdn": "db3.north.example.org"},
    ]
    assert [host["name"] for host in inventory.hosts("site", catalogue)] == ["app1", "db1", "db2", "db3"]
    assert list(inventory.tier("app")) == ["10.0.3.101"]
    assert list(inventory.tier("edge")) == []
    assert inventory.admin() == ["192.0.2.0/24"]
    assert inventory.overrides() == {"etcd": {"client": 10001}}
    assert sorted(inventory.groups_of_host()) == ["base", "credentials", "etcd", "pool_data", "tier_data", "zone_a"]


def test_no_domain(opened: Open, catalogue: Catalogue) -> None:
    inventory = opened("all: {hosts: {db1: {address: 10.0.0.1, zone: a}}}", "db1")
    assert inventory.hosts("all", catalogue) == [{"name": "db1", "address": "10.0.0.1", "zone": "a", "fqdn": "db1"}]
    assert inventory.admin() == []


@pytest.mark.parametrize(
    ("text", "ask", "message"),
    [
        ("all: {hosts: {db1: {address: 10.0.0.1}}}", "all", "hosts.db1.zone: missing; set the variable `zone` of db1"),
        (
            "all: {hosts: {db1: {zone: a}}}",
            "all",
            'hosts.db1.address ("db1"): a host needs an address; set the variable',
        ),
        (
            "all: {hosts: {db1: {ansible_host: db1.x, zone: a}}}",
            "all",
            'hosts.db1.address ("db1.x"): a host needs an address',
        ),
        ("all: {hosts: {db1: {}}, children: {etcd: {}}}", "etdc", "no such group or service; did you mean 'etcd'?"),
    ],
)
def test_what_is_missing(opened: Open, catalogue: Catalogue, text: str, ask: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        opened(text, "db1").hosts(ask, catalogue)
    assert message in str(caught.value)


@pytest.mark.parametrize("admin", ["nobody", "10.0.0.1/24", "300.1.1.1"])
def test_admin_that_is_no_network(opened: Open, admin: str) -> None:
    with pytest.raises(InventoryError, match="neither an address nor a network"):
        opened(f"all: {{hosts: {{db1: {{}}}}, vars: {{site_admin: ['{admin}']}}}}", "db1").admin()
