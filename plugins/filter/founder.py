# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which control plane founds a cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: founder
short_description: Which host founds a Kubernetes cluster
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - The host that began to found one, and was cut off. Otherwise the first by name, when none of them has a cluster or
    sees one.
options:
  _input:
    description:
      - How the hosts of a run stand, by name. What M(holdfast.platform.kubernetes_member) returned of each.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who founds the cluster
  ansible.builtin.debug:
    msg: "{{ {'control-a1': 'unformed', 'control-b1': 'unformed'} | holdfast.platform.founder }}"  # control-a1
"""

RETURN = r"""
_value:
  description: The host's name, empty when nobody founds one.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any


def founder(standings: Mapping[str, str]) -> str:
    """The host that founds a cluster, or an empty text."""
    begun = sorted(host for host, standing in standings.items() if standing == "founding")
    if begun:
        return begun[0]
    return min(standings, default="") if set(standings.values()) == {"unformed"} else ""


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"founder": founder}
