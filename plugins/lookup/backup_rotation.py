# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up what is to do for keys between the backup stores and their clients."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_rotation
short_description: The SSH keys of backups whose rotation is at a phase, and how to try them
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - The keys are the secrets C(backup_ssh) of services that make backups, and C(backup_store/host_key).
  - Only what is at this phase, in the hands of this run.
options:
  _terms:
    description:
      - The phase, and the service that asks; C(backup_store) asks for all. Without it, the services of this host.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what is rotated
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.backup_rotation', 'added', 'backup_store').secrets }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, a mapping. C(secrets) are the paths of the keys, C(accepted) and C(refused) the logins that
      M(holdfast.platform.sftp_login) shall try from this host.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _backup, _catalogue, _controller, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.backup_rotation', phase, service)`."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return a list that holds the mapping."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) not in (1, 2) or terms[0] not in _rotation.PHASES:
            raise AnsibleError(f"give one of the phases {', '.join(_rotation.PHASES)}, and perhaps a service")
        phase, asking = str(terms[0]), str(terms[1]) if len(terms) == 2 else None
        try:
            catalogue = _catalogue.load(check=False)
            inventory = Inventory(variables, self._templar)
            store = open_store(variables, self._templar, self._loader)
            if asking in (None, _backup.STORE):
                groups = inventory.groups_of_host() if asking is None else inventory.groups_with_hosts()
                services = [service.name for service in catalogue.backed_up(groups)]
            else:
                services = [str(asking)]
            hosts = inventory.hosts(_backup.STORE, catalogue) if services else []
            secrets = _backup.rotating(services, store, phase, _controller.name()) if hosts else []
            found: dict[str, Any] = {"secrets": secrets, "accepted": [], "refused": []}
            if not secrets or asking == _backup.STORE:
                return [found]
            port = catalogue.port(_backup.STORE, "sftp", inventory.overrides())
            server = store.read(_backup.STORE)["host_key"]
            for service in services:
                keys = _backup.Keys(service, store.read(service)[_backup.KEY], server, secrets)
                for state, logins in _backup.trials(keys, phase, hosts, port).items():
                    found[state] += logins
        except (InvalidError, SecretsError) as error:
            raise AnsibleError(str(error)) from error
        return [found]
