# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public part of an SSH key."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ssh_public_key
short_description: The public part of an SSH private key
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Derives the public key of a secret of kind V(ssh_key), on the controller.
options:
  _input:
    description: The private key's file, not protected by a passphrase.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the key of the backup stores
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.secret', 'backup_store/host_key') | holdfast.platform.ssh_public_key }}"
"""

RETURN = r"""
_value:
  description: The public key as SSH writes it, without a comment.
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.plugin_utils import _secrets


def ssh_public_key(private: str) -> str:
    """The public part of a private key. Raises AnsibleFilterError when it is none."""
    try:
        return _secrets.ssh_public_key(str(private))
    except _secrets.SecretsError as error:
        raise AnsibleFilterError(f"ssh_public_key: {error}") from error


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"ssh_public_key": ssh_public_key}
