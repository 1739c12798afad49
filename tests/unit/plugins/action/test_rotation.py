# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action that keeps the journal, and the lookups that follow it, in runs of Ansible that end in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret

from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import Policy, Secret
from ansible_collections.holdfast.platform.plugins.plugin_utils._site_ca import fill_authority
from ansible_collections.holdfast.platform.plugins.plugin_utils._vault_files import Passwords, VaultFiles

ROOT = Path(__file__).parents[4]
ROLES: dict[str, Any] = {
    "app": {
        "secret": "shop/app",
        "connection_limit": 7,
        "member_of": ["owners"],
        "settings": {"statement_timeout": "1s"},
    },
    "reader": {"password": "plain"},
}
LOOKUPS = {
    "accounts": "{{ lookup('holdfast.platform.postgresql_roles', roles) }}",
    "leaving": "{{ lookup('holdfast.platform.postgresql_roles', roles, drained=true) }}",
    "used": "{{ lookup('holdfast.platform.credentials', given) }}",
    "tried": "{{ lookup('holdfast.platform.credentials', given, phase='verified', version='next') }}",
    "own": "{{ lookup('holdfast.platform.postgresql_roles', {'pool': {'secret': 'shop/app', 'own': true}}) }}",
    "user": "{{ lookup('holdfast.platform.user', 'shop/app', 'pool') }}",
    "users": "{{ lookup('holdfast.platform.user', 'shop/app', 'pool', all=true) }}",
    "others": "{{ query('holdfast.platform.secret', 'shop/app', version='others') }}",
    "rotating": "{{ lookup('holdfast.platform.rotating', 'shop', 'added') }}",
    "refused": "{{ lookup('holdfast.platform.credentials', given, phase='retired', version='retired') }}",
}


class Site:
    """An inventory of one host without connection, with one secret that alternates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "password").write_text("sesame\n", encoding="utf-8")
        settings = {
            "secrets_vault_password_file": str(directory / "password"),
            "site_secrets": {"shop": {"app": {"rotation": "alternate"}, "salt": {"rotation": "none"}}},
            "roles": ROLES,
            "given": [{"secret": "shop/app"}],
        }
        hosts = {"db1": {"ansible_connection": "local"}}
        (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": settings, "hosts": hosts}}))
        with self.store.transaction("shop") as held:
            held["app"] = Secret("old-password", "2026-01-01T00:00:00Z", policy=Policy(rotation="alternate"))
            held["salt"] = Secret("salt", "2026-01-01T00:00:00Z", policy=Policy(rotation="none"))

    @property
    def store(self) -> VaultFiles:
        loader = DataLoader()
        loader.set_vault_secrets([("default", VaultSecret(b"sesame"))])
        return VaultFiles(self.directory / "secrets", Passwords(loader))

    @property
    def secret(self) -> Secret:
        return self.store.read("shop")["app"]

    def run(self, *steps: dict[str, Any], check: bool = False) -> tuple[list[dict[str, Any]], str]:
        """Carry out the steps in one run, and look things up after each. Return what was found, and all output."""
        out = self.directory / "out"
        out.unlink(missing_ok=True)
        tasks: list[dict[str, Any]] = []
        for step in steps:
            tasks += [
                {"holdfast.platform.rotation": step, "register": "result"},
                {
                    "ansible.builtin.shell": f"cat >> {out}",
                    "args": {"stdin": "{{ found | to_json }}"},
                    "vars": {"found": {**LOOKUPS, "result": "{{ result }}"}},
                    "check_mode": False,
                    "no_log": True,
                },
            ]
        book = self.directory / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
        argv = [sys.executable, "-m", "ansible", "playbook", "-vvv", "--diff", "-i", str(self.directory / "hosts.yml")]
        done = subprocess.run(  # noqa: S603 - our own
            [*argv, *(["--check"] if check else []), str(book)],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "default"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        found = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        return found, done.stdout + done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def phase(name: str) -> tuple[dict[str, str], dict[str, str]]:
    return {"state": "entered", "phase": name}, {"state": "finished", "phase": name}


BEGIN = {"state": "begun", "secrets": ["shop/app"]}


def test_a_rotation_from_its_start_to_its_end(site: Site) -> None:
    steps = [step for name in ("added", "verified", "switched", "drained", "retired") for step in phase(name)]
    found, output = site.run(BEGIN, *steps, {"state": "closed"})
    new = site.secret.current
    assert site.secret == Secret(new, site.secret.created, policy=Policy(rotation="alternate"), slot="b")
    assert len(found) == 12, output
    names = [
        "begun",
        *(
            f"{state} {name}"
            for name in ("added", "verified", "switched", "drained", "retired")
            for state in ("entered", "finished")
        ),
    ]
    by_step = dict(zip([*names, "closed"], found, strict=True))

    def logins(step: str) -> dict[str, Any]:
        accounts = by_step[step]["accounts"]
        assert accounts["reader"] == {"password": "plain"}
        assert accounts["app"] == {"member_of": ["owners"], "login": False}
        for name in ("app_a", "app_b"):
            assert accounts[name]["connection_limit"] == 7
            assert accounts[name]["member_of"] == ["app"]
            assert accounts[name]["settings"] == {"role": "app", "statement_timeout": "1s"}
        return {name: accounts[name].get("password") for name in accounts if accounts[name].get("login")}

    for step in names[:9]:
        assert logins(step) == {"app_a": "old-password", "app_b": new}, step
    assert logins("entered retired") == logins("closed") == {"app_b": new}
    one, other = by_step["finished added"], by_step["entered retired"]
    assert one["own"] == {
        "pool": {"password": "old-password", "login": True},
        "pool_b": {"password": new, "login": True, "member_of": ["pool"]},
    }
    assert {name: entry["login"] for name, entry in other["own"].items()} == {"pool": False, "pool_b": True}
    assert (one["user"], other["user"], by_step["closed"]["user"]) == ("pool", "pool_b", "pool_b")
    assert one["users"] == [{"name": "pool", "password": "old-password"}, {"name": "pool_b", "password": new}]
    assert other["users"] == [{"name": "pool", "former": "old-password"}, {"name": "pool_b", "password": new}]
    assert by_step["closed"]["users"] == [{"name": "pool"}, {"name": "pool_b", "password": new}]
    assert (one["others"], other["others"], by_step["closed"]["others"]) == ([new], ["old-password"], [])
    assert [step for step in by_step if by_step[step]["rotating"]] == ["begun", "entered added"]
    for step in by_step:
        before = step in names[:5]
        assert by_step[step]["used"][0]["user"] == ("app_a" if before else "app_b"), step
        assert by_step[step]["used"][0]["password"] == ("old-password" if before else new), step
        assert bool(by_step[step]["tried"]) == (step in ("finished added", "entered verified")), step
        assert by_step[step]["leaving"] == (["app_a"] if step in ("finished switched", "entered drained") else []), step
        assert bool(by_step[step]["refused"]) == (step == "entered retired"), step
    assert by_step["entered verified"]["tried"][0]["user"] == "app_b"
    assert by_step["entered retired"]["refused"][0] == {
        "secret": "shop/app",
        "user": "app_a",
        "password": "old-password",
    }
    assert by_step["closed"]["result"]["rotations"][0]["secret"] == "shop/app"
    for value in ("old-password", new):
        assert value not in output


def test_a_run_that_died_is_followed_and_the_new_one_goes_on(site: Site) -> None:
    site.run(BEGIN, *phase("added"), phase("verified")[0])
    begun = site.secret
    found, output = site.run(BEGIN, *phase("verified"), phase("switched")[0])
    assert len(found) == 4, output
    assert site.secret.current == begun.next
    assert found[0]["result"]["rotations"][0]["next_phase"] == "verified"
    assert site.secret.journal is not None
    assert begun.journal is not None
    assert site.secret.journal.id == begun.journal.id


def test_a_second_controller_is_refused(site: Site) -> None:
    site.run(BEGIN)
    with site.store.transaction("shop") as held:
        journal = held["app"].journal
        assert journal is not None
        held["app"] = replace(
            held["app"], journal=replace(journal, controller="bob@desk, process 1", until="2126-01-01T00:00:00Z")
        )
    before = site.secret
    found, output = site.run(BEGIN)
    assert not found
    assert "shop/app: bob@desk, process 1 is at work on its rotation, phase after 'prepared'" in output
    assert site.secret == before
    found, _ = site.run({**BEGIN, "take_over": True})
    assert found[0]["result"]["changed"]


def test_going_back(site: Site) -> None:
    before = site.secret
    site.run(BEGIN, *(step for name in ("added", "verified", "switched") for step in phase(name)))
    assert site.secret.current != "old-password"
    steps = [step for name in ("switched", "drained", "retired") for step in phase(name)]
    found, output = site.run({"state": "aborted", "secrets": ["shop/app"]}, *steps, {"state": "closed"})
    assert site.secret == before, output
    assert [step["leaving"] for step in found[2:5]] == [["app_b"], ["app_b"], []]


def test_check_mode_writes_nothing_and_refuses_what_can_not_be(site: Site) -> None:
    before = site.secret
    found, output = site.run(BEGIN, phase("added")[0], check=True)
    assert found[0]["result"]["changed"], output
    assert site.secret == before
    found, output = site.run({"state": "begun", "secrets": ["shop/salt"]}, check=True)
    assert not found
    assert "shop/salt: is never rotated (rotation: none); what can be rotated: shop/app" in output


def test_the_list(site: Site) -> None:
    found, _ = site.run(BEGIN, {"state": "listed"})
    result = found[1]["result"]
    assert [line["secret"] for line in result["rotations"]] == ["shop/app", "shop/salt"]
    assert result["table"][0].split() == ["secret", "kind", "age", "next", "rotation", "under", "way"]
    assert "'prepared' done, 'added' next" in result["table"][1]
    assert "old-password" not in json.dumps(result)


def test_the_parts_of_the_ca_change_together(site: Site) -> None:
    with site.store.transaction("pki") as held:
        fill_authority(held, "lab", datetime.now(UTC))
    before = dict(site.store.read("pki"))
    begin = {"state": "begun", "secrets": ["pki/ca"]}
    assert site.run(begin, check=True)[0][0]["result"]["changed"]
    assert site.store.read("pki") == before
    found, output = site.run({"state": "begun", "secrets": ["pki/root_key"]})
    assert not found
    assert "pki/root_key: is a part of the CA; name pki/ca or pki/intermediate to rotate it" in output
    site.run(begin, *phase("added"))
    begun = dict(site.store.read("pki"))
    site.run(begin, {"state": "begun", "due": True}, *phase("verified"), phase("switched")[0])
    after = site.store.read("pki")
    assert {name: secret.current for name, secret in after.items()} == {n: s.next for n, s in begun.items()}
    assert {name: secret.previous for name, secret in after.items()} == {n: s.current for n, s in before.items()}
    found, output = site.run({"state": "begun", "secrets": ["pki/intermediate"]})
    assert not found
    assert "pki/intermediate: a rotation of pki/root_certificate, " in output
    steps = [step for name in ("switched", "drained", "retired") for step in phase(name)]
    found, output = site.run({"state": "aborted", "secrets": ["pki/ca"]}, *steps, {"state": "closed"})
    assert site.store.read("pki") == before, output
    for secret in (*before.values(), *after.values()):
        assert secret.current not in output
