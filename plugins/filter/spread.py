# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in an order that spreads them over the zones."""

from __future__ import annotations

DOCUMENTATION = r"""
name: spread
short_description: Hosts in turn over the zones
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Orders hosts so that they come from each zone in turn. The first two are in two zones, the first three in three, as
    far as there are zones. Hosts of a zone come in the order of their addresses.
options:
  _input:
    description: Hosts with C(address) and C(zone), as P(holdfast.platform.hosts#lookup) gives them.
    type: list
    elements: dict
    required: true
  first:
    description: The zone to begin with, such as the own one, whose hosts are near. The others follow by name.
    type: str
"""

EXAMPLES = r"""
- name: Name two members in two zones, one of them near
  ansible.builtin.debug:
    msg: "{{ (lookup('holdfast.platform.hosts', 'etcd') | holdfast.platform.spread(zone))[:2] }}"
"""

RETURN = r"""
_value:
  description: The same hosts in another order.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import Any

from ansible.errors import AnsibleFilterError
from netaddr import AddrFormatError, IPAddress


def spread(hosts: Iterable[Mapping[str, Any]], first: str | None = None) -> list[Mapping[str, Any]]:
    """Order hosts by turns of their zones. Raises AnsibleFilterError for a host without address or zone."""
    zones: dict[str, list[tuple[IPAddress, Mapping[str, Any]]]] = {}
    for host in hosts:
        try:
            zones.setdefault(host["zone"], []).append((IPAddress(host["address"]), host))
        except (AddrFormatError, KeyError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"spread: {host!r} is not a host with `address` and `zone`") from error
    names = sorted(zones, key=lambda name: (name != first, name))
    rows = zip_longest(*(sorted(zones[name], key=lambda entry: entry[0]) for name in names))
    return [entry[1] for row in rows for entry in row if entry]


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"spread": spread}
