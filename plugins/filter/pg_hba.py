# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter holdfast.platform.pg_hba."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pg_hba
short_description: Write the lines of pg_hba.conf
version_added: 0.1.0
description:
  - Turns a list of rules into aligned lines, one for each source, in the order given.
  - Refuses what would let a password or a session go over the network in the clear.
options:
  _input:
    description:
      - The rules. Keys are V(type) (V(local), V(hostssl), or V(host) and V(hostnossl) for V(reject) only; default
        V(hostssl)), V(database) and V(user) (a name or a list; default V(all)), V(sources) (addresses and networks;
        not with V(local)), V(method) (V(scram-sha-256), V(cert), V(peer), V(reject); default V(scram-sha-256)),
        V(options) (a mapping).
    type: list
    elements: dict
    required: true
author:
  - Holdfast founders (@holdfast)
"""

EXAMPLES = r"""
- name: Show the lines
  ansible.builtin.debug:
    msg: "{{ rules | holdfast.platform.pg_hba }}"
  vars:
    rules:
      - {type: local, user: postgres, method: peer}
      - {database: replication, user: replicator, sources: [10.77.1.11, 10.77.2.11]}
      - {database: all, user: all, sources: [10.77.0.0/16]}
# local    all          postgres                     peer
# hostssl  replication  replicator  10.77.1.11/32    scram-sha-256
# hostssl  replication  replicator  10.77.2.11/32    scram-sha-256
# hostssl  all          all         10.77.0.0/16     scram-sha-256
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.holdfast.platform.plugins.plugin_utils import _pg_hba


def pg_hba(rules: Any) -> list[str]:
    """Write the lines; see DOCUMENTATION."""
    try:
        return _pg_hba.lines(rules)
    except ValueError as error:
        raise AnsibleFilterError(f"pg_hba: {error}") from error


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {"pg_hba": pg_hba}
