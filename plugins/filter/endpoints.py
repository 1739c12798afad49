# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of a service on its hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: endpoints
short_description: The URLs of a service on its hosts
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Makes C(https://address:port) of each host. IPv6 addresses get their brackets.
positional: port
options:
  _input:
    description: Hosts as P(holdfast.platform.hosts#lookup) gives them.
    type: list
    elements: dict
    required: true
  port:
    description: Port number.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show where etcd answers
  ansible.builtin.debug:
    msg: "{{ lookup('holdfast.platform.hosts', 'etcd') | holdfast.platform.endpoints(2379) }}"
"""

RETURN = r"""
_value:
  description: A URL for each host, in the order of the hosts.
  type: list
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from netaddr import AddrFormatError, IPAddress


def endpoints(hosts: Iterable[Mapping[str, Any]], port: int) -> list[str]:
    """Make a URL of each host's address and port. Raises AnsibleFilterError for a host without a usable address."""
    urls = []
    for host in hosts:
        try:
            address = IPAddress(str(host["address"]))
        except (AddrFormatError, KeyError, TypeError, ValueError) as error:
            raise AnsibleFilterError(f"endpoints: {host!r} has no address; expected a host with `address`") from error
        urls.append(f"https://[{address}]:{port}" if address.version == 6 else f"https://{address}:{port}")
    return urls


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"endpoints": endpoints}
