# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive that Galaxy would distribute: what is in it, and that it runs on its own in an empty directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.conftest import PROGRAMS, ROOT, RunningLab

PLAY = """---
- name: Use the installed collection
  hosts: data-a1
  gather_facts: false
  tasks:
    - name: Have a program that is there
      holdfast.platform.packages:
        names: [bash]
      register: packages
    - name: Find the module and the lookup
      ansible.builtin.assert:
        that:
          - packages is not changed
          - lookup('holdfast.platform.port', 'etcd', 'client') == 2379
          - address is defined
"""
NEVER = (".ansible", ".cache", ".ci", ".config", ".git", ".lab", ".venv", "collections", "molecule", "tests")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("archive")
    galaxy("build", "--output-path", str(directory), str(ROOT), cwd=directory)
    return next(directory.glob("holdfast-platform-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with the archive installed below collections/, as a user without a network would."""
    directory = tmp_path_factory.mktemp("installed")
    galaxy("install", "--offline", "--no-deps", "--collections-path", "collections", str(archive), cwd=directory)
    return directory


def galaxy(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        [PROGRAMS / "ansible-galaxy", "collection", *arguments],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environment(directory: Path) -> dict[str, str]:
    """An environment without settings: neither the caller's nor, by its ansible.cfg, this checkout's."""
    (directory / "ansible.cfg").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HOLDFAST_"))}
    return kept | {"ANSIBLE_CONFIG": str(directory / "ansible.cfg")}


def test_the_archive_holds_what_users_run_and_nothing_else(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    assert not [member.name for member in members if not member.isfile() and not member.isdir()]
    assert not [name for name in names if name.split("/")[0] in NEVER or "/secrets/" in name]
    services = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/service.yml")}
    wanted = {f"roles/{service}/meta/service.yml" for service in services} | {
        "LICENSE",
        "README.md",
        "meta/runtime.yml",
        "playbooks/site.yml",
        "plugins/plugin_utils/schemas/service.json",
        "plugins/modules/bundle.py",
    }
    assert wanted <= names, f"missing: {sorted(wanted - names)}"


def test_it_runs_from_an_empty_directory(installed: Path, lab: RunningLab) -> None:
    (installed / "play.yml").write_text(PLAY, encoding="utf-8")
    (installed / "inventory").mkdir()
    shutil.copy(lab.inventory / "site.yml", installed / "inventory")
    done = subprocess.run(
        [PROGRAMS / "ansible-playbook", "-vvv", "-i", "inventory/site.yml", "play.yml"],
        cwd=installed,
        env=environment(installed)
        | {
            "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections"),
            "ANSIBLE_INVENTORY_ENABLED": "holdfast.platform.site",
            "ANSIBLE_STDOUT_CALLBACK": "holdfast.platform.progress",
            "HOLDFAST_LAB": lab.name,
            "HOLDFAST_LAB_HOME": str(lab.home),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    out = done.stdout + done.stderr
    assert done.returncode == 0, out
    plugins = installed / "collections/ansible_collections/holdfast/platform/plugins"
    assert f"Using module file {plugins}/modules/packages.py" in out
    assert str(ROOT / "plugins") not in out
    assert str(ROOT / "collections") not in out
    assert "round trips" in out
