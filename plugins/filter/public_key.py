# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public part of a private key."""

from __future__ import annotations

DOCUMENTATION = r"""
name: public_key
short_description: The public part of a private key in PEM
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Derives the public key of a secret of kind V(ec_key), on the controller.
options:
  _input:
    description: The private key, not protected by a passphrase.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what tokens of service accounts are checked with
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.secret', 'kubernetes/service_account') | holdfast.platform.public_key }}"
"""

RETURN = r"""
_value:
  description: The public key, PEM (SubjectPublicKeyInfo).
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pki


def public_key(private: str) -> str:
    """The public part of a private key. Raises AnsibleFilterError when it is none."""
    try:
        return _pki.public_part(str(private))
    except _pki.PkiError as error:
        raise AnsibleFilterError(f"public_key: {error}") from error


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"public_key": public_key}
