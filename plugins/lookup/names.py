# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the names of services."""

from __future__ import annotations

DOCUMENTATION = r"""
name: names
short_description: The names under which services are called, and who answers
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - A service whose certificates carry further names is called by these; every one of its members answers to them.
  - Reads the catalogue and the inventory alone, never facts.
options:
  _terms:
    description: None is taken.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show the names of services
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.names') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of names, each with C(name) and C(address); a name stands once for each member.
  type: list
  elements: list
  sample: [[{name: postgresql, address: 10.77.1.11}]]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.names')`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, str]]]:
        """Return a list that holds the list of names."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        if terms:
            raise AnsibleError("give no terms: the names are those of the whole site")
        try:
            catalogue = _catalogue.load(check=False)
            inventory = Inventory(variables, self._templar)
            return [
                [
                    {"name": name, "address": host["address"]}
                    for service in catalogue.placed(inventory.groups_with_hosts())
                    for name in sorted({name for certificate in service.certificates for name in certificate.names})
                    for host in inventory.hosts(service.name, catalogue)
                ]
            ]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
