# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up who may connect to a port."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sources
short_description: The addresses that may connect to a port of a service
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Takes the flows that the service's descriptor declares for the port, and puts the addresses of the inventory in
    their place.
  - Reads the inventory alone, as P(holdfast.platform.flows#lookup) does.
options:
  _terms:
    description: The service, then the name of its port.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show which clients the pooler accepts
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.sources', 'postgresql', 'pooled') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of addresses and networks in order, none of them within another. With C(query), take
      its first item.
  type: list
  elements: list
  sample: [[10.77.1.11, 10.77.2.11, 10.77.3.11]]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _flows
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.sources', service, port)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[list[str]]:
        """Return a list that holds the list of sources."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 2:
            raise AnsibleError(f"give a service and the name of one of its ports, not {len(terms)} terms")
        service, port = map(str, terms)
        try:
            inventory = Inventory(variables or {}, self._templar)
            return [list(_flows.sources(_catalogue.load(check=False), inventory, service, port))]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
