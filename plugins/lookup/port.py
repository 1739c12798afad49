# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up a port of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
name: port
short_description: The number of a service's port at this site
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Reads the port from the service's descriptor; the variable V(site_ports) overrides it.
options:
  _terms:
    description: The service, then the name of its port.
    type: list
    elements: str
    required: true
seealso:
  - plugin: holdfast.platform.site
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Show where etcd's clients connect
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.port', 'etcd', 'client') }}"
"""

RETURN = r"""
_raw:
  description: The port's number.
  type: list
  elements: int
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.port', service, port)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[int]:
        """Return the number."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 2:
            raise AnsibleError(f"give a service and the name of one of its ports, not {len(terms)} terms")
        service, port = map(str, terms)
        try:
            overrides = Inventory(variables or {}, self._templar).overrides()
            return [_catalogue.load(check=False).port(service, port, overrides)]
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
