# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up the hosts of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts
short_description: The hosts of a service, with address and zone
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads the inventory alone, never facts, so it gives the same list under C(--limit).
  - Needs a V(zone) for each of these hosts, and a V(address) unless V(ansible_host) or the host's name is one.
options:
  _terms:
    description: A service, any other group, or V(site) for all hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the members of etcd
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.hosts', 'etcd') | map(attribute='address') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of hosts, so that C(lookup) returns a list also of one host or none. With C(query),
      take its first item.
    - A host has C(name), C(address), C(zone) and C(fqdn), the name in V(site_domain). The list is sorted by name.
  type: list
  elements: list
  sample: [[{name: db1, address: 172.22.0.11, zone: a, fqdn: db1.north.example.org}]]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.hosts', group)`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, str]]]:
        """Return a list that holds the list of hosts."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 1:
            raise AnsibleError(f"give one service or group, or 'site', not {len(terms)} terms")
        try:
            return [Inventory(variables or {}, self._templar).hosts(str(terms[0]), _catalogue.load(check=False))]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
