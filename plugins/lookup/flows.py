# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look up what the current host accepts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: flows
short_description: The connections that the current host has to accept
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Takes the flows that the descriptors of the host's services declare, and puts the addresses of the inventory in
    their place.
  - A host's services are its groups that the catalogue knows, and those that are everywhere.
  - Reads the inventory alone. Administrators come from V(site_admin); a tier is the group C(tier_<tier>), or all hosts
    whose V(tier) says so.
  - Fails when two services of the host listen on one port.
options:
  _terms:
    description: None.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show what this host accepts
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.flows') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, which is the list of flows. With C(query), take its first item.
    - A flow has C(service), C(port_name), C(port), C(protocol) and C(sources), the addresses and networks that may
      connect, in order, none of them within another. A port that nobody may connect to is not in the list.
  type: list
  elements: list
  sample: [[{service: etcd, port_name: peer, port: 2380, protocol: tcp, sources: [10.77.1.11]}]]
"""

from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue, _flows
from ansible_collections.holdfast.platform.plugins.plugin_utils._inventory import Inventory
from ansible_collections.holdfast.platform.plugins.plugin_utils._problems import InvalidError


class LookupModule(LookupBase):
    """`lookup('holdfast.platform.flows')`."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """Return a list that holds the list of flows."""
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleError(f"takes no terms, not {len(terms)}: the flows are those of the current host")
        try:
            catalogue = _catalogue.load(check=False)
            inventory = Inventory(variables or {}, self._templar)
            services = catalogue.placed(inventory.groups_of_host())
            found = _flows.inbound(catalogue, inventory, services, inventory.overrides())
        except InvalidError as error:
            raise AnsibleError(str(error)) from error
        return [[asdict(flow) | {"sources": list(flow.sources)} for flow in found]]
