# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and networks by family."""

from __future__ import annotations

DOCUMENTATION = r"""
name: by_family
short_description: Addresses and networks by family
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Sorts addresses and networks into C(ip) and C(ip6), the words that nftables has for the families.
options:
  _input:
    description: Addresses and networks.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the sources of a flow by family
  ansible.builtin.debug:
    msg: "{{ ['10.77.1.11', 'fd00::/64'] | holdfast.platform.by_family }}"
"""

RETURN = r"""
_value:
  description: The keys C(ip) and C(ip6), each only where there is something, with a list in the given order.
  type: dict
"""

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError
from netaddr import AddrFormatError, IPNetwork


def by_family(sources: Iterable[str]) -> dict[str, list[str]]:
    """Sort sources into {ip: [...], ip6: [...]}. Raises AnsibleFilterError for what is neither address nor network."""
    families: dict[str, list[str]] = {}
    for source in sources:
        try:
            family = "ip6" if IPNetwork(source).version == 6 else "ip"
        except (AddrFormatError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"by_family: {source!r} is neither an address nor a network") from error
        families.setdefault(family, []).append(str(source))
    return families


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"by_family": by_family}
