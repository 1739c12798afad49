# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookups of the site model in a play of one host: from a site file and from an ordinary inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
Play = Callable[[str, dict[str, str]], dict[str, Any]]

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
      - {name: db1, zone: a, address: 10.0.1.11}
      - {name: db2, zone: b, address: 10.0.2.11}
      - {name: db3, zone: c, address: 10.0.3.11}
ports: {etcd: {client: 10001}}
"""

BY_HAND = """
all:
  vars: {site_domain: north.example.org, site_admin: [192.0.2.0/24], site_ports: {etcd: {client: 10001}}}
  children:
    etcd:
      hosts:
        db1: {ansible_host: 10.0.1.11, zone: a}
        db2: {ansible_host: elsewhere, address: "{{ '10.0.2.11' }}", zone: b}
        db3: {address: 10.0.3.11, zone: c}
"""


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Evaluate templates, {name: template}, on db2 alone. Return the values, an error as its message."""

    def run(inventory: str, templates: dict[str, str]) -> dict[str, Any]:
        source = tmp_path / ("site.yml" if "plugin:" in inventory else "hosts.yml")
        source.write_text(inventory, encoding="utf-8")
        tasks = [
            {"name": name, "ansible.builtin.debug": {"msg": template}, "ignore_errors": True}
            for name, template in templates.items()
        ]
        book = tmp_path / "play.yml"
        book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
        environment = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }
        result = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", source, "--limit", "db2", book],
            env=os.environ | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        values: dict[str, Any] = {}
        for name, block in zip(templates, result.stdout.split("TASK [")[1:], strict=True):
            start, stop = block.index("{"), block.rindex("}") + 1
            values[name] = json.loads(block[start:stop])["msg"]
        return values

    return run


ETCD = [
    {"name": f"db{number}", "address": f"10.0.{number}.11", "zone": zone, "fqdn": f"db{number}.north.example.org"}
    for number, zone in enumerate("abc", 1)
]
MEMBERS = ["10.0.1.11", "10.0.2.11", "10.0.3.11"]


@pytest.mark.parametrize("inventory", [pytest.param(PLANNED, id="site file"), pytest.param(BY_HAND, id="by hand")])
def test_lookups(play: Play, inventory: str) -> None:
    values = play(
        inventory,
        {
            "port": "{{ lookup('holdfast.platform.port', 'etcd', 'client') }}",
            "number": "{{ lookup('holdfast.platform.port', 'etcd', 'client') is integer }}",
            "hosts": "{{ lookup('holdfast.platform.hosts', 'etcd') }}",
            "none": "{{ lookup('holdfast.platform.hosts', 'postgresql') }}",
            "one": "{{ query('holdfast.platform.hosts', 'etcd') | length }}",
            "flows": "{{ lookup('holdfast.platform.flows') }}",
            "sources": "{{ lookup('holdfast.platform.sources', 'etcd', 'peer') }}",
            "nobody": "{{ lookup('holdfast.platform.sources', 'postgresql', 'server') }}",
            "no port": "{{ lookup('holdfast.platform.port', 'etcd', 'clint') }}",
            "no group": "{{ lookup('holdfast.platform.hosts', 'etdc') }}",
            "no term": "{{ lookup('holdfast.platform.port', 'etcd') }}",
            "a term": "{{ lookup('holdfast.platform.flows', 'etcd') }}",
        },
    )
    assert (values["port"], values["number"]) == (10001, True)
    assert values["hosts"] == ETCD
    assert values["none"] == []
    assert values["one"] == 1
    flow = {"service": "etcd", "protocol": "tcp", "sources": MEMBERS}
    assert values["flows"] == [
        {"service": "base", "port_name": "ssh", "port": 22, "protocol": "tcp", "sources": ["192.0.2.0/24"]},
        flow | {"port_name": "client", "port": 10001},
        flow | {"port_name": "peer", "port": 2380},
    ]
    assert values["sources"] == MEMBERS
    assert values["nobody"] == []
    assert "unknown port; did you mean 'client'? known: client, peer" in values["no port"]
    assert "no such group or service; did you mean 'etcd'?" in values["no group"]
    assert "give a service and the name of one of its ports, not 1 terms" in values["no term"]
    assert "takes no terms" in values["a term"]
