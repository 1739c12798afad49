# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the accounts of the backup stores."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_accounts
short_description: The accounts that services need at a backup store
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Asks the catalogue which services of this inventory make backups, and gives an account for each.
  - The public keys come from the service's secret C(backup_ssh), all versions that are in use or come into use.
options:
  _terms:
    description: None is taken.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show the accounts
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.backup_accounts') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of accounts, each with C(service), C(user) and C(keys). With C(query), take its
      first item.
  type: list
  elements: list
  sample: [[{service: etcd, user: backup-etcd, keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA]}]]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _backup, _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.backup_accounts')`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """Return a list that holds the list of accounts."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if terms:
            raise AnsibleError("give no terms: the accounts are those of the whole site")
        check = self._templar.template(variables.get("ansible_check_mode", False))
        try:
            catalogue = _catalogue.load(check=False)
            groups = Inventory(variables, self._templar).groups_with_hosts()
            store = open_store(variables, self._templar, self._loader)
            return [_backup.accounts(catalogue, groups, store, check=check)]
        except (InvalidError, SecretsError) as error:
            raise AnsibleError(str(error)) from error
