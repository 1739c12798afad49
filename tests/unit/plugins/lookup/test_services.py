# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookups of the catalogue in a play of one host, with an ordinary inventory: names, clients, guarded packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Secret
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles

ROOT = Path(__file__).parents[4]

HOSTS = {
    f"db{number}": {"address": f"10.0.{number}.11", "zone": zone, "ansible_connection": "local"}
    for number, zone in enumerate("abc", 1)
}
APP = {"app1": {"address": "10.0.1.101", "zone": "a", "ansible_connection": "local"}}
ETCD: dict[str, Any] = {"etcd": {"hosts": HOSTS}}
BOTH = ETCD | {"postgresql": {"hosts": HOSTS}, "app": {"hosts": APP}}
TEMPLATES = {
    "names": "{{ lookup('holdfast.platform.names') }}",
    "one": "{{ query('holdfast.platform.names') | length }}",
    "clients": "{{ lookup('holdfast.platform.clients', 'etcd') }}",
    "no clients": "{{ lookup('holdfast.platform.clients', 'postgresql') }}",
    "guarded": "{{ lookup('holdfast.platform.guarded_packages') }}",
}
SECRETS = {
    "login": "{{ lookup('holdfast.platform.credentials', [entry | combine({'secret': 'postgresql/etcd'})]) }}",
    "rotating": "{{ lookup('holdfast.platform.rotating', 'postgresql', 'added') }}",
}
WRONG = {
    "a term": "{{ lookup('holdfast.platform.names', 'etcd') }}",
    "two terms": "{{ lookup('holdfast.platform.clients', 'etcd', 'base') }}",
    "no term": "{{ lookup('holdfast.platform.clients') }}",
    "unknown": "{{ lookup('holdfast.platform.clients', 'etdc') }}",
    "no secret": "{{ lookup('holdfast.platform.credentials', [{'path': '/etc/x'}]) }}",
    "no mapping": "{{ lookup('holdfast.platform.postgresql_roles', 'x') }}",
    "twice": "{{ lookup('holdfast.platform.postgresql_roles', {'x': {'secret': 'a/b', 'password': 'y'}}) }}",
    "no phase": "{{ lookup('holdfast.platform.rotating', 'postgresql', 'add') }}",
    "a package": "{{ lookup('holdfast.platform.guarded_packages', 'etcd') }}",
}


def secrets(directory: Path) -> None:
    """Write the secrets that the catalogue's clients have, as a run would."""
    loader = DataLoader()
    loader.set_vault_secrets([("default", VaultSecret(b"sesame"))])
    with VaultFiles(directory / "secrets", Passwords(loader)).transaction("postgresql") as held:
        held["etcd"] = Secret(current="right", created="2026-11-21T09:00:00Z")
    (directory / "password").write_text("sesame\n", encoding="utf-8")


def play(directory: Path, groups: dict[str, Any], limit: str, templates: dict[str, str]) -> dict[str, Any]:
    """Evaluate the templates on one host alone. Return the values, an error as its message."""
    inventory, book = directory / "hosts.yml", directory / "play.yml"
    settings = {
        "secrets_vault_password_file": str(directory / "password"),
        "entry": {"user": "x", "database": "d"},
    }
    inventory.write_text(yaml.safe_dump({"all": {"vars": settings, "children": groups}}), encoding="utf-8")
    tasks = [
        {"name": name, "ansible.builtin.debug": {"msg": template}, "ignore_errors": True}
        for name, template in templates.items()
    ]
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    environment = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    result = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, "--limit", limit, book],
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


MEMBERS = [{"name": "postgresql", "address": f"10.0.{number}.11"} for number in (1, 2, 3)]
CLIENT = {
    "name": "postgresql",
    "password": "right",
    "prefixes": ["/holdfast/postgresql/"],
    "forget": ["/holdfast/postgresql/*/sync", "/holdfast/postgresql/*/failover"],
}


def test_a_member_of_both(tmp_path: Path) -> None:
    secrets(tmp_path)
    values = play(tmp_path, BOTH, "db2", TEMPLATES | SECRETS | WRONG)
    assert {name: values[name] for name in TEMPLATES | SECRETS} == {
        "names": MEMBERS,
        "one": 1,
        "clients": [CLIENT],
        "no clients": [],
        "guarded": ["etcd-.*", "haproxy", "patroni", "pgbackrest", "pgbouncer", "postgresql-.*"],
        "login": [
            {
                "secret": "postgresql/etcd",
                "user": "x",
                "password": "right",
                "login": {
                    "kind": "postgresql",
                    "name": "postgresql.internal",
                    "hosts": ["10.0.1.11", "10.0.2.11", "10.0.3.11"],
                    "port": 5000,
                    "ca": "/etc/holdfast/ca.crt",
                    "database": "d",
                },
            }
        ],
        "rotating": [],
    }
    assert "credentials[0].secret: has to name a secret, <owner>/<name>" in values["no secret"]
    assert "give one mapping of roles" in values["no mapping"]
    assert "x: has a password and the secret a/b; give one of them" in values["twice"]
    assert "one of the phases prepared, added" in values["no phase"]
    assert "give no terms: the names are those of the whole site" in values["a term"]
    assert "give one service, not 2 terms" in values["two terms"]
    assert "give one service, not 0 terms" in values["no term"]
    assert "unknown service; did you mean 'etcd'?" in values["unknown"]
    assert "give no terms: the services are those of the current host" in values["a package"]


def test_an_empty_group_is_no_client(tmp_path: Path) -> None:
    values = play(tmp_path, ETCD | {"postgresql": {"hosts": {}}}, "db1", TEMPLATES)
    assert values == {"names": [], "one": 1, "clients": [], "no clients": [], "guarded": ["etcd-.*"]}


def test_a_host_without_these_services_and_a_site_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("sesame\n", encoding="utf-8")
    values = play(tmp_path, BOTH, "app1", TEMPLATES)
    assert (values["names"], values["guarded"]) == (MEMBERS, [])
    assert "postgresql/etcd: is not in " in values["clients"]
