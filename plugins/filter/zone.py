# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The zone of an address."""

from __future__ import annotations

DOCUMENTATION = r"""
name: zone
short_description: The zone that an address belongs to
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Finds the zone whose network holds an address, such as one that a cluster's own tools named.
options:
  _input:
    description: An address.
    type: str
    required: true
  zones:
    description: The zones' networks, as in V(site_zones), one network or a mapping of one for each tier.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the zone of an address
  ansible.builtin.debug:
    msg: "{{ '10.77.2.11' | holdfast.platform.zone(site_zones) }}"
"""

RETURN = r"""
_value:
  description: The zone's name.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from netaddr import AddrFormatError, IPAddress, IPNetwork


def zone(address: str, zones: Mapping[str, str | Mapping[str, str]]) -> str:
    """Find the zone of an address. Raises AnsibleFilterError for no address, and for one that is in no zone."""
    try:
        wanted = IPAddress(address)
    except (AddrFormatError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"zone: {address!r} is not an address") from error
    for name, given in zones.items():
        for network in [given] if isinstance(given, str) else given.values():
            if wanted in IPNetwork(network):
                return str(name)
    raise AnsibleFilterError(f"zone: {address} is in none of the zones {', '.join(zones)}")


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"zone": zone}
