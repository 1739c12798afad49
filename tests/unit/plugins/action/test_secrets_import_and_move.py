# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.kv import DATA, store
from tests.kv.fake import FakeKV

CHECKOUT = Path(__file__).parents[4]
SITE = {
    "plugin": "holdfast.platform.site",
    "name": "lab",
    "domain": "lab.internal",
    "zones": {zone: {"cidr": f"10.77.{number}.0/24"} for number, zone in enumerate("abc", start=1)},
    "pools": {
        "data": {
            "tier": "data",
            "services": ["etcd"],
            "hosts": [
                {"name": f"data-{zone}1", "zone": zone, "address": f"10.77.{number}.11"}
                for number, zone in enumerate("abc", start=1)
            ],
        }
    },
}


@dataclass(frozen=True)
class Site:
    """A site of three hosts whose secrets can be in files or on a server."""

    directory: Path
    server: FakeKV

    def play(self, name: str, *options: str, fails: bool = False, **variables: object) -> str:
        """Run a playbook of the checkout; what it printed."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HOLDFAST_"))}
        ours |= {
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_VAULT_PASSWORD_FILE": str(self.directory.parent / "password"),
            "VAULT_TOKEN": self.server.token(DATA),
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = [program, "-i", str(self.directory), f"playbooks/{name}.yml", "-e", json.dumps(variables), *options]
        done = subprocess.run(argv, cwd=CHECKOUT, env=ours, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        assert "hunter" not in said
        return said

    def write(self, **values: Mapping[str, str]) -> Path:
        file = self.directory.parent / "old.yml"
        file.write_text(yaml.safe_dump(values))
        file.chmod(0o600)
        return file


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = FakeKV(tmp_path)
    directory = tmp_path / "site"
    (directory / "group_vars").mkdir(parents=True)
    (directory / "site.yml").write_text(json.dumps(SITE))
    kv = {"url": server.url, "ca_file": str(server.ca_file)}
    declared = {"shop": {"app": {"rotation": "alternate"}}}
    (directory / "group_vars/all.yml").write_text(json.dumps({"secrets_kv": kv, "site_secrets": declared}))
    (tmp_path / "password").write_text("sesame\n")
    yield Site(directory, server)
    server.stop()


def test_import_and_move(site: Site) -> None:
    file = site.write(etcd={"root": "hunter2"}, shop={"app": "hunter3"})
    given = {"secrets_import_file": str(file)}
    said = site.play("secrets_import", "--check", **given)
    assert "'created': ['etcd/root', 'shop/app'], 'replaced': [], 'unchanged': []" in said
    assert not (site.directory / "secrets").exists()
    site.play("secrets_import", **given)
    assert "shop/app alternate 0 d" in site.play("secrets")
    # A second value is named and refused, all of it; then replaced.
    file = site.write(etcd={"root": "hunter2"}, shop={"app": "hunter4"})
    assert "shop/app: there already, with another value" in site.play("secrets_import", fails=True, **given)
    site.play("secrets_import", **given, secrets_import_replace=True)
    site.write(etcd={"rot": "hunter5"})
    assert "etcd/rot: no secret of this site. Known are base/" in site.play("secrets_import", fails=True, **given)
    # To the server: seen in check mode, copied, proved, and used.
    site.play("secrets_move", "--check", secrets_move_to="kv")
    assert site.server.entries == {}
    said = site.play("secrets_move", secrets_move_to="kv", secrets_move_remove=True)
    assert "Set secrets_backend: kv. Until then, runs go on using 'files'" in said
    assert list((site.directory / "secrets").glob("*.yml")) == []
    held = store(site.server)
    assert held.read("etcd")["root"].current == "hunter2"
    assert held.read("shop")["app"].current == "hunter4"
    assert "shop/app" in site.play("secrets", secrets_backend="kv")
    # And back.
    site.play("secrets_move", secrets_move_to="files", secrets_backend="kv")
    assert sorted(path.name for path in (site.directory / "secrets").glob("*.yml")) == ["etcd.yml", "shop.yml"]
    assert "Set secrets_backend" in site.play("secrets_move", secrets_move_to="files", secrets_backend="kv")


def test_an_import_of_a_ca_has_to_fit_together(site: Site) -> None:
    file = site.write(pki={"root_certificate": "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"})
    said = site.play("secrets_import", secrets_import_file=str(file), fails=True)
    assert "pki/root_key" in said
    assert not (site.directory / "secrets").exists()
