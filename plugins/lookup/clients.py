# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the clients of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
name: clients
short_description: The users that other services need at a service
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Asks the catalogue which services of this inventory declare that they use the service, and gives a user for each.
  - The password is a secret of the client, read as P(holdfast.platform.secret#lookup) reads it. One that alternates
    stands for two users, C(<client>) and C(<client>_b); the one that may not log in has no password.
options:
  _terms:
    description: The service that is used.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Reconcile the users
  holdfast.platform.etcd_auth:
    users: "{{ lookup('holdfast.platform.clients', 'etcd') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of users, each with C(name) (the client service), C(password) unless it may not log
      in, C(prefixes) and C(forget).
  type: list
  elements: list
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _rotation
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError
from ansible_collections.holdfast.platform.plugins.plugin_utils._secret_store import open_store, read_secret
from ansible_collections.holdfast.platform.plugins.plugin_utils._secrets import SecretsError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.clients', service)`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """Return a list that holds the list of users."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if len(terms) != 1:
            raise AnsibleError(f"give one service, not {len(terms)} terms")
        try:
            catalogue = _catalogue.load(check=False)
            catalogue.service(str(terms[0]))
            groups = Inventory(variables, self._templar).groups_with_hosts()
            uses = [use for service in catalogue.placed(groups) for use in service.uses if use.of == terms[0]]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
        check = bool(self._templar.template(variables.get("ansible_check_mode", False)))
        try:
            store = open_store(variables, self._templar, self._loader)
            return [
                [
                    {"name": account.user, "prefixes": list(use.prefixes), "forget": list(use.forget)}
                    | ({"password": account.password} if account.login else {})
                    for use in uses
                    for account in _rotation.accounts(
                        use.service, read_secret(store, f"{use.service}/{use.secret}", check=check), own=True
                    )
                ]
            ]
        except SecretsError as error:
            raise AnsibleError(str(error)) from error
