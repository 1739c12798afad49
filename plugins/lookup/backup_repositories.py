# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the repositories of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_repositories
short_description: Where a service keeps its backups
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Gives every host of the group C(backup_store) with what a client needs to reach it over SFTP. Without such hosts the
    list is empty.
  - The private key is the service's secret C(backup_ssh), the passphrase of the repositories its secret C(backup).
  - Reads the inventory and the secret store alone, never facts.
options:
  _terms:
    description: The service whose copies these are.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show where PostgreSQL keeps its backups
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.backup_repositories', 'postgresql') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of repositories, sorted by name. With C(query), take its first item.
    - A repository has C(name), C(address), C(zone), C(port), C(user), C(path), C(known_hosts), the lines by which
      ssh knows the store's key, and C(every), the seconds between two copies that the service's descriptor declares.
  type: list
  elements: list
  sample:
    - - {name: backup-a1, address: 10.77.1.51, zone: a, port: 2222, user: backup-etcd, path: /data,
         known_hosts: ['[10.77.1.51]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA'], every: 3600}
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
    """`lookup('holdfast.platform.backup_repositories', service)`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """Return a list that holds the list of repositories."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 1:
            raise AnsibleError(f"give one service, not {len(terms)} terms")
        service = str(terms[0])
        check = self._templar.template(variables.get("ansible_check_mode", False))
        try:
            catalogue = _catalogue.load(check=False)
            backup = catalogue.service(service).backup
            if backup is None:
                raise AnsibleError(f"{service} makes no backups: roles/{service}/meta/service.yml has no key 'backup'")
            inventory = Inventory(variables, self._templar)
            hosts = inventory.hosts(_backup.STORE, catalogue)
            if not hosts:
                return [[]]
            port = catalogue.port(_backup.STORE, "sftp", inventory.overrides())
            store = open_store(variables, self._templar, self._loader)
            keys = _backup.public_keys(store, _backup.STORE, "host_key", check=check)
            return [_backup.repositories(service, hosts, port, keys, backup.every)]
        except (InvalidError, SecretsError) as error:
            raise AnsibleError(str(error)) from error
