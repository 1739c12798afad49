# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up public keys."""

from __future__ import annotations

DOCUMENTATION = r"""
name: public_keys
short_description: The public parts of an SSH key of the site
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Those of every version that is in use or comes into use, the current one first. So what a server takes is right in
    any phase of the key's rotation.
options:
  _terms:
    description: The secret, C(owner/name).
    type: list
    elements: str
    required: true
  version:
    description: The version to look up instead. Empty when the secret does not have it.
    type: str
    choices: [current, next, previous, retired]
"""

EXAMPLES = r"""
- name: Show the keys that the user of the run may log in with
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.public_keys', 'base/deploy_key') }}"
"""

RETURN = r"""
_raw:
  description: One item, the list of keys.
  type: list
  elements: list
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils._backup import public_keys
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import (
    SecretsError,
    split_path,
    ssh_public_key,
)


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.public_keys', 'base/deploy_key')`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return a list that holds the list."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 1:
            raise AnsibleError("public_keys: give one secret, such as base/deploy_key")
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            owner, name = split_path(terms[0])
            store = open_store(variables, self._templar, self._loader)
            if version := self.get_option("version"):
                value = getattr(store.read(owner).get(name), version, None)
                return [[ssh_public_key(value)] if value else []]
            return [public_keys(store, owner, name, check=check)]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error
