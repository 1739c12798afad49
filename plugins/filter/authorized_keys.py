# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH key files of administrators, for a bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
name: authorized_keys
short_description: The SSH key files of administrators, for a bundle
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Makes one file of public keys for each user, in the form that the O(holdfast.platform.bundle#module:files)
    of a bundle has.
positional: directory
options:
  _input:
    description: Users by name, each with C(keys), a list of public keys.
    type: dict
    required: true
  directory:
    description: Directory of the files.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Apply the configuration
  holdfast.platform.bundle:
    name: base
    files: "{{ base_users | holdfast.platform.authorized_keys('/etc/ssh/authorized_keys') }}"
"""

RETURN = r"""
_value:
  description: A path and C({content, mode}) for each user.
  type: dict
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# `[options] type base64 [comment]`, as sshd(8) reads AUTHORIZED_KEYS.
KEY = re.compile(
    r"(\S.*[ \t])?(ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-\S+@openssh\.com) [A-Za-z0-9+/]+=*([ \t].*)?"
)
NAME = re.compile(r"[a-z_][a-z0-9_-]*")


def authorized_keys(users: Mapping[str, Mapping[str, Any] | None], directory: str) -> dict[str, dict[str, str]]:
    """Make {path: {content, mode}} of users.

    Raises AnsibleFilterError for a bad name, no keys or a key that is none.
    """
    files = {}
    for name, user in users.items():
        keys = (user or {}).get("keys") or []
        if not NAME.fullmatch(str(name)):
            raise AnsibleFilterError(f"authorized_keys: {name!r} is no user name: lower-case letters, digits, _ and -")
        if not keys:
            raise AnsibleFilterError(f"authorized_keys: {name} has no `keys`: give a list of SSH public keys")
        for number, key in enumerate(keys):
            if not KEY.fullmatch(str(key)):
                raise AnsibleFilterError(
                    f"authorized_keys: {name}.keys[{number}] is no SSH public key: {str(key)[:40]!r}"
                )
        files[f"{directory}/{name}"] = {"content": "".join(f"{key}\n" for key in keys), "mode": "0644"}
    return files


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"authorized_keys": authorized_keys}
