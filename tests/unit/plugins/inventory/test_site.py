# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site plugin as Ansible runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[4]
Listed = Callable[..., subprocess.CompletedProcess[str]]

SITE = """
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
      - {name: db1, zone: a, address: 10.0.1.11, vars: {ansible_host: 192.0.2.11, motto: "{{ site_name }} {{ zone }}"}}
      - {name: db2, zone: b, address: 10.0.2.11}
      - {name: db3, zone: c, address: 10.0.3.11}
    vars: {motto: shared}
ports: {etcd: {client: 10001}}
"""


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    """Run `ansible-inventory --list` on the inventory in tmp_path/site, below further variables of the environment."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        home = {"HOLDFAST_LAB_HOME": str(tmp_path / "labs"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return subprocess.run(
            [Path(sys.executable).parent / "ansible-inventory", "-i", tmp_path / "site", "--list"],
            env=os.environ | home | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    (tmp_path / "site").mkdir()
    return run


def test_listing(listed: Listed, tmp_path: Path) -> None:
    (tmp_path / "site" / "site.yml").write_text(SITE, encoding="utf-8")
    run = listed()
    assert run.returncode == 0, run.stderr
    inventory: dict[str, Any] = json.loads(run.stdout)
    variables = inventory["_meta"]["hostvars"]
    shared = {
        "site_name": "north",
        "site_domain": "north.example.org",
        "site_admin": ["192.0.2.0/24"],
        "site_zones": {"a": "10.0.1.0/24", "b": "10.0.2.0/24", "c": "10.0.3.0/24"},
        "site_ports": {"etcd": {"client": 10001}},
        "ansible_local": {},
    }
    place = {"pool": "data", "tier": "data"}
    db1 = {"address": "10.0.1.11", "ansible_host": "192.0.2.11", "zone": "a", "motto": "{{ site_name }} {{ zone }}"}
    db2 = {"address": "10.0.2.11", "ansible_host": "10.0.2.11", "zone": "b", "motto": "shared"}
    assert shared | place | db1 == shared | variables["db1"]
    assert shared | place | db2 == shared | variables["db2"]
    assert {name: inventory[name]["children"] for name in ("base", "etcd", "tier_data")} == {
        "base": ["pool_data"],
        "etcd": ["pool_data"],
        "tier_data": ["pool_data"],
    }
    assert inventory["pool_data"]["hosts"] == ["db1", "db2", "db3"]
    assert inventory["zone_c"]["hosts"] == ["db3"]


def test_a_wrong_file_ends_the_run_with_every_problem(listed: Listed, tmp_path: Path) -> None:
    site = tmp_path / "site" / "site.yml"
    site.write_text(SITE.replace("[etcd]", "[etdc]").replace("10.0.3.11", "10.0.2.11"), encoding="utf-8")
    run = listed()
    assert run.returncode == 1
    assert "3 problems in the site model" in run.stderr
    assert f"{site}: pools.data.services[0] (\"etdc\"): unknown service; did you mean 'etcd'?" in run.stderr
    assert "10.0.2.11" in run.stderr


LAB: dict[str, Any] = yaml.safe_load(SITE) | {
    "lab": True,
    "network": "10.0.0.0/16",
    "pools": {"data": {"tier": "data", "generate": {"zones": ["a", "b"], "per_zone": 1, "first": 11}}},
}


@pytest.mark.parametrize(
    ("lab", "network", "addresses", "user"),
    [
        ("holdfast", None, ["10.0.1.11", "10.0.2.11"], "deploy"),
        ("second", "10.99.0.0/16", ["10.99.1.11", "10.99.2.11"], "deploy"),
    ],
)
def test_a_lab_moves_to_the_network_that_it_runs_on(
    listed: Listed, tmp_path: Path, *, lab: str, network: str | None, addresses: list[str], user: str
) -> None:
    (tmp_path / "site" / "site.yml").write_text(yaml.safe_dump(LAB), encoding="utf-8")
    state = tmp_path / "labs" / lab
    if network:
        state.mkdir(parents=True)
        (state / "lab.json").write_text(json.dumps({"name": lab, "network": network}), encoding="utf-8")
    run = listed(HOLDFAST_LAB=lab)
    assert run.returncode == 0, run.stderr
    variables = json.loads(run.stdout)["_meta"]["hostvars"]
    assert [variables[name]["ansible_host"] for name in ("data-a1", "data-b1")] == addresses
    assert variables["data-a1"]["site_network"] == network or "10.0.0.0/16"
    assert variables["data-a1"]["ansible_user"] == user
    assert variables["data-a1"]["ansible_ssh_private_key_file"] == str(state / "id_ed25519")
    assert variables["data-a1"]["lab_name"] == lab


def test_a_lab_of_another_size_is_refused(listed: Listed, tmp_path: Path) -> None:
    (tmp_path / "site" / "site.yml").write_text(yaml.safe_dump(LAB), encoding="utf-8")
    (tmp_path / "labs" / "holdfast").mkdir(parents=True)
    (tmp_path / "labs" / "holdfast" / "lab.json").write_text('{"network": "10.99.0.0/24"}', encoding="utf-8")
    run = listed(HOLDFAST_LAB="holdfast")
    assert run.returncode == 1
    assert "not a network of the size of the site's (10.0.0.0/16)" in run.stderr


@pytest.mark.parametrize("name", ["lab", "example"])
def test_the_inventories_of_the_checkout(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "ansible-inventory", "-i", ROOT / "inventories" / name, "--list"],
        env=os.environ | {"HOLDFAST_LAB_HOME": str(tmp_path), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    inventory = json.loads(run.stdout)
    assert inventory["etcd"]["children"] == ["pool_data"]
    assert len(inventory["pool_data"]["hosts"]) == 3
    zones = {inventory["_meta"]["hostvars"][host]["zone"] for host in inventory["pool_data"]["hosts"]}
    assert zones == {"a", "b", "c"}
