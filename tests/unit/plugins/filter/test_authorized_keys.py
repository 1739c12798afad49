# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key files of administrators."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.filter.authorized_keys import FilterModule, authorized_keys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1"


@pytest.mark.parametrize(
    ("users", "files"),
    [
        ({}, {}),
        ({"ada": {"keys": [KEY]}}, {"/keys/ada": {"content": f"{KEY}\n", "mode": "0644"}}),
        (
            {"ada": {"keys": [KEY, f"{KEY} ada@home"], "sudo": True}, "_bob-2": {"keys": [KEY]}},
            {
                "/keys/ada": {"content": f"{KEY}\n{KEY} ada@home\n", "mode": "0644"},
                "/keys/_bob-2": {"content": f"{KEY}\n", "mode": "0644"},
            },
        ),
    ],
)
def test_authorized_keys(users: dict[str, Any], files: dict[str, Any]) -> None:
    assert authorized_keys(users, "/keys") == files


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"{KEY} ada",
        f"{KEY}\tada at home",
        "ssh-rsa AAAAB3NzaC1yc2E+/AA==",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNh=",
        "ecdsa-sha2-nistp521 AAAAE2VjZHNh",
        "sk-ssh-ed25519@openssh.com AAAAGnNr ada",
        "sk-ecdsa-sha2-nistp256@openssh.com AAAAGnNr",
        f"restrict {KEY}",
        f'from="10.0.0.0/8,fd00::/64",command="echo \\"hi there\\"" {KEY} ada',
    ],
)
def test_a_key(key: str) -> None:
    assert authorized_keys({"ada": {"keys": [key]}}, "/k")["/k/ada"]["content"] == f"{key}\n"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-dss AAAAB3NzaC1kc3M",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 AAAA!",
        "AAAAC3NzaC1lZDI1NTE5AAAAIJ1",
        f" {KEY}",
        f"{KEY}\n",
        f"{KEY}\nroot-for-everybody",
        f"x\n{KEY}",
        None,
        7,
        {"key": KEY},
    ],
)
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        authorized_keys({"ada": {"keys": [KEY, key]}}, "/k")
    assert f"authorized_keys: ada.keys[1] is no SSH public key: {str(key)[:40]!r}" in str(caught.value)


@pytest.mark.parametrize("user", [{}, {"keys": []}, {"keys": None}, None])
def test_a_user_without_keys(user: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="ada has no `keys`: give a list of SSH public keys"):
        authorized_keys({"ada": user}, "/k")


@pytest.mark.parametrize(
    "name",
    ["Ada", "a da", "../ada", "ada/x", "", "1ada", "-ada", "ada\n", "\N{LATIN SMALL LETTER A WITH DIAERESIS}", 7],
)
def test_what_is_no_user_name(name: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="is no user name: lower-case letters, digits, _ and -") as caught:
        authorized_keys({name: {"keys": [KEY]}}, "/k")
    assert repr(name) in str(caught.value)


def test_ansible_finds_it() -> None:
    assert FilterModule().filters() == {"authorized_keys": authorized_keys}
