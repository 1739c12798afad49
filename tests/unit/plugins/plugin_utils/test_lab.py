# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lab is meant, and what its hosts are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.platform.plugins.plugin_utils import _lab
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


@pytest.mark.parametrize(
    ("environment", "name", "directory"),
    [
        ({}, "holdfast", _lab.CHECKOUT / ".lab" / "holdfast"),
        ({"HOLDFAST_LAB": ""}, "holdfast", _lab.CHECKOUT / ".lab" / "holdfast"),
        ({"HOLDFAST_LAB": "second"}, "second", _lab.CHECKOUT / ".lab" / "second"),
        ({"HOLDFAST_LAB": "x", "HOLDFAST_LAB_HOME": "/nowhere/labs"}, "x", Path("/nowhere/labs/x")),
    ],
)
def test_find(environment: dict[str, str], name: str, directory: Path) -> None:
    lab = _lab.find(environment)
    assert (lab.name, lab.directory) == (name, directory)


@pytest.mark.parametrize("name", ["../other", "A", "-x", "a b", "a/b"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(InvalidError, match="HOLDFAST_LAB"):
        _lab.find({"HOLDFAST_LAB": name})


@pytest.mark.parametrize(
    ("state", "proxy"),
    [
        (None, None),
        ({"network": "10.78.0.0/16"}, None),
        ({"network": "10.78.0.0/16", "packages_proxy": None}, None),
        ({"network": "10.78.0.0/16", "packages_proxy": "http://192.0.2.1:3142"}, "http://192.0.2.1:3142"),
    ],
)
def test_variables(tmp_path: Path, state: dict[str, Any] | None, proxy: str | None) -> None:
    home = tmp_path / "a lab's home"
    (home / "two").mkdir(parents=True)
    if state is not None:
        (home / "two" / "lab.json").write_text(json.dumps(state), encoding="utf-8")
    lab = _lab.find({"HOLDFAST_LAB": "two", "HOLDFAST_LAB_HOME": str(home)})
    assert lab.state == (state or {})
    variables = lab.variables()
    assert variables.pop("lab_packages_proxy", None) == proxy
    assert variables == {
        "lab_name": "two",
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": f"{home}/two/id_ed25519",
        "ansible_ssh_extra_args": f"-o UserKnownHostsFile='{tmp_path}/a lab'\"'\"'s home/two/known_hosts'"
        " -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
        "secrets_dir": f"{home}/two/secrets",
        "secrets_vault_password_file": f"{home}/two/vault-password",
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '"lab"'])
def test_a_state_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "holdfast").mkdir()
    (tmp_path / "holdfast" / "lab.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidError, match="start the lab again"):
        _lab.find({"HOLDFAST_LAB_HOME": str(tmp_path)})
